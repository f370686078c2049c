package sts_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"berth/internal/identity"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// verifier takes tokens whose signature is "good", whoever they are from.
type verifier struct{}

// Verify implements [identity.TokenVerifier].
func (verifier) Verify(_ context.Context, _ identity.Provider, token string) (identity.Claims, error) {
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return identity.Claims{}, err
	}
	var c identity.Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return identity.Claims{}, err
	}
	var claims struct{ Iss string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		return identity.Claims{}, err
	}
	c.Issuer = claims.Iss
	if parts[2] == "another" {
		c.Issuer = "https://another.example.com"
	}
	refusals := map[string]*identity.TokenError{
		"bad":     {Reason: identity.TokenInvalid, Text: "Couldn't retrieve verification key from your identity provider"},
		"expired": {Reason: identity.TokenExpired, Text: "Token expired"}, "claim": {Reason: identity.TokenRejected, Text: "nbf"},
		"away": {Reason: identity.IssuerUnreachable, Text: "the issuer does not answer"},
	}
	if e := refusals[parts[2]]; e != nil {
		return identity.Claims{}, e
	}
	return c, nil
}

// slow is a verifier while which something else is done.
type slow struct {
	verifier
	meanwhile func()
}

// Verify implements [identity.TokenVerifier].
func (v *slow) Verify(ctx context.Context, p identity.Provider, token string) (identity.Claims, error) {
	v.meanwhile()
	return v.verifier.Verify(ctx, p, token)
}

func TestAProviderIsChangedWhileATokenIsVerified(t *testing.T) {
	t.Parallel()
	v := &slow{}
	s := servertest.Start(t, servertest.Options{Tokens: v})
	role := webIdentity(t, s, "ci", `"StringLike":{"ci.example.com/job:sub":"*"}`)
	arn := "arn:aws:iam::" + home + ":oidc-provider/ci.example.com/job"
	for _, tt := range []struct {
		audience      string
		meanwhile     func() error
		code, message string
	}{
		{"b", func() error { return nil }, "", ""},
		{"b", func() error {
			_, err := s.IAM().RemoveClientIDFromOpenIDConnectProvider(t.Context(), &iam.RemoveClientIDFromOpenIDConnectProviderInput{
				OpenIDConnectProviderArn: &arn, ClientID: new("b"),
			})
			return err
		}, "InvalidIdentityToken", "Incorrect token audience"},
		{"sts.amazonaws.com", func() error {
			_, err := s.IAM().DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
			return err
		}, "InvalidIdentityToken", "No OpenIDConnect provider found"},
	} {
		v.meanwhile = func() {
			if err := tt.meanwhile(); err != nil {
				t.Error(err)
			}
		}
		_, err := sts.NewFromConfig(stranger(s)).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: &role, RoleSessionName: new("job-1"), WebIdentityToken: new(token(`"Subject":"s","Audience":["`+tt.audience+`"]`, "good")),
		})
		if tt.code == "" && err != nil || tt.code != "" && servertest.ErrorCode(err) != tt.code || !strings.Contains(servertest.ErrorMessage(err), tt.message) {
			t.Errorf("AssumeRoleWithWebIdentity = %v, want %s: %s", err, tt.code, tt.message)
		}
	}
}

const issuer = "https://ci.example.com/job"

// token returns one with claims, in the verifier's form.
func token(claims, signature string) string {
	if !strings.Contains(claims, `"iss"`) {
		claims = `"iss":"` + issuer + `",` + claims
	}
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte("{"+claims+"}")) + "." + signature
}

// webIdentity makes a provider and a role that trusts it, and returns the role.
func webIdentity(t *testing.T, s *servertest.Server, name, condition string) string {
	t.Helper()
	arn := "arn:aws:iam::" + home + ":oidc-provider/ci.example.com/job"
	_, err := s.IAM().CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: new(issuer), ClientIDList: []string{"sts.amazonaws.com", "b"}})
	if err != nil && servertest.ErrorCode(err) != "EntityAlreadyExists" {
		t.Fatal(err)
	}
	trust := `{"Effect":"Allow","Principal":{"Federated":"` + arn + `"},"Action":["sts:AssumeRoleWithWebIdentity"],"Condition":{` + condition + `}}`
	return s.CreateRole(t, s.AWS(), name, trust, policy("ecr:ListImages"))
}

// stranger is the configuration of a client that signs nothing.
func stranger(s *servertest.Server) aws.Config {
	c := s.AWS()
	c.Credentials = aws.AnonymousCredentials{}
	return c
}

const good = `"Subject":"repo:acme/app:ref:refs/heads/main","Audience":["sts.amazonaws.com"]`

func TestATokenOfAProviderAssumesARole(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Tokens: verifier{}}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		role := webIdentity(t, s, "ci", `"StringEquals":{"ci.example.com/job:aud":"sts.amazonaws.com"},"StringLike":{"ci.example.com/job:sub":"repo:acme/*"}`)
		s.Decisions()
		out, err := sts.NewFromConfig(stranger(s)).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: &role, RoleSessionName: new("job-1"), WebIdentityToken: new(token(good, "good")), DurationSeconds: new(int32(900)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := s.Decisions(); len(d) != 2 || d[1].Action != d[0].Action || d[1].Resource != d[0].Resource || d[0].Action != "sts:AssumeRoleWithWebIdentity" || d[0].Resource != role {
			t.Errorf("it asked about %v", d)
		}
		if *out.Audience != "sts.amazonaws.com" || *out.Provider != "ci.example.com/job" || *out.SubjectFromWebIdentityToken != "repo:acme/app:ref:refs/heads/main" ||
			*out.AssumedRoleUser.Arn != "arn:aws:sts::"+home+":assumed-role/ci/job-1" || !out.Credentials.Expiration.Equal(s.Clock.Now().Add(15*time.Minute)) {
			t.Errorf("AssumeRoleWithWebIdentity = %+v", out)
		}
		session := s.AsSession(out.Credentials)
		if err := listImages(t, session); err != nil {
			t.Errorf("ListImages = %v", err)
		}
		condition := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"ArnEquals":{"aws:FederatedProvider":` +
			`"arn:aws:iam::123456789012:oidc-provider/ci.example.com/job"}}}]}`
		if _, err := s.IAM().PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: new("ci"), PolicyName: new("ci"), PolicyDocument: &condition}); err != nil {
			t.Fatal(err)
		}
		if _, err := ecr.NewFromConfig(session).DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("app")}); err != nil {
			t.Errorf("DescribeImages for the provider's sessions = %v", err)
		}
	})
}

func TestTokensThatAssumeNoRole(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Tokens: verifier{}}, func(t *testing.T, s *servertest.Server) {
		role := webIdentity(t, s, "ci", `"StringEquals":{"ci.example.com/job:sub":"repo:acme/app:ref:refs/heads/main"}`)
		other := s.CreateRole(t, s.AWS(), "other", trustAll, "")
		const denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
		for what, tt := range map[string]struct {
			token         string
			change        func(*sts.AssumeRoleWithWebIdentityInput)
			code, message string
		}{
			"no token":           {"x.yz", nil, "InvalidIdentityToken", "not a valid JWT"},
			"no JSON":            {"e30.eA.good", nil, "InvalidIdentityToken", "not a valid JWT"},
			"a NUL":              {token(`"iss":"https://a\u0000b"`, "good"), nil, "InvalidIdentityToken", "not a valid JWT"},
			"a bad signature":    {token(good, "bad"), nil, "InvalidIdentityToken", "Couldn't retrieve verification key"},
			"an old one":         {token(good, "expired"), nil, "ExpiredTokenException", "Token expired"},
			"a claim":            {token(good, "claim"), nil, "IDPRejectedClaim", "nbf"},
			"an issuer away":     {token(good, "away"), nil, "IDPCommunicationError", "does not answer"},
			"another issuer":     {token(`"iss":"https://x.example.com",`+good, "good"), nil, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://x.example.com"},
			"an issuer of http":  {token(`"iss":"http://ci.example.com/job",`+good, "good"), nil, "InvalidIdentityToken", "No OpenIDConnect provider"},
			"a verified other":   {token(good, "another"), nil, "InvalidIdentityToken", "does not name its issuer"},
			"no subject":         {token(`"Audience":["b"]`, "good"), nil, "InvalidIdentityToken", "subject"},
			"another audience":   {token(`"Subject":"s","Audience":["x"]`, "good"), nil, "InvalidIdentityToken", "Incorrect token audience"},
			"another party":      {token(`"Subject":"s","Audience":["b"],"AuthorizedParty":"x"`, "good"), nil, "InvalidIdentityToken", "Incorrect token audience"},
			"another subject":    {token(`"Subject":"repo:evil/app","Audience":["b"]`, "good"), nil, "AccessDenied", denied},
			"another's role":     {token(good, "good"), func(in *sts.AssumeRoleWithWebIdentityInput) { in.RoleArn = &other }, "AccessDenied", denied},
			"an absent role":     {token(good, "good"), func(in *sts.AssumeRoleWithWebIdentityInput) { in.RoleArn = new("arn:aws:iam::123456789012:role/none") }, "AccessDenied", denied},
			"an absent account":  {token(good, "good"), func(in *sts.AssumeRoleWithWebIdentityInput) { in.RoleArn = new("arn:aws:iam::999999999999:role/ci") }, "InvalidIdentityToken", "No OpenIDConnect provider"},
			"too long a session": {token(good, "good"), func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = new(int32(3601)) }, "ValidationError", "MaxSessionDuration"},
			"a bad policy":       {token(good, "good"), func(in *sts.AssumeRoleWithWebIdentityInput) { in.Policy = new("{}") }, "MalformedPolicyDocument", ""},
			"a provider id":      {token(good, "good"), func(in *sts.AssumeRoleWithWebIdentityInput) { in.ProviderId = new("www.amazon.com") }, "ValidationError", "OAuth"},
		} {
			in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: new("job-1"), WebIdentityToken: &tt.token}
			if tt.change != nil {
				tt.change(in)
			}
			_, err := sts.NewFromConfig(stranger(s)).AssumeRoleWithWebIdentity(t.Context(), in)
			wantError(t, what, err, tt.code, tt.message)
		}
		_, err := sts.NewFromConfig(stranger(s)).AssumeRoleWithSAML(t.Context(), &sts.AssumeRoleWithSAMLInput{
			RoleArn: &role, PrincipalArn: new("arn:aws:iam::123456789012:saml-provider/p"), SAMLAssertion: new("PHNhbWw+"),
		})
		wantError(t, "SAML", err, "InvalidIdentityToken", "Berth does not take SAML assertions")
	})
}

func TestTheConditionKeysOfAToken(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Tokens: verifier{}})
	const key = "ci.example.com/job:"
	for i, tt := range []struct {
		condition, claims string
		want              bool
	}{
		{`"StringEquals":{"` + key + `aud":"b"}`, `"Subject":"s","Audience":["b"]`, true},
		{`"StringEquals":{"` + key + `aud":"b"}`, `"Subject":"s","Audience":["sts.amazonaws.com"]`, false},
		{`"StringEquals":{"` + key + `aud":"b","` + key + `oaud":"x","` + key + `azp":"b"}`, `"Subject":"s","Audience":["x"],"AuthorizedParty":"b"`, true},
		{`"Null":{"` + key + `azp":"true","` + key + `oaud":"true"}`, `"Subject":"s","Audience":["b"],"Other":{"azp":["b"],"oaud":["b"]}`, true},
		{`"ForAnyValue:StringEquals":{"` + key + `amr":"mfa"}`, `"Subject":"s","Audience":["b"],"Other":{"amr":["pwd","mfa"]}`, true},
		{`"StringEquals":{"` + key + `sub":"s"}`, `"Subject":"t","Audience":["b"],"Other":{"sub":["s"]}`, false},
		{`"ForAnyValue:StringEquals":{"` + key + `sub":"s"}`, `"Subject":"t","Audience":["b"],"Other":{"SUB":["s"],"Sub":["s"]}`, false},
		{`"ForAnyValue:StringEquals":{"` + key + `aud":"s"}`, `"Subject":"t","Audience":["b"],"Other":{"Aud":["s"]}`, false},
		{`"ForAnyValue:StringEquals":{"` + key + `azp":"s"}`, `"Subject":"t","Audience":["b"],"Other":{"AZP":["s"]}`, false},
		{`"ForAnyValue:StringEquals":{"` + key + `oaud":"s"}`, `"Subject":"t","Audience":["b"],"Other":{"OAUD":["s"]}`, false},
		{`"StringEquals":{"` + key + `ref":"main"}`, `"Subject":"s","Audience":["b"],"Other":{"ref":["main"]}`, true},
		{`"StringEquals":{"sts:RoleSessionName":"job-1"}`, `"Subject":"s","Audience":["b"]`, true},
		{`"Null":{"aws:PrincipalArn":"true","aws:TokenIssueTime":"true"}`, `"Subject":"s","Audience":["b"]`, true},
	} {
		role := webIdentity(t, s, "r"+string(rune('a'+i)), tt.condition)
		_, err := sts.NewFromConfig(stranger(s)).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: &role, RoleSessionName: new("job-1"), WebIdentityToken: new(token(tt.claims, "good")),
		})
		if (err == nil) != tt.want {
			t.Errorf("%s with %s = %v, want allowed: %v", tt.condition, tt.claims, err, tt.want)
		}
	}
}

func TestNothingElseNeedsNoSignature(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Tokens: verifier{}})
	for form, want := range map[string]string{
		"Action=GetCallerIdentity&Version=2011-06-15":         "MissingAuthenticationToken",
		"Action=AssumeRole&Version=2011-06-15":                "MissingAuthenticationToken",
		"Action=AssumeRoot&Version=2011-06-15":                "MissingAuthenticationToken",
		"Action=None&Version=2011-06-15":                      "MissingAuthenticationToken",
		"Action=ListUsers&Version=2010-05-08":                 "MissingAuthenticationToken",
		"Action=AssumeRoleWithWebIdentity&Version=2010-05-08": "MissingAuthenticationToken",
		"Action=AssumeRoleWithWebIdentity":                    "MissingAuthenticationToken",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15": "ValidationError",
	} {
		res, err := http.Post(s.URL+"/", "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 4096)
		n, _ := res.Body.Read(body)
		res.Body.Close()
		if !strings.Contains(string(body[:n]), "<Code>"+want+"</Code>") {
			t.Errorf("%s = %d %s, want %s", form, res.StatusCode, body[:n], want)
		}
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "WebIdentityToken": {strings.Repeat("x", 200_000)}}
	res, err := http.PostForm(s.URL+"/", form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a large form = %d, want 413", res.StatusCode)
	}
}

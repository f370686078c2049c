package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/oidc/oidctest"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// trusting configures a server that may ask an issuer on this machine.
func trusting(t *testing.T, i *oidctest.Issuer) func(*config.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, i.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *config.Config) {
		c.EgressCA, c.EgressAllow = file, []string{strings.TrimPrefix(i.URL, "https://")}
	}
}

// assume assumes the role ci with a token, without a signature.
func assume(t *testing.T, s *servertest.Server, token string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	t.Helper()
	c := s.AWS()
	c.Credentials = aws.AnonymousCredentials{}
	return sts.NewFromConfig(c).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: new("arn:aws:iam::" + servertest.Account + ":role/ci"), RoleSessionName: new("job"), WebIdentityToken: &token,
	})
}

// trust makes an account trust an issuer, whose tokens with a claim may assume the
// role ci.
func trust(t *testing.T, s *servertest.Server, i *oidctest.Issuer, actions, claim, value string) {
	t.Helper()
	host := strings.TrimPrefix(i.URL, "https://")
	if _, err := s.IAM().CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &i.URL, ClientIDList: []string{"sts.amazonaws.com"}}); err != nil {
		t.Fatal(err)
	}
	s.CreateRole(t, s.AWS(), "ci", `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::`+servertest.Account+`:oidc-provider/`+host+`"},"Action":`+actions+
		`,"Condition":{"StringEquals":{"`+host+`:`+claim+`":"`+value+`"}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:ListImages","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue"}}}}`)
}

const tagsClaim = "https://aws.amazon.com/tags"

func TestTokensOfRealIssuersAssumeRoles(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	servertest.Each(t, servertest.Options{Configure: trusting(t, i)}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		trust(t, s, i, `["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]`, "repository", "octo/app")
		team := map[string]any{"principal_tags": map[string]any{"team": []string{"blue"}}, "transitive_tag_keys": []string{"team"}}
		out, err := assume(t, s, i.Token(map[string]any{"repository": "octo/app", tagsClaim: team, "https://aws.amazon.com/source_identity": "ada"}))
		if err != nil {
			t.Fatal(err)
		}
		if *out.SourceIdentity != "ada" || *out.SubjectFromWebIdentityToken != "somebody" {
			t.Errorf("AssumeRoleWithWebIdentity = %+v", out)
		}
		list := func(out *sts.AssumeRoleWithWebIdentityOutput) error {
			_, err := ecr.NewFromConfig(s.AsSession(out.Credentials)).ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("app")})
			return err
		}
		if err := list(out); err != nil {
			t.Errorf("ListImages with the token's tag: %v", err)
		}
		if out, err = assume(t, s, i.Token(map[string]any{"repository": "octo/app"})); err != nil {
			t.Fatal(err)
		}
		if err := list(out); servertest.ErrorCode(err) != "AccessDeniedException" {
			t.Errorf("ListImages without a tag = %v, want AccessDeniedException", err)
		}
		for name, tt := range map[string]struct {
			token, code string
		}{
			"another repository": {i.Token(map[string]any{"repository": "octo/other"}), "AccessDenied"},
			"no repository":      {i.Token(nil), "AccessDenied"},
			"another audience":   {i.Token(map[string]any{"aud": "other"}), "InvalidIdentityToken"},
			"a foreign key":      {oidctest.RSA(t, "first", 2048).Token(nil, i.Claims(nil)), "InvalidIdentityToken"},
			"expired":            {i.Token(map[string]any{"exp": 1}), "ExpiredTokenException"},
			"too many tags":      {i.Token(map[string]any{"repository": "octo/app", tagsClaim: map[string]any{"principal_tags": map[string]any{"a": "b", "A": "c"}}}), "InvalidParameterValue"},
		} {
			if _, err := assume(t, s, tt.token); servertest.ErrorCode(err) != tt.code {
				t.Errorf("%s: AssumeRoleWithWebIdentity = %v, want %s", name, err, tt.code)
			}
		}
		token := i.Token(map[string]any{"repository": "octo/app"})
		s.Clock.Advance(time.Hour + time.Minute)
		if _, err := assume(t, s, token); servertest.ErrorCode(err) != "ExpiredTokenException" {
			t.Errorf("AssumeRoleWithWebIdentity an hour later = %v, want ExpiredTokenException", err)
		}
	})
}

// A role that must not be tagged by a token is not assumed with one that has tags.
func TestTagsOfTokensMustBeAllowed(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	s := servertest.Start(t, servertest.Options{Configure: trusting(t, i)})
	trust(t, s, i, `"sts:AssumeRoleWithWebIdentity"`, "sub", "somebody")
	if _, err := assume(t, s, i.Token(nil)); err != nil {
		t.Errorf("AssumeRoleWithWebIdentity: %v", err)
	}
	_, err := assume(t, s, i.Token(map[string]any{tagsClaim + "/principal_tags/team": "blue"}))
	if servertest.ErrorCode(err) != "AccessDenied" {
		t.Errorf("AssumeRoleWithWebIdentity with a tag = %v, want AccessDenied", err)
	}
}

// An address of the site's own is not asked because somebody has made a provider
// of it, and who tries does not learn what is there.
func TestProvidersAreNoWayIn(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	s := servertest.Start(t, servertest.Options{})
	trust(t, s, i, `"sts:AssumeRoleWithWebIdentity"`, "sub", "somebody")
	_, open := assume(t, s, i.Token(nil))
	i.Close()
	s.Clock.Advance(11 * time.Second)
	_, closed := assume(t, s, i.Token(nil))
	for _, err := range []error{open, closed} {
		if servertest.ErrorCode(err) != "IDPCommunicationError" || servertest.ErrorMessage(err) != servertest.ErrorMessage(open) {
			t.Errorf("AssumeRoleWithWebIdentity = %v, want IDPCommunicationError and always the same", err)
		}
	}
	if n := i.Requests(oidctest.Discovery); n != 0 {
		t.Errorf("the issuer was asked %d times, want never", n)
	}
}

func TestConfigurationOfEgressIsChecked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		configure func(*config.Config)
		want      string
	}{
		"an address":  {func(c *config.Config) { c.EgressAllow = []string{"10.0.0"} }, `egress-allow and egress-ca: "10.0.0" is neither`},
		"a file":      {func(c *config.Config) { c.EgressCA = "/nowhere/ca.pem" }, "egress-ca: open /nowhere/ca.pem"},
		"keys":        {func(c *config.Config) { c.OIDCKeys = []string{"https://example.com=/nowhere/keys"} }, "oidc-jwks: open /nowhere/keys"},
		"an issuer":   {func(c *config.Config) { c.OIDCKeys = []string{"https://a@b=/nowhere/keys"} }, "is not the URL of an issuer"},
		"no CA there": {func(c *config.Config) { c.EgressCA = os.DevNull }, "there is no certificate in PEM"},
	} {
		c := servertest.Start(t, servertest.Options{}).Config
		other := *c
		other.Data, other.Listen = t.TempDir(), "127.0.0.1:0"
		tt.configure(&other)
		s, err := server.Open(t.Context(), &other, server.Options{})
		if err == nil {
			err = s.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Open = %v, want an error with %q", name, err, tt.want)
		}
	}
}

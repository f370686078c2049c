package sts_test

import (
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

const (
	home     = servertest.Account
	trustAll = `{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}`
)

// policy is a document that allows actions on everything.
func policy(actions ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}]}`
}

// assume returns a client's configuration with a session of a role.
func assume(t *testing.T, s *servertest.Server, as aws.Config, in *sts.AssumeRoleInput) (aws.Config, *sts.AssumeRoleOutput) {
	t.Helper()
	if in.RoleSessionName == nil {
		in.RoleSessionName = new("build")
	}
	out, err := sts.NewFromConfig(as).AssumeRole(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return s.AsSession(out.Credentials), out
}

// wantError fails unless an error is the exception with the message.
func wantError(t *testing.T, what string, err error, code, message string) {
	t.Helper()
	if servertest.ErrorCode(err) != code || !strings.Contains(servertest.ErrorMessage(err), message) {
		t.Errorf("%s = %v\nwant %s: %s", what, err, code, message)
	}
}

func listImages(t *testing.T, as aws.Config) error {
	t.Helper()
	_, err := ecr.NewFromConfig(as).ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("app")})
	return err
}

func TestASessionActsForItsRole(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:AssumeRole"))
		role := s.CreateRole(t, s.AWS(), "puller", trustAll, policy("ecr:ListImages"))
		if err := listImages(t, alice); servertest.ErrorCode(err) != "AccessDeniedException" {
			t.Fatalf("ListImages by the user = %v, want AccessDeniedException", err)
		}
		session, out := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: &role})
		c := out.Credentials
		if !strings.HasPrefix(*c.AccessKeyId, "ASIA") || len(*c.SessionToken) < 300 || !c.Expiration.Equal(s.Clock.Now().Add(time.Hour)) || out.PackedPolicySize != nil {
			t.Errorf("AssumeRole = %+v, want a key of a session for an hour", c)
		}
		const arn = "arn:aws:sts::" + home + ":assumed-role/puller/build"
		who, err := sts.NewFromConfig(session).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil || *who.Arn != arn || *who.Account != home || *who.UserId != *out.AssumedRoleUser.AssumedRoleId ||
			!strings.HasPrefix(*who.UserId, "AROA") || !strings.HasSuffix(*who.UserId, ":build") || *out.AssumedRoleUser.Arn != arn {
			t.Errorf("GetCallerIdentity = %v, %v, want the session", who, err)
		}
		if err := listImages(t, session); err != nil {
			t.Errorf("ListImages by the session = %v", err)
		}
		_, err = ecr.NewFromConfig(session).CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("other")})
		wantError(t, "CreateRepository", err, "AccessDeniedException", "User: "+arn+" is not authorized to perform: ecr:CreateRepository")
		_, err = iam.NewFromConfig(session).GetUser(t.Context(), &iam.GetUserInput{})
		wantError(t, "GetUser", err, "AccessDenied", "iam:GetUser")

		s.Restart(t)
		if err := listImages(t, session); err != nil {
			t.Errorf("ListImages after a restart = %v", err)
		}
		if _, err := s.IAM().DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: new("puller"), PolicyName: new("puller")}); err != nil {
			t.Fatal(err)
		}
		wantError(t, "ListImages without the policy", listImages(t, session), "AccessDeniedException", "no identity-based policy")
		if _, err := s.IAM().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: new("puller")}); err != nil {
			t.Fatal(err)
		}
		wantError(t, "ListImages without the role", listImages(t, session), "UnrecognizedClientException", "security token included in the request is invalid")
	})
}

func TestTheTokenOfASession(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:AssumeRole"))
		role := s.CreateRole(t, s.AWS(), "puller", trustAll, policy("ecr:*"))
		session, out := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: &role, DurationSeconds: new(int32(900))})
		_, other := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: &role})
		c := out.Credentials
		for what, token := range map[string]string{
			"no token": "", "another session's": *other.Credentials.SessionToken, "half": (*c.SessionToken)[:100], "more": *c.SessionToken + "A", "nonsense": "x",
		} {
			as := s.AWS()
			as.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, token)
			wantError(t, "a call with "+what, listImages(t, as), "UnrecognizedClientException", "The security token included in the request is invalid.")
		}
		as := s.AWS()
		as.Credentials = credentials.NewStaticCredentialsProvider("AKIAROOT", "the secret of the root", *c.SessionToken)
		wantError(t, "a call with the root's key", listImages(t, as), "UnrecognizedClientException", "The security token included in the request is invalid.")
		as.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, "x", *c.SessionToken)
		wantError(t, "a call with another secret", listImages(t, as), "InvalidSignatureException", "")

		client := s.Login(t)
		token, err := ecr.NewFromConfig(session).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
		if err != nil || !token.AuthorizationData[0].ExpiresAt.Equal(*c.Expiration) {
			t.Fatalf("GetAuthorizationToken = %v, %v, want one that expires with the session", token, err)
		}
		client.Pass = decode(t, *token.AuthorizationData[0].AuthorizationToken)
		client.Do(t, "GET", "/v2/app/tags/list", nil).Want(t, 200)
		s.Clock.Advance(899 * time.Second)
		if err := listImages(t, session); err != nil {
			t.Errorf("ListImages at the end = %v", err)
		}
		s.Clock.Advance(time.Second)
		wantError(t, "ListImages after the end", listImages(t, session), "ExpiredTokenException", "The security token included in the request is expired")
		_, err = sts.NewFromConfig(session).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		wantError(t, "GetCallerIdentity after the end", err, "ExpiredToken", "The security token included in the request is expired")
		client.Do(t, "GET", "/v2/app/tags/list", nil).Want(t, 403)
	})
}

func TestWhoMayAssumeARole(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		const away = "111122223333"
		foreign := s.CreateAccount(t, away)
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:*"))
		bob := s.CreateUserOf(t, s.AWS(), "bob", "")
		carol := s.CreateUserOf(t, foreign, "carol", policy("sts:AssumeRole"))
		dave := s.CreateUserOf(t, foreign, "dave", "")
		trust := func(principal, more string) string {
			return `{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"` + more + `}`
		}
		roles := map[string]string{
			"account":  s.CreateRole(t, s.AWS(), "account", trust(home, ""), ""),
			"bob":      s.CreateRole(t, s.AWS(), "bob", trust("arn:aws:iam::"+home+":user/bob", ""), ""),
			"away":     s.CreateRole(t, s.AWS(), "away", trust(away, `,"Condition":{"StringEquals":{"sts:ExternalId":"e-1"}}`), ""),
			"name":     s.CreateRole(t, s.AWS(), "name", trust(home, `,"Condition":{"StringLike":{"sts:RoleSessionName":"${aws:username}"}}`), ""),
			"absent":   "arn:aws:iam::" + home + ":role/absent",
			"path":     "arn:aws:iam::" + home + ":role/x/account",
			"no such":  "arn:aws:iam::999999999999:role/account",
			"a denied": s.CreateRole(t, s.AWS(), "denied", trust(home, "")+`,{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"false"}}}`, ""),
		}
		for _, tt := range []struct {
			who        string
			as         aws.Config
			role       string
			externalID string
			allowed    bool
		}{
			{"alice", alice, "account", "", true}, {"bob", bob, "account", "", false}, {"bob", bob, "bob", "", true}, {"alice", alice, "bob", "", false},
			{"carol", carol, "account", "", false}, {"carol", carol, "away", "e-1", true}, {"carol", carol, "away", "e-2", false},
			{"carol", carol, "away", "", false}, {"dave", dave, "away", "e-1", false}, {"alice", alice, "away", "e-1", false},
			{"alice", alice, "absent", "", false}, {"alice", alice, "path", "", false}, {"alice", alice, "no such", "", false},
			{"alice", alice, "name", "", false}, {"alice", alice, "a denied", "", true},
		} {
			in := &sts.AssumeRoleInput{RoleArn: new(roles[tt.role]), RoleSessionName: new("build")}
			if tt.externalID != "" {
				in.ExternalId = &tt.externalID
			}
			s.Decisions()
			_, err := sts.NewFromConfig(tt.as).AssumeRole(t.Context(), in)
			if d := s.Decisions(); len(d) == 0 || len(d) > 2 || d[0].Action != "sts:AssumeRole" || d[0].Resource != roles[tt.role] {
				t.Errorf("AssumeRole asked about %v, want the role", d)
			}
			if tt.allowed && err != nil {
				t.Errorf("AssumeRole of %s by %s = %v", tt.role, tt.who, err)
			}
			account := home
			if tt.who == "carol" || tt.who == "dave" {
				account = away
			}
			want := "User: arn:aws:iam::" + account + ":user/" + tt.who + " is not authorized to perform: sts:AssumeRole on resource: " + roles[tt.role]
			if !tt.allowed && (servertest.ErrorCode(err) != "AccessDenied" || servertest.ErrorMessage(err) != want) {
				t.Errorf("AssumeRole of %s by %s = %v, want AccessDenied: %s", tt.role, tt.who, err, want)
			}
		}
		assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: new(roles["name"]), RoleSessionName: new("alice")})
		_, err := s.STS().AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: new(roles["account"]), RoleSessionName: new("build")})
		wantError(t, "AssumeRole by the root", err, "AccessDenied", "Roles may not be assumed by root accounts.")
		session, _ := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: new(roles["account"])})
		_, err = sts.NewFromConfig(session).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: new(roles["a denied"]), RoleSessionName: new("build")})
		wantError(t, "AssumeRole by a session without a policy", err, "AccessDenied", "")
	})
}

func TestWhatASessionIsAskedFor(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:*"))
		role := s.CreateRole(t, s.AWS(), "r", trustAll, policy("sts:*"))
		session, _ := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: &role})
		tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
		managed := types.PolicyDescriptorType{Arn: new("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly")}
		for what, tt := range map[string]struct {
			as            aws.Config
			in            sts.AssumeRoleInput
			code, message string
		}{
			"longer than the role allows": {alice, sts.AssumeRoleInput{DurationSeconds: new(int32(3601))}, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
			"shorter than any":            {alice, sts.AssumeRoleInput{DurationSeconds: new(int32(899))}, "ValidationError", "greater than or equal to 900"},
			"chained and too long": {session, sts.AssumeRoleInput{DurationSeconds: new(int32(3601))}, "ValidationError",
				"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"},
			"no name of a session": {alice, sts.AssumeRoleInput{RoleSessionName: new("a b")}, "ValidationError", "regular expression pattern"},
			"no ARN of a role":     {alice, sts.AssumeRoleInput{RoleArn: new("arn:aws:iam::123456789012:user/alice")}, "ValidationError", "is invalid"},
			"no policy":            {alice, sts.AssumeRoleInput{Policy: new("{}")}, "MalformedPolicyDocument", ""},
			"a long policy":        {alice, sts.AssumeRoleInput{Policy: new(policy("ecr:" + strings.Repeat("x", 2048)))}, "PackedPolicyTooLarge", "allotted space"},
			"no managed policy": {alice, sts.AssumeRoleInput{PolicyArns: []types.PolicyDescriptorType{{Arn: new("arn:aws:iam::123456789012:policy/none")}}},
				"ValidationError", "does not exist or is not attachable"},
			"11 policies":       {alice, sts.AssumeRoleInput{PolicyArns: []types.PolicyDescriptorType{managed, managed, managed, managed, managed, managed, managed, managed, managed, managed, managed}}, "ValidationError", "at most 10"},
			"a tag twice":       {alice, sts.AssumeRoleInput{Tags: []types.Tag{tag("a", "1"), tag("A", "2")}}, "InvalidParameterValue", "Duplicate tag keys"},
			"a tag of AWS's":    {alice, sts.AssumeRoleInput{Tags: []types.Tag{tag("aws:a", "1")}}, "InvalidParameterValue", "reserved"},
			"no tag to pass on": {alice, sts.AssumeRoleInput{TransitiveTagKeys: []string{"a"}}, "InvalidParameterValue", "must be included"},
			"a device's code":   {alice, sts.AssumeRoleInput{SerialNumber: new("arn:aws:iam::123456789012:mfa/alice"), TokenCode: new("123456")}, "AccessDenied", "MultiFactorAuthentication failed"},
		} {
			if tt.in.RoleArn == nil {
				tt.in.RoleArn = &role
			}
			if tt.in.RoleSessionName == nil {
				tt.in.RoleSessionName = new("build")
			}
			_, err := sts.NewFromConfig(tt.as).AssumeRole(t.Context(), &tt.in)
			wantError(t, what, err, tt.code, tt.message)
		}
		_, out := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: &role, PolicyArns: []types.PolicyDescriptorType{managed}, Tags: []types.Tag{tag("a", "1")}})
		if out.PackedPolicySize == nil || *out.PackedPolicySize != 1 {
			t.Errorf("PackedPolicySize = %v, want 1", out.PackedPolicySize)
		}
	})
}

package server_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/server"
	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// mustPost is PostAs for what must succeed.
func mustPost(t *testing.T, s *servertest.Server, as awssdk.Config, path, body string, out any) {
	t.Helper()
	status, text := s.PostAs(t, as, path, body)
	if status != 200 {
		t.Fatalf("%s %s = %d %s", path, body, status, text)
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatal(err)
	}
}

const (
	anything  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:*","sts:*"],"Resource":"*"}]}`
	trustHome = `{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}`
)

// assumeRole returns a session of a role, and the id of its key.
func assumeRole(t *testing.T, s *servertest.Server, as awssdk.Config, role string) (awssdk.Config, string) {
	t.Helper()
	out, err := sts.NewFromConfig(as).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("build")})
	if err != nil {
		t.Fatal(err)
	}
	return s.AsSession(out.Credentials), *out.Credentials.AccessKeyId
}

// password returns a registry password of somebody's.
func password(t *testing.T, as awssdk.Config) string {
	t.Helper()
	out, err := ecr.NewFromConfig(as).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	return ofToken(t, *out.AuthorizationData[0].AuthorizationToken)
}

func ofToken(t *testing.T, token string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(b), "AWS:")
}

// works reports whether a password does.
func works(t *testing.T, s *servertest.Server, password string) bool {
	t.Helper()
	c := &servertest.Client{Server: s, User: "AWS", Pass: password, HTTP: http.DefaultClient}
	status := c.Do(t, "GET", "/v2/", nil).Status
	if status != 200 && status != 401 && status != 403 {
		t.Fatalf("GET /v2/ = %d", status)
	}
	return status == 200
}

// calls reports whether credentials work.
func calls(t *testing.T, as awssdk.Config) bool {
	t.Helper()
	_, err := sts.NewFromConfig(as).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil && servertest.ErrorCode(err) != "InvalidClientTokenId" {
		t.Fatal(err)
	}
	return err == nil
}

func TestSessionsAndPasswordsAreRevoked(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		alice := s.CreateUserOf(t, s.AWS(), "alice", anything)
		role := s.CreateRole(t, s.AWS(), "r", trustHome, anything)
		one, id := assumeRole(t, s, alice, role)
		two, _ := assumeRole(t, s, alice, role)
		onePassword, twoPassword, alicePassword := password(t, one), password(t, two), password(t, alice)
		want := func(when string, one_, two_, onePassword_, twoPassword_, alicePassword_ bool) {
			t.Helper()
			for what, w := range map[string]struct{ got, want bool }{
				"the first session": {calls(t, one), one_}, "its password": {works(t, s, onePassword), onePassword_},
				"the second session": {calls(t, two), two_}, "its password too": {works(t, s, twoPassword), twoPassword_},
				"the user's password": {works(t, s, alicePassword), alicePassword_}, "the user": {calls(t, alice), true},
			} {
				if w.got != w.want {
					t.Errorf("%s: %s works: %v, want %v", when, what, w.got, w.want)
				}
			}
		}
		var none struct{}
		want("at first", true, true, true, true, true)
		s.Decisions()
		mustPost(t, s, s.AWS(), server.RevokePath, `{"accessKeyId":"`+id+`"}`, &none)
		if d := s.Decisions(); len(d) != 1 || d[0].Action != "berth:RevokeSession" || d[0].Resource != role {
			t.Errorf("it asked about %v", d)
		}
		want("after one was revoked", false, true, false, true, true)
		mustPost(t, s, s.AWS(), server.RevokePath, `{"principalArn":"`+role+`"}`, &none)
		want("after all of the role were revoked", false, false, false, false, true)
		again, _ := assumeRole(t, s, alice, role)
		if !calls(t, again) || !works(t, s, password(t, again)) {
			t.Error("a session that was issued later does not work")
		}
		mustPost(t, s, s.AWS(), server.RevokePath, `{"principalArn":"arn:aws:iam::123456789012:user/alice"}`, &none)
		want("after all of the user were revoked", false, false, false, false, false)
		if !calls(t, again) {
			t.Error("the role's session ended with the user's")
		}
		rootPassword := s.Password(t)
		mustPost(t, s, s.AWS(), server.RevokePath, `{"principalArn":"arn:aws:iam::123456789012:root"}`, &none)
		if works(t, s, rootPassword) {
			t.Error("the root's password works after all were revoked")
		}
		rootPassword = s.Password(t)
		if !works(t, s, rootPassword) {
			t.Error("a password that was made after all were revoked does not work")
		}
		mustPost(t, s, s.AWS(), server.RevokePath, `{"principalArn":"arn:aws:iam::123456789012:root"}`, &none)
		if works(t, s, rootPassword) {
			t.Error("it works after all were revoked once more")
		}
		if !works(t, s, s.Password(t)) || !works(t, s, password(t, alice)) {
			t.Error("passwords that were made later do not work")
		}
		s.Restart(t)
		want("after a restart", false, false, false, false, false)
	})
}

func TestWhoMayRevoke(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		foreign := s.CreateAccount(t, "111122223333")
		alice := s.CreateUserOf(t, s.AWS(), "alice", anything)
		carol := s.CreateUserOf(t, s.AWS(), "carol", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"berth:*","Resource":"arn:aws:iam::*:role/r"}]}`)
		role := s.CreateRole(t, s.AWS(), "r", trustHome, anything)
		other := s.CreateRole(t, s.AWS(), "other", trustHome, anything)
		_, id := assumeRole(t, s, alice, role)
		_, otherID := assumeRole(t, s, alice, other)
		var token server.TokenResponse
		mustPost(t, s, alice, server.TokenPath, `{"lifetimeSeconds":60}`, &token)
		const denied, absent = "AccessDeniedException", "NoSuchEntity"
		for _, tt := range []struct {
			who        string
			as         awssdk.Config
			body, want string
		}{
			{"a user without a policy", alice, `{"accessKeyId":"` + id + `"}`, denied},
			{"a user without a policy, of what is not", alice, `{"accessKeyId":"ASIAAAAAAAAAAAAAAAAA"}`, denied},
			{"a user, her own", alice, `{"tokenId":"` + token.TokenID + `"}`, denied},
			{"a user of another's", carol, `{"accessKeyId":"` + otherID + `"}`, denied},
			{"a user of another's, all", carol, `{"principalArn":"` + other + `"}`, denied},
			{"another root", foreign, `{"accessKeyId":"` + id + `"}`, absent},
			{"another root", foreign, `{"tokenId":"` + token.TokenID + `"}`, absent},
			{"another root", foreign, `{"principalArn":"` + role + `"}`, denied},
			{"the first root of another account", s.AWS(), `{"principalArn":"arn:aws:iam::111122223333:root"}`, denied},
			{"the root of what is not", s.AWS(), `{"accessKeyId":"AKIAROOT"}`, absent},
			{"the root of what is not", s.AWS(), `{"accessKeyId":"\u0000"}`, absent},
			{"the root of what is not", s.AWS(), `{"tokenId":"x"}`, absent},
			{"the root of nobody", s.AWS(), `{"principalArn":"arn:aws:iam::123456789012:user/none"}`, absent},
			{"the root of no ARN", s.AWS(), `{"principalArn":"arn:aws:iam::123456789012:user/\u0000"}`, "InvalidInput"},
			{"the root of a group", s.AWS(), `{"principalArn":"arn:aws:iam::123456789012:group/g"}`, "InvalidInput"},
			{"the root of nothing", s.AWS(), `{}`, "InvalidInput"},
			{"the root of two", s.AWS(), `{"accessKeyId":"` + id + `","principalArn":"` + role + `"}`, "InvalidInput"},
		} {
			if status, text := s.PostAs(t, tt.as, server.RevokePath, tt.body); status != 400 || !strings.Contains(text, `"__type":"`+tt.want) {
				t.Errorf("%s: %s = %d %s, want %s", tt.who, tt.body, status, text, tt.want)
			}
		}
		var sessions server.SessionsResponse
		mustPost(t, s, carol, server.SessionsPath, `{"principalArn":"`+role+`"}`, &sessions)
		if len(sessions.Sessions) != 1 || sessions.Sessions[0].AccessKeyID != id || sessions.Sessions[0].IssuedTo != "arn:aws:iam::123456789012:user/alice" {
			t.Errorf("the sessions = %+v, want the one", sessions)
		}
		if status, text := s.PostAs(t, carol, server.SessionsPath, `{"principalArn":"`+other+`"}`); status != 400 || !strings.Contains(text, denied) {
			t.Errorf("sessions of another role = %d %s, want %s", status, text, denied)
		}
		var none struct{}
		mustPost(t, s, carol, server.RevokePath, `{"accessKeyId":"`+id+`"}`, &none)
		mustPost(t, s, carol, server.SessionsPath, `{"principalArn":"`+role+`"}`, &sessions)
		if len(sessions.Sessions) != 0 {
			t.Errorf("the sessions = %+v, want none", sessions)
		}
	})
}

func TestATokenForAShorterTime(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		alice := s.CreateUserOf(t, s.AWS(), "alice", anything)
		bob := s.CreateUserOf(t, s.AWS(), "bob", "")
		var one, two server.TokenResponse
		s.Decisions()
		mustPost(t, s, alice, server.TokenPath, `{"lifetimeSeconds":900}`, &one)
		if d := s.Decisions(); len(d) != 1 || d[0].Action != "ecr:GetAuthorizationToken" || d[0].Resource != "*" {
			t.Errorf("it asked about %v", d)
		}
		mustPost(t, s, alice, server.TokenPath, `{"lifetimeSeconds":43200}`, &two)
		if !one.ExpiresAt.Equal(s.Clock.Now().Add(15*time.Minute)) || one.ProxyEndpoint == "" || one.TokenID == "" || one.TokenID == two.TokenID {
			t.Errorf("the token = %+v, want one for 15 minutes", one)
		}
		first, second := ofToken(t, one.AuthorizationToken), ofToken(t, two.AuthorizationToken)
		if !works(t, s, first) || !works(t, s, second) {
			t.Error("a token does not work")
		}
		var none struct{}
		mustPost(t, s, s.AWS(), server.RevokePath, `{"tokenId":"`+two.TokenID+`"}`, &none)
		if !works(t, s, first) || works(t, s, second) {
			t.Error("another token than the one that was revoked no longer works")
		}
		s.Clock.Advance(15 * time.Minute)
		if works(t, s, first) {
			t.Error("a token works after its time")
		}
		for body, want := range map[string]string{
			`{"lifetimeSeconds":59}`: "InvalidParameterException", `{"lifetimeSeconds":43201}`: "InvalidParameterException", `{}`: "InvalidParameterException",
			`{"lifetimeSeconds":-1}`: "InvalidParameterException", `{"lifetimeSeconds":9223372036854775807}`: "InvalidParameterException",
			`{"lifetimeSeconds":1e3}`: "SerializationException",
		} {
			if status, text := s.PostAs(t, alice, server.TokenPath, body); status != 400 || !strings.Contains(text, want) {
				t.Errorf("a token %s = %d %s, want %s", body, status, text, want)
			}
		}
		if status, text := s.PostAs(t, bob, server.TokenPath, `{"lifetimeSeconds":900}`); status != 400 || !strings.Contains(text, "AccessDeniedException") {
			t.Errorf("a token by bob = %d %s, want AccessDeniedException", status, text)
		}
	})
}

func TestAPrincipalActsForAService(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		const trust = `{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":` +
			`{"StringEquals":{"aws:SourceAccount":"123456789012"},"Bool":{"aws:PrincipalIsAWSService":"true"}}}`
		foreign := s.CreateAccount(t, "111122223333")
		agent := s.CreateUserOf(t, s.AWS(), "agent", "")
		task := s.CreateRole(t, s.AWS(), "task", trust, anything)
		away := s.CreateRole(t, foreign, "task", strings.Replace(trust, "123456789012", "111122223333", 1), anything)
		assume := func(role string) error {
			_, err := sts.NewFromConfig(agent).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("task-1")})
			return err
		}
		if err := assume(task); servertest.ErrorCode(err) != "AccessDenied" {
			t.Fatalf("AssumeRole without a binding = %v, want AccessDenied", err)
		}
		bind := func(as awssdk.Config, path, principal, service string) string {
			status, text := s.PostAs(t, as, path, `{"principalArn":"`+principal+`","service":"`+service+`"}`)
			if status == 200 {
				return ""
			}
			return text
		}
		const arn, service = "arn:aws:iam::123456789012:user/agent", "ecs-tasks.amazonaws.com"
		if text := bind(s.AWS(), server.BindingPath, arn, service); text != "" {
			t.Fatalf("the binding = %s", text)
		}
		if err := assume(task); err != nil {
			t.Errorf("AssumeRole with the binding = %v", err)
		}
		session, _ := assumeRole(t, s, agent, task)
		if err := listRepositories(t, session); err != nil {
			t.Errorf("DescribeRepositories by the task = %v", err)
		}
		if err := assume(away); servertest.ErrorCode(err) != "AccessDenied" {
			t.Errorf("AssumeRole in another account = %v, want AccessDenied", err)
		}
		deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}]}`
		if _, err := s.IAM().PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: new("agent"), PolicyName: new("no"), PolicyDocument: &deny}); err != nil {
			t.Fatal(err)
		}
		if err := assume(task); servertest.ErrorCode(err) != "AccessDenied" {
			t.Errorf("AssumeRole that is denied to the user = %v, want AccessDenied", err)
		}
		var list server.BindingsResponse
		mustPost(t, s, s.AWS(), server.BindingsPath, `{}`, &list)
		if len(list.Bindings) != 1 || list.Bindings[0].PrincipalARN != arn || list.Bindings[0].Service != service {
			t.Errorf("the bindings = %+v", list)
		}
		for _, tt := range []struct {
			as                             awssdk.Config
			path, principal, service, want string
		}{
			{agent, server.BindingPath, arn, "lambda.amazonaws.com", "AccessDeniedException"},
			{foreign, server.BindingPath, arn, "lambda.amazonaws.com", "AccessDeniedException"},
			{foreign, server.BindingPath, away, service, ""},
			{s.AWS(), server.BindingPath, away, "lambda.amazonaws.com", ""},
			{s.AWS(), server.BindingPath, arn, "lambda", "InvalidInput"},
			{s.AWS(), server.BindingPath, arn, `\u0000.amazonaws.com`, "InvalidInput"},
			{s.AWS(), server.BindingPath, arn, "replication.ecr.amazonaws.com", "InvalidInput"},
			{s.AWS(), server.BindingPath, "arn:aws:iam::123456789012:root", service, "InvalidInput"},
			{s.AWS(), server.BindingPath, "arn:aws:iam::123456789012:user/none", service, "NoSuchEntity"},
			{agent, server.UnbindingPath, arn, service, "AccessDeniedException"},
			{s.AWS(), server.UnbindingPath, arn, `\u0000`, "InvalidInput"},
			{s.AWS(), server.UnbindingPath, arn, "lambda.amazonaws.com", "NoSuchEntity"},
			{s.AWS(), server.UnbindingPath, arn, service, ""},
		} {
			if text := bind(tt.as, tt.path, tt.principal, tt.service); (text == "") != (tt.want == "") || !strings.Contains(text, tt.want) {
				t.Errorf("%s %s %s = %s, want %q", tt.path, tt.principal, tt.service, text, tt.want)
			}
		}
		mustPost(t, s, s.AWS(), server.BindingsPath, `{"accountId":"111122223333"}`, &list)
		if len(list.Bindings) != 2 {
			t.Errorf("the bindings of the other account = %+v, want two", list)
		}
		for body, want := range map[string]string{`{"accountId":"123456789012"}`: "AccessDeniedException", `{"accountId":"\u0000"}`: "InvalidInput"} {
			if status, text := s.PostAs(t, foreign, server.BindingsPath, body); status != 400 || !strings.Contains(text, want) {
				t.Errorf("the bindings %s = %d %s, want %s", body, status, text, want)
			}
		}
	})
}

func listRepositories(t *testing.T, as awssdk.Config) error {
	t.Helper()
	_, err := ecr.NewFromConfig(as).DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{})
	return err
}

package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/internal/audit"
	"berth/internal/policy"
	"berth/internal/server"
	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

const decisionHeader = "X-Berth-Decision-Id"

// answered is an answer to a signed request.
type answered struct {
	status int
	header http.Header
	body   string
}

// askAs posts a document as somebody.
func askAs(t *testing.T, s *servertest.Server, as awssdk.Config, path, service, target, body string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	if service == "iam" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	key, err := as.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), service, servertest.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := as.HTTPClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return answered{res.StatusCode, res.Header, text.String()}
}

// lookUp looks a decision up as somebody, and returns the exception if there is one.
func lookUp(t *testing.T, s *servertest.Server, as awssdk.Config, id string) (d audit.Decision, e policy.Explanation, exception string) {
	t.Helper()
	r := askAs(t, s, as, server.DecisionPath, "ecr", "", `{"decisionId":"`+id+`"}`)
	if r.status != 200 {
		return d, e, r.body
	}
	if err := json.Unmarshal([]byte(r.body), &d); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(d.Explanation, &e); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return d, e, ""
}

// passwordFor returns a client of the distribution API.
func loginAs(t *testing.T, s *servertest.Server, as awssdk.Config) *servertest.Client {
	t.Helper()
	out, err := ecr.NewFromConfig(as).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken)
	if err != nil {
		t.Fatal(err)
	}
	return &servertest.Client{Server: s, User: "AWS", Pass: strings.TrimPrefix(string(b), "AWS:"), HTTP: as.HTTPClient.(*http.Client)}
}

var (
	decisionID = regexp.MustCompile(`^[a-z2-7]{20}$`)
	someID     = regexp.MustCompile(`[a-z2-7]{20}|[0-9a-f]{8}-[0-9a-f-]{27}`)
)

// loginPolicy lets a user log in, and push with an address that nobody has.
const loginPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
	{"Sid":"Office","Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringEquals":{"ecr:ResourceTag/secret":"plum"}}}]}`

// Every front names the decision, and says nothing else than ECR does; what there
// is and what there is not are refused alike.
func TestEveryRefusalNamesItsDecisionAndNothingElse(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		user := s.CreateUserOf(t, s.AWS(), "alice", loginPolicy)
		s.CreateRepository(t, "there")
		tag := `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/there","tags":[{"Key":"secret","Value":"cherry"}]}`
		if status, text := call(t, s, "TagResource", tag); status != 200 {
			t.Fatal(text)
		}
		c := loginAs(t, s, user)
		oci := func(method, path string) func(string) answered {
			return func(name string) answered {
				r := c.Do(t, method, strings.ReplaceAll(path, "NAME", name), nil)
				return answered{r.Status, r.Header, string(r.Body)}
			}
		}
		for what, ask := range map[string]func(name string) answered{
			"GET manifest":  oci("GET", "/v2/NAME/manifests/v1"),
			"HEAD manifest": oci("HEAD", "/v2/NAME/manifests/v1"),
			"POST upload":   oci("POST", "/v2/NAME/blobs/uploads/"),
			"list tags":     oci("GET", "/v2/NAME/tags/list"),
			"ECR": func(name string) answered {
				return askAs(t, s, user, "/", "ecr", ecrTarget+"DescribeImages", `{"repositoryName":"`+name+`"}`)
			},
			"an extension": func(name string) answered {
				return askAs(t, s, user, server.TagHistoryPath, "ecr", "", `{"repositoryName":"`+name+`","imageTag":"v1"}`)
			},
			"IAM": func(name string) answered {
				return askAs(t, s, user, "/", "iam", "", "Action=GetUser&Version=2010-05-08&UserName="+name)
			},
		} {
			there, none := ask("there"), ask("never")
			if name := "alice"; what == "IAM" {
				there, none = ask(name), ask("never")
				there.body = strings.ReplaceAll(there.body, "user alice", "user there")
			}
			a, b := masked(there, "there"), masked(none, "never")
			if a != b {
				t.Errorf("%s: what there is is refused with\n%s\nand what there is not with\n%s", what, a, b)
			}
			id := there.header.Get(decisionHeader)
			if !decisionID.MatchString(id) || id == none.header.Get(decisionHeader) {
				t.Errorf("%s: the decision is called %q", what, id)
			}
			for _, secret := range []string{"Office", "plum", "cherry", "192.0.2", "ResourceTag", "statement", "alice/alice"} {
				if strings.Contains(a, secret) {
					t.Errorf("%s says %q: %s", what, secret, a)
				}
			}
			if what == "GET manifest" {
				want := `{"errors":[{"code":"DENIED","message":"User: arn:aws:iam::123456789012:user/alice is not authorized to perform: ecr:BatchGetImage on resource: ` +
					`arn:aws:ecr:us-east-1:123456789012:repository/there because no identity-based policy allows the ecr:BatchGetImage action","detail":{"decisionId":"` + id + `"}}]}`
				if there.body != want {
					t.Errorf("%s = %s\nwant %s", what, there.body, want)
				}
			}
			if strings.Contains(there.body, id) != (what == "GET manifest" || what == "POST upload" || what == "list tags") {
				t.Errorf("%s names the decision in its body: %s", what, there.body)
			}
			d, e, exception := lookUp(t, s, s.AWS(), id)
			if exception != "" || d.ID != id || d.Principal != "arn:aws:iam::123456789012:user/alice" || d.SourceIP != "127.0.0.1" || e.Allowed ||
				d.RequestID != there.header.Get("X-Amzn-Requestid") || !strings.HasPrefix(d.Message, "User: ") || !d.Time.Equal(s.Clock.Now()) {
				t.Errorf("%s: the decision is %+v, %s", what, d, exception)
			}
		}
	})
}

// masked prints an answer without what no two have in common.
func masked(r answered, name string) string {
	h := r.header.Clone()
	h.Del("Date")
	var text strings.Builder
	fmt.Fprintln(&text, r.status)
	_ = h.Write(&text) // a builder never fails
	return someID.ReplaceAllString(strings.ReplaceAll(text.String()+r.body, name, "NAME"), "ID")
}

func TestADecisionIsExplainedToItsAccountsOnly(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		if status, text := call(t, s, "TagResource", `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/app","tags":[{"Key":"secret","Value":"cherry"}]}`); status != 200 {
			t.Fatal(text)
		}
		deny := `{"Version":"2012-10-17","Statement":[{"Sid":"Nobody","Effect":"Deny","Principal":"*","Action":"ecr:BatchGetImage","Condition":{"StringEquals":{"ecr:ResourceTag/secret":"cherry"}}}]}`
		if _, err := s.ECR().SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &deny}); err != nil {
			t.Fatal(err)
		}
		abroad, third := s.CreateAccount(t, "210987654321"), s.CreateAccount(t, "333333333333")
		stranger := s.CreateUserOf(t, abroad, "bob", loginPolicy)
		home := s.CreateUserOf(t, s.AWS(), "alice", loginPolicy)
		get := func(as awssdk.Config) string {
			t.Helper()
			r := askAs(t, s, as, "/", "ecr", ecrTarget+"BatchGetImage", `{"registryId":"123456789012","repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`)
			if r.status != 400 || r.header.Get(decisionHeader) == "" {
				t.Fatalf("BatchGetImage = %+v", r)
			}
			return r.header.Get(decisionHeader)
		}
		id := get(stranger)
		d, e, _ := lookUp(t, s, s.AWS(), id)
		if d.Action != "ecr:BatchGetImage" || d.Resource != "arn:aws:ecr:us-east-1:123456789012:repository/app" || e.By.Sid != "Nobody" ||
			len(e.Policies) != 1 || e.Policies[0].Statements[0].Conditions[0].Request[0] != "cherry" || !e.Policies[0].Statements[0].Applies {
			t.Errorf("the owner sees %+v, %s", d, d.Explanation)
		}
		d, e, _ = lookUp(t, s, abroad, id)
		if e.By != (policy.Source{Kind: policy.Repository}) || len(e.Policies) != 1 || e.Policies[0].Policy != "user/bob/bob" || !e.Policies[0].Statements[0].Hidden ||
			strings.Contains(string(d.Explanation), "cherry") || strings.Contains(string(d.Explanation), "Nobody") || strings.Contains(string(d.Explanation), "plum") {
			t.Errorf("the caller's account sees %s", d.Explanation)
		}
		_, _, unknown := lookUp(t, s, third, "aaaaaaaaaaaaaaaaaaaa")
		if _, _, got := lookUp(t, s, third, id); got != unknown || !strings.Contains(got, "DecisionNotFoundException") {
			t.Errorf("a third account sees %s, want %s", got, unknown)
		}
		d, e, _ = lookUp(t, s, s.AWS(), get(home))
		if len(e.Policies) != 2 || e.Policies[0].Statements[0].Conditions[0].Key != "ecr:ResourceTag/secret" || e.Policies[0].Statements[0].Conditions[1].Holds {
			t.Errorf("at home the explanation is %s", d.Explanation)
		}
		// It takes leave, which a user can be given, and a restart changes nothing.
		if _, _, got := lookUp(t, s, home, id); !strings.Contains(got, "is not authorized to perform: berth:GetDecision on resource: *") {
			t.Errorf("a user sees %s", got)
		}
		s.Restart(t)
		reader := s.CreateUserOf(t, s.AWS(), "reader", `{"Statement":{"Effect":"Allow","Action":"berth:GetDecision","Resource":"*"}}`)
		if d, _, got := lookUp(t, s, reader, id); d.ID != id {
			t.Errorf("a user who may sees %s", got)
		}
		for _, bad := range []string{"", "x", "AAAAAAAAAAAAAAAAAAAA", strings.Repeat("a", 5000), "a\\u0000b"} {
			if _, _, got := lookUp(t, s, third, bad); got != unknown {
				t.Errorf("the decision %.30q = %s, want %s", bad, got, unknown)
			}
		}
	})
}

func TestAStrangersRefusalIsNotExplained(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := &servertest.Client{Server: s, HTTP: s.AWS().HTTPClient.(*http.Client)}
	r := c.Do(t, "GET", "/_berth/v1/layers/123456789012/us-east-1/x/sha256:"+strings.Repeat("0", 64)+"?expires=1&signature=x", nil)
	id := r.Header.Get(decisionHeader)
	if r.Status != 403 || !decisionID.MatchString(id) {
		t.Fatalf("a link that is not good = %d %v %s", r.Status, r.Header, r.Body)
	}
	if _, _, got := lookUp(t, s, s.AWS(), id); !strings.Contains(got, "DecisionNotFoundException") {
		t.Errorf("a link that is refused is explained: %s", got)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		s.CreateRepository(t, "app")
		alice := s.CreateUserOf(t, s.AWS(), "alice", loginPolicy)
		explain := func(as awssdk.Config, principal, action, resource, context string) (server.ExplainResponse, string) {
			t.Helper()
			var out server.ExplainResponse
			r := askAs(t, s, as, server.ExplainPath, "ecr", "",
				`{"principal":"`+principal+`","action":"`+action+`","resource":"`+resource+`","context":{`+context+`}}`)
			if err := json.Unmarshal([]byte(r.body), &out); err != nil {
				t.Fatal(err)
			}
			return out, r.body
		}
		const who, app = "arn:aws:iam::123456789012:user/alice", "arn:aws:ecr:us-east-1:123456789012:repository/app"
		const office = `"aws:SourceIp":["192.0.2.7"]`
		if out, text := explain(s.AWS(), who, "ecr:PutImage", app, office); out.Allowed || out.Reason != policy.NoAllow || out.By.Kind != policy.Identity ||
			out.Message != "User: "+who+" is not authorized to perform: ecr:PutImage on resource: "+app+" because no identity-based policy allows the ecr:PutImage action" ||
			strings.Join(out.Missing(policy.Identity), " ") != "ecr:ResourceTag/secret" {
			t.Errorf("without a tag: %s", text)
		}
		if status, text := call(t, s, "TagResource", `{"resourceArn":"`+app+`","tags":[{"Key":"secret","Value":"plum"}]}`); status != 200 {
			t.Fatal(text)
		}
		out, text := explain(s.AWS(), who, "ecr:PutImage", app, office)
		if !out.Allowed || out.By.Policy != "user/alice/alice" || out.By.Sid != "Office" || out.Message != "" {
			t.Errorf("with the tag: %s", text)
		}
		if out, text := explain(s.AWS(), who, "ecr:PutImage", app, ""); out.Allowed || strings.Join(out.Missing(policy.Identity), " ") != "aws:SourceIp" {
			t.Errorf("without an address: %s", text)
		}
		// The policies of the repository, of the registry, and a boundary.
		deny := `{"Statement":{"Sid":"No","Effect":"Deny","Principal":"*","Action":["ecr:PutImage","ecr:SetRepositoryPolicy"]}}`
		if _, err := s.ECR().SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &deny, Force: true}); err != nil {
			t.Fatal(err)
		}
		if out, text := explain(s.AWS(), who, "ecr:PutImage", app, office); out.Allowed || out.By.Kind != policy.Repository || out.By.Sid != "No" {
			t.Errorf("with a deny: %s", text)
		}
		const root = "arn:aws:iam::123456789012:root"
		if out, text := explain(s.AWS(), root, "ecr:PutImage", app, ""); out.Allowed || out.By.Kind != policy.Repository {
			t.Errorf("the root: %s", text)
		}
		if out, text := explain(s.AWS(), root, "ecr:SetRepositoryPolicy", app, ""); !out.Allowed {
			t.Errorf("the root that repairs: %s", text)
		}
		if _, err := s.ECR().PutRegistryPolicy(ctx, &ecr.PutRegistryPolicyInput{PolicyText: new(
			`{"Statement":{"Sid":"All","Effect":"Allow","Principal":{"AWS":"` + who + `"},"Action":"ecr:*","Resource":"*"}}`)}); err != nil {
			t.Fatal(err)
		}
		if out, text := explain(s.AWS(), who, "ecr:DescribeRepositories", "arn:aws:ecr:us-east-1:123456789012:repository/*", ""); !out.Allowed || out.By.Kind != policy.Registry {
			t.Errorf("by the registry's policy: %s", text)
		}
		if out, text := explain(s.AWS(), who, "ecr:DescribeRegistry", "*", ""); !out.Allowed || out.By.Sid != "All" {
			t.Errorf("by the registry's policy, of the registry: %s", text)
		}
		if out, text := explain(s.AWS(), who, "iam:GetUser", who, ""); out.Allowed || out.Message == "" {
			t.Errorf("of IAM: %s", text)
		}
		if out, text := explain(s.AWS(), who, "ecr-public:BatchGetImage", "arn:aws:ecr-public::123456789012:repository/app", ""); !out.Allowed || out.Reason != policy.Everybody {
			t.Errorf("of a public repository: %s", text)
		}
		trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ecs-tasks.amazonaws.com"}}]}`
		if _, err := s.IAM().CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("task"), AssumeRolePolicyDocument: &trust}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.IAM().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("task"), PolicyArn: new("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly")}); err != nil {
			t.Fatal(err)
		}
		if out, text := explain(s.AWS(), "arn:aws:iam::123456789012:role/task", "ecr:BatchGetImage", app, ""); !out.Allowed || !strings.HasSuffix(out.By.Policy, "ReadOnly") {
			t.Errorf("of a role: %s", text)
		}
		// It agrees with what happens.
		if r := askAs(t, s, alice, "/", "ecr", ecrTarget+"DescribeRegistry", `{}`); r.status != 200 {
			t.Errorf("DescribeRegistry = %+v", r)
		}

		abroad := s.CreateAccount(t, "210987654321")
		for what, try := range map[string]struct {
			as                          awssdk.Config
			principal, action, resource string
			want                        string
		}{
			"a user who may not":         {alice, who, "ecr:PutImage", app, "is not authorized to perform: iam:SimulatePrincipalPolicy on resource: " + who},
			"another account":            {abroad, who, "ecr:PutImage", app, "is not authorized to perform: iam:SimulatePrincipalPolicy on resource: " + who},
			"another account's resource": {abroad, "arn:aws:iam::210987654321:root", "ecr:PutImage", app, "policies of others are not for it to see"},
			"nobody":                     {s.AWS(), "arn:aws:iam::123456789012:user/nobody", "ecr:PutImage", app, "NoSuchEntity"},
			"no ARN":                     {s.AWS(), "alice", "ecr:PutImage", app, "InvalidInput"},
			"a NUL":                      {s.AWS(), who + `\u0000`, "ecr:PutImage", app, "InvalidInput"},
			"a resource with NUL":        {s.AWS(), who, "ecr:PutImage", `arn:aws:ecr:us\u0000:123456789012:repository/app`, "InvalidParameterException"},
			"a bucket":                   {s.AWS(), who, "ecr:PutImage", "arn:aws:ecr:us-east-1:x:repository/app", "InvalidInput"},
			"another account's user":     {s.AWS(), who, "iam:GetUser", "arn:aws:iam::210987654321:user/bob", "policies of others are not for it to see"},
			"no action":                  {s.AWS(), who, "PutImage", app, "InvalidInput"},
			"no resource":                {s.AWS(), who, "ecr:PutImage", "app", "InvalidInput"},
			"a trust policy":             {s.AWS(), who, "sts:AssumeRole", "*", "InvalidInput"},
		} {
			if _, text := explain(try.as, try.principal, try.action, try.resource, ""); !strings.Contains(text, try.want) {
				t.Errorf("%s = %s, want %s", what, text, try.want)
			}
		}
		if _, text := explain(s.AWS(), who, "ecr:PutImage", app, `"aws:SourceIp":["192.0.2.7"],"aws:sourceip":["10.0.0.1"]`); !strings.Contains(text, "more than once") {
			t.Errorf("a key that is given twice = %s", text)
		}
		// Who may simulate, and not read the resource's policies, does not see them.
		auditor := s.CreateUserOf(t, s.AWS(), "auditor", `{"Statement":{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"*"}}`)
		if out, text := explain(auditor, who, "ecr:PutImage", app, office); out.Allowed || out.By != (policy.Source{Kind: policy.Repository}) || len(out.Policies) != 1 ||
			!out.Policies[0].Statements[0].Hidden {
			t.Errorf("to somebody who may not read the repository's policy: %s", text)
		}
		if _, text := explain(s.AWS(), who, "ecr:PutImage", app, `"address":["x"]`); !strings.Contains(text, "InvalidInput") {
			t.Errorf("a key that is none = %s", text)
		}
	})
}

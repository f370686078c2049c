package server_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/opencontainers/go-digest"
)

// neighbour is the account beside the first one.
const neighbour = "210987654321"

// thing is a repository that a request is about, which there may be or not.
type thing struct{ what, account, region, name string }

// things are what the principals of the matrix come across. All that there are
// have the same image.
var things = []thing{
	{"the repository", servertest.Account, "us-east-1", "team/app"},
	{"its neighbour", servertest.Account, "us-east-1", "team/other"},
	{"one that is shared", servertest.Account, "us-east-1", "shared/app"},
	{"one that there is not", servertest.Account, "us-east-1", "team/none"},
	{"its namesake in another region", servertest.Account, "eu-west-1", "team/app"},
	{"its namesake in another account", neighbour, "us-east-1", "team/app"},
}

func (o thing) there() bool { return o.name != "team/none" }

func (o thing) arn() string {
	return "arn:aws:ecr:" + o.region + ":" + o.account + ":repository/" + o.name
}

// someone is a principal, and what it may do in words that no policy has.
type someone struct {
	who      string
	account  string
	signs    awssdk.Config
	password string // of the registry
	unknown  bool   // nobody knows it (any more)
	may      func(action, account, resource string) bool
}

// pullActions are the actions of a pull.
var pullActions = []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"}

const repositoryARN = "arn:aws:ecr:us-east-1:" + servertest.Account + ":repository/"

// statements returns a policy of statements.
func statements(all ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + `]}`
}

const (
	everything = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	login      = `{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"}`
	pull       = `"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer","ecr:BatchCheckLayerAvailability"]`
)

// matrix is a server and who comes to it.
type matrix struct {
	*servertest.Server
	img       servertest.Image
	neighbour awssdk.Config // of the root there
	people    []*someone
	cells     int
	refusals  int
}

func newMatrix(t *testing.T) *matrix {
	m := &matrix{Server: servertest.Start(t, servertest.Options{}), img: servertest.NewImage(1, 10)}
	m.neighbour = m.CreateAccount(t, neighbour)
	for _, o := range things {
		m.make(t, o)
	}
	shared := func(action, resource string) bool {
		return resource == repositoryARN+"shared/app" && slices.Contains(pullActions, action)
	}
	home := m.AWS()
	is := func(action string, actions ...string) bool { return slices.Contains(actions, action) }
	m.people = []*someone{
		{who: "a root", account: servertest.Account, signs: home,
			may: func(_, account, _ string) bool { return account == servertest.Account }},
		{who: "the neighbour's root", account: neighbour, signs: m.neighbour,
			may: func(action, account, resource string) bool {
				return account == neighbour || shared(action, resource)
			}},
		{who: "an administrator", account: servertest.Account, signs: m.CreateUserOf(t, home, "administrator", statements(everything)),
			may: func(_, account, _ string) bool { return account == servertest.Account }},
		{who: "the neighbour's administrator", account: neighbour, signs: m.CreateUserOf(t, m.neighbour, "administrator", statements(everything)),
			may: func(action, account, resource string) bool {
				return account == neighbour || shared(action, resource)
			}},
		{who: "the neighbour's apprentice", account: neighbour, signs: m.CreateUserOf(t, m.neighbour, "apprentice", statements(login)),
			may: func(action, account, _ string) bool {
				return account == neighbour && is(action, "ecr:GetAuthorizationToken")
			}},
		{who: "a reader of a team", account: servertest.Account,
			signs: m.CreateUserOf(t, home, "reader", statements(login, `{"Effect":"Allow",`+pull+`,"Resource":"`+repositoryARN+`team/*"}`)),
			may: func(action, _, resource string) bool {
				return is(action, "ecr:GetAuthorizationToken") || is(action, pullActions...) && strings.HasPrefix(resource, repositoryARN+"team/")
			}},
		{who: "who owns one repository", account: servertest.Account,
			signs: m.CreateUserOf(t, home, "owner", statements(login, `{"Effect":"Allow","Action":"ecr:*","Resource":"`+repositoryARN+`team/app"}`)),
			may: func(action, _, resource string) bool {
				return is(action, "ecr:GetAuthorizationToken") || strings.HasPrefix(action, "ecr:") && resource == repositoryARN+"team/app"
			}},
		{who: "who may do all but one thing", account: servertest.Account,
			signs: m.CreateUserOf(t, home, "almost", statements(everything, `{"Effect":"Deny","Action":"ecr:*","Resource":"`+repositoryARN+`team/app"}`)),
			may: func(action, account, resource string) bool {
				return account == servertest.Account && !(strings.HasPrefix(action, "ecr:") && resource == repositoryARN+"team/app")
			}},
		{who: "who has a boundary", account: servertest.Account, signs: m.bounded(t),
			may: func(action, account, _ string) bool {
				return account == servertest.Account && (is(action, pullActions...) || is(action, "ecr:GetAuthorizationToken"))
			}},
		{who: "who may nothing any more", account: servertest.Account, signs: m.CreateUserOf(t, home, "bare", statements(login)),
			may: func(string, string, string) bool { return false }},
		{who: "who was deleted", account: servertest.Account, signs: m.CreateUserOf(t, home, "former", statements(everything)), unknown: true},
		{who: "nobody", unknown: true},
	}
	for _, p := range m.people[:len(m.people)-1] {
		p.password = passwordOf(t, p.signs)
	}
	m.revoke(t)
	return m
}

// make makes a repository with an image, in place of any that there is.
func (m *matrix) make(t *testing.T, o thing) {
	t.Helper()
	signs := m.AWS()
	if o.account == neighbour {
		signs = m.neighbour
	}
	c := ecr.NewFromConfig(signs, func(opts *ecr.Options) { opts.Region = o.region })
	_, _ = c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: &o.name, Force: true}) // if there is one
	if !o.there() {
		return
	}
	if _, err := c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &o.name}); err != nil {
		t.Fatal(err)
	}
	client := m.Login(t)
	client.Pass, client.Host = passwordOf(t, signs), hostOf(o)
	client.Push(t, o.name, "v1", m.img)
	if o.name == "shared/app" {
		text := statements(`{"Effect":"Allow","Principal":{"AWS":"` + neighbour + `"},` + pull + `}`)
		if _, err := c.SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: &o.name, PolicyText: &text}); err != nil {
			t.Fatal(err)
		}
	}
}

// passwordOf returns a registry password.
func passwordOf(t *testing.T, signs awssdk.Config) string {
	t.Helper()
	out, err := ecr.NewFromConfig(signs).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(b), "AWS:")
}

func hostOf(o thing) string { return o.account + ".dkr.ecr." + o.region + ".localhost" }

// bounded makes a user whose boundary is narrower than its policy.
func (m *matrix) bounded(t *testing.T) awssdk.Config {
	t.Helper()
	c := m.IAM()
	limit, err := c.CreatePolicy(t.Context(), &iam.CreatePolicyInput{
		PolicyName: new("limit"), PolicyDocument: new(statements(login, `{"Effect":"Allow",`+pull+`,"Resource":"*"}`)),
	})
	if err != nil {
		t.Fatal(err)
	}
	signs := m.CreateUserOf(t, m.AWS(), "bounded", statements(everything))
	if _, err := c.PutUserPermissionsBoundary(t.Context(), &iam.PutUserPermissionsBoundaryInput{
		UserName: new("bounded"), PermissionsBoundary: limit.Policy.Arn,
	}); err != nil {
		t.Fatal(err)
	}
	return signs
}

// revoke takes away what was needed to log in only.
func (m *matrix) revoke(t *testing.T) {
	t.Helper()
	c, ctx := m.IAM(), t.Context()
	if _, err := c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("bare"), PolicyName: new("bare")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("former"), PolicyName: new("former")}); err != nil {
		t.Fatal(err)
	}
	keys, err := c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: new("former")})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.AccessKeyMetadata {
		if _, err := c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("former"), AccessKeyId: k.AccessKeyId}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("former")}); err != nil {
		t.Fatal(err)
	}
}

// reply is what came back.
type reply struct {
	status int
	text   string
}

var (
	refusal   = regexp.MustCompile(`is not authorized to perform: (\S+) on resource: ([^\s"]+)`)
	strangers = regexp.MustCompile(`MissingAuthenticationToken|UnrecognizedClientException|InvalidClientTokenId|UNAUTHORIZED|Not Authorized`)
)

// check holds a reply against what the principal may. A refusal names the first
// action that is not allowed, and has no more to say of what there is than of what
// there is not.
func (m *matrix) check(t *testing.T, route string, p *someone, o thing, r reply, account, resource string, actions ...string) {
	t.Helper()
	m.cells++
	what := route + " of " + o.what + " by " + p.who
	found := refusal.FindStringSubmatch(r.text)
	switch i := slices.IndexFunc(actions, func(a string) bool { return !p.unknown && !p.may(a, account, resource) }); {
	case r.status >= 500:
		t.Errorf("%s = %d %s", what, r.status, r.text)
	case p.unknown:
		m.refusals++
		if r.status < 400 || !strangers.MatchString(r.text) {
			t.Errorf("%s = %d %s, want to be asked who is there", what, r.status, r.text)
		}
	case i < 0:
		if found != nil || r.status == 401 || r.status == 403 || strangers.MatchString(r.text) {
			t.Errorf("%s = %d %s, want it allowed", what, r.status, r.text)
		}
	default:
		m.refusals++
		if found == nil || found[1] != actions[i] || found[2] != resource {
			t.Errorf("%s = %d %s, want %s on %s refused", what, r.status, r.text, actions[i], resource)
		}
	}
}

// call sends a signed request, or one without a signature for nobody.
func (m *matrix) call(t *testing.T, p *someone, service, region, path, target, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", m.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	if p.signs.Credentials != nil {
		key, err := p.signs.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(t.Context(), key, req, hex.EncodeToString(sum[:]), service, region, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	res, err := m.AWS().HTTPClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, string(b)}
}

// fill puts an object into a request.
func (m *matrix) fill(text string, o thing) string {
	return strings.NewReplacer("us-east-1", o.region, "ACCOUNT", o.account, "NAME", o.name, "UPLOAD", "0197f3f5-0000-7000-8000-000000000000",
		"MANIFEST", string(servertest.JSON(string(m.img.Manifest))), "LAYER", digest.FromBytes(m.img.Layers[0]).String(),
		"NEW", digest.FromString("abc").String(), "TAG", "v1", "DIGEST", digest.FromBytes(m.img.Layers[0]).String()).Replace(text)
}

// visit is one route of the matrix for one object.
type visit struct {
	route   string
	thing   thing
	account string // the one that is asked about; who asks for its own if ""
	asks    []string
	on      func(account string) string // the resource
	do      func(t *testing.T, p *someone) reply
}

// visits are all routes to all objects.
func (m *matrix) visits() []visit {
	var out []visit
	for _, o := range things {
		for operation, a := range operations {
			if a.own && o != things[0] {
				continue
			}
			out = append(out, m.operation(operation, a, o))
		}
		for path, a := range extensions {
			if !a.own {
				out = append(out, m.extension(path, a, o))
			}
		}
		for e, asks := range servertest.EndpointActions {
			out = append(out, m.endpoint(e, asks, o))
		}
	}
	return out
}

func (m *matrix) operation(name string, a asks, o thing) visit {
	v := visit{route: name, thing: o, account: o.account, asks: append([]string{"ecr:" + name}, a.also...)}
	if a.action != "" {
		v.asks[0] = a.action
	}
	if a.own {
		v.account = ""
	}
	v.on = func(account string) string {
		if strings.HasPrefix(a.resource, "arn:") {
			return a.resource
		}
		switch a.resource {
		case "":
			return "arn:aws:ecr:" + o.region + ":" + account + ":repository/" + o.name
		case "*":
			return "*"
		}
		return "arn:aws:ecr:" + o.region + ":" + account + ":" + m.fill(a.resource, o)
	}
	v.do = func(t *testing.T, p *someone) reply {
		return m.call(t, p, "ecr", o.region, "/", ecrTarget+name, m.fill(a.body, o))
	}
	return v
}

func (m *matrix) extension(path string, a asks, o thing) visit {
	v := m.operation(path, a, o)
	v.do = func(t *testing.T, p *someone) reply {
		return m.call(t, p, "ecr", o.region, path, "", m.fill(a.body, o))
	}
	return v
}

func (m *matrix) endpoint(e servertest.Endpoint, asks []string, o thing) visit {
	v := visit{route: e.Method + " " + e.Path, thing: o, account: o.account, asks: asks}
	v.on = func(string) string { return o.arn() }
	if strings.Contains(e.Path, "_catalog") {
		v.on = func(account string) string { return "arn:aws:ecr:" + o.region + ":" + account + ":repository/*" }
	}
	v.do = func(t *testing.T, p *someone) reply {
		c := &servertest.Client{Server: m.Server, Host: hostOf(o), User: "AWS", Pass: p.password, HTTP: m.AWS().HTTPClient.(*http.Client)}
		if p.who == "nobody" {
			c.User = ""
		}
		path, body := m.fill(e.Path, o), []byte(nil)
		switch {
		case strings.Contains(path, "manifests") && e.Method == "PUT":
			body = m.img.Manifest
		case e.Method == "PUT":
			path, body = path+"?digest="+digest.FromString("abc").String(), []byte("abc")
		}
		r := c.Do(t, e.Method, path, body, "Content-Type", "application/vnd.oci.image.manifest.v1+json")
		if e.Method == "HEAD" && r.Status >= 400 { // which says nothing: GET would say the same
			return headReply(r, v, p)
		}
		return reply{r.Status, string(r.Body)}
	}
	return v
}

// headReply gives a refusal of HEAD the words that it would have.
func headReply(r *servertest.Response, v visit, p *someone) reply {
	switch r.Status {
	case 401:
		return reply{401, "Not Authorized"}
	case 403:
		for _, a := range v.asks {
			if !p.unknown && !p.may(a, v.account, v.on(v.account)) {
				return reply{403, "is not authorized to perform: " + a + " on resource: " + v.on(v.account)}
			}
		}
	}
	return reply{r.Status, ""}
}

func (v visit) accountFor(p *someone) string {
	if v.account == "" {
		return p.account
	}
	return v.account
}

// allowed reports whether the principal may do it.
func (v visit) allowed(p *someone) bool {
	account := v.accountFor(p)
	return !p.unknown && !slices.ContainsFunc(v.asks, func(a string) bool { return !p.may(a, account, v.on(account)) })
}

// refuseIAM asks for every operation of IAM as each of those who may none of them.
func (m *matrix) refuseIAM(t *testing.T) {
	t.Helper()
	fill := filler("arn:aws:iam::" + servertest.Account + ":")
	for _, p := range m.people {
		for operation, a := range iamOperations {
			resource := "arn:aws:iam::" + p.account + ":" + a.resource
			if a.resource == "*" {
				resource = "*"
			}
			if p.signs.Credentials == nil || !p.unknown && p.may("iam:"+operation, p.account, resource) {
				continue
			}
			_, err := invoke(t.Context(), iam.NewFromConfig(p.signs), operation, fill.Replace(a.input))
			m.cells++
			m.refusals++
			code, message := servertest.ErrorCode(err), servertest.ErrorMessage(err)
			if p.unknown && !strangers.MatchString(code) || !p.unknown && (code != "AccessDenied" || !strings.Contains(message, "perform: iam:"+operation+" on resource: ")) {
				t.Errorf("%s by %s = %s: %s, want it refused", operation, p.who, code, message)
			}
		}
	}
}

// reading is a route that changes nothing.
var reading = regexp.MustCompile(`\A(GET|HEAD|Describe|Get|List|BatchGet|BatchCheck)`)

// repair makes what an allowed request may have changed as it was.
func (m *matrix) repair(t *testing.T, v visit) {
	t.Helper()
	switch {
	case reading.MatchString(v.route):
	case v.route == "PutRegistryPolicy":
		for _, p := range m.people[:2] { // the roots
			m.call(t, p, "ecr", v.thing.region, "/", ecrTarget+"DeleteRegistryPolicy", `{}`)
		}
	default:
		m.make(t, v.thing)
	}
}

// state is what there is, as the roots see it.
func (m *matrix) state(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, o := range things {
		root := m.people[0]
		if o.account == neighbour {
			root = m.people[1]
		}
		for _, operation := range []string{"DescribeRepositories", "DescribeImages", "GetRepositoryPolicy", "GetLifecyclePolicy", "ListTagsForResource",
			"GetRegistryPolicy", "DescribeRegistry", "GetAccountSetting", "DescribeRepositoryCreationTemplates", "DescribePullThroughCacheRules"} {
			out.WriteString(m.call(t, root, "ecr", o.region, "/", ecrTarget+operation, m.fill(operations[operation].body, o)).text + "\n")
		}
	}
	return out.String()
}

package oci_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"berth/internal/oci"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// publicActions are what the authorizer is asked about at the public host.
// Whatever begins with ! is refused to those without a login.
var publicActions = map[oci.Endpoint][]string{
	{Method: "GET", Path: "/v2/NAME/tags/list"}:               {"ecr-public:ListImages"},
	{Method: "HEAD", Path: "/v2/NAME/tags/list"}:              {"ecr-public:ListImages"},
	{Method: "GET", Path: "/v2/NAME/manifests/TAG"}:           {"ecr-public:BatchGetImage"},
	{Method: "HEAD", Path: "/v2/NAME/manifests/TAG"}:          {"ecr-public:BatchGetImage"},
	{Method: "PUT", Path: "/v2/NAME/manifests/TAG"}:           {"!", "ecr-public:PutImage"},
	{Method: "DELETE", Path: "/v2/NAME/manifests/TAG"}:        {"!", "ecr-public:BatchDeleteImage"},
	{Method: "GET", Path: "/v2/NAME/blobs/DIGEST"}:            {"ecr-public:GetDownloadUrlForLayer"},
	{Method: "HEAD", Path: "/v2/NAME/blobs/DIGEST"}:           {"ecr-public:BatchCheckLayerAvailability"},
	{Method: "DELETE", Path: "/v2/NAME/blobs/DIGEST"}:         {"!", "ecr-public:BatchDeleteImage"},
	{Method: "POST", Path: "/v2/NAME/blobs/uploads/"}:         {"!", "ecr-public:InitiateLayerUpload"},
	{Method: "GET", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:    {"!", "ecr-public:UploadLayerPart"},
	{Method: "HEAD", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:   {"!", "ecr-public:UploadLayerPart"},
	{Method: "PATCH", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:  {"!", "ecr-public:UploadLayerPart"},
	{Method: "PUT", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:    {"!", "ecr-public:UploadLayerPart", "ecr-public:CompleteLayerUpload"},
	{Method: "DELETE", Path: "/v2/NAME/blobs/uploads/UPLOAD"}: {"!", "ecr-public:UploadLayerPart"},
	{Method: "GET", Path: "/v2/NAME/referrers/DIGEST"}:        {"ecr-public:BatchGetImage"},
	{Method: "HEAD", Path: "/v2/NAME/referrers/DIGEST"}:       {"ecr-public:BatchGetImage"},
}

// notPublic are the endpoints that the public host does not have.
var notPublic = []string{"/v2/_catalog"}

// Those without a login may pull and nothing else.
func TestEveryEndpointOfThePublicHostAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	const resource = "arn:aws:ecr-public::123456789012:repository/team/app"
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		owner, anybody, names := publicBegin(t, s, "team/app")
		name := names[0]
		shown := "arn:aws:ecr-public::" + strings.Replace(name, "/", ":repository/", 1) // with the alias, not the account
		for _, e := range oci.Endpoints() {
			what := e.Method + " " + e.Path
			want := publicActions[e]
			if want == nil {
				if e.Path == "/v2/" {
					check(t, what, anybody.Do(t, e.Method, e.Path, nil), 200)
				} else if e.Path != notPublic[0] {
					t.Errorf("%s is in no table of this test", what)
				} else {
					check(t, what, owner.Do(t, e.Method, e.Path, nil), 404)
				}
				continue
			}
			img := servertest.NewImage(1, 10)
			owner.Push(t, name, "v1", img)
			u := owner.Do(t, "POST", uploadsPath(name, ""), nil).Want(t, 202).Header.Get("Location")
			content := []byte("content of " + what)
			blob := digest.FromBytes(content)
			owner.PushBlob(t, name, content)
			path := strings.NewReplacer("NAME", name, "TAG", "v1", "DIGEST", blob.String(), "UPLOAD", u[strings.LastIndexByte(u, '/')+1:]).Replace(e.Path)
			var body []byte
			if strings.Contains(path, "manifests") && e.Method == "PUT" {
				body = img.Manifest
			} else if e.Method == "PUT" {
				path, body = path+"?digest="+blob.String(), content
			}
			private := want[0] == "!"
			if private {
				want = want[1:]
			}
			s.Decisions()
			r := anybody.Do(t, e.Method, path, body, "Content-Type", typeManifest)
			if private {
				check(t, what+" without a login", r, 403)
				if text := "User: anonymous is not authorized to perform: " + want[0] + " on resource: " + shown + " because"; e.Method != "HEAD" && !strings.HasPrefix(r.Message(), text) {
					t.Errorf("%s without a login: message = %q, want %q", what, r.Message(), text)
				}
			} else {
				check(t, what+" without a login", r, 200)
			}
			if d := s.Decisions(); len(d) != 1 || d[0].Action != want[0] || d[0].Resource != resource {
				t.Errorf("%s without a login asked about %v, want %s", what, d, want[0])
			}
			if r := owner.Do(t, e.Method, path, body, "Content-Type", typeManifest); r.Status >= 300 {
				t.Errorf("%s = %d %s", what, r.Status, r.Body)
			}
			for i, d := range s.Decisions() {
				if d.Resource != resource || d.Action != want[min(i, len(want)-1)] && d.Action != want[0] || d.Caller.ARN == "" {
					t.Errorf("%s asked about %s on %s for %q, want %v", what, d.Action, d.Resource, d.Caller.ARN, want)
				}
			}
		}
	})
}

// A push without a login changes nothing, whatever is there.
func TestNobodyPushesWithoutALogin(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		owner, anybody, names := publicBegin(t, s, "app")
		alias, _, _ := strings.Cut(names[0], "/")
		img := servertest.NewImage(1, 10)
		owner.Push(t, names[0], "v1", img)
		for _, name := range []string{names[0], alias + "/absent"} {
			for _, e := range everyEndpoint {
				if e.method == "GET" || e.method == "HEAD" {
					continue
				}
				r := anybody.Do(t, e.method, strings.Replace(fill(e.path, name), "from=there", "from="+names[0], 1), img.Manifest, "Content-Type", typeManifest)
				checkError(t, e.method+" "+e.path+" of "+name, r, 403, "DENIED")
			}
		}
		checkManifest(t, anybody, names[0], "v1", typeManifest, img.Manifest)
	})
}

// What is private cannot be reached at the public host, by any spelling, and
// what is public not at a private one.
func TestTheHostsOfPublicAndPrivateDoNotMix(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		private := begin(t, s, "secret", "team/secret")
		secret, open := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		private.Push(t, "secret", "v1", secret)
		private.Push(t, "team/secret", "v1", secret)
		owner, anybody, names := publicBegin(t, s, "open", "secret")
		alias, _, _ := strings.Cut(names[0], "/")
		owner.Push(t, names[0], "v1", open)
		for _, c := range []*servertest.Client{owner, anybody} {
			for _, name := range []string{"secret", "team/secret", "123456789012/secret", alias + "/team/secret", alias + "/secret", alias + "/123456789012/secret",
				alias + "/" + alias + "/open", "open", "us-east-1/secret", "public/open", alias, strings.ToUpper(alias) + "/open", alias + "./open", alias + "//open"} {
				for _, path := range []string{manifestPath(name, "v1"), manifestPath(name, secret.Digest.String()), blobPath(name, digest.FromBytes(secret.Config)), "/v2/" + name + "/tags/list"} {
					r := sendPath(t, c, "GET", path, nil)
					if r.Status != 404 && r.Status != 400 && !(r.Status == 200 && name == alias+"/secret" && strings.HasSuffix(string(r.Body), `"tags":[]}`)) {
						t.Errorf("GET %s = %d %s, want 404 or 400", path, r.Status, r.Body)
					}
				}
			}
		}
		for _, name := range []string{"open", names[0], "public/open"} {
			checkError(t, "GET of "+name+" at the private host", private.Do(t, "GET", manifestPath(name, "v1"), nil), 404, "NAME_UNKNOWN")
		}
		for _, host := range []string{"123456789012.dkr.ecr.public.localhost", "123456789012.dkr.ecr.public.amazonaws.com", "123456789012.dkr.ecr-public.us-east-1.localhost"} {
			checkError(t, "GET at "+host, in(private, host).Do(t, "GET", manifestPath("open", "v1"), nil), 404, "NAME_UNKNOWN")
		}
	})
}

// Errors name the registry as the client did.
func TestUnknownAliases(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		owner, _, names := publicBegin(t, s, "app")
		alias, _, _ := strings.Cut(names[0], "/")
		for name, want := range map[string]struct {
			status        int
			code, message string
		}{
			"nobody/app":       {404, "NAME_UNKNOWN", "The repository with name 'app' does not exist in the registry with id 'nobody'"},
			alias + "/absent":  {404, "NAME_UNKNOWN", "The repository with name 'absent' does not exist in the registry with id '123456789012'"},
			"123456789012/app": {404, "NAME_UNKNOWN", "The repository with name 'app' does not exist in the registry with id '123456789012'"},
			"app":              {400, "NAME_INVALID", `invalid repository name: "app"`},
		} {
			for _, method := range []string{"GET", "PUT"} {
				r := owner.Do(t, method, "/v2/"+name+"/blobs/uploads/6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f?digest="+digest.FromString("x").String(), nil)
				checkError(t, method+" in "+name, r, want.status, want.code)
				if r.Message() != want.message {
					t.Errorf("%s in %s: message = %q, want %q", method, name, r.Message(), want.message)
				}
			}
		}
	})
}

// A password or token is good for the kind of registry that it was made for.
func TestTokensAreNotExchangedBetweenPublicAndPrivate(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		private := begin(t, s, "app")
		owner, anybody, names := publicBegin(t, s, "app")
		basic := func(pass string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:"+pass)) }
		token := func(pass string) string { return "Bearer " + base64.StdEncoding.EncodeToString([]byte("AWS:"+pass)) }
		publicPassword := s.PublicPassword(t)
		sealed := anybody.Token
		bare := &servertest.Client{Server: s, HTTP: private.HTTP}
		check(t, "the private password", bare.Do(t, "GET", "/v2/", nil, "Authorization", basic(private.Pass)), 200)
		check(t, "the public one", in(bare, owner.Host).Do(t, "GET", "/v2/", nil, "Authorization", token(publicPassword)), 200)
		for what, header := range map[string]string{
			"the public password": basic(publicPassword), "the public token": "Bearer " + owner.Token, "an anonymous token": "Bearer " + sealed,
			"an anonymous token as password": basic(sealed), "a private password as token": token(private.Pass), "a bare private password": "Bearer " + private.Pass,
		} {
			checkError(t, what+" at the private host", bare.Do(t, "GET", "/v2/app/tags/list", nil, "Authorization", header), 401, "UNAUTHORIZED")
		}
		for what, header := range map[string]string{
			"the private password": basic(private.Pass), "the private password as token": token(private.Pass), "the public password": basic(publicPassword),
			"a bare public password": "Bearer " + publicPassword, "an anonymous token as password": token(sealed), "an anonymous token as Basic": basic(sealed),
			"no token": "Bearer", "an empty token": "Bearer ", "another user": "Bearer " + base64.StdEncoding.EncodeToString([]byte("root:"+publicPassword)),
			"another scheme": "Token " + owner.Token, "a token and more": "Bearer " + owner.Token + "AAAA", "two tokens": "Bearer " + owner.Token + " " + owner.Token,
			"an altered anonymous token": "Bearer " + sealed[:len(sealed)-1] + "_", "half of one": "Bearer " + sealed[:len(sealed)/2],
			"the download of a page": "Bearer " + strings.Repeat("A", len(sealed)), "one that is too long": "Bearer " + strings.Repeat(sealed, 200),
		} {
			r := in(bare, owner.Host).Do(t, "GET", "/v2/"+names[0]+"/tags/list", nil, "Authorization", header)
			checkError(t, what+" at the public host", r, 401, "UNAUTHORIZED")
			checkHeaders(t, what, r, "WWW-Authenticate", bearer(s))
		}
		for what, header := range map[string]string{
			"the private password": basic(private.Pass), "an anonymous token": basic(sealed), "a wrong one": basic("x"), "a bearer token": "Bearer " + owner.Token,
			"another user": "Basic " + base64.StdEncoding.EncodeToString([]byte("root:"+publicPassword)), "nothing": "",
		} {
			r := in(bare, owner.Host).Do(t, "GET", "/token/", nil, "Authorization", header)
			checkError(t, what+" for a token", r, 401, "UNAUTHORIZED")
			checkHeaders(t, what+" for a token", r, "WWW-Authenticate", `Basic realm="http://`+owner.Host+`/token/",service="public.ecr.aws"`)
		}
		r := in(bare, owner.Host).Do(t, "GET", "/token/", nil, "Authorization", basic(publicPassword))
		check(t, "the public password for a token", r, 200)
	})
}

// The scope and service that a client asks for make a token no stronger, and a
// header that a proxy could have set leads nowhere else.
func TestWhatATokenIsAskedForDoesNotMatter(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	private := begin(t, s, "app")
	owner, anybody, names := publicBegin(t, s, "app")
	owner.Push(t, names[0], "v1", servertest.NewImage(1, 10))
	bare := *anybody
	bare.Token = ""
	for _, query := range []string{"scope=repository:" + names[0] + ":push,pull,delete", "service=ecr.amazonaws.com", "account=AWS", "client_id=docker&offline_token=true"} {
		r := bare.Do(t, "GET", "/token/?"+query, nil).Want(t, 200)
		strong := *anybody
		strong.Token = strings.Split(string(r.Body), `"`)[3]
		check(t, "a pull with "+query, strong.Do(t, "GET", manifestPath(names[0], "v1"), nil), 200)
		check(t, "a push with "+query, strong.Do(t, "POST", uploadsPath(names[0], ""), nil), 403)
	}
	for _, header := range []string{"X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded"} {
		r := private.Do(t, "GET", manifestPath(names[0], "v1"), nil, header, owner.Host)
		checkError(t, "GET with "+header, r, 404, "NAME_UNKNOWN")
	}
	if r := bare.Do(t, "GET", "/v2/", nil, "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"); r.Header.Get("WWW-Authenticate") != bearer(s) {
		t.Errorf("WWW-Authenticate = %q, want %q", r.Header.Get("WWW-Authenticate"), bearer(s))
	}
}

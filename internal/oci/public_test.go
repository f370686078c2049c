package oci_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// publicBegin makes public repositories and returns a client that may push, one
// that is anonymous, and the repositories' names at the public host.
func publicBegin(t testing.TB, s *servertest.Server, repositories ...string) (owner, anybody *servertest.Client, names []string) {
	t.Helper()
	for _, name := range repositories {
		names = append(names, s.CreatePublicRepository(t, name))
	}
	return s.LoginPublic(t), s.Anonymous(t), names
}

func bearer(s *servertest.Server) string {
	return `Bearer realm="http://` + s.PublicHost() + `/token/",service="public.ecr.aws",scope="aws"`
}

func TestThePublicHostChallengesForATokenAndGivesOne(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		_, anybody, _ := publicBegin(t, s, "app")
		bare := *anybody
		bare.Token = ""
		for _, path := range []string{"/v2/", "/v2", "/v2/nonsense", "/v2/_catalog", "/v2/alias/app/manifests/v1"} {
			r := bare.Do(t, "GET", path, nil)
			checkError(t, "GET "+path, r, 401, "UNAUTHORIZED")
			checkHeaders(t, "GET "+path, r, "WWW-Authenticate", bearer(s), "Docker-Distribution-Api-Version", "registry/2.0")
		}
		for _, query := range []string{"", "?service=public.ecr.aws&scope=aws", "?scope=repository:alias/app:pull,push&scope=x", "?" + strings.Repeat("a=b&", 100)} {
			r := bare.Do(t, "GET", "/token/"+query, nil)
			check(t, "GET /token/"+query, r, 200)
			checkHeaders(t, "GET /token/", r, "Content-Type", "application/json", "Cache-Control", "no-store", "X-Content-Type-Options", "nosniff")
			var body struct {
				Token     string `json:"token"`
				ExpiresIn int    `json:"expires_in"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil || body.ExpiresIn != 3600 {
				t.Errorf("GET /token/ = %s, want a token for an hour: %v", r.Body, err)
			}
			bare.Token = body.Token
			check(t, "GET /v2/ with the token", bare.Do(t, "GET", "/v2/", nil), 200)
			bare.Token = ""
		}
		r := bare.Do(t, "POST", "/token/", nil)
		checkError(t, "POST /token/", r, 405, "UNSUPPORTED")
		checkHeaders(t, "POST /token/", r, "Allow", "GET, HEAD")
	})
}

func TestEverybodyPullsWhatTheOwnerPushes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		owner, anybody, names := publicBegin(t, s, "team/app")
		name := names[0]
		img := servertest.NewImage(1, 100, 100_000)
		owner.Push(t, name, "v1", img)
		referrer := servertest.JSON(map[string]any{
			"schemaVersion": 2, "mediaType": typeManifest, "artifactType": "a/b", "layers": []any{},
			"config": servertest.Descriptor("application/vnd.oci.image.config.v1+json", img.Config), "subject": servertest.Descriptor(typeManifest, img.Manifest),
		})
		owner.PushManifest(t, name, digest.FromBytes(referrer).String(), typeManifest, referrer).Want(t, 201)
		s.Restart(t)
		for _, c := range []*servertest.Client{anybody, owner} {
			c.HTTP.CloseIdleConnections()
			checkManifest(t, c, name, "v1", typeManifest, img.Manifest)
			checkManifest(t, c, name, img.Digest.String(), typeManifest, img.Manifest)
			for _, l := range append(img.Layers, img.Config) {
				checkBlob(t, c, name, digest.FromBytes(l), l)
				check(t, "HEAD of a blob", c.Do(t, "HEAD", blobPath(name, digest.FromBytes(l)), nil), 200)
			}
			r := c.Do(t, "GET", "/v2/"+name+"/tags/list", nil).Want(t, 200)
			if want := `{"name":"` + name + `","tags":["v1"]}`; string(r.Body) != want {
				t.Errorf("tags = %s, want %s", r.Body, want)
			}
			r = c.Do(t, "GET", referrersPath(name, img.Digest), nil).Want(t, 200)
			if !strings.Contains(string(r.Body), digest.FromBytes(referrer).String()) {
				t.Errorf("referrers = %s, want the one", r.Body)
			}
			checkError(t, "a missing tag", c.Do(t, "GET", manifestPath(name, "absent"), nil), 404, "MANIFEST_UNKNOWN")
		}
	})
}

// The paths that the server answers with are paths of the public host.
func TestLocationsAtThePublicHostHaveTheAlias(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		owner, _, names := publicBegin(t, s, "app", "source")
		name, content := names[0], []byte("content")
		d := digest.FromBytes(content)
		start := owner.Do(t, "POST", uploadsPath(name, ""), nil).Want(t, 202)
		location := start.Header.Get("Location")
		if !strings.HasPrefix(location, "/v2/"+name+"/blobs/uploads/") {
			t.Errorf("Location of an upload = %q, want one in /v2/%s", location, name)
		}
		r := owner.Do(t, "PATCH", location, content).Want(t, 202)
		checkHeaders(t, "PATCH", r, "Location", location, "Range", "0-6")
		r = owner.Do(t, "GET", location, nil).Want(t, 204)
		checkHeaders(t, "status", r, "Location", location)
		r = owner.Do(t, "PUT", location+"?digest="+url.QueryEscape(d.String()), nil).Want(t, 201)
		checkHeaders(t, "PUT", r, "Location", blobPath(name, d))
		img := servertest.NewImage(1)
		owner.PushBlobs(t, name, img)
		checkHeaders(t, "PUT of a manifest", owner.PushManifest(t, name, "v1", typeManifest, img.Manifest).Want(t, 201),
			"Location", manifestPath(name, img.Digest.String()))
		owner.PushManifest(t, name, "v2", typeManifest, img.Manifest).Want(t, 201)
		r = owner.Do(t, "GET", "/v2/"+name+"/tags/list?n=1", nil).Want(t, 200)
		checkHeaders(t, "a page of tags", r, "Link", `</v2/`+name+`/tags/list?last=v1&n=1>; rel="next"`)

		// A mount names its source as the host does.
		owner.PushBlob(t, names[1], []byte("source"))
		from := digest.FromString("source")
		r = owner.Do(t, "POST", uploadsPath(name, "?mount="+from.String()+"&from="+url.QueryEscape(names[1])), nil).Want(t, 201)
		checkHeaders(t, "mount", r, "Location", blobPath(name, from))
		for _, other := range []string{"nobody/source", "source/source"} {
			check(t, "mount from "+other, owner.Do(t, "POST", uploadsPath(names[1], "?mount="+d.String()+"&from="+url.QueryEscape(other)), nil), 202)
		}
		checkError(t, "mount from no name", owner.Do(t, "POST", uploadsPath(names[1], "?mount="+d.String()+"&from=source"), nil), 400, "NAME_INVALID")
	})
}

// Mounts do not lead from one registry to the other.
func TestNoMountBetweenPublicAndPrivate(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		private := begin(t, s, "app", "secret")
		owner, _, names := publicBegin(t, s, "app", "secret")
		private.PushBlob(t, "secret", []byte("private"))
		owner.PushBlob(t, names[1], []byte("public"))
		for _, from := range []string{"", "&from=" + names[1], "&from=" + strings.Split(names[1], "/")[0] + "/secret"} {
			check(t, "mount of a private layer", owner.Do(t, "POST", uploadsPath(names[0], "?mount="+digest.FromString("private").String()+from), nil), 202)
		}
		for _, from := range []string{"", "&from=secret", "&from=" + names[1]} {
			check(t, "mount of a public layer", private.Do(t, "POST", uploadsPath("app", "?mount="+digest.FromString("public").String()+from), nil), 202)
		}
	})
}

func TestTokensOfThePublicHostEnd(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		owner, anybody, names := publicBegin(t, s, "app")
		img := servertest.NewImage(1, 10)
		owner.Push(t, names[0], "v1", img)
		login := &servertest.Client{Server: s, Host: owner.Host, User: "AWS", Pass: s.PublicPassword(t), HTTP: owner.HTTP}
		exchanged := *owner
		exchanged.Token = login.FetchToken(t)
		exchanged.Push(t, names[0], "v2", img)

		s.Clock.Advance(time.Hour - time.Second)
		checkManifest(t, anybody, names[0], "v1", typeManifest, img.Manifest)
		s.Clock.Advance(time.Second)
		r := anybody.Do(t, "GET", manifestPath(names[0], "v1"), nil)
		checkError(t, "an anonymous token after an hour", r, 401, "UNAUTHORIZED")
		checkHeaders(t, "an anonymous token after an hour", r, "WWW-Authenticate", bearer(s))
		anybody.Token = anybody.FetchToken(t)
		checkManifest(t, anybody, names[0], "v1", typeManifest, img.Manifest)

		s.Clock.Advance(11*time.Hour - 2*time.Second)
		for what, c := range map[string]*servertest.Client{"the API's token": owner, "an exchanged one": &exchanged} {
			r := c.Do(t, "GET", manifestPath(names[0], "v1"), nil)
			check(t, what, r, 200)
			checkHeaders(t, what, r, "Warning", `299 - "Your authorization token expires in 2s. Log in again."`)
		}
		s.Clock.Advance(2 * time.Second)
		const expired = "Your authorization token has expired. Reauthenticate and try again."
		for what, r := range map[string]*servertest.Response{
			"the API's token":      owner.Do(t, "GET", manifestPath(names[0], "v1"), nil),
			"an exchanged one":     exchanged.Do(t, "GET", manifestPath(names[0], "v1"), nil),
			"the password itself":  login.Do(t, "GET", "/token/", nil),
			"the token's password": login.Do(t, "GET", "/token/?scope=aws", nil),
		} {
			checkError(t, what, r, 403, "DENIED")
			if r.Message() != expired {
				t.Errorf("%s: message = %q, want %q", what, r.Message(), expired)
			}
		}
	})
}

// Amazon's own names for the public registries, for when DNS points here, and
// the one of the domain.
func TestThePublicHostHasNames(t *testing.T) {
	t.Parallel()
	for domain, hosts := range map[string][]string{
		"":                 {"public.localhost", "PUBLIC.Localhost", "public.localhost.", "public.localhost:1", "public.ecr.aws", "public.ecr.aws:443", "ecr-public.aws.com"},
		"registry.example": {"public.registry.example", "public.ecr.aws"},
	} {
		s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.Domain = domain }})
		port := s.Host[strings.LastIndexByte(s.Host, ':'):]
		own := "public." + domain
		if domain == "" {
			own = "public.localhost"
		}
		for _, host := range hosts {
			c := &servertest.Client{Server: s, Host: host, HTTP: s.Login(t).HTTP}
			want := own
			if name, _, _ := strings.Cut(host, ":"); strings.HasSuffix(name, ".aws") || strings.HasSuffix(name, ".aws.com") {
				want = name
			}
			r := c.Do(t, "GET", "/v2/", nil)
			check(t, "GET with Host: "+host, r, 401)
			checkHeaders(t, "GET with Host: "+host, r, "WWW-Authenticate", `Bearer realm="http://`+want+port+`/token/",service="public.ecr.aws",scope="aws"`)
			c.Token = c.FetchToken(t)
			check(t, "GET with a token of Host: "+host, c.Do(t, "GET", "/v2/", nil), 200)
		}
		// Whatever else only looks like it is the default registry's.
		for _, host := range []string{"", "public", "public.", "public.evil.example", "public.localhost.evil.example", "x.public.localhost", "xpublic.localhost",
			"public.ecr.aws.evil.example", "evil.public.ecr.aws", "public_localhost", "public.localhost@evil", "gallery.ecr.aws"} {
			c := &servertest.Client{Server: s, Host: host, HTTP: s.Login(t).HTTP}
			r := c.Do(t, "GET", "/v2/", nil)
			check(t, "GET with Host: "+host, r, 401)
			if h := r.Header.Get("WWW-Authenticate"); !strings.HasPrefix(h, `Basic realm="http://`) || strings.Contains(h, "evil") {
				t.Errorf("GET with Host: %s: WWW-Authenticate = %q, want the default registry's", host, h)
			}
			check(t, "GET /token/ with Host: "+host, c.Do(t, "GET", "/token/", nil), 404)
		}
	}
}

// The token that the API hands out is base64 of user and password, and so is
// what an exchange returns.
func TestTheAPIsTokenIsABearerToken(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	owner, _, names := publicBegin(t, s, "app")
	owner.Push(t, names[0], "v1", servertest.NewImage(1))
	password := s.PublicPassword(t)
	login := &servertest.Client{Server: s, Host: owner.Host, User: "AWS", Pass: password, HTTP: owner.HTTP}
	if got, want := login.FetchToken(t), base64.StdEncoding.EncodeToString([]byte("AWS:"+password)); got != want {
		t.Errorf("token = %s, want %s", got, want)
	}
}

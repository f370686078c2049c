package ecr_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

func downloadURL(t *testing.T, c *ecr.Client, repository string, d digest.Digest) string {
	t.Helper()
	out := must(c.GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: &repository, LayerDigest: new(d.String())}))(t)
	wantEqual(t, "layer digest", *out.LayerDigest, d.String())
	return *out.DownloadUrl
}

// fetch gets a URL as any HTTP client does, whatever its host, from the server.
func fetch(t *testing.T, s *servertest.Server, url string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Host)
	}}
	defer transport.CloseIdleConnections()
	req := must(http.NewRequestWithContext(t.Context(), "GET", url, nil))(t)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res := must(transport.RoundTrip(req))(t)
	defer res.Body.Close()
	return res.StatusCode, res.Header, must(io.ReadAll(res.Body))(t)
}

func TestADownloadURLServesTheLayerToAnyHTTPClient(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "team/app")
		img := servertest.NewImage(1, 100, 200_000)
		pushImage(t, c, "team/app", img, "v1")
		for _, content := range append(img.Layers, img.Config) { // the configuration, too
			u := downloadURL(t, c, "team/app", digest.FromBytes(content))
			if status, _, got := fetch(t, s, u); status != 200 || !bytes.Equal(got, content) {
				t.Errorf("GET = %d with %d bytes, want 200 with all %d", status, len(got), len(content))
			}
		}
		layer := img.Layers[1]
		u := downloadURL(t, c, "team/app", digest.FromBytes(layer))
		status, header, got := fetch(t, s, u, "Range", "bytes=1000-1999")
		if status != 206 || !bytes.Equal(got, layer[1000:2000]) || header.Get("Content-Range") != "bytes 1000-1999/200000" {
			t.Errorf("GET of a range = %d, %s with %d bytes, want 206 with bytes 1000 to 1999", status, header.Get("Content-Range"), len(got))
		}
		status, _, got = fetch(t, s, u, "Range", "bytes=-10")
		if status != 206 || !bytes.Equal(got, layer[len(layer)-10:]) {
			t.Errorf("GET of the last bytes = %d with %d bytes, want 206 with 10", status, len(got))
		}
		if status, _, _ = fetch(t, s, u, "Range", "bytes=200000-"); status != 416 {
			t.Errorf("GET past the end = %d, want 416", status)
		}
	})
}

func TestADownloadURLLivesForAnHourAndNotASecondLonger(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		img := servertest.NewImage(1, 100)
		pushImage(t, s.ECR(), "app", img, "v1")
		u := downloadURL(t, s.ECR(), "app", digest.FromBytes(img.Layers[0]))
		s.Clock.Advance(time.Hour - time.Second)
		if status, _, got := fetch(t, s, u); status != 200 || !bytes.Equal(got, img.Layers[0]) {
			t.Errorf("GET in the last second = %d, want 200", status)
		}
		s.Clock.Advance(time.Second)
		if status, _, got := fetch(t, s, u); status != 403 || bytes.Contains(got, img.Layers[0]) {
			t.Errorf("GET after an hour = %d, want 403", status)
		}
	})
}

func TestADownloadURLIsGoodForNothingElse(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		img, other := servertest.NewImage(1, 100), servertest.NewImage(2, 100)
		for _, name := range []string{"app", "other"} {
			createRepository(t, c, name)
			pushImage(t, c, name, img, "v1")
			pushImage(t, c, name, other, "v2")
		}
		createRepository(t, s.ECRIn("eu-west-1"), "app")
		pushImage(t, s.ECRIn("eu-west-1"), "app", img, "v1")
		u := downloadURL(t, c, "app", digest.FromBytes(img.Layers[0]))
		path := func(u string) []string { return strings.Split(must(url.Parse(u))(t).Path, "/") }
		elsewhere, abroad := path(downloadURL(t, c, "other", digest.FromBytes(img.Layers[0]))), path(downloadURL(t, s.ECRIn("eu-west-1"), "app", digest.FromBytes(img.Layers[0])))
		own := path(u) // "", _berth, v1, layers, account, region, repository, digest
		expires := must(url.Parse(u))(t).Query().Get("expires")
		for name, altered := range map[string]string{
			"another layer":      strings.Replace(u, own[7], digest.FromBytes(other.Layers[0]).String(), 1),
			"another repository": strings.Replace(u, own[6], elsewhere[6], 1),
			"another region":     strings.Replace(u, "/us-east-1/", "/eu-west-1/", 1),
			"all of another region's": strings.Replace(strings.Replace(u, "/us-east-1/", "/eu-west-1/", 1),
				own[6], abroad[6], 1),
			"another account":      strings.Replace(u, "/123456789012/", "/999999999999/", 1),
			"a longer life":        strings.Replace(u, "expires="+expires, "expires="+expires+"0", 1),
			"no signature":         u[:strings.Index(u, "signature=")] + "signature=",
			"a shorter signature":  u[:len(u)-1],
			"another signature":    u[:len(u)-3] + "AAA",
			"a longer signature":   u + "A",
			"a signature of zeros": u[:strings.Index(u, "signature=")] + "signature=" + strings.Repeat("A", 43),
		} {
			if status, _, got := fetch(t, s, altered); status != 403 || bytes.Contains(got, img.Layers[0]) || bytes.Contains(got, other.Layers[0]) {
				t.Errorf("GET with %s = %d, want 403", name, status)
			}
		}
		for name, malformed := range map[string]string{
			"no query":         u[:strings.Index(u, "?")],
			"no expiry":        strings.Replace(u, "expires="+expires+"&", "", 1),
			"two expiries":     u + "&expires=" + expires,
			"another argument": u + "&x=1",
			"a longer path":    strings.Replace(u, own[7], own[7]+"/x", 1),
		} {
			if status, _, _ := fetch(t, s, malformed); status != 404 {
				t.Errorf("GET with %s = %d, want 404", name, status)
			}
		}
	})
}

func TestADownloadURLEndsWithTheRepository(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1, 100)
		pushImage(t, c, "app", img, "v1")
		u := downloadURL(t, c, "app", digest.FromBytes(img.Layers[0]))
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		createRepository(t, c, "app")
		pushImage(t, c, "app", img, "v1")
		if status, _, got := fetch(t, s, u); status != 404 || bytes.Contains(got, img.Layers[0]) {
			t.Errorf("GET of a deleted repository's layer = %d, want 404", status)
		}
	})
}

func TestDownloadURLsHaveTheHostOfTheRegistry(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		configure func(*config.Config)
		want      map[string]string // host by region
	}{
		"by default": {nil, map[string]string{
			"us-east-1": "http://127.0.0.1:PORT", "eu-west-1": "http://123456789012.dkr.ecr.eu-west-1.localhost:PORT",
		}},
		"with a URL": {func(c *config.Config) { c.URL = "https://registry.example.com/" }, map[string]string{
			"us-east-1": "https://registry.example.com", "eu-west-1": "https://123456789012.dkr.ecr.eu-west-1.localhost",
		}},
		"with a domain": {func(c *config.Config) { c.URL, c.Domain = "https://example.com:8443", "example.com" }, map[string]string{
			"us-east-1": "https://123456789012.dkr.ecr.us-east-1.example.com:8443",
			"eu-west-1": "https://123456789012.dkr.ecr.eu-west-1.example.com:8443",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, servertest.Options{Configure: tt.configure})
			_, port, _ := net.SplitHostPort(s.Host)
			for region, want := range tt.want {
				want = strings.ReplaceAll(want, "PORT", port)
				c := s.ECRIn(region)
				repository := createRepository(t, c, "app")
				img := servertest.NewImage(1, 100)
				pushImage(t, c, "app", img, "v1")
				u := must(url.Parse(downloadURL(t, c, "app", digest.FromBytes(img.Layers[0]))))(t)
				wantEqual(t, "download URL", u.Scheme+"://"+u.Host, want)
				wantEqual(t, "repository URI", *repository.RepositoryUri, must(url.Parse(want))(t).Host+"/app")
				token := must(c.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}))(t)
				wantEqual(t, "proxy endpoint", *token.AuthorizationData[0].ProxyEndpoint, want)
				u.Scheme = "http"
				if status, _, got := fetch(t, s, u.String()); status != 200 || !bytes.Equal(got, img.Layers[0]) {
					t.Errorf("GET = %d, want 200 with the layer", status)
				}
			}
		})
	}
}

func TestGetDownloadUrlForLayerRefuses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "other")
		loose, gone := []byte("loose"), servertest.NewImage(1, 100)
		pushLayer(t, c, "app", loose)
		pushImage(t, c, "other", servertest.NewImage(2, 100), "v1")
		pushImage(t, c, "app", gone, "v1")
		must(c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1")}}))(t)
		const tail = "' in the repository with name 'app' in the registry with id '123456789012' is not associated with an image"
		const missing = "' does not exist within the repository with name 'app' in the registry with id '123456789012'"
		d := func(b []byte) string { return digest.FromBytes(b).String() }
		elsewhere := d(servertest.NewImage(2, 100).Layers[0])
		for name, tt := range map[string]struct {
			in            ecr.GetDownloadUrlForLayerInput
			code, message string
		}{
			"an unknown repository": {
				ecr.GetDownloadUrlForLayerInput{RepositoryName: new("absent"), LayerDigest: new(unknownDigest)}, "RepositoryNotFoundException", noRepository,
			},
			"an unknown layer": {
				ecr.GetDownloadUrlForLayerInput{LayerDigest: new(unknownDigest)}, "LayersNotFoundException", "The layer with digest '" + unknownDigest + missing,
			},
			"another repository's layer": {
				ecr.GetDownloadUrlForLayerInput{LayerDigest: &elsewhere}, "LayersNotFoundException", "The layer with digest '" + elsewhere + missing,
			},
			"a layer that no image refers to": {
				ecr.GetDownloadUrlForLayerInput{LayerDigest: new(d(loose))}, "LayerInaccessibleException", "The layer with digest '" + d(loose) + tail,
			},
			"a layer whose image is deleted": {
				ecr.GetDownloadUrlForLayerInput{LayerDigest: new(d(gone.Layers[0]))}, "LayerInaccessibleException",
				"The layer with digest '" + d(gone.Layers[0]) + tail,
			},
			"no digest": {
				ecr.GetDownloadUrlForLayerInput{LayerDigest: new("latest")}, "InvalidParameterException",
				"Invalid parameter at 'layerDigest' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+''",
			},
			"another account": {
				ecr.GetDownloadUrlForLayerInput{RegistryId: new("999999999999"), LayerDigest: new(unknownDigest)}, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:GetDownloadUrlForLayer on resource: " +
					"arn:aws:ecr:us-east-1:999999999999:repository/app because no resource-based policy allows the ecr:GetDownloadUrlForLayer action",
			},
		} {
			t.Run(name, func(t *testing.T) {
				if tt.in.RepositoryName == nil {
					tt.in.RepositoryName = new("app")
				}
				_, err := c.GetDownloadUrlForLayer(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

func TestALayerIsLeasedToWhomItWasPromised(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1, 100)
		pushImage(t, c, "app", img, "v1")
		d := digest.FromBytes(img.Layers[0])
		lease := func() time.Duration {
			t.Helper()
			got := rows(t, s, "SELECT lease_until FROM layers WHERE digest = $1", d.String())
			until := must(time.ParseDuration(got[0] + "us"))(t)
			return until - time.Duration(s.Clock.Now().UnixMicro())*time.Microsecond
		}
		wantEqual(t, "lease after the push", lease(), 4*time.Hour)
		s.Clock.Advance(time.Hour)
		availability(t, c, "app", d)
		wantEqual(t, "lease with more than half left", lease(), 3*time.Hour)
		s.Clock.Advance(90 * time.Minute)
		availability(t, c, "app", d)
		wantEqual(t, "lease after it was asked for", lease(), 4*time.Hour)
		s.Clock.Advance(3 * time.Hour)
		downloadURL(t, c, "app", d)
		wantEqual(t, "lease after a download URL", lease(), 4*time.Hour)
	})
}

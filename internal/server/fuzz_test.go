package server_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// What a fuzzed request carries beside what the fuzzer makes of it.
const (
	withPassword  = 1 << iota // a registry password
	withSignature             // a signature of the root's, for the AWS APIs
	asQuery                   // the signature is for STS
	inChunks                  // the body's length is not known
)

// FuzzRouter sends requests of all sorts to a whole server, with credentials, so
// that they get as far as their method, path, headers and body let them. None
// may panic or be answered with a 5xx.
func FuzzRouter(f *testing.F) {
	s := servertest.Start(f, servertest.Options{Errors: true})
	s.CreateRepository(f, "app")
	c := s.Login(f)
	img := servertest.NewImage(1, 10)
	c.Push(f, "app", "v1", img)
	upload := path.Base(c.Do(f, "POST", "/v2/app/blobs/uploads/", nil).Want(f, 202).Header.Get("Location"))
	h := s.Server().Handler()
	fill := strings.NewReplacer("DIGEST", digest.FromBytes(img.Layers[0]).String(), "MANIFEST", img.Digest.String(), "UPLOAD", upload)

	for _, seed := range []struct {
		mode           byte
		method, target string
		header, body   string
	}{
		{withPassword, "GET", "/v2/", "", ""},
		{0, "GET", "/v2/", "Authorization: Basic QVdTOng=", ""},
		{withPassword, "GET", "/v2/_catalog?n=2&last=a", "", ""},
		{withPassword, "GET", "/v2/app/tags/list?n=0&last=%00", "", ""},
		{withPassword, "GET", "/v2/app/manifests/v1", "Accept: */*;q=0.5, a/b\nIf-None-Match: W/\"x\", *", ""},
		{withPassword, "HEAD", "/v2/app/manifests/MANIFEST", "", ""},
		{withPassword, "PUT", "/v2/app/manifests/v2?tag=a&tag=b", "Content-Type: application/vnd.oci.image.index.v1+json", `{"schemaVersion":2,"manifests":[{"digest":"MANIFEST"}]}`},
		{withPassword | inChunks, "PUT", "/v2/app/manifests/v2", "Content-Type: application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"config":{"digest":"DIGEST","mediaType":"a\u0000"},"layers":[]}`},
		{withPassword, "DELETE", "/v2/app/manifests/absent", "", ""},
		{withPassword, "GET", "/v2/app/blobs/DIGEST", "Range: bytes=1-2,-3\nIf-Range: x", ""},
		{withPassword, "HEAD", "/v2/app/blobs/DIGEST", "", ""},
		{withPassword, "DELETE", "/v2/app/blobs/DIGEST", "", ""},
		{withPassword, "POST", "/v2/app/blobs/uploads/?mount=DIGEST&from=app&digest-algorithm=sha512", "", ""},
		{withPassword, "POST", "/v2/app/blobs/uploads/?digest=DIGEST", "", "abc"},
		{withPassword, "GET", "/v2/app/blobs/uploads/UPLOAD", "", ""},
		{withPassword | inChunks, "PATCH", "/v2/app/blobs/uploads/UPLOAD", "Content-Range: 0-2", "abc"},
		{withPassword, "PUT", "/v2/app/blobs/uploads/UPLOAD?digest=sha256:abc", "Content-Range: bytes 0-2/3", "abc"},
		{withPassword, "PATCH", "/v2/app/blobs/uploads/%00", "", "abc"},
		{withPassword, "GET", "/v2/app/referrers/MANIFEST?artifactType=a%2Fb&last=MANIFEST", "", ""},
		{withPassword, "GET", "//v2/./%5fcatalog/..", "Host: 123456789012.dkr.ecr.eu-west-1.localhost", ""},
		{withPassword, "GET", "/v2/app/tags/list", "Host: 210987654321.dkr.ecr.us-east-1.localhost\nX-Forwarded-For: x\nX-HTTP-Method-Override: DELETE", ""},
		{0, "GET", "/_berth/v1/layers/123456789012/us-east-1/x/DIGEST?expires=1&signature=AAAA", "", ""},
		{0, "GET", "/healthz", "", ""}, {0, "GET", "/readyz", "", ""}, {0, "BREW", "/pot", "", ""},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "DescribeRepositories", `{"maxResults":1,"nextToken":"x"}`},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "CreateRepository", `{"repositoryName":"b/c","tags":[{"Key":"\u0000","Value":"\ud800"}],"encryptionConfiguration":{"encryptionType":"KMS","kmsKey":"\u0000"}}`},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "PutImage", `{"repositoryName":"app","imageManifest":"{}","imageTag":"x","imageDigest":"y"}`},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "UploadLayerPart", `{"repositoryName":"app","uploadId":"UPLOAD","partFirstByte":0,"partLastByte":2,"layerPartBlob":"YWJj"}`},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "BatchGetImage", `{"repositoryName":"app","imageIds":[{"imageTag":"v1"},{"imageDigest":"MANIFEST"},{}]}`},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "GetDownloadUrlForLayer", `{"repositoryName":"app","layerDigest":"DIGEST"}`},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "TagResource", `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/app","tags":[]}`},
		{withSignature, "POST", "/", "X-Amz-Target: " + ecrTarget + "StartImageScan", strings.Repeat("[", 100_000)},
		{withSignature | asQuery, "POST", "/", "Content-Type: application/x-www-form-urlencoded", "Action=GetCallerIdentity&Version=2011-06-15"},
		{0, "POST", "/?X-Amz-Signature=x&X-Amz-Algorithm=AWS4-HMAC-SHA256", "Authorization: AWS4-HMAC-SHA256 Credential=/////", ""},
	} {
		f.Add(seed.mode, seed.method, seed.target, seed.header, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, mode byte, method, target, header string, body []byte) {
		body = []byte(fill.Replace(string(body)))
		if !strings.HasPrefix(target, "/") {
			return
		}
		target = fill.Replace(target)
		r, err := http.NewRequest(method, "http://"+s.Host+target, bytes.NewReader(body))
		if err != nil || r.URL.Host != s.Host {
			return // no request that a server would see
		}
		r.RequestURI, r.RemoteAddr = target, "192.0.2.1:1234"
		for line := range strings.SplitSeq(header, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			if name == "Host" {
				r.Host = value
			} else if name != "" {
				r.Header.Add(name, value)
			}
		}
		if mode&inChunks != 0 {
			r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
		}
		if mode&withPassword != 0 {
			r.SetBasicAuth(c.User, c.Pass)
		}
		if mode&withSignature != 0 {
			signFuzzed(r, mode, body)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s with %q and %q = %d %s", method, target, header, body, w.Code, w.Body)
		}
	})
}

// signFuzzed signs a request, if it can be signed.
func signFuzzed(r *http.Request, mode byte, body []byte) {
	service := "ecr"
	if mode&asQuery != 0 {
		service = "sts"
	} else if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	_ = sign(r, service, body) // what cannot be signed is sent as it is
}

package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/config"
	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/opencontainers/go-digest"
)

// signAs signs a request in a header or, if it is to be presigned, in its query,
// for a payload hash.
func signAs(t *testing.T, as awssdk.Config, r *http.Request, hash string, presigned bool) {
	t.Helper()
	key, err := as.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !presigned {
		if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hash, "ecr", servertest.Region, time.Now()); err != nil {
			t.Fatal(err)
		}
		return
	}
	q := r.URL.Query()
	q.Set("X-Amz-Expires", "60")
	r.URL.RawQuery = q.Encode()
	uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), key, r, hash, "ecr", servertest.Region, time.Now(), func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true })
	if err != nil {
		t.Fatal(err)
	}
	if r.URL, err = r.URL.Parse(uri); err != nil {
		t.Fatal(err)
	}
}

// No way to say what was signed instead of the body makes anybody take a body that
// was not signed, for any operation.
func TestEveryOperationWantsItsBodySigned(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	s.CreateRepository(t, "app")
	s.Decisions()
	for operation, a := range operations {
		body := strings.NewReplacer("ACCOUNT", servertest.Account, "NAME", "app", "MANIFEST", `"{}"`, "LAYER", digest.FromString("a").String(), "NEW", digest.FromString("b").String()).Replace(a.body)
		other := sha256.Sum256([]byte(body + " "))
		for _, mode := range []string{"UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
			"ANYTHING", "", hex.EncodeToString(other[:])} {
			for _, presigned := range []bool{false, true} {
				r := httptest.NewRequestWithContext(t.Context(), "POST", s.URL+"/", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/x-amz-json-1.1")
				r.Header.Set("X-Amz-Target", ecrTarget+operation)
				r.Header.Set("X-Amz-Content-Sha256", mode)
				if strings.HasPrefix(mode, "STREAMING") {
					r.Header.Set("Content-Encoding", "aws-chunked")
					r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)))
				}
				signAs(t, s.AWS(), r, mode, presigned)
				w := httptest.NewRecorder()
				s.Server().Handler().ServeHTTP(w, r)
				if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), "Signature") {
					t.Errorf("%s signed for %q, presigned: %v = %d %s, want a bad signature", operation, mode, presigned, w.Code, w.Body)
				}
			}
		}
	}
	if d := s.Decisions(); len(d) > 0 {
		t.Errorf("%d decisions, the first about %s", len(d), d[0].Action)
	}
}

// However somebody says who it is, the same is asked about it and decided.
func TestEveryWayToLogInIsDecidedAlike(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.PasswordLogin = "access-key" }}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "mine")
		s.CreateRepository(t, "theirs")
		for _, name := range []string{"mine", "theirs"} {
			s.Login(t).Push(t, name, "v1", servertest.NewImage(1, 10))
		}
		as, password := withPolicy(t, s, "owner", strings.Replace(ownOnly, `"ecr:*"`, `["ecr:ListImages","ecr:BatchGetImage"]`, 1))
		key, err := as.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		own := *password
		own.User, own.Pass = key.AccessKeyID, key.SecretAccessKey
		post := func(presigned bool) func(operation, name string) (int, string) {
			return func(operation, name string) (int, string) {
				body := `{"repositoryName":"` + name + `"}`
				if operation == "BatchGetImage" {
					body = `{"repositoryName":"` + name + `","imageIds":[{"imageTag":"v1"}]}`
				}
				sum := sha256.Sum256([]byte(body))
				r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/", bytes.NewReader([]byte(body)))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-amz-json-1.1")
				r.Header.Set("X-Amz-Target", ecrTarget+operation)
				signAs(t, as, r, hex.EncodeToString(sum[:]), presigned)
				w := httptest.NewRecorder()
				s.Server().Handler().ServeHTTP(w, r)
				return w.Code, w.Body.String()
			}
		}
		docker := func(c *servertest.Client) func(operation, name string) (int, string) {
			paths := map[string]string{"ListImages": "GET tags/list", "BatchGetImage": "GET manifests/v1", "InitiateLayerUpload": "POST blobs/uploads/"}
			return func(operation, name string) (int, string) {
				method, path, _ := strings.Cut(paths[operation], " ")
				r := c.Do(t, method, "/v2/"+name+"/"+path, nil)
				return r.Status, string(r.Body)
			}
		}
		for operation, allowed := range map[string]bool{"ListImages": true, "BatchGetImage": true, "InitiateLayerUpload": false} {
			for _, name := range []string{"mine", "theirs"} {
				for how, ask := range map[string]func(string, string) (int, string){
					"a signature": post(false), "a presigned request": post(true), "a password": docker(password), "an access key": docker(&own),
				} {
					s.Decisions()
					status, text := ask(operation, name)
					want := "User: arn:aws:iam::123456789012:user/owner is not authorized to perform: ecr:" + operation + " on resource: arn:aws:ecr:us-east-1:123456789012:repository/" + name
					if ok := allowed && name == "mine"; ok != (status < 300) || !ok && !strings.Contains(text, want) {
						t.Errorf("%s of %s by %s = %d %s, want it allowed: %v", operation, name, how, status, text, ok)
					}
					d := s.Decisions()
					i := slices.IndexFunc(d, func(r access.Request) bool { return r.Action == "ecr:"+operation })
					if i < 0 || d[i].Caller.ARN != "arn:aws:iam::123456789012:user/owner" || d[i].Caller.AccessKeyID != key.AccessKeyID || !strings.HasSuffix(d[i].Resource, ":repository/"+name) {
						t.Errorf("%s of %s by %s: decisions %+v", operation, name, how, d)
					}
				}
			}
		}
	})
}

// A body of any length, at a limit and beyond it, announced or in chunks, is of one
// who may or may not: what is too long to be read is nothing that is carried out.
func TestBodiesAtTheirLimitsAreDecidedLikeOthers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	s.CreateRepository(t, "mine")
	s.CreateRepository(t, "theirs")
	as, c := withPolicy(t, s, "owner", ownOnly)
	const most, manifest = 1 << 20, 4 << 20
	for _, size := range []int{0, 2, most - 1, most, most + 1} {
		for _, chunked := range []bool{false, true} {
			for name, allowed := range map[string]bool{"mine": true, "theirs": false} {
				body := fmt.Sprintf(`{"repositoryName":%q}`, name)
				if size > len(body) {
					body += strings.Repeat(" ", size-len(body))
				} else {
					body = body[:size]
				}
				r := httptest.NewRequestWithContext(t.Context(), "POST", s.URL+"/", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/x-amz-json-1.1")
				r.Header.Set("X-Amz-Target", ecrTarget+"DeleteRepositoryPolicy")
				if chunked {
					r.ContentLength = -1
				}
				sum := sha256.Sum256([]byte(body))
				signAs(t, as, r, hex.EncodeToString(sum[:]), false)
				s.Decisions()
				w := httptest.NewRecorder()
				s.Server().Handler().ServeHTTP(w, r)
				want, asks := "RepositoryPolicyNotFoundException", 1
				switch {
				case size > most:
					want, asks = "RequestEntityTooLarge", 0
				case size < 20:
					want, asks = "Exception", 0
				case !allowed:
					want = "AccessDeniedException"
				}
				if d := s.Decisions(); !strings.Contains(w.Body.String(), want) || w.Code >= 500 || len(d) != asks {
					t.Errorf("%d bytes for %s, in chunks: %v = %d %s after %d decisions, want %s", size, name, chunked, w.Code, w.Body, len(d), want)
				}
			}
		}
	}
	for _, size := range []int{0, 2, manifest - 1, manifest, manifest + 1} {
		for _, chunked := range []bool{false, true} {
			for name, want := range map[string]int{"mine": 400, "theirs": 403} {
				r := httptest.NewRequestWithContext(t.Context(), "PUT", s.URL+manifestPath(name, "v1"), bytes.NewReader(bytes.Repeat([]byte(" "), size)))
				r.SetBasicAuth("AWS", c.Pass)
				r.Header.Set("Content-Type", manifestType)
				if chunked {
					r.ContentLength = -1
				}
				w := httptest.NewRecorder()
				s.Server().Handler().ServeHTTP(w, r)
				if w.Code != want && !(size > manifest && w.Code == 413) {
					t.Errorf("a manifest of %d bytes for %s, in chunks: %v = %d %s, want %d", size, name, chunked, w.Code, w.Body, want)
				}
			}
		}
	}
}

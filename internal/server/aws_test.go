package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const ecrTarget = "AmazonEC2ContainerRegistry_V20150921."

// sign signs a request to the AWS APIs with the root's key.
func sign(r *http.Request, service string, body []byte) error {
	sum := sha256.Sum256(body)
	key := awssdk.Credentials{AccessKeyID: "AKIAROOT", SecretAccessKey: "the secret of the root"}
	return v4.NewSigner().SignHTTP(context.Background(), key, r, hex.EncodeToString(sum[:]), service, servertest.Region, time.Now())
}

// call makes a call of ECR with a body as it is, and returns status and body of
// the answer.
func call(t testing.TB, s *servertest.Server, operation, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", ecrTarget+operation)
	if err := sign(r, "ecr", []byte(body)); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// What somebody else was sent cannot be passed on.
func TestWhatIsSignedForAnotherRegistryIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	for host, want := range map[string]int{
		"123456789012.dkr.ecr.us-east-1.evil.com": 400, "123456789012.dkr.ecr.us-east-1.localhost": 200,
		"123456789012.dkr.ecr.us-east-1.amazonaws.com": 200, "api.ecr.us-east-1.amazonaws.com": 200,
	} {
		for _, path := range []string{"/", "/_berth/v1/token"} {
			body := []byte("{}")
			r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", ecrTarget+"GetAuthorizationToken")
			if err := sign(r, "ecr", body); err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			refused := strings.Contains(string(text), "not one of this server's")
			if path == "/" && resp.StatusCode != want || refused != (want == 400) {
				t.Errorf("POST %s of %s = %d %s, want %d", path, host, resp.StatusCode, text, want)
			}
		}
	}
}

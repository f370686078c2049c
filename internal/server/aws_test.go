package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
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

package ecr_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	targetPrefix = "AmazonEC2ContainerRegistry_V20150921."
	jsonType     = "application/x-amz-json-1.1"
)

// rawCall is a call of the API that no SDK would make. What is not set is as the
// SDK has it.
type rawCall struct {
	method, path  string
	target        string // operation, or prefix.operation; "-" for none
	contentType   string
	body          string
	key, secret   string // the root's
	region, scope string // of the signature: us-east-1, ecr
	at            time.Time
	presigned     bool
	unsigned      bool
	change        func(*http.Request) // after it was signed
}

func or(s, standard string) string {
	if s == "" {
		return standard
	}
	return s
}

func (c rawCall) request(t *testing.T, s *servertest.Server) *http.Request {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), or(c.method, "POST"), s.URL+or(c.path, "/"), strings.NewReader(c.body)))(t)
	if !strings.Contains(c.target, ".") && c.target != "-" {
		c.target = targetPrefix + c.target
	}
	if c.target != "-" {
		req.Header.Set("X-Amz-Target", c.target)
	}
	req.Header.Set("Content-Type", or(c.contentType, jsonType))
	sum := sha256.Sum256([]byte(c.body))
	hash := hex.EncodeToString(sum[:])
	key := aws.Credentials{AccessKeyID: or(c.key, s.Config.RootAccessKeyID), SecretAccessKey: or(c.secret, s.Config.RootSecretAccessKey)}
	if c.at.IsZero() {
		c.at = time.Now()
	}
	region, service := or(c.region, servertest.Region), or(c.scope, "ecr")
	switch {
	case c.unsigned:
	case c.presigned:
		q := req.URL.Query()
		q.Set("X-Amz-Expires", "60")
		req.URL.RawQuery = q.Encode()
		uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), key, req, hash, service, region, c.at,
			func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true })
		if err != nil {
			t.Fatal(err)
		}
		req.URL = must(req.URL.Parse(uri))(t)
	default:
		if err := v4.NewSigner().SignHTTP(t.Context(), key, req, hash, service, region, c.at); err != nil {
			t.Fatal(err)
		}
	}
	if c.change != nil {
		c.change(req)
	}
	return req
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (c rawCall) do(t *testing.T, s *servertest.Server) answer {
	t.Helper()
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	res := must(transport.RoundTrip(c.request(t, s)))(t)
	defer res.Body.Close()
	body := must(io.ReadAll(res.Body))(t)
	return answer{res.StatusCode, res.Header, string(body)}
}

// document returns the members of a JSON answer.
func (a answer) document(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("the answer %q is not JSON: %v", a.body, err)
	}
	return doc
}

// wantFailure fails the test unless the answer is that exception, in the
// envelope of the protocol.
func (a answer) wantFailure(t *testing.T, status int, code, message string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status = %d, want %d", a.status, status)
	}
	doc := a.document(t)
	if doc["__type"] != code || doc["message"] != message {
		t.Errorf("error = %v: %v\nwant    %s: %s", doc["__type"], doc["message"], code, message)
	}
	if got := a.header.Get("X-Amzn-Errortype"); got != code {
		t.Errorf("x-amzn-ErrorType = %q, want %q", got, code)
	}
	a.wantHeaders(t)
}

// wantHeaders fails the test unless the answer has the headers of every answer.
func (a answer) wantHeaders(t *testing.T) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != jsonType {
		t.Errorf("content type = %q, want %q", got, jsonType)
	}
	if got := a.header.Get("X-Amzn-Requestid"); len(got) != 36 {
		t.Errorf("x-amzn-RequestId = %q, want a UUID", got)
	}
}

package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The credentials and the time of the vectors.
const vectorSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

var vectorTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

type vector struct {
	Name          string
	Header, Query vectorForm
}

type vectorForm struct {
	SignedRequest    string `json:"signed_request"`
	CanonicalRequest string `json:"canonical_request"`
	StringToSign     string `json:"string_to_sign"`
}

// wire returns the request as it would be sent. The suite ends its lines with
// a line feed only.
func (f vectorForm) wire() string {
	head, body, _ := strings.Cut(f.SignedRequest, "\n\n")
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/sigv4.json")
	if err != nil {
		t.Fatal(err)
	}
	var v []vector
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// receive returns the request in wire as a server gets it, and the hash of its
// body.
func receive(wire string) (*http.Request, string, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r, hash(string(body)), nil
}

func hash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// check parses and verifies the request in wire, as a server does that knows
// the secret of one access key.
func check(t testing.TB, wire, secret string, now time.Time) error {
	t.Helper()
	r, payload, err := receive(wire)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(r)
	if err != nil {
		return err
	}
	if s.AccessKeyID != "AKIDEXAMPLE" {
		return &Error{InvalidSignature, "no such key"}
	}
	return s.Verify(r, secret, payload, now)
}

// refused are the vectors that Verify refuses as they are, each with the pattern
// in the request's bytes that it minds and what should stand there.
//
// A path that is not clean has, after AWS's normalisation, the signature of the
// clean one: four of these requests carry that of get-vanilla. A session token
// that is not signed could be any.
var refused = map[string]struct{ pattern, replacement string }{
	"get-relative-normalized":            {`/example/\.\.`, "/"},
	"get-relative-relative-normalized":   {`/example1/example2/\.\./\.\.`, "/"},
	"get-slash-dot-slash-normalized":     {`/\./`, "/"},
	"get-slash-normalized":               {` //`, " /"},
	"get-slash-pointless-dot-normalized": {`/\./`, "/"},
	"get-slashes-normalized":             {`//example//`, "/example/"},
	"post-sts-header-after":              {`X-Amz-Security-Token(:.*\n|=[^&]*&)`, ""},
}

func TestVectors(t *testing.T) {
	verified := 0
	for _, v := range readVectors(t) {
		for form, f := range map[string]vectorForm{"header": v.Header, "query": v.Query} {
			t.Run(v.Name+"/"+form, func(t *testing.T) {
				wire := f.wire()
				if strings.HasPrefix(v.Name, "get-space-") {
					// GET /example space/ is no HTTP: the request never arrives.
					if _, _, err := receive(wire); err == nil {
						t.Error("ReadRequest took a space in the path")
					}
					return
				}
				if fix, ok := refused[v.Name]; ok {
					if err := check(t, wire, vectorSecret, vectorTime); err == nil {
						t.Error("Verify = nil for the request as it is, want an error")
					}
					wire = regexp.MustCompile(fix.pattern).ReplaceAllString(wire, fix.replacement)
				}
				testVector(t, f, wire)
				verified++
			})
		}
	}
	if want := 2 * (38 - 2); verified != want {
		t.Errorf("verified %d requests, want %d", verified, want)
	}
}

func testVector(t *testing.T, f vectorForm, wire string) {
	r, payload, err := receive(wire)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(r)
	if err != nil {
		t.Fatalf("Parse = %v", err)
	}
	got, err := s.canonicalRequest(r, r.URL.Query(), payload)
	if err != nil || got != f.CanonicalRequest {
		t.Errorf("canonicalRequest = %q, %v\nwant %q", got, err, f.CanonicalRequest)
	}
	if got := s.stringToSign(got); got != f.StringToSign {
		t.Errorf("stringToSign = %q\nwant %q", got, f.StringToSign)
	}
	if err := s.Verify(r, vectorSecret, payload, vectorTime); err != nil {
		t.Errorf("Verify = %v, want nil", err)
	}
	if err := s.Verify(r, vectorSecret+"x", payload, vectorTime); err == nil {
		t.Error("Verify with another secret = nil, want an error")
	}
}

func TestSigningKeyIsThatOfTheUserGuide(t *testing.T) {
	got := hex.EncodeToString(SigningKey(vectorSecret, "20150830", "us-east-1", "iam"))
	if want := "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"; got != want {
		t.Errorf("SigningKey = %s, want %s", got, want)
	}
}

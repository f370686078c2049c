package sigv4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const testSecret = "JalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYwww"

var testTime = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// signing is how a test request is signed. Its zero value is a header
// signature by temporary credentials for ecr in eu-west-1.
type signing struct {
	expires string // presigned, with this X-Amz-Expires
	payload string // payload hash; that of the body if empty
}

// sign returns the bytes of a request signed by the SDK.
func (s signing) sign(t testing.TB, method, url, body string, header map[string]string) string {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	if s.payload == "" {
		s.payload = hash(body)
	}
	credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: testSecret, SessionToken: "session-token"}
	ctx, signer := context.Background(), v4.NewSigner()
	if s.expires == "" {
		err = signer.SignHTTP(ctx, credentials, r, s.payload, "ecr", "eu-west-1", testTime)
	} else {
		r.URL.RawQuery = strings.TrimPrefix(r.URL.RawQuery+"&X-Amz-Expires="+s.expires, "&")
		var signed string
		signed, _, err = signer.PresignHTTP(ctx, credentials, r, s.payload, "ecr", "eu-west-1", testTime)
		if err == nil {
			r.URL, err = r.URL.Parse(signed)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "") // not to be sent: it is not signed
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// post is a call of the JSON protocol.
func post(t testing.TB) string {
	return signing{}.sign(t, "POST", "https://api.ecr.example.com/some/path?b=2&a=1&a=0&c=x%20y",
		`{"repositoryNames":["library/alpine"]}`, map[string]string{
			"Content-Type":         "application/x-amz-json-1.1",
			"X-Amz-Target":         "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
			"X-Amz-Content-Sha256": hash(`{"repositoryNames":["library/alpine"]}`),
		})
}

// presignedGET is a presigned request with a header.
func presignedGET(t testing.TB) string {
	return signing{expires: "3600"}.sign(t, "GET", "https://api.ecr.example.com/some/path?b=2&a=1&c=x%20y", "",
		map[string]string{"Content-Type": "text/plain"})
}

// wantRefusal fails the test unless err is an Error with a code and a message.
func wantRefusal(t *testing.T, what string, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code == "" || e.Message == "" {
		t.Errorf("%s: error = %v, want an *Error", what, err)
	}
}

// mutation replaces old, which must be there, by new.
type mutation struct{ name, old, new string }

func (m mutation) apply(t *testing.T, wire string) string {
	t.Helper()
	mutant := strings.Replace(wire, m.old, m.new, 1)
	if mutant == wire {
		t.Fatalf("%s: %q is not in\n%s", m.name, m.old, wire)
	}
	return mutant
}

// either are mutations of both forms.
var either = []mutation{
	{"letter of the path", "/some/path", "/some/patH"},
	{"longer path", "/some/path", "/some/path/"},
	{"empty path", "/some/path", "/"},
	{"repeated slash", "/some/path", "/some//path"},
	{"leading slashes", "/some/path", "//some/path"},
	{"dot segment", "/some/path", "/some/./path"},
	{"dot dot segment", "/some/path", "/some/x/../path"},
	{"escaped slash", "/some/path", "/some%2Fpath"},
	{"escaped letter", "/some/path", "/som%65/path"},
	{"query value", "b=2", "b=3"},
	{"query name", "b=2", "B=2"},
	{"parameter removed", "b=2&", ""},
	{"parameter added", "b=2", "b=2&d=4"},
	{"parameter repeated", "b=2", "b=2&b=2"},
	{"semicolon", "b=2", "b=2;d=4"},
	{"plus for a space", "x%20y", "x+y"},
	{"escaped plus for a space", "x%20y", "x%2By"},
	{"broken escape", "x%20y", "x%2"},
	{"X-Amz-Date as a parameter twice", "b=2", "b=2&x-amz-date=20260314T150926Z&X-AMZ-DATE=20260314T150926Z"},
	{"host", "Host: api.ecr.example.com", "Host: api.ecr.example.org"},
	{"port", "Host: api.ecr.example.com", "Host: api.ecr.example.com:444"},
	{"absolute target", " /some/path", " http://api.ecr.example.org/some/path"},
	{"unsigned X-Amz-Target", "\r\n", "\r\nx-amz-target: AmazonEC2ContainerRegistry_V20150921.DeleteRepository\r\n"},
	{"unsigned X-Amz-Meta", "\r\n", "\r\nX-Amz-Meta: 1\r\n"},
	{"signed header removed", "Content-Type:", "Content-Typo:"},
	{"signed header given again", "\r\n", "\r\nContent-Type: text/plain\r\n"},
	{"region", "eu-west-1", "eu-west-2"},
	{"terminator", "aws4_request", "aws5_request"},
	{"access key", "AKIDEXAMPLE", "AKIDEXAMPLF"},
	{"access key with a slash", "AKIDEXAMPLE", "AKID/EXAMPLE"},
	{"algorithm", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"},
	{"session token", "session-token", "session-tokem"},
}

var ofPOST = []mutation{
	{"date of the scope", "/20260314/", "/20260315/"},
	{"service", "ecr/aws4", "sts/aws4"},
	{"method", "POST", "PUT"},
	{"lower-case method", "POST", "post"},
	{"content type", "x-amz-json-1.1", "x-amz-json-1.0"},
	{"target", "DescribeRepositories", "DeleteRepositories"},
	{"target given again", "X-Amz-Target", "X-Amz-Target: X\r\nX-Amz-Target"},
	{"target split in two", "X-Amz-Target: Amazon", "X-Amz-Target:\r\nX-Amz-Target: Amazon"},
	{"changed body", "alpine", "debian"},
	{"shorter body", "Content-Length: 38", "Content-Length: 37"},
	{"payload hash", "X-Amz-Content-Sha256: ", "X-Amz-Content-Sha256: 0"},
	{"unsigned payload", "X-Amz-Content-Sha256: ", "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\nX-Ignored: "},
	{"date a second later", "X-Amz-Date: 20260314T150926Z", "X-Amz-Date: 20260314T150927Z"},
	{"date with a fraction", "X-Amz-Date: 20260314T150926Z", "X-Amz-Date: 20260314T150926.0Z"},
	{"two dates", "X-Amz-Date: ", "X-Amz-Date: 20260314T150926Z\r\nX-Amz-Date: "},
	{"no date", "X-Amz-Date: ", "X-Ignored: "},
	{"other date header", "X-Amz-Date: ", "Date: Sat, 14 Mar 2026 15:09:26 GMT\r\nX-Ignored: "},
	{"no session token", "X-Amz-Security-Token: ", "X-Ignored: "},
	{"session token also in the query", "b=2", "b=2&X-Amz-Security-Token=other"},
	{"credential also in the query", "b=2", "b=2&x-amz-credential=AKIDEXAMPLE"},
	{"host not signed", "host;", ""},
	{"header not signed", "content-type;", ""},
	{"unsorted names", "content-length;content-type", "content-type;content-length"},
	{"upper-case name", "content-type;", "Content-Type;"},
	{"repeated name", "content-type;", "content-type;content-type;"},
	{"empty name", "content-type;", "content-type;;"},
	{"two Authorization headers", "Authorization: ", "Authorization: Basic eDp5\r\nAuthorization: "},
	{"no signature", ", Signature=", ", Ignored="},
	{"two signatures", ", Signature=", ", Signature=0, Signature="},
	{"longer signature", "Signature=", "Signature=0"},
}

var ofPresigned = []mutation{
	{"date of the scope", "%2F20260314%2F", "%2F20260315%2F"},
	{"service", "ecr%2Faws4", "sts%2Faws4"},
	{"body added", "\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n{}"},
	{"method", "GET", "POST"},
	{"HEAD for GET", "GET", "HEAD"},
	{"content type", "text/plain", "text/html"},
	{"date a second later", "X-Amz-Date=20260314T150926Z", "X-Amz-Date=20260314T150927Z"},
	{"no date", "X-Amz-Date", "Ignored"},
	{"longer life", "X-Amz-Expires=3600", "X-Amz-Expires=3601"},
	{"life with a sign", "X-Amz-Expires=3600", "X-Amz-Expires=%2B3600"},
	{"life with a zero", "X-Amz-Expires=3600", "X-Amz-Expires=03600"},
	{"no life", "X-Amz-Expires=3600", "Ignored=3600"},
	{"two lives", "X-Amz-Expires=3600", "X-Amz-Expires=3600&X-Amz-Expires=3600"},
	{"two lives, two cases", "X-Amz-Expires=3600", "X-Amz-Expires=3600&x-amz-expires=7200"},
	{"two signatures", "X-Amz-Signature=", "X-Amz-Signature=0&X-Amz-Signature="},
	{"lower-case signature", "X-Amz-Signature=", "x-amz-signature="},
	{"no signature", "X-Amz-Signature=", "Ignored="},
	{"no session token", "X-Amz-Security-Token=", "Ignored="},
	{"host not signed", "content-type%3Bhost", "content-type"},
	{"header not signed", "content-type%3Bhost", "host"},
	{"unsorted names", "content-type%3Bhost", "host%3Bcontent-type"},
	{"payload hash in a header", "\r\n", "\r\nX-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\n"},
	{"payload hash in the query", "b=2", "b=2&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"},
	{"Authorization header added", "\r\n", "\r\nAuthorization: Basic eDp5\r\n"},
}

func TestMutatedRequestsAreRefused(t *testing.T) {
	for _, form := range []struct {
		name, wire string
		mutations  []mutation
	}{
		{"header", post(t), slices.Concat(ofPOST, either)},
		{"query", presignedGET(t), slices.Concat(ofPresigned, either)},
	} {
		t.Run(form.name, func(t *testing.T) {
			if err := check(t, form.wire, testSecret, testTime); err != nil {
				t.Fatalf("request as it was signed: error = %v, want nil", err)
			}
			for _, m := range form.mutations {
				wantRefusal(t, m.name, check(t, m.apply(t, form.wire), testSecret, testTime))
			}
			t.Logf("%d mutations", len(form.mutations))
		})
	}
}

// TestNoBitCanBeFlipped flips every bit of a request. A mutant is accepted only
// if a handler cannot tell it from the original.
func TestNoBitCanBeFlipped(t *testing.T) {
	for name, wire := range map[string]string{"header": post(t), "query": presignedGET(t)} {
		t.Run(name, func(t *testing.T) {
			original, mutants := describe(t, wire), 0
			for i := range len(wire) * 8 {
				b := []byte(wire)
				b[i/8] ^= 1 << (i % 8)
				mutant := string(b)
				if _, _, err := receive(mutant); err != nil || reflect.DeepEqual(describe(t, mutant), original) {
					continue
				}
				mutants++
				if err := check(t, mutant, testSecret, testTime); err == nil {
					t.Errorf("bit %d of byte %d flipped: accepted\n%s", i%8, i/8, mutant)
				}
			}
			if mutants < len(wire)*4 {
				t.Errorf("%d mutants of %d bytes arrived, want more", mutants, len(wire))
			}
			t.Logf("%d mutants", mutants)
		})
	}
}

// describe returns all of a request that a handler sees, but the version of
// HTTP and headers that are not signed.
func describe(t *testing.T, wire string) []any {
	t.Helper()
	r, payload, err := receive(wire)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Del("Accept-Encoding")
	r.Header.Del("Content-Length")
	return []any{r.Method, r.URL.EscapedPath(), r.URL.Query(), r.Host, r.Header, r.ContentLength, payload}
}

func TestSignatureBytes(t *testing.T) {
	for name, wire := range map[string]string{"header": post(t), "query": presignedGET(t)} {
		i := strings.Index(wire, "Signature=") + len("Signature=")
		for end := i + 64; i < end; i++ {
			for _, c := range []byte("0123456789abcdefABCDEF") {
				if c == wire[i] {
					continue
				}
				mutant := wire[:i] + string(c) + wire[i+1:]
				wantRefusal(t, fmt.Sprintf("%s: byte %d of the signature", name, i), check(t, mutant, testSecret, testTime))
			}
		}
	}
}

// TestSameRequestInOtherWords pins what the signing process does not see.
func TestSameRequestInOtherWords(t *testing.T) {
	for _, m := range []mutation{
		{"order of parameters", "b=2&", ""},
		{"header name", "Content-Type: ", "content-TYPE: "},
		{"spaces around a header value", "Content-Type: ", "Content-Type:     "},
		{"unsigned header", "\r\n", "\r\nAccept: */*\r\n"},
	} {
		wire := m.apply(t, post(t))
		if m.new == "" {
			wire = strings.Replace(wire, " HTTP/1.1", "&b=2 HTTP/1.1", 1)
		}
		if err := check(t, wire, testSecret, testTime); err != nil {
			t.Errorf("%s: error = %v, want nil", m.name, err)
		}
	}
}

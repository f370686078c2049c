package sigv4

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTimeOfHeaderSignature(t *testing.T) {
	wire := post(t)
	for _, c := range []struct {
		after time.Duration // of now after the time of signing
		want  string
	}{
		{-15*time.Minute - 1, "InvalidSignature: Signature not yet current: 20260314T150926Z is still later than 20260314T150925Z (20260314T145425Z + 15 min.)"},
		{-15 * time.Minute, ""},
		{0, ""},
		{15 * time.Minute, ""},
		{15*time.Minute + time.Second, "InvalidSignature: Signature expired: 20260314T150926Z is now earlier than 20260314T150927Z (20260314T152427Z - 15 min.)"},
		{24 * time.Hour, "InvalidSignature: Signature expired: 20260314T150926Z is now earlier than 20260315T145426Z (20260315T150926Z - 15 min.)"},
	} {
		checkMessage(t, c.after.String(), check(t, wire, testSecret, testTime.Add(c.after)), c.want)
	}
}

func TestTimeOfPresignedRequest(t *testing.T) {
	wire := presignedGET(t)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{-15*time.Minute - time.Second, "InvalidSignature: Signature not yet current: 20260314T150926Z is still later than 20260314T150925Z (20260314T145425Z + 15 min.)"},
		{-15 * time.Minute, ""},
		{15*time.Minute + time.Second, ""},
		{time.Hour, ""},
		{time.Hour + time.Second, "InvalidSignature: Signature expired: 20260314T150926Z is now earlier than 20260314T150927Z (20260314T160927Z - 3600 sec.)"},
	} {
		checkMessage(t, c.after.String(), check(t, wire, testSecret, testTime.Add(c.after)), c.want)
	}
}

func TestLifeOfPresignedRequest(t *testing.T) {
	const refused = "IncompleteSignature: X-Amz-Expires must be a number of seconds from 1 to 604800."
	for _, c := range []struct{ expires, want string }{
		{"-1", refused},
		{"0", refused},
		{"1", ""},
		{"604800", ""},
		{"604801", refused},
		{"18446744073709551617", refused},
		{"1.5", refused},
		{"1e3", refused},
	} {
		wire := signing{expires: c.expires}.sign(t, "GET", "https://ecr.example.com/", "", nil)
		checkMessage(t, c.expires, check(t, wire, testSecret, testTime), c.want)
	}
}

// checkMessage compares err with the text of the error wanted, "" for none.
func checkMessage(t *testing.T, what string, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		wantRefusal(t, what, err)
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s: error = %q\nwant %q", what, got, want)
	}
}

func TestDateHeader(t *testing.T) {
	h := http.Header{"Date": {"Sat, 14 Mar 2026 15:09:26 GMT"}}
	if got := requestDate(h); got != "20260314T150926Z" {
		t.Errorf("requestDate of a Date header = %s, want 20260314T150926Z", got)
	}
	h.Set("X-Amz-Date", "20260314T000000Z")
	if got := requestDate(h); got != "20260314T000000Z" {
		t.Errorf("requestDate of both headers = %s, want that of X-Amz-Date", got)
	}
}

// TestPayloadModes signs every payload hash that is not the body's, in every
// place that a request can name it.
func TestPayloadModes(t *testing.T) {
	const body, url = `{"maxResults":1}`, "https://ecr.example.com/"
	named := func(mode string) map[string]string { return map[string]string{"X-Amz-Content-Sha256": mode} }
	for _, mode := range []string{
		UnsignedPayload,
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
		"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
		"unsigned-payload",
		"ANYTHING",
		hash(""),
		strings.ToUpper(hash(body)),
	} {
		header, query := signing{payload: mode}, signing{payload: mode, expires: "60"}
		for place, wire := range map[string]string{
			"header of a header signature": header.sign(t, "POST", url, body, named(mode)),
			"nowhere in header signature":  header.sign(t, "POST", url, body, nil),
			"header of a presigned":        query.sign(t, "POST", url, body, named(mode)),
			"query of a presigned":         query.sign(t, "POST", url+"?X-Amz-Content-Sha256="+mode, body, nil),
			"lower-case query":             query.sign(t, "POST", url+"?x-amz-content-sha256="+mode, body, nil),
			"nowhere in presigned":         query.sign(t, "POST", url, body, nil),
			// The signature is right for the body, what the request says is not.
			"signed right, said wrong in header": signing{}.sign(t, "POST", url, body, named(mode)),
			"signed right, said wrong in query": signing{expires: "60"}.sign(t, "POST",
				url+"?X-Amz-Content-Sha256="+mode, body, nil),
			"signed right, said wrong in lower-case query": signing{expires: "60"}.sign(t, "POST",
				url+"?x-amz-content-sha256="+mode, body, nil),
		} {
			wantRefusal(t, mode+", "+place, check(t, wire, testSecret, testTime))
		}
	}
}

func TestUnsignedPayloadIsUpToTheCaller(t *testing.T) {
	header := map[string]string{"X-Amz-Content-Sha256": UnsignedPayload}
	wire := signing{payload: UnsignedPayload}.sign(t, "POST", "https://ecr.example.com/", "body", header)
	r, _, err := receive(wire)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(r, testSecret, UnsignedPayload, testTime); err != nil {
		t.Errorf("Verify of an unsigned payload = %v, want nil", err)
	}
}

func TestMistakesOfTheCaller(t *testing.T) {
	r, payload, err := receive(post(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, secret, payload string }{
		{"no secret", "", payload},
		{"no payload hash", testSecret, ""},
		{"upper-case payload hash", testSecret, strings.ToUpper(payload)},
		{"payload hash of another kind", testSecret, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
	} {
		var e *Error
		if err := s.Verify(r, c.secret, c.payload, testTime); err == nil || errors.As(err, &e) {
			t.Errorf("%s: error = %v, want one that is not an *Error", c.name, err)
		}
	}
}

// TestLengthOfChunkedBodyIsUnknown has a body that is the signed one, but
// whose signed length the server never sees.
func TestLengthOfChunkedBodyIsUnknown(t *testing.T) {
	wire := signing{}.sign(t, "POST", "https://ecr.example.com/", "{}", nil)
	wire = mutation{"length", "Content-Length: 2", "Transfer-Encoding: chunked"}.apply(t, wire)
	wire = mutation{"body", "\r\n\r\n{}", "\r\n\r\n2\r\n{}\r\n0\r\n\r\n"}.apply(t, wire)
	checkMessage(t, "chunked", check(t, wire, testSecret, testTime),
		"InvalidSignature: The signed header 'content-length' is missing from the request.")
}

// TestHeaderSplitAtItsComma sends two headers that have the canonical form of
// the one that was signed.
func TestHeaderSplitAtItsComma(t *testing.T) {
	wire := signing{}.sign(t, "POST", "https://ecr.example.com/", "", map[string]string{"X-Amz-Target": "One,Two"})
	wire = mutation{"split", "One,Two", "One\r\nX-Amz-Target: Two"}.apply(t, wire)
	checkMessage(t, "split", check(t, wire, testSecret, testTime),
		"IncompleteSignature: The request has an X-Amz-* header more than once.")
}

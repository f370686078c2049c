package sigv4

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for name, wire := range map[string]string{"header": post(t), "query": presignedGET(t)} {
		r, _, err := receive(wire)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(r)
		if err != nil {
			t.Fatalf("%s: Parse = %v", name, err)
		}
		want := &Signature{
			AccessKeyID: "AKIDEXAMPLE", Date: "20260314", Region: "eu-west-1", Service: "ecr",
			Time: testTime, SessionToken: "session-token", value: got.value,
			SignedHeaders: []string{"content-length", "content-type", "host", "x-amz-content-sha256",
				"x-amz-date", "x-amz-security-token", "x-amz-target"},
		}
		if name == "query" {
			want.Presigned, want.Expires = true, time.Hour
			want.SignedHeaders = []string{"content-type", "host"}
		}
		if !reflect.DeepEqual(got, want) || len(got.value) != 64 {
			t.Errorf("%s: Parse = %+v\nwant %+v", name, got, want)
		}
	}
}

const (
	date       = "20260314T150926Z"
	credential = "AKIDEXAMPLE/20260314/eu-west-1/ecr/aws4_request"
)

// authorize returns an Authorization header with a well-formed signature.
func authorize(credential, signedHeaders string) string {
	return "AWS4-HMAC-SHA256 Credential=" + credential + ",SignedHeaders=" + signedHeaders + ",Signature=abc"
}

func TestParseOfMalformedHeader(t *testing.T) {
	const (
		elements = "IncompleteSignature: Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
		element  = "IncompleteSignature: An element of Credential is empty, too long or has an invalid character."
		names    = "IncompleteSignature: SignedHeaders must be the names of headers in lower case, sorted and without duplicates."
		params   = "IncompleteSignature: The Authorization header has an unknown or repeated parameter."
		iso      = "IncompleteSignature: Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601"
	)
	many := "host" + strings.Repeat(";x", maxSignedHeaders)
	for _, c := range []struct{ name, date, authorization, want string }{
		{"good", date, authorize(credential, "host"), ""},
		{"basic", "", "Basic eDp5", "IncompleteSignature: Authorization header requires 'Credential' parameter. " +
			"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. " +
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. " +
			"(Hashed with SHA-256 and encoded with Base64) Authorization=oCqWo2TpexL3+WNfMmEpQEAcH9njSQYPVUB4jREq8AE="},
		{"no equal-sign", date, "AWS4-HMAC-SHA256 Credential", "IncompleteSignature: Invalid key=value pair (missing equal-sign) in " +
			"Authorization header (hashed with SHA-256 and encoded with Base64): 'KfSoC26UaBDGXxo5AUFS45c1cmAbyLKDOxOTKcZYWt4='."},
		{"unknown parameter", date, authorize(credential, "host") + ",Extra=1", params},
		{"repeated parameter", date, authorize(credential, "host") + ",Signature=abc", params},
		{"too long", date, authorize(credential, strings.Repeat("a", maxText)), "IncompleteSignature: The Authorization header is longer than 8192 bytes."},
		{"four elements", date, authorize("AKID/20260314/ecr/aws4_request", "host"), elements},
		{"six elements", date, authorize("x/"+credential, "host"), elements},
		{"empty element", date, authorize("/20260314/eu-west-1/ecr/aws4_request", "host"), element},
		{"long element", date, authorize(strings.Repeat("A", 129)+"/20260314/eu-west-1/ecr/aws4_request", "host"), element},
		{"odd element", date, authorize("AKID/20260314/<b>/ecr/aws4_request", "host"), element},
		{"terminator", date, authorize("AKID/20260314/eu-west-1/ecr/aws5_request", "host"),
			"InvalidSignature: Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'."},
		{"another day", date, authorize("AKID/20260315/eu-west-1/ecr/aws4_request", "host"),
			"InvalidSignature: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: " +
				"'20260315' != '20260314', from '20260314T150926Z'."},
		{"extended date", "2026-03-14T15:09:26Z", authorize(credential, "host"), iso},
		{"date with a zone", "20260314T150926+0100", authorize(credential, "host"), iso},
		{"date with a fraction", "20260314T150926.5Z", authorize(credential, "host"), iso},
		{"no such day", "20260230T150926Z", authorize(credential, "host"), iso},
		{"host not signed", date, authorize(credential, "x-amz-date"),
			"InvalidSignature: 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"too many names", date, authorize(credential, many), "IncompleteSignature: SignedHeaders has more than 100 names."},
		{"upper-case name", date, authorize(credential, "Host"), names},
		{"unsorted names", date, authorize(credential, "x;host"), names},
		{"repeated names", date, authorize(credential, "host;host"), names},
		{"empty name", date, authorize(credential, "host;"), names},
		{"pseudo-header", date, authorize(credential, ":authority;host"), names},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Amz-Date", c.date)
		r.Header.Set("Authorization", c.authorization)
		_, err := Parse(r)
		checkMessage(t, c.name, err, c.want)
	}
}

func TestParseOfMalformedQuery(t *testing.T) {
	const good = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + credential + "&X-Amz-Date=" + date +
		"&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=abc"
	for _, c := range []struct{ name, target, want string }{
		{"good", good, ""},
		{"none", "/?a=b", "MissingAuthenticationToken: Missing Authentication Token"},
		{"only one", "/?x-amz-security-token=", "IncompleteSignature: AWS query-string parameters must include 'X-Amz-Algorithm'. " +
			"AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. " +
			"AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. " +
			"AWS query-string parameters must include 'X-Amz-Expires'. Re-examine the query-string parameters."},
		{"algorithm", strings.Replace(good, "SHA256", "SHA1", 1), "IncompleteSignature: X-Amz-Algorithm must be 'AWS4-HMAC-SHA256'."},
		{"repeated", good + "&X-Amz-Date=" + date, "IncompleteSignature: The query string has an X-Amz-* parameter more than once."},
		{"repeated in another case", good + "&x-amz-DATE=" + date, "IncompleteSignature: The query string has an X-Amz-* parameter more than once."},
		{"plus", good + "&a=+", "IncompleteSignature: The query string is not URI-encoded."},
		{"semicolon", good + "&a=;", "IncompleteSignature: The query string is not URI-encoded."},
		{"too long", good + "&a=" + strings.Repeat("a", maxQuery), "IncompleteSignature: The query string is longer than 16384 bytes."},
		{"long token", good + "&X-Amz-Security-Token=" + strings.Repeat("a", maxText+1), "IncompleteSignature: The session token is longer than 8192 bytes."},
	} {
		_, err := Parse(httptest.NewRequest("GET", c.target, nil))
		checkMessage(t, c.name, err, c.want)
	}
}

func TestParseOfSeveralSignatures(t *testing.T) {
	r := httptest.NewRequest("GET", "/?X-Amz-Signature=abc", nil)
	r.Header.Set("X-Amz-Date", date)
	r.Header.Set("Authorization", authorize(credential, "host"))
	_, err := Parse(r)
	checkMessage(t, "header and query", err,
		"IncompleteSignature: The request has both an Authorization header and X-Amz-* query parameters.")

	r = httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"X-Amz-Date": {date}, "Authorization": {"Bearer x", authorize(credential, "host")}}
	_, err = Parse(r)
	checkMessage(t, "two headers", err, "IncompleteSignature: The request has more than one Authorization header.")
}

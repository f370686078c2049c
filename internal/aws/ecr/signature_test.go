package ecr_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"
)

func TestRequestsThatAreNotSignedWellAreRefused(t *testing.T) {
	t.Parallel()
	const (
		invalid    = "InvalidSignatureException"
		incomplete = "IncompleteSignatureException"
		unknown    = "UnrecognizedClientException"
		noToken    = "The security token included in the request is invalid."
		mismatch   = "The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	cases := map[string]struct {
		call          rawCall
		code, message string
	}{
		"not signed":            {rawCall{unsigned: true}, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		"an unknown key":        {rawCall{key: "AKIAUNKNOWN"}, unknown, noToken},
		"a key in another case": {rawCall{key: "akiaroot"}, unknown, noToken},
		"another secret":        {rawCall{secret: "another secret of the root"}, invalid, mismatch},
		"the password of the registry": {
			rawCall{unsigned: true, change: func(r *http.Request) { r.SetBasicAuth("AWS", "password") }}, incomplete, "",
		},
		"a bearer token": {
			rawCall{unsigned: true, change: header("Authorization", "Bearer token")}, incomplete, "",
		},
		"another service":        {rawCall{scope: "ecr-public"}, invalid, "Credential should be scoped to correct service: 'ecr'."},
		"a service in capitals":  {rawCall{scope: "ECR"}, invalid, "Credential should be scoped to correct service: 'ecr'."},
		"a region that is none":  {rawCall{region: "nowhere"}, invalid, "Credential should be scoped to a valid region."},
		"a region in capitals":   {rawCall{region: "US-EAST-1"}, invalid, "Credential should be scoped to a valid region."},
		"another body":           {rawCall{change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{ }")); r.ContentLength = 3 }}, invalid, mismatch},
		"another target":         {rawCall{change: header("X-Amz-Target", targetPrefix+"ListImages")}, invalid, mismatch},
		"another target's case":  {rawCall{change: header("X-Amz-Target", targetPrefix+"listimages")}, "UnknownOperationException", `There is no operation "AmazonEC2ContainerRegistry_V20150921.listimages" in this version of the API`},
		"a host that was signed": {rawCall{change: func(r *http.Request) { r.Host = "example.com" }}, invalid, mismatch},
		"a query that was not":   {rawCall{change: func(r *http.Request) { r.URL.RawQuery = "a=b" }}, invalid, mismatch},
		"a header that is not signed": {
			rawCall{change: header("X-Amz-Meta", "x")}, incomplete,
			"The request signature does not conform to AWS standards. Header(s) not signed: x-amz-meta.",
		},
		"temporary credentials": {rawCall{change: header("X-Amz-Security-Token", "token")}, unknown, noToken},
		"a payload hash that is not the body's": {
			rawCall{change: header("X-Amz-Content-Sha256", strings.Repeat("0", 64))}, incomplete,
			"The request signature does not conform to AWS standards. Header(s) not signed: x-amz-content-sha256.",
		},
		"a presigned request with another body": {
			rawCall{presigned: true, change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{ }")); r.ContentLength = 3 }}, invalid, mismatch,
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				call := tt.call
				call.target, call.body = "DescribeRepositories", "{}"
				got := call.do(t, s)
				message := tt.message
				if message == "" { // names a hash of the header
					message, _ = got.document(t)["message"].(string)
				}
				got.wantFailure(t, 400, tt.code, message)
				if strings.Contains(got.body, "repositories") || strings.Contains(got.body, "the secret of the root") {
					t.Errorf("the answer has what it must not: %s", got.body)
				}
			})
		}
	})
}

func TestClocksMayDifferBy15Minutes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.Clock.Advance(1000 * time.Hour) // signatures are held against the real time
		for offset, want := range map[time.Duration]string{
			-16 * time.Minute: "Signature expired: ", -14 * time.Minute: "", 14 * time.Minute: "", 16 * time.Minute: "Signature not yet current: ",
		} {
			got := rawCall{target: "DescribeRepositories", body: "{}", at: time.Now().Add(offset)}.do(t, s)
			if want == "" {
				if got.status != 200 {
					t.Errorf("a clock %v off: %d %s, want 200", offset, got.status, got.body)
				}
				continue
			}
			message, _ := got.document(t)["message"].(string)
			if !strings.HasPrefix(message, want) {
				t.Errorf("a clock %v off: %s, want %s...", offset, message, want)
			}
			got.wantFailure(t, 400, "InvalidSignatureException", message)
		}
	})
}

func TestAPresignedCall(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		call := rawCall{target: "ListImages", body: `{"repositoryName":"app"}`, presigned: true}
		if got := call.do(t, s); got.status != 200 || got.body != `{"imageIds":[]}` {
			t.Errorf("a presigned call = %d %s, want an empty list", got.status, got.body)
		}
		call.at = time.Now().Add(-50 * time.Second)
		if got := call.do(t, s); got.status != 200 {
			t.Errorf("a presigned call in its last seconds = %d %s, want 200", got.status, got.body)
		}
		call.at = time.Now().Add(-61 * time.Second)
		got := call.do(t, s)
		message, _ := got.document(t)["message"].(string)
		if !strings.HasPrefix(message, "Signature expired: ") {
			t.Errorf("a presigned call after its time: %s, want Signature expired", message)
		}
		got.wantFailure(t, 400, "InvalidSignatureException", message)
	})
}

func TestTheRegionOfTheSignatureDecidesNotTheHost(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECRIn("eu-west-1"), "west")
		call := rawCall{target: "DescribeRepositories", body: `{}`, region: "eu-west-1"}
		if got := call.do(t, s); !strings.Contains(got.body, "arn:aws:ecr:eu-west-1:123456789012:repository/west") {
			t.Errorf("DescribeRepositories = %d %s, want the repository of eu-west-1", got.status, got.body)
		}
	})
}

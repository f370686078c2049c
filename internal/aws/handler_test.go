package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"berth/internal/fault"
)

// A call is a raw request; what is not set is as the SDK would have it.
type call struct {
	method      string
	target      string // operation, or prefix.operation
	contentType string
	scope       string // the service that the signature is scoped to, "-" for no signature
	key         string
	body        string
	unread      bool // the body must not be read
}

func (c call) request(t testing.TB) *http.Request {
	t.Helper()
	var body io.Reader = strings.NewReader(c.body)
	if c.unread {
		body = readerFunc(func([]byte) (int, error) {
			t.Errorf("the body was read")
			return 0, io.EOF
		})
	}
	r := httptest.NewRequestWithContext(t.Context(), or(c.method, "POST"), "/", body)
	r.Header.Set("Content-Type", or(c.contentType, jsonType))
	if c.target != "" && !strings.Contains(c.target, ".") {
		c.target = "AmazonEC2ContainerRegistry_V20150921." + c.target
	}
	r.Header.Set("X-Amz-Target", c.target)
	if c.scope != "-" {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+or(c.key, "KNOWN")+"/20240101/us-east-1/"+or(c.scope, "ecr")+"/aws4_request")
	}
	return r
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func TestHandlerRefuses(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	h := (&front{}).handler(t, nil)
	for name, tt := range map[string]struct {
		call   call
		status int
		want   string // in the body
	}{
		"GET":                    {call{method: "GET"}, 404, `"__type":"UnknownOperationException"`},
		"no target":              {call{unread: true}, 400, `"__type":"UnknownOperationException"`},
		"an unknown service":     {call{target: "Other.Do", unread: true}, 400, `no operation \"Other.Do\"`},
		"an unknown operation":   {call{target: "Do", unread: true}, 400, `"__type":"UnknownOperationException"`},
		"a refused operation":    {call{target: "StartImageScan", unread: true}, 400, `"__type":"UnsupportedCommandException","message":"The operation StartImageScan is not supported by Berth: there is no scanner"`},
		"another content type":   {call{target: "PutImage", contentType: "text/plain", unread: true}, 400, `"__type":"SerializationException"`},
		"no signature":           {call{target: "PutImage", scope: "-", unread: true}, 400, `"__type":"MissingAuthenticationTokenException"`},
		"another service's":      {call{target: "PutImage", scope: "ecr-public", unread: true}, 400, `Credential should be scoped to correct service: 'ecr'.`},
		"an unknown key":         {call{target: "PutImage", key: "UNKNOWN", unread: true}, 400, `"__type":"UnrecognizedClientException"`},
		"a large body":           {call{target: "CreateRepository", body: strings.Repeat(" ", 1<<20+1)}, 413, `"__type":"RequestEntityTooLarge"`},
		"no JSON":                {call{target: "PutImage", body: "x"}, 400, `"__type":"SerializationException"`},
		"a duplicate member":     {call{target: "CreateRepository", body: `{"repositoryName":"app","repositoryName":"app"}`}, 400, `"__type":"SerializationException"`},
		"a case variant":         {call{target: "CreateRepository", body: `{"RepositoryName":"app"}`}, 400, `'Cannot be null'`},
		"deep nesting":           {call{target: "PutImage", body: strings.Repeat(`{"a":`, 100_000)}, 400, `"__type":"SerializationException"`},
		"an empty form":          {call{contentType: form, scope: "sts"}, 400, `<Code>InvalidAction</Code>`},
		"an unknown action":      {call{contentType: form, scope: "sts", body: "Action=Do&Version=2011-06-15"}, 400, `<Code>InvalidAction</Code>`},
		"an unknown version":     {call{contentType: form, scope: "sts", body: "Action=GetCallerIdentity&Version=2"}, 400, `<Code>InvalidAction</Code>`},
		"a bad form":             {call{contentType: form, scope: "sts", body: "Action=%"}, 400, `<Code>MalformedInput</Code>`},
		"a form of another":      {call{contentType: form, body: "Action=GetCallerIdentity&Version=2011-06-15"}, 403, `<Code>SignatureDoesNotMatch</Code>`},
		"a form not signed":      {call{contentType: form, scope: "-", body: "Action=GetCallerIdentity&Version=2011-06-15"}, 403, `<Code>MissingAuthenticationToken</Code>`},
		"a form of unknown key":  {call{contentType: form, key: "UNKNOWN", unread: true}, 403, `<Code>InvalidClientTokenId</Code>`},
		"a bad parameter":        {call{contentType: form, scope: "-", body: "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&DurationSeconds=x"}, 400, `durationSeconds&#39; is not valid`},
		"a large form":           {call{contentType: form, scope: "-", body: strings.Repeat("&", 1<<20+1)}, 413, `<Code>RequestEntityTooLarge</Code>`},
		"JSON for another table": {call{target: "2011-06-15.GetCallerIdentity", scope: "sts", unread: true}, 400, `"__type":"UnknownOperationException"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, tt.call.request(t))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("answer = %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
			if got := w.Header().Get("X-Amzn-Requestid"); got != "test-request" {
				t.Errorf("request id = %q", got)
			}
			wantType, wantError := jsonType, true
			if strings.HasPrefix(tt.want, "<") || tt.call.contentType == form {
				wantType, wantError = xmlType, false
			}
			if got := w.Header().Get("Content-Type"); got != wantType {
				t.Errorf("content type = %q, want %q", got, wantType)
			}
			if got := w.Header().Get("X-Amzn-Errortype"); (got != "") != wantError {
				t.Errorf("error type = %q", got)
			}
		})
	}
}

func TestHandlerNeverReadsPastTheLimit(t *testing.T) {
	h := (&front{}).handler(t, nil)
	read := 0
	r := call{target: "CreateRepository"}.request(t)
	r.ContentLength = -1
	r.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
		read += len(p)
		return len(p), nil
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 413 || read > defaultMaxBody+1 {
		t.Errorf("answer = %d after %d bytes", w.Code, read)
	}
}

func TestHandlerHidesInternalErrors(t *testing.T) {
	var log bytes.Buffer
	f := &front{
		describeImages: func(*ecr.DescribeImagesInput) (*ecr.DescribeImagesOutput, error) {
			return nil, errors.New("the password is hunter2")
		},
		getIdentity: func(caller, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
			return nil, fault.New(fault.Internal, "Secret", "hunter2")
		},
	}
	h := f.handler(t, slog.New(slog.NewTextHandler(&log, nil)))

	w := httptest.NewRecorder()
	h.ServeHTTP(w, call{target: "DescribeImages", body: `{"repositoryName":"app"}`}.request(t))
	if want := `{"__type":"ServerException","message":"internal error (request id test-request)"}`; w.Code != 500 || w.Body.String() != want {
		t.Errorf("answer = %d %s, want %s", w.Code, w.Body, want)
	}
	for _, want := range []string{"hunter2", "request_id=test-request", "service=ecr", "operation=DescribeImages", "level=ERROR"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log = %s, want %s", &log, want)
		}
	}

	w = httptest.NewRecorder()
	h.ServeHTTP(w, call{contentType: "application/x-www-form-urlencoded", scope: "sts", body: "Action=GetCallerIdentity&Version=2011-06-15"}.request(t))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "<Code>InternalFailure</Code>") || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
}

func TestHandlerVerifiesTheBody(t *testing.T) {
	body := "Action=GetCallerIdentity&Version=2011-06-15"
	var got caller
	h := (&front{getIdentity: func(c caller, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		got = c
		return nil, nil
	}}).handler(t, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, call{contentType: "application/x-www-form-urlencoded; charset=utf-8", scope: "sts", body: body}.request(t))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<GetCallerIdentityResult></GetCallerIdentityResult>") {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
	if got.body != sha256.Sum256([]byte(body)) {
		t.Error("Verify was given another hash")
	}
}

func TestLargeBodiesWaitForMemory(t *testing.T) {
	b := newBodies(3 << 20)
	read := func(ctx context.Context, size int) (func(), error) {
		r := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(strings.Repeat("a", size)))
		body, release, err := b.read(httptest.NewRecorder(), r, 16<<20)
		if err == nil && len(body) != size {
			t.Errorf("read %d bytes of %d", len(body), size)
		}
		return release, err
	}
	release, err := read(t.Context(), 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context(), 1<<20); err != nil {
		t.Errorf("a small body waits: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = read(gone, 2<<20)
	wantFault(t, err, codeUnavailable, "")
	release()
	if release, err = read(t.Context(), 8<<20); err != nil {
		t.Errorf("a body larger than the memory never gets it: %v", err)
	}
	release()
}

func TestNewRefusesBadTables(t *testing.T) {
	do := Op("Do", func(context.Context, caller, *ecr.PutImageInput) (*ecr.PutImageOutput, error) { return nil, nil })
	plain := Op("Do", func(context.Context, caller, *struct{}) (*struct{}, error) { return nil, nil })
	for name, services := range map[string][]Service[caller]{
		"no name":           {{TargetPrefix: "T"}},
		"no prefix":         {{Name: "a"}},
		"no version":        {{Name: "a", Protocol: Query}},
		"JSON with version": {{Name: "a", TargetPrefix: "T", Version: "1"}},
		"a shared prefix":   {{Name: "a", TargetPrefix: "T"}, {Name: "b", TargetPrefix: "T"}},
		"a duplicate":       {{Name: "a", TargetPrefix: "T", Operations: []Operation[caller]{do, do}}},
		"an empty one":      {{Name: "a", TargetPrefix: "T", Operations: []Operation[caller]{{Name: "Do"}}}},
		"no schemas":        {{Name: "a", TargetPrefix: "T", Operations: []Operation[caller]{plain}}},
	} {
		_, err := New(Options[caller]{Services: services, Begin: begin, RequestID: func(*http.Request) string { return "" }})
		if err == nil {
			t.Errorf("New of a table with %s succeeded", name)
		}
	}
	if _, err := New(Options[caller]{}); err == nil {
		t.Error("New without callbacks succeeded")
	}
}

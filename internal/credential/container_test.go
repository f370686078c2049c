package credential_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"berth/internal/credential"

	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
)

// container is an endpoint with the roles task, with a token of its own, other and
// forbidden. Its log is written to the buffer.
func container(a *api, log *bytes.Buffer) *credential.Container {
	e := &credential.Container{Roles: map[string]credential.Served{}, Log: slog.New(slog.NewTextHandler(log, nil))}
	for name, token := range map[string]string{"task": "token of task", "other": "token of others", "forbidden": "token of others", "empty": ""} {
		role := credential.Role{ARN: "arn:aws:iam::123456789012:role/" + name, SessionName: "agent"}
		e.Roles[name] = credential.Served{
			ARN: role.ARN, Token: func() (string, error) { return token, nil },
			Session: credential.NewSession(role.Assume(caller(), a.URL), func(error) {}, nil),
		}
	}
	return e
}

func ask(e *credential.Container, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for _, h := range header {
		r.Header.Add("Authorization", h)
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestTheSDKReadsAContainersEndpoint(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	s := httptest.NewServer(container(newAPI(t, end), new(bytes.Buffer)))
	defer s.Close()
	c, err := endpointcreds.New(s.URL+"/role/task", func(o *endpointcreds.Options) { o.AuthorizationToken = "token of task" }).Retrieve(t.Context())
	if err != nil || c.AccessKeyID != "ASIA:task:agent" || c.SecretAccessKey != "secret 1" || c.SessionToken != "session" || !c.Expires.Equal(end) {
		t.Errorf("Retrieve = %+v, %v, want the role's", c, err)
	}
	_, err = endpointcreds.New(s.URL+"/role/task", func(o *endpointcreds.Options) { o.AuthorizationToken = "another" }).Retrieve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "InvalidAuthorization") {
		t.Errorf("Retrieve with another token = %v, want InvalidAuthorization", err)
	}
}

func TestAContainersEndpoint(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := container(newAPI(t, noon.AddDate(100, 0, 0)), &log)
	w := ask(e, "GET", "/role/task", "token of task")
	const want = `{"RoleArn":"arn:aws:iam::123456789012:role/task","AccessKeyId":"ASIA:task:agent","SecretAccessKey":"secret 1","Token":"session","Expiration":"2126-05-04T12:00:00Z"}` + "\n"
	if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("GET = %d %v %s, want %s", w.Code, w.Header(), w.Body, want)
	}
	const unauthorized = `{"code":"InvalidAuthorization","message":"The path, or the authorization token, is not valid","HTTPErrorCode":401}` + "\n"
	for name, w := range map[string]*httptest.ResponseRecorder{
		"no token":               ask(e, "GET", "/role/task"),
		"another token":          ask(e, "GET", "/role/task", "token of tasK"),
		"a longer token":         ask(e, "GET", "/role/task", "token of task "),
		"Bearer":                 ask(e, "GET", "/role/task", "Bearer token of task"),
		"two tokens":             ask(e, "GET", "/role/task", "token of task", "token of task"),
		"another role's token":   ask(e, "GET", "/role/task", "token of others"),
		"the token for another":  ask(e, "GET", "/role/other", "token of task"),
		"an unknown role":        ask(e, "GET", "/role/nobody", "token of task"),
		"no role":                ask(e, "GET", "/role/", "token of task"),
		"another path":           ask(e, "GET", "/task", "token of task"),
		"a path that goes up":    ask(e, "GET", "/x/../role/task", "token of task"),
		"a slash after the role": ask(e, "GET", "/role/task/", "token of task"),
		"an empty token":         ask(e, "GET", "/role/empty", ""),
		"an empty token, left":   ask(e, "GET", "/role/empty"),
		"a long token":           ask(e, "GET", "/role/task", strings.Repeat("x", 5000)),
	} {
		if w.Code != 401 || w.Body.String() != unauthorized {
			t.Errorf("%s: %d %s, want %s", name, w.Code, w.Body, unauthorized)
		}
	}
	for _, method := range []string{"POST", "PUT", "HEAD", "DELETE", "OPTIONS"} {
		if w := ask(e, method, "/role/task", "token of task"); w.Code != 405 || w.Header().Get("Allow") != "GET" {
			t.Errorf("%s = %d, want 405", method, w.Code)
		}
	}
	w = ask(e, "GET", "/role/forbidden", "token of others")
	if w.Code != http.StatusForbidden || w.Body.String() != `{"code":"AccessDenied","message":"The role cannot be assumed","HTTPErrorCode":403}`+"\n" {
		t.Errorf("a role that cannot be assumed = %d %s", w.Code, w.Body)
	}
	if s := log.String(); !strings.Contains(s, "Not authorized to perform sts:AssumeRole") || strings.Contains(s, "secret") || strings.Contains(s, "token of") {
		t.Errorf("the log = %s, want why, and no secrets", s)
	}
}

func TestAContainersEndpointWithoutSTSOrToken(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := container(&api{URL: "http://127.0.0.1:1"}, &log)
	if w := ask(e, "GET", "/role/task", "token of task"); w.Code != 503 || !strings.Contains(w.Body.String(), `"code":"CredentialsUninitialized"`) || strings.Contains(w.Body.String(), "127.0.0.1") {
		t.Errorf("without STS = %d %s, want 503", w.Code, w.Body)
	}
	task := e.Roles["task"]
	task.Token = func() (string, error) { return "token of task", errors.New("no such file") }
	e.Roles["task"] = task
	if w := ask(e, "GET", "/role/task", "token of task"); w.Code != 401 {
		t.Errorf("without a token to compare with = %d %s, want 401", w.Code, w.Body)
	}
}

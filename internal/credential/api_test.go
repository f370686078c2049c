package credential_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// api is as much of ECR and STS as the protocols need, with answers that tests can
// foresee: a password says which key it was asked for with, a session's access key
// id is made of its role's and its own name.
type api struct {
	URL string

	mu    sync.Mutex
	calls int                   // of STS; guarded by mu
	seen  []map[string][]string // forms sent to STS; guarded by mu
	end   time.Time             // when sessions and passwords expire
}

func newAPI(t *testing.T, end time.Time) *api {
	a := &api{end: end}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.URL = s.URL
	return a
}

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "" {
		a.serveSTS(w, r)
		return
	}
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, scope, _ := strings.Cut(credential, "/")
	password := "password of " + key + " in " + strings.Split(scope, "/")[1]
	if token := r.Header.Get("X-Amz-Security-Token"); token != "" {
		password += " with " + token
	}
	fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d,"proxyEndpoint":"https://x"}]}`,
		base64.StdEncoding.EncodeToString([]byte("AWS:"+password)), a.end.Unix())
}

func (a *api) serveSTS(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	a.mu.Lock()
	a.calls++
	a.seen = append(a.seen, r.PostForm)
	n := a.calls
	a.mu.Unlock()
	action := r.PostForm.Get("Action")
	role := r.PostForm.Get("RoleArn")
	token := r.PostForm.Get("WebIdentityToken")
	if strings.HasSuffix(role, "/forbidden") || token == "stale" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform sts:%s</Message></Error></ErrorResponse>`, action)
		return
	}
	id := "ASIA:" + role[strings.LastIndex(role, "/")+1:] + ":" + r.PostForm.Get("RoleSessionName")
	fmt.Fprintf(w, `<%[1]sResponse><%[1]sResult><Credentials><AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>secret %[3]d</SecretAccessKey><SessionToken>session</SessionToken><Expiration>%[4]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, id, n, a.end.UTC().Format(time.RFC3339))
}

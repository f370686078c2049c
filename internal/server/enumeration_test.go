package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// requestLog keeps how many statements the database ran for a request, by its id.
type requestLog struct {
	slog.Handler
	mu      sync.Mutex
	queries map[string]int64 // guarded by mu
	more    sync.Cond
}

func newRequestLog() *requestLog {
	l := &requestLog{Handler: slog.DiscardHandler, queries: map[string]int64{}}
	l.more.L = &l.mu
	return l
}

func (l *requestLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *requestLog) Handle(_ context.Context, r slog.Record) error {
	id, n := "", int64(-1)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "id":
			id = a.Value.String()
		case "queries":
			n = a.Value.Int64()
		}
		return true
	})
	if n >= 0 {
		l.mu.Lock()
		l.queries[id] = n
		l.mu.Unlock()
		l.more.Broadcast()
	}
	return nil
}

// of waits until a request that has been answered is logged.
func (l *requestLog) of(h http.Header) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if n, logged := l.queries[h.Get("X-Amzn-Requestid")]; logged {
			return n
		}
		l.more.Wait()
	}
}

// Who may do nothing learns nothing: a refusal about a repository that there is, and
// about none, are the same but for the name that was asked about, and so is the work
// that they take; and so are those about accounts.
func TestRefusalsDoNotTellWhatThereIs(t *testing.T) {
	if raced {
		t.Skip("hundreds of requests, one after the other, find no races: they are made without the detector")
	}
	t.Parallel()
	log := newRequestLog() // ids are not repeated: one is enough for both
	servertest.Each(t, servertest.Options{Log: log}, func(t *testing.T, s *servertest.Server) {
		root := s.Login(t)
		img := servertest.NewImage(1, 10)
		s.CreateRepository(t, "there")
		root.Push(t, "there", "v1", img)
		upload := root.Do(t, "POST", "/v2/there/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		for _, op := range []string{"PutLifecyclePolicy", "TagResource"} {
			body := strings.NewReplacer("ACCOUNT", servertest.Account, "NAME", "there").Replace(operations[op].body)
			if status, text := call(t, s, op, body); status != 200 {
				t.Fatal(op, status, text)
			}
		}
		alice := s.CreateUserOf(t, s.AWS(), "alice", servertest.Allow("ecr:GetAuthorizationToken"))
		c := s.LoginAs(t, alice)
		const other, none = "210987654321", "999999999999"
		s.CreateAccount(t, other)
		compare := func(what string, ask func(account, name string) *servertest.Response) {
			t.Helper()
			for _, pair := range [][2][2]string{
				{{servertest.Account, "there"}, {servertest.Account, "never"}}, {{other, "there"}, {other, "never"}}, {{other, "never"}, {none, "there"}},
			} {
				var answers [2]string
				for i := range 4 { // what is remembered is remembered of both, when they are asked about again
					o := pair[i%2]
					r := ask(o[0], o[1])
					if r.Status/100 != 4 {
						t.Errorf("%s of %v = %d %s", what, o, r.Status, r.Body)
					}
					text := strings.NewReplacer("iam::"+servertest.Account, "iam::OWN", o[0], "ACCOUNT", o[1], "NAME").Replace(alike(r))
					answers[i%2] = fmt.Sprintf("%d statements, %s", log.of(r.Header), text)
				}
				if answers[0] != answers[1] {
					t.Errorf("%s of %s takes\n%s\nof %s\n%s", what, pair[0], answers[0], pair[1], answers[1])
				}
			}
		}
		fill := func(text, account, name string) string {
			return strings.NewReplacer("ACCOUNT", account, "NAME", name, "TAG", "v1", "DIGEST", layerOf(img), "LAYER", layerOf(img),
				"UPLOAD", upload[strings.LastIndexByte(upload, '/')+1:], "NEW", digest.FromString("abc").String(), "MANIFEST", quoted(string(img.Manifest))).Replace(text)
		}
		for name, op := range operations {
			if !strings.Contains(op.body, "NAME") {
				continue
			}
			compare(name, func(account, repository string) *servertest.Response {
				r := askAs(t, s, alice, "/", "ecr", ecrTarget+name, fill(op.body, account, repository))
				return &servertest.Response{Status: r.status, Header: r.header, Body: []byte(r.body)}
			})
		}
		for e := range servertest.EndpointActions {
			compare(e.Method+" "+e.Path, func(account, repository string) *servertest.Response {
				as := *c
				as.Host = account + ".dkr.ecr." + servertest.Region + ".localhost"
				var body []byte
				if e.Method == http.MethodPut || e.Method == http.MethodPatch {
					body = []byte("abc")
				}
				return as.Do(t, e.Method, fill(e.Path, account, repository)+"?digest="+digest.FromString("abc").String(), body)
			})
		}
	})
}

package server_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// leaves calls visit for each text in a document with the document that has another
// text in its place.
func leaves(doc any, other string, visit func()) {
	switch doc := doc.(type) {
	case map[string]any:
		for k, v := range doc {
			if _, ok := v.(string); ok {
				doc[k] = other
				visit()
				doc[k] = v
				continue
			}
			leaves(v, other, visit)
		}
	case []any:
		for i, v := range doc {
			if _, ok := v.(string); ok {
				doc[i] = other
				visit()
				doc[i] = v
				continue
			}
			leaves(v, other, visit)
		}
	}
}

// database is how databases complain, and what they are asked.
var database = regexp.MustCompile(`(?i)syntax error|sqlite|sqlstate|pgx|postgres|no such (table|column)|near "|\bselect\b.*\bfrom\b|insert into|\bwhere \w+ =|stack|goroutine|\.go:\d`)

// Texts that would be something else if they became a part of SQL, in all places
// of every operation: nothing fails, nothing is told, nothing is changed by them.
func TestTextsAreNoSQL(t *testing.T) {
	t.Parallel()
	if raced {
		t.Skip("thousands of requests, one after the other, find no races: they are made without the detector")
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "keep")
		c := s.Login(t)
		img := servertest.NewImage(1, 10)
		c.Push(t, "keep", "v1", img)
		fill := strings.NewReplacer("ACCOUNT", servertest.Account, "NAME", "app", "MANIFEST", `"{}"`, "LAYER", digest.FromString("a").String(),
			"NEW", digest.FromString("b").String(), "UPLOAD", "0197f3f5-0000-7000-8000-000000000000")
		for operation, a := range operations {
			var doc map[string]any
			if err := json.Unmarshal([]byte(fill.Replace(a.body)), &doc); err != nil {
				t.Fatal(err)
			}
			for _, member := range []string{"nextToken", "sort", "orderBy", "filter"} { // whether there is one or not
				if _, there := doc[member]; !there {
					doc[member] = "x"
				}
			}
			for _, text := range []string{`' OR '1'='1`, `keep'; DELETE FROM repositories; --`, `%`, `$1`, `" UNION SELECT key FROM objects --`} {
				leaves(doc, text, func() {
					status, answer := call(t, s, operation, string(servertest.JSON(doc)))
					if status >= 500 || database.MatchString(strings.ReplaceAll(strings.ReplaceAll(answer, string(servertest.JSON(text)), ""), text, "")) {
						t.Errorf("%s %s = %d %s", operation, servertest.JSON(doc), status, answer)
					}
				})
			}
		}
		for _, query := range []string{"tags/list?n=1&last='%20OR%20'1'='1", "tags/list?n=1%20OR%201=1", "tags/list?sort=name%3BDROP", "referrers/" + img.Digest.String() + "?artifactType='%20OR%20'1'='1"} {
			r := c.Do(t, "GET", "/v2/keep/"+query, nil)
			if r.Status >= 500 || database.Match(r.Body) {
				t.Errorf("GET %s = %d %s", query, r.Status, r.Body)
			}
		}
		c.Do(t, "GET", manifestPath("keep", "v1"), nil).Want(t, 200)
	})
}

// A filter that there is not selects nothing more and nothing less, and one that
// there is takes its own values only.
func TestFiltersAreThoseOfTheAPI(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range []string{"mine", "theirs"} {
			s.CreateRepository(t, name)
			s.Login(t).Push(t, name, "of-"+name, servertest.NewImage(1, 10))
		}
		for _, operation := range []string{"ListImages", "DescribeImages"} {
			_, plain := call(t, s, operation, `{"repositoryName":"mine"}`)
			for _, filter := range []string{`{"repository":"theirs"}`, `{"account":"210987654321"}`, `{"uid":"x","deletedAt":1}`, `{"tagStatus":"ANY","key":"secret"}`} {
				if status, got := call(t, s, operation, `{"repositoryName":"mine","filter":`+filter+`}`); status != 200 || got != plain {
					t.Errorf("%s with %s = %d %s, want %s", operation, filter, status, got, plain)
				}
			}
			for _, filter := range []string{`{"tagStatus":"any"}`, `{"tagStatus":"' OR 1=1"}`, `{"tagStatus":["ANY"]}`, `{"tagStatus":{"$ne":""}}`, `"ANY"`, `[]`} {
				if status, got := call(t, s, operation, `{"repositoryName":"mine","filter":`+filter+`}`); status != 400 {
					t.Errorf("%s with %s = %d %s, want it refused", operation, filter, status, got)
				}
			}
		}
	})
}

// The AWS APIs are at one path, in one spelling.
func TestOtherSpellingsOfTheAPIsPath(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	s.CreateRepository(t, "app")
	const body = `{"repositoryName":"app"}`
	s.Decisions()
	for _, path := range []string{"//", "/./", "/x/..", "/.", "/%2f", "/%2e/", "/;", "/index", "/v1/", "/ecr", "/api/", "/%00", "/livez/", "/v2/../"} {
		for _, method := range []string{"POST", "GET", "HEAD", "PUT", "DELETE"} {
			for _, header := range []string{"", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"} {
				r := httptest.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/x-amz-json-1.1")
				r.Header.Set("X-Amz-Target", ecrTarget+"ListImages")
				if header != "" {
					r.Header.Set(header, "/")
				}
				r.Header.Set("X-HTTP-Method-Override", "POST")
				if err := sign(r, "ecr", []byte(body)); err != nil {
					t.Fatal(err)
				}
				w := httptest.NewRecorder()
				s.Server().Handler().ServeHTTP(w, r)
				if w.Code < 400 || w.Code >= 500 || w.Header().Get("Location") != "" {
					t.Errorf("%s %s = %d %s, want it refused", method, path, w.Code, w.Body)
				}
			}
		}
	}
	if d := s.Decisions(); len(d) > 0 {
		t.Errorf("%d decisions, the first about %s", len(d), d[0].Action)
	}
}

// No two servers have a key in common, and nobody else can read a server's.
func TestKeysAreMadeAtTheFirstStart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		dir := t.TempDir()
		c := &config.Config{Data: dir}
		k, err := server.RootKey(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(k.ID) != 20 || len(k.Secret) < 40 || seen[k.ID] || seen[k.Secret] {
			t.Errorf("the key %s with a secret of %d characters: too short, or made before", k.ID, len(k.Secret))
		}
		seen[k.ID], seen[k.Secret] = true, true
		if again, err := server.RootKey(c); err != nil || again != k {
			t.Errorf("at the next start: %v, another key: %v", err, again != k)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("files %v, %v", files, err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v, %v: others could read it", f, info.Mode(), err)
			}
		}
	}
}

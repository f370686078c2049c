package s3bucket

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"berth/internal/blob/buckettest"
)

// Of many who claim a bucket at once one has it, and all are told who.
func TestABucketHasOneOwner(t *testing.T) {
	t.Parallel()
	b := open(t, buckettest.StartFakeS3(t))
	if is, err := b.Owner(t.Context()); err != nil || is != "" {
		t.Fatalf("nobody's bucket: %q, %v", is, err)
	}
	var all sync.WaitGroup
	var owners [8]string
	for i := range owners {
		all.Go(func() {
			var err error
			if owners[i], err = b.Claim(t.Context(), fmt.Sprint("database", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	is, err := b.Owner(t.Context())
	for _, told := range owners {
		if told != is || err != nil {
			t.Errorf("the bucket is %q's, %v, and somebody was told %q", is, err, told)
		}
	}
	for e, err := range b.List(t.Context()) {
		t.Errorf("the list has %v, %v", e, err)
	}
}

// A store may not know conditions.
func TestABucketIsClaimedInAStoreWithoutConditions(t *testing.T) {
	t.Parallel()
	fake := buckettest.FakeS3()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" && r.Header.Get("If-None-Match") != "" && strings.HasSuffix(r.URL.Path, "/owner") {
			w.WriteHeader(http.StatusNotImplemented)
			_, _ = fmt.Fprint(w, "<Error><Code>NotImplemented</Code></Error>")
			return
		}
		fake.ServeHTTP(w, r)
	}))
	defer s.Close()
	b := open(t, s.URL)
	if is, err := b.Claim(t.Context(), "one"); err != nil || is != "one" {
		t.Errorf("claimed: %q, %v", is, err)
	}
	if is, err := b.Claim(t.Context(), "two"); err != nil || is != "one" {
		t.Errorf("claimed by another: %q, %v", is, err)
	}
}

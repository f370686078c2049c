package buckettest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3Bucket is the bucket of FakeS3.
const S3Bucket = "berth"

// FakeS3 returns a server that speaks S3 and keeps what it is given in memory. It
// has one bucket, and takes any credentials.
func FakeS3() http.Handler {
	memory := s3mem.New()
	if err := memory.CreateBucket(S3Bucket); err != nil {
		panic(err) // it is the first
	}
	return withCopies(gofakes3.New(memory, gofakes3.WithTimeSkewLimit(0)).Server())
}

// withCopies adds UploadPartCopy, which the fake does not have, and has copies be of the
// class STANDARD unless they say otherwise.
func withCopies(fake http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source := r.Header.Get("X-Amz-Copy-Source")
		if source == "" || !r.URL.Query().Has("partNumber") {
			if source != "" && r.Header.Get("X-Amz-Storage-Class") == "" {
				r.Header.Set("X-Amz-Storage-Class", "STANDARD")
			}
			fake.ServeHTTP(w, r)
			return
		}
		got := httptest.NewRecorder()
		get := httptest.NewRequestWithContext(r.Context(), "GET", "/"+source, nil)
		if part := r.Header.Get("X-Amz-Copy-Source-Range"); part != "" {
			get.Header.Set("Range", part)
		}
		fake.ServeHTTP(got, get)
		if got.Code != http.StatusOK && got.Code != http.StatusPartialContent {
			w.WriteHeader(got.Code)
			return
		}
		put := httptest.NewRecorder()
		in := httptest.NewRequestWithContext(r.Context(), "PUT", r.URL.String(), got.Body)
		in.Header.Set("Content-Length", strconv.Itoa(got.Body.Len()))
		fake.ServeHTTP(put, in)
		w.WriteHeader(put.Code)
		_, _ = fmt.Fprintf(w, "<CopyPartResult><ETag>%s</ETag></CopyPartResult>", put.Header().Get("ETag")) // the client may have gone
	})
}

// StartFakeS3 starts FakeS3, which ends with the test, and returns its URL.
func StartFakeS3(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(FakeS3())
	t.Cleanup(s.Close)
	return s.URL
}

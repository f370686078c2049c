package buckettest

import (
	"net/http"
	"net/http/httptest"
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
	return gofakes3.New(memory, gofakes3.WithTimeSkewLimit(0)).Server()
}

// StartFakeS3 starts FakeS3, which ends with the test, and returns its URL.
func StartFakeS3(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(FakeS3())
	t.Cleanup(s.Close)
	return s.URL
}

package s3bucket

import (
	"cmp"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"berth/internal/blob"
	"berth/internal/blob/buckettest"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestClasses(t *testing.T) {
	t.Parallel()
	classes(t, buckettest.StartFakeS3(t), classOf)
}

// versitygw copies, and knows of one class only.
func TestClassesOnARealServer(t *testing.T) {
	t.Parallel()
	classes(t, startVersity(t), nil)
}

func classes(t *testing.T, url string, class func(*testing.T, blob.Bucket, string) string) {
	open := func(t *testing.T, endpoint string, parts bool) blob.Bucket {
		b := open(t, endpoint, func(o *Options) { o.ArchiveClass = "GLACIER_IR" })
		if parts {
			b.maxCopy, b.copyPart = minPart, minPart
		}
		return b
	}
	buckettest.RunClasses(t, url, open, class, "GLACIER_IR", "STANDARD")
}

func classOf(t *testing.T, bucket blob.Bucket, key string) string {
	t.Helper()
	b := bucket.(*Bucket)
	path, err := b.objectPath(key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: b.name, Key: &path})
	if err != nil {
		t.Fatal(err)
	}
	return cmp.Or(string(out.StorageClass), "STANDARD")
}

// An object goes away when the store has begun to copy it. That leaves nothing.
func TestWhatGoesAwayIsNotCopied(t *testing.T) {
	t.Parallel()
	for _, parts := range []bool{false, true} {
		fake := buckettest.FakeS3()
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if source := r.Header.Get("X-Amz-Copy-Source"); source != "" {
				fake.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(r.Context(), "DELETE", "/"+source, nil))
			}
			fake.ServeHTTP(w, r)
		}))
		t.Cleanup(store.Close)
		b := open(t, store.URL)
		if parts {
			b.maxCopy, b.copyPart = minPart, minPart
		}
		w, err := begin(t, b, t.Context(), 1, make([]byte, minPart+1))
		if err != nil {
			t.Fatal(err)
		}
		key, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.CopyToClass(t.Context(), key, newKey(), true); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("CopyToClass = %v, want ErrNotFound", err)
		}
		for e, err := range b.List(t.Context()) {
			t.Errorf("%+v is left, %v", e, err)
		}
	}
}

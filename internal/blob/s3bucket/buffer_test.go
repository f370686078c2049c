package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/blob/buckettest"
)

// startSink starts a store that takes everything and keeps nothing.
func startSink(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what is missing nobody misses
		switch q := r.URL.Query(); {
		case r.Method == "POST" && q.Has("uploads"):
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == "POST":
			_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
		case r.Header.Get("X-Amz-Copy-Source") != "":
			_, _ = io.WriteString(w, `<CopyPartResult><ETag>"e"</ETag></CopyPartResult>`)
		default:
			w.Header().Set("ETag", `"e"`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Not parallel: nobody else may use memory meanwhile.
func TestManyUploadsAtOnceShareTheMemory(t *testing.T) {
	const uploads, size, share = 64, 8 << 20, 48 << 20
	b := open(t, startSink(t), func(o *Options) { o.Memory = share })
	chunk := make([]byte, 1<<20)
	most := buckettest.PeakMemory()
	var all sync.WaitGroup
	for i := range uploads {
		all.Go(func() {
			w, err := b.Upload(t.Context(), fmt.Sprintf("%032x", i), 0, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for range size / len(chunk) {
				if _, err := w.Write(chunk); err != nil {
					t.Error(err)
					return
				}
			}
			if _, err := w.Finish(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := most(); got > share+share/2 {
		t.Errorf("%d uploads of 8 MiB took %d MiB of memory, want about %d", uploads, got>>20, share>>20)
	}
	if n := len(b.buffers.taken) + len(b.buffers.rights); n > 0 {
		t.Error("memory was not given back")
	}
}

// begin begins an upload and writes to it.
func begin(t *testing.T, b *Bucket, ctx context.Context, number int, content []byte) (blob.Writer, error) {
	t.Helper()
	w, err := b.Upload(ctx, fmt.Sprintf("%032x", number), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	_, err = w.Write(content)
	return w, err
}

func TestWhoGoesAwayDoesNotWaitForMemory(t *testing.T) {
	t.Parallel()
	b := open(t, startSink(t), func(o *Options) { o.Memory = maxPart })
	if _, err := begin(t, b, t.Context(), 1, []byte("a")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := begin(t, b, ctx, 2, []byte("a")); !errors.Is(err, blob.ErrNotDone) {
		t.Errorf("Write without memory = %v, want ErrNotDone", err)
	}
}

// Many send a little and then nothing. Others go on; when there is no memory at all, they
// are told so soon.
func TestWhoSendsSlowlyHoldsWhatWasSent(t *testing.T) {
	t.Parallel()
	b := open(t, startSink(t), func(o *Options) { o.Memory = 2*maxPart + 1<<20 })
	many := cap(b.buffers.taken) // as many chunks as are for everybody
	for i := range many {
		if _, err := begin(t, b, t.Context(), i, []byte("a")); err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
	}
	w, err := begin(t, b, t.Context(), many, make([]byte, 3*minPart+1))
	if err == nil {
		_, err = w.Suspend()
	}
	if err != nil {
		t.Errorf("another upload: %v", err)
	}
	if _, err := begin(t, b, t.Context(), many+1, []byte("a")); err != nil {
		t.Errorf("the last one: %v", err)
	}
	b.buffers.wait = time.Millisecond
	if _, err := begin(t, b, t.Context(), many+2, []byte("a")); !errors.Is(err, blob.ErrNotDone) {
		t.Errorf("Write without memory = %v, want ErrNotDone", err)
	}
}

// As many as hold all that is for everybody want more. They get it one after the other.
func TestWhoWantsMoreDoesNotKeepOthersWaitingForEver(t *testing.T) {
	t.Parallel()
	b := open(t, startSink(t), func(o *Options) { o.Memory = maxPart + 4<<20 })
	writers := make([]blob.Writer, 16)
	for i := range writers {
		var err error
		if writers[i], err = begin(t, b, t.Context(), i, make([]byte, chunkSize)); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for _, w := range writers {
		all.Go(func() {
			_, err := w.Write(make([]byte, 2*minPart))
			if err == nil {
				_, err = w.Suspend()
			}
			if err != nil {
				t.Errorf("Write: %v", err)
			}
		})
	}
	all.Wait()
}

// BenchmarkLargeObject writes one object of as many GiB as there are rounds, to show
// that the memory stays the same. With a hundredth of the parts of each size, a GiB of
// it is like a hundred.
func BenchmarkLargeObject(b *testing.B) {
	bucket := open(b, startSink(b))
	bucket.plan = plan{[]step{{20, minPart}, {20, midPart}, {15, maxPart}}, 75}
	chunk := make([]byte, 1<<20)
	b.SetBytes(1 << 30)
	most := buckettest.PeakMemory()
	w, err := bucket.Upload(b.Context(), fmt.Sprintf("%032x", 1), 0, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for range 1 << 30 / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				b.Fatal(err)
			}
		}
	}
	if _, err := w.Suspend(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(most()>>20), "peak-MiB")
}

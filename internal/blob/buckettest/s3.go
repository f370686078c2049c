package buckettest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"

	"berth/internal/blob"

	"github.com/opencontainers/go-digest"
)

// layerSize is that of a blob which takes two parts, the last of them short, and
// three tails on the way.
const layerSize = 5<<20 + 200<<10

// s3Faults are the faults that pass and the operations that have them: whatever a
// push, a pull and a deletion ask of a store.
var s3Faults = map[string][]Fault{
	"CreateMultipartUpload":   {InternalError, SlowDown, Silence, Reset, Truncated, LostAnswer, Twice},
	"UploadPart":              {InternalError, SlowDown, Silence, Reset, LostAnswer, Twice, Delayed},
	"CompleteMultipartUpload": {InternalError, SlowDown, Silence, Reset, Slow, Truncated, LostAnswer, Twice, Delayed},
	"PutObject":               {InternalError, SlowDown, Silence, Reset, LostAnswer, Twice, Delayed},
	"GetObject":               {InternalError, SlowDown, Silence, Reset, Slow, Truncated, LostAnswer, Twice},
	"HeadObject":              {InternalError, SlowDown, Silence, Reset, LostAnswer, Twice},
	"DeleteObject":            {InternalError, SlowDown, Silence, Reset, LostAnswer, Twice, Late},
	"AbortMultipartUpload":    {InternalError, SlowDown, Reset, LostAnswer, Twice},
	"List":                    {InternalError, SlowDown, Reset, Truncated, LostAnswer},
}

// RunS3 tests how the buckets that open returns bear the faults of the S3 store at a
// URL. open returns a bucket that is empty and uses the store at the endpoint given,
// which may be silent for ever when it is asked for something.
// What must hold after each fault: nothing succeeds that did not happen, what is
// tried again works, nothing is visible by half.
func RunS3(t *testing.T, store string, open func(t *testing.T, endpoint string, silent bool) blob.Bucket) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			runS3(t, kind, store, open)
		})
	}
}

// kind is a kind of store over a bucket.
type kind struct {
	name string
	over func(blob.Bucket) *blob.Store
}

var kinds = []kind{{"plain", blob.NewStore}, {"sealed", sealing}}

func sealing(b blob.Bucket) *blob.Store { return blob.NewSealing(b, unsealed{}, true) }

func runS3(t *testing.T, kind kind, store string, open func(t *testing.T, endpoint string, silent bool) blob.Bucket) {
	for operation, faults := range s3Faults {
		for _, f := range faults {
			t.Run(operation+" has a passing fault: "+string(f), func(t *testing.T) {
				t.Parallel()
				p := StartProxy(t, store)
				b := open(t, p.URL, f == Silence)
				passingFault(t, p, b, kind.over(b), operation, f)
			})
		}
	}
	for operation, f := range map[string]Fault{
		"CreateMultipartUpload": SlowDown, "UploadPart": InternalError, "CompleteMultipartUpload": Reset, "PutObject": InternalError,
		"GetObject": Truncated, "HeadObject": SlowDown,
	} {
		t.Run(operation+" has a lasting fault: "+string(f), func(t *testing.T) {
			t.Parallel()
			p := StartProxy(t, store)
			b := open(t, p.URL, false)
			lastingFault(t, p, b, kind.over(b), operation, f)
		})
	}
	for name, test := range map[string]func(*testing.T, *Proxy, blob.Bucket, *blob.Store){
		"an answer to Complete that is always lost is no failure": lostComplete,
		"an upload of which nobody knows whether it is finished":  unknownComplete,
		"a DELETE that comes late hits nothing newer":             lateDelete,
		"an upload goes on after its process was killed":          killed,
		"two that go on from one state do not mix":                twoWriters,
		"a PUT that comes late replaces no other's object":        latePut,
		"parts that come late change nothing":                     lateParts,
		"ranges are whole whatever happens":                       ranges,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := StartProxy(t, store)
			b := open(t, p.URL, false)
			test(t, p, b, kind.over(b))
		})
	}
}

// push stores a blob in pieces that leave tails of several sizes.
func push(t *testing.T, s *blob.Store, want []byte) (blob.Upload, blob.Object, error) {
	var u blob.Upload
	cuts := []int{0, 100 << 10, 300 << 10, 5<<20 + 100<<10, len(want)}
	for i := 1; i < len(cuts); i++ {
		if err := s.Append(t.Context(), &u, bytes.NewReader(want[cuts[i-1]:cuts[i]])); err != nil {
			return u, blob.Object{}, err
		}
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
	return u, o, err
}

func passingFault(t *testing.T, p *Proxy, b blob.Bucket, s *blob.Store, operation string, f Fault) {
	want := content(layerSize)
	happened := false
	once := Once(operation, f)
	p.Plan(func(r *http.Request) Fault {
		f := once(r)
		happened = happened || f != NoFault
		return f
	})
	_, o, err := push(t, s, want)
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	if operation == "AbortMultipartUpload" || operation == "List" {
		if err := s.Abandon(t.Context(), store(t, s, want)); err != nil {
			t.Errorf("Abandon = %v", err)
		}
	}
	p.Release()
	if got := readObject(t, s, o); !bytes.Equal(got, want) {
		t.Error("the object differs from what was pushed")
	}
	if err := s.Remove(t.Context(), o); err != nil {
		t.Errorf("Remove = %v", err)
	}
	p.Release()
	sweep(t, b)
	if !happened {
		t.Errorf("no request had the fault")
	}
}

// sweep aborts what is left of uploads, and fails the test if objects are left.
func sweep(t *testing.T, b blob.Bucket) {
	t.Helper()
	left := b.(blob.Reapable)
	for e, err := range left.Uploads(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := left.Abort(t.Context(), e.Key); err != nil {
			t.Errorf("Abort = %v", err)
		}
	}
	for e, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("the bucket still holds %+v", e)
	}
}

func lastingFault(t *testing.T, p *Proxy, b blob.Bucket, s *blob.Store, operation string, f Fault) {
	want := content(layerSize)
	p.Plan(Always(operation, f))
	u, o, err := push(t, s, want)
	if err == nil && s.Verify(t.Context(), o) == nil {
		t.Error("a blob was pushed and read though requests failed all the time")
	}
	p.Plan(nil)
	if err == nil {
		u.Key = o.Key
	} else {
		goOn(t, s, u, want, err)
	}
	if err != nil {
		for e, listErr := range b.List(t.Context()) {
			if listErr != nil {
				t.Fatal(listErr)
			}
			if e.Finished && !whole(t, s, u, e, want) {
				t.Errorf("the push failed (%v) and made half an object", err)
			}
		}
	}
	if err := s.Abandon(t.Context(), u); err != nil {
		t.Errorf("Abandon = %v", err)
	}
	if _, o, err = push(t, s, want); err != nil {
		t.Fatalf("push when the fault is over: %v", err)
	}
	if err := s.Verify(t.Context(), o); err != nil {
		t.Errorf("Verify = %v", err)
	}
	if err := s.Remove(t.Context(), o); err != nil {
		t.Errorf("Remove = %v", err)
	}
	sweep(t, b)
}

// whole reports whether an object in the bucket is all of a blob. What a sealed one is
// without its facts nobody can say but by its size.
func whole(t *testing.T, s *blob.Store, u blob.Upload, e blob.Entry, want []byte) bool {
	t.Helper()
	if u.Format != blob.FormatPlain {
		return e.Size == int64(len(want)+(len(want)+blob.ChunkSize-1)/blob.ChunkSize*16)
	}
	return s.Verify(t.Context(), blob.Object{Digest: digest.FromBytes(want), Size: int64(len(want)), Key: e.Key}) == nil
}

// goOn goes on with an upload that had a fault.
func goOn(t *testing.T, s *blob.Store, u blob.Upload, want []byte, fault error) {
	t.Helper()
	if !errors.Is(fault, blob.ErrNotDone) {
		t.Fatalf("push = %v, want ErrNotDone", fault)
	}
	if err := s.Append(t.Context(), &u, bytes.NewReader(want[u.Size:])); err != nil {
		t.Fatalf("Append when the fault is over: %v", err)
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
	if err != nil {
		t.Fatalf("Finish when the fault is over: %v", err)
	}
	if err := errors.Join(s.Verify(t.Context(), o), s.Remove(t.Context(), o)); err != nil {
		t.Errorf("Verify and Remove = %v", err)
	}
}

func lostComplete(t *testing.T, p *Proxy, b blob.Bucket, s *blob.Store) {
	want := content(layerSize)
	p.Plan(Always("CompleteMultipartUpload", LostAnswer))
	u, o, err := push(t, s, want)
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	again, err := s.Finish(t.Context(), u, o.Digest)
	if err != nil || again.Key != o.Key {
		t.Errorf("Finish of what is finished = %+v, %v, want the same object", again, err)
	}
	for _, o := range []blob.Object{o, again} {
		if got := readObject(t, s, o); !bytes.Equal(got, want) {
			t.Error("the object differs from what was pushed")
		}
	}
}

// unknownComplete has nobody know whether an upload was finished until it is finished
// again.
func unknownComplete(t *testing.T, p *Proxy, b blob.Bucket, s *blob.Store) {
	want := content(layerSize)
	p.Plan(func(r *http.Request) Fault {
		switch Operation(r) {
		case "CompleteMultipartUpload":
			return LostAnswer
		case "HeadObject":
			return Denied
		}
		return NoFault
	})
	u, _, err := push(t, s, want)
	if !errors.Is(err, blob.ErrNotDone) {
		t.Fatalf("push = %v, want ErrNotDone", err)
	}
	p.Plan(nil)
	o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
	if err != nil {
		t.Fatalf("Finish again = %v", err)
	}
	if got := readObject(t, s, o); !bytes.Equal(got, want) {
		t.Error("the object differs from what was pushed")
	}
}

func lateDelete(t *testing.T, p *Proxy, b blob.Bucket, s *blob.Store) {
	want := content(layerSize)
	p.Plan(Always("DeleteObject", Late))
	var u blob.Upload
	for piece := range slices.Chunk(want, 1<<20) {
		if err := s.Append(t.Context(), &u, bytes.NewReader(piece)); err != nil {
			t.Fatal(err)
		}
		p.Release()
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), u); err != nil {
		t.Errorf("Settle = %v", err)
	}
	p.Release()
	if got := readObject(t, s, o); !bytes.Equal(got, want) {
		t.Error("the object differs from what was pushed")
	}
	for e, err := range b.(blob.Reapable).Uploads(t.Context()) {
		t.Errorf("%+v is left behind, %v", e, err)
	}
}

// inBucket is how many bytes of an upload are in the bucket.
func inBucket(u blob.Upload) int64 {
	if u.Format == blob.FormatPlain {
		return u.Size
	}
	return (u.Size - 1) / blob.ChunkSize * (blob.ChunkSize + 16)
}

func killed(t *testing.T, _ *Proxy, b blob.Bucket, s *blob.Store) {
	want := content(2 * layerSize)
	u := store(t, s, want[:7<<20])
	w, err := b.Upload(t.Context(), u.Key, inBucket(u), u.State)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content(4 << 20)); err != nil { // other bytes, which nobody acknowledged
		t.Fatal(err)
	}
	if _, err := w.Suspend(); err != nil { // its state is lost with the process
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), &u, bytes.NewReader(want[7<<20:])); err != nil {
		t.Fatal(err)
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
	if err != nil {
		t.Fatal(err)
	}
	if got := readObject(t, s, o); !bytes.Equal(got, want) {
		t.Error("the object differs from what was pushed")
	}
}

// twoWriters has two processes write different bytes from one state: the object
// must be what one of them wrote, or none.
func twoWriters(t *testing.T, _ *Proxy, b blob.Bucket, s *blob.Store) {
	want := content(2 * layerSize)
	first := store(t, s, want[:7<<20])
	second := first
	if err := s.Append(t.Context(), &first, bytes.NewReader(want[7<<20:])); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), &second, bytes.NewReader(content(5<<20))); err != nil {
		t.Fatal(err)
	}
	o, err := s.Finish(t.Context(), first, digest.FromBytes(want))
	if err == nil {
		if err := s.Verify(t.Context(), o); err != nil {
			t.Errorf("the two were mixed: %v", err)
		}
		return
	}
	if _, err := b.Stat(t.Context(), first.Key); err == nil {
		t.Error("Finish failed and yet made an object")
	}
}

// latePut has two processes finish one upload at different sizes, the smaller of them
// so that the store does it twice, once late.
func latePut(t *testing.T, p *Proxy, b blob.Bucket, s *blob.Store) {
	want := content(2 << 20)
	before := store(t, s, want[:1<<20])
	u := before
	if err := s.Append(t.Context(), &u, bytes.NewReader(want[1<<20:])); err != nil {
		t.Fatal(err)
	}
	p.Plan(Once("PutObject", Late))
	if _, err := s.Finish(t.Context(), before, digest.FromBytes(want[:1<<20])); err != nil {
		t.Fatal(err)
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context(), before, digest.FromBytes(want[:1<<20])); err != nil {
		t.Fatal(err)
	}
	p.Release()
	if got := readObject(t, s, o); !bytes.Equal(got, want) {
		t.Error("the object differs from what was pushed")
	}
}

// lateParts has the store do everything that a push asks for again, later: between the
// chunks, and when all is done.
func lateParts(t *testing.T, p *Proxy, b blob.Bucket, s *blob.Store) {
	for _, operation := range []string{"UploadPart", "CompleteMultipartUpload", "PutObject"} {
		want := content(layerSize)
		p.Plan(Once(operation, Delayed))
		var u blob.Upload
		for piece := range slices.Chunk(want, 2<<20) {
			if err := s.Append(t.Context(), &u, bytes.NewReader(piece)); err != nil {
				t.Fatal(err)
			}
			if operation == "UploadPart" {
				p.Release()
			}
		}
		o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
		if err != nil {
			t.Fatalf("%s comes late: %v", operation, err)
		}
		p.Release()
		if got := readObject(t, s, o); !bytes.Equal(got, want) {
			t.Errorf("%s comes late: the object differs from what was pushed", operation)
		}
		if err := s.Remove(t.Context(), o); err != nil {
			t.Errorf("Remove = %v", err)
		}
		sweep(t, b)
	}
}

// ranges reads an object in pieces, here and there, while each request has a fault.
func ranges(t *testing.T, p *Proxy, _ blob.Bucket, s *blob.Store) {
	want := content(1 << 20)
	o, err := s.Finish(t.Context(), store(t, s, want), digest.FromBytes(want))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, f := range []Fault{InternalError, SlowDown, Reset, Slow, Truncated, LostAnswer, Twice} {
		for _, at := range []int{0, 1, 500_000, 1 << 19, len(want) - 3, len(want)} {
			p.Plan(Once("GetObject", f))
			got := make([]byte, min(300_000, len(want)-at))
			_, err := r.Seek(int64(at), io.SeekStart)
			if err == nil {
				_, err = io.ReadFull(r, got)
			}
			if err != nil || !bytes.Equal(got, want[at:at+len(got)]) {
				t.Errorf("%s: bytes from %d on: %v, or they differ", f, at, err)
			}
		}
	}
}

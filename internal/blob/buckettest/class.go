package buckettest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"

	"berth/internal/blob"
)

// classFaults are the faults that pass of what a copy to another class asks of a store.
var classFaults = map[string][]Fault{
	"HeadObject":              {InternalError, SlowDown, Reset, LostAnswer, Twice},
	"CopyObject":              {InternalError, SlowDown, Reset, Slow, Truncated, LostAnswer, Twice, Delayed},
	"CreateMultipartUpload":   {InternalError, Reset, LostAnswer, Twice},
	"UploadPartCopy":          {InternalError, SlowDown, Reset, Truncated, LostAnswer, Twice, Delayed},
	"CompleteMultipartUpload": {InternalError, Reset, Truncated, LostAnswer, Twice, Delayed},
}

// RunClasses tests the classes of the buckets that open returns, which use the store at the
// endpoint given, that of the URL or one before it. If parts is true they copy 5 MiB in one
// request at most. archived and standard are the classes that they have; class
// returns that of an object, and is nil if the store keeps none.
func RunClasses(t *testing.T, store string, open func(t *testing.T, endpoint string, parts bool) blob.Bucket,
	class func(t *testing.T, b blob.Bucket, key string) string, archived, standard string) {
	copied := func(t *testing.T, b blob.Bucket, size int, plan func()) {
		t.Helper()
		want := content(size)
		key := write(t, b, anyKey(), want)
		plan()
		keys := []string{key, anyKey(), anyKey()}
		for i, to := range []string{archived, standard} {
			if err := b.(blob.Classer).CopyToClass(t.Context(), keys[i], keys[i+1], to == archived); err != nil {
				t.Fatalf("copy to %s: %v", to, err)
			}
			if class == nil {
				continue
			}
			if got := class(t, b, keys[i+1]); got != to {
				t.Errorf("the copy is in the class %s, want %s", got, to)
			}
		}
		for _, k := range keys {
			if !bytes.Equal(readAll(t, b, k), want) {
				t.Error("what was copied differs")
			}
			if err := b.Delete(t.Context(), k); err != nil {
				t.Error(err)
			}
		}
	}
	none := func() {}
	t.Run("an object goes to the archive and back", func(t *testing.T) {
		t.Parallel()
		b := open(t, store, false)
		copied(t, b, 100, none)
		copied(t, b, layerSize, none)
		sweep(t, b)
	})
	t.Run("a large object is copied in parts", func(t *testing.T) {
		t.Parallel()
		b := open(t, store, true)
		copied(t, b, 5<<20, none)
		copied(t, b, layerSize, none)
		sweep(t, b)
	})
	t.Run("what is not there is not copied", func(t *testing.T) {
		t.Parallel()
		b := open(t, store, false)
		if err := b.(blob.Classer).CopyToClass(t.Context(), anyKey(), anyKey(), true); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("CopyToClass = %v, want ErrNotFound", err)
		}
		sweep(t, b)
	})
	for operation, faults := range classFaults {
		for _, f := range faults {
			t.Run(operation+" has a passing fault: "+string(f), func(t *testing.T) {
				t.Parallel()
				p := StartProxy(t, store)
				b, size := open(t, p.URL, true), layerSize
				if operation == "CopyObject" || operation == "HeadObject" {
					size = 1000
				}
				happened := false
				once := Once(operation, f)
				copied(t, b, size, func() {
					p.Plan(func(r *http.Request) Fault {
						f := once(r)
						happened = happened || f != NoFault
						return f
					})
				})
				if !happened {
					t.Error("no request had the fault")
				}
			})
		}
	}
}

// anyKey returns a key that was never used.
func anyKey() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

package dirbucket

import (
	"os"
	"path/filepath"
	"testing"

	"berth/internal/blob"
	"berth/internal/blob/buckettest"
)

func TestBucket(t *testing.T) {
	t.Parallel()
	buckettest.Run(t, func(t *testing.T) blob.Bucket {
		b, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	})
}

func TestBucketAmongPlaces(t *testing.T) {
	t.Parallel()
	buckettest.Run(t, func(t *testing.T) blob.Bucket {
		places := &blob.Places{At: map[string]blob.Bucket{}}
		for _, name := range []string{blob.InDirectory, blob.InS3} {
			b, err := Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			places.At[name] = b
		}
		places.New = blob.InS3
		return places
	})
}

func TestReaderIsABareFile(t *testing.T) {
	t.Parallel()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	key := "000102030405060708090a0b0c0d0e0f"
	w, err := b.Upload(t.Context(), key, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Errorf("Open returned a %T, want *os.File: the kernel cannot send anything else", r)
	}
}

func TestLinksOutOfTheDirectoryAreNotFollowed(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	key := "000102030405060708090a0b0c0d0e0f"
	if err := os.Symlink(outside, filepath.Join(dir, "objects/00", key)); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Open(t.Context(), key); err == nil {
		_ = r.Close()
		t.Error("Open followed a link out of the bucket")
	}
}

// A network file system renames what is removed while it is open; people leave copies.
func TestFilesThatAreNoKeysAreNotListed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, name := range []string{"uploads/.nfs000000000001", "objects/00/copy.bak", "objects/ff/.DS_Store"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for e, err := range b.List(t.Context()) {
		t.Errorf("List has %v, %v", e, err)
	}
	for e, err := range b.Uploads(t.Context()) {
		t.Errorf("Uploads has %v, %v", e, err)
	}
}

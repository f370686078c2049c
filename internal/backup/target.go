package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth/internal/blob"
	"berth/internal/durable"
)

const (
	snapshotsDir = "snapshots"
	factsFile    = "facts.db"
	manifestFile = "manifest.json"

	// format is the version of the layout.
	format = 1
)

// Manifest says what a snapshot is.
type Manifest struct {
	Format   int       `json:"format"`
	ID       string    `json:"id"`
	Number   int64     `json:"number"`   // greater than that of every snapshot before, whatever clocks say
	Berth    string    `json:"berth"`    // the version that made it
	Database string    `json:"database"` // what the facts come from
	TakenAt  time.Time `json:"takenAt"`  // the moment of the facts
	Facts    Sum       `json:"facts"`
	Summary
	Missing []Missing `json:"missing"` // was not there, or not whole, when the snapshot was made

	// AuthenticatedBy is the id of the master key whose MAC there is beside the manifest,
	// which does not say itself. Whether it is right, Authenticate says.
	AuthenticatedBy string `json:"authenticatedBy,omitempty"`
}

// Sum is the size and the hash of a file.
type Sum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Target is a directory with backups. It must be used by one process at a time.
type Target struct {
	dir    string
	bucket blob.Bucket
}

// NewTarget returns the backups in a directory, which is there. Its objects are in the
// bucket.
func NewTarget(dir string, objects blob.Bucket) *Target { return &Target{dir, objects} }

// Bucket is where the objects are.
func (t *Target) Bucket() blob.Bucket { return t.bucket }

// FactsPath returns where the facts of a snapshot are.
func (t *Target) FactsPath(id string) string {
	return filepath.Join(t.dir, snapshotsDir, id, factsFile)
}

// ErrNone: there is no snapshot, or none of that id.
var ErrNone = errors.New("there is no snapshot")

// Snapshots returns the manifests of all snapshots, the first one first.
func (t *Target) Snapshots() ([]Manifest, error) {
	entries, err := os.ReadDir(filepath.Join(t.dir, snapshotsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []Manifest
	for _, e := range entries {
		path := filepath.Join(t.dir, snapshotsDir, e.Name(), manifestFile)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was not finished
		}
		var m Manifest
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err == nil && m.Format > format {
			err = fmt.Errorf("format %d is that of a newer berth: this one knows %d", m.Format, format)
		}
		if err == nil && (m.Format < 1 || m.ID != e.Name()) {
			err = errors.New("it is not the manifest of this snapshot")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		a, err := readAuthentic(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		m.AuthenticatedBy = a.MasterKey
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Manifest) int { return cmp.Compare(a.Number, b.Number) })
	return out, nil
}

// Snapshot returns the manifest of a snapshot, of the last one for "". Its facts have
// been held against it.
func (t *Target) Snapshot(id string) (Manifest, error) {
	all, err := t.Snapshots()
	if err != nil {
		return Manifest{}, err
	}
	at := len(all) - 1
	if id != "" {
		at = slices.IndexFunc(all, func(m Manifest) bool { return m.ID == id })
	}
	if at < 0 {
		return Manifest{}, fmt.Errorf("%w in %s", ErrNone, strings.TrimSuffix(filepath.Join(t.dir, snapshotsDir, id), string(filepath.Separator)))
	}
	m := all[at]
	sum, err := sumFile(t.FactsPath(m.ID), false)
	if err == nil && sum != m.Facts {
		err = fmt.Errorf("%s is damaged: it is not the file that its manifest describes; take another snapshot", t.FactsPath(m.ID))
	}
	return m, err
}

// clean removes snapshots that were not finished.
func (t *Target) clean() error {
	root := filepath.Join(t.dir, snapshotsDir)
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(root, e.Name(), manifestFile)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the directory of a snapshot, and names it by its time.
func (t *Target) begin(m *Manifest) (dir string, err error) {
	root := filepath.Join(t.dir, snapshotsDir)
	all, err := t.Snapshots()
	if err != nil {
		return "", err
	}
	m.Number = 1
	if n := len(all); n > 0 {
		m.Number = all[n-1].Number + 1
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", err
	}
	if err := durable.SyncDir(t.dir); err != nil {
		return "", err
	}
	at := m.TakenAt.Format("20060102T150405Z")
	m.ID = at
	for n := 2; ; n++ {
		dir = filepath.Join(root, m.ID)
		if err = os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
		m.ID = fmt.Sprintf("%s-%d", at, n)
	}
}

// finish writes the manifest when all else is durable: then there is a snapshot. Nobody
// authenticates it if by is nil.
func (t *Target) finish(m *Manifest, by *Authenticator) error {
	if m.Missing == nil {
		m.Missing = []Missing{}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Join(t.dir, snapshotsDir, m.ID)
	for _, d := range []string{dir, filepath.Dir(dir)} { // with the facts, and the snapshot itself
		if err := durable.SyncDir(d); err != nil {
			return err
		}
	}
	text = append(text, '\n')
	if by != nil {
		if err := authenticate(dir, text, by); err != nil {
			return err
		}
		m.AuthenticatedBy = by.MasterKey
	}
	return durable.Write(filepath.Join(dir, manifestFile), text)
}

// prune removes all but the last snapshots, and then the objects that no snapshot names
// that is left.
func (t *Target) prune(ctx context.Context, o Options) (ids []string, objects int64, err error) {
	all, err := t.Snapshots()
	if err != nil || o.Keep == 0 || len(all) <= o.Keep {
		return []string{}, 0, err
	}
	over := len(all) - o.Keep
	for _, m := range all[:over] {
		if err := t.remove(m.ID); err != nil {
			return ids, 0, err
		}
		ids = append(ids, m.ID)
	}
	named := map[string]bool{}
	for _, m := range all[over:] {
		if err := t.names(ctx, o, m.ID, named); err != nil {
			return ids, 0, err
		}
	}
	for e, err := range t.bucket.List(ctx) {
		if err != nil {
			return ids, objects, err
		}
		if named[e.Key] {
			continue
		}
		if err := t.bucket.Delete(ctx, e.Key); err != nil {
			return ids, objects, err
		}
		objects++
	}
	return ids, objects, nil
}

// remove removes a snapshot, its manifest first: half a snapshot is none.
func (t *Target) remove(id string) error {
	dir := filepath.Join(t.dir, snapshotsDir, id)
	if err := os.Remove(filepath.Join(dir, manifestFile)); err != nil {
		return err
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// names adds the keys that a snapshot names.
func (t *Target) names(ctx context.Context, o Options, id string, named map[string]bool) error {
	facts, err := o.Facts(ctx, t.FactsPath(id))
	if err != nil {
		return err
	}
	defer facts.Close()
	return pages(ctx, inBucket(facts), func(objects []Object) error {
		for _, o := range objects {
			named[bare(o.Key)] = true
		}
		return nil
	})
}

// page is how many objects are read at once.
const page = 500

// listing returns at most limit objects whose UIDs come after one, in order.
type listing func(ctx context.Context, after string, limit int) ([]Object, error)

// inBucket lists the objects that are in a bucket, and everything all.
func inBucket(f Facts) listing {
	return func(ctx context.Context, after string, limit int) ([]Object, error) {
		return f.Objects(ctx, after, limit, false)
	}
}

func everything(f Facts) listing {
	return func(ctx context.Context, after string, limit int) ([]Object, error) {
		return f.Objects(ctx, after, limit, true)
	}
}

// pages calls fn with all objects of a listing.
func pages(ctx context.Context, list listing, fn func([]Object) error) error {
	for after := ""; ; {
		objects, err := list(ctx, after, page)
		if err != nil || len(objects) == 0 {
			return err
		}
		if err := fn(objects); err != nil {
			return err
		}
		after = objects[len(objects)-1].UID
	}
}

// bare returns a key without the place that it is of: all are in one bucket here.
func bare(key string) string { return key[strings.IndexByte(key, ':')+1:] }

// sumFile returns the size and hash of a file, and makes it durable if that is wanted.
func sumFile(path string, durable bool) (Sum, error) {
	flag := os.O_RDONLY
	if durable {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return Sum{}, err
	}
	defer f.Close()
	if durable {
		if err := f.Sync(); err != nil {
			return Sum{}, err
		}
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	return Sum{n, hex.EncodeToString(h.Sum(nil))}, err
}

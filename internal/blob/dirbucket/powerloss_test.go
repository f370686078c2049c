package dirbucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"berth/internal/blob"
	"berth/internal/blob/buckettest"
	"berth/internal/blob/dirbucket"
	"berth/internal/blob/dirbucket/disktest"

	"github.com/opencontainers/go-digest"
)

func TestBucketOnADiskInMemory(t *testing.T) {
	t.Parallel()
	buckettest.Run(t, func(t *testing.T) blob.Bucket {
		b, err := dirbucket.New(disktest.NewDisk())
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

// bare is a KeyWrapper that wraps nothing.
type bare struct{}

func (bare) Wrap(_ context.Context, _ string, k []byte, _ string) ([]byte, error)   { return k, nil }
func (bare) Unwrap(_ context.Context, _ string, k []byte, _ string) ([]byte, error) { return k, nil }

// mains pushes blobs to a disk whose power may go after each operation.
type mains struct {
	random *rand.Rand
	bytes  *rand.ChaCha8
	seal   bool
	forget bool // nothing is ever synced

	disk     *disktest.Disk
	store    *blob.Store
	recorded []blob.Object // by a database that loses nothing
	uploads  []upload
	whole    map[*byte]bool // contents that were verified
	busy     bool           // a state is being looked at
	fails    int            // operations until the power goes

	states, lost int
	problem      string // the first
}

// upload is an unfinished one, and the bytes that it has.
type upload struct {
	blob.Upload
	content []byte
}

var errPower = errors.New("the power went")

// keep are the probabilities with which a state has what was not synced.
var keep = []float64{0, 1, 0.5, 0.1, 0.9}

// after looks at the states that the disk could be found in.
func (m *mains) after() {
	if m.busy {
		return
	}
	m.busy = true
	for _, p := range keep {
		m.states++
		if err := m.check(m.disk.Crash(m.random, p)); err != nil {
			if m.lost++; m.lost > 1 {
				continue
			}
			m.problem = fmt.Sprintf("with %.0f %% of what was not synced: %v", 100*p, err)
		}
	}
	m.busy = false
	if m.fails--; m.fails == 0 {
		panic(errPower)
	}
}

func (m *mains) over(d *disktest.Disk) (*dirbucket.Bucket, *blob.Store, error) {
	b, err := dirbucket.New(d)
	return b, blob.NewSealing(b, bare{}, m.seal), err
}

// check looks for what was recorded and is not whole, for objects that are there in
// part, and for what cannot be pushed.
func (m *mains) check(state *disktest.Disk) error {
	b, s, err := m.over(state)
	if err != nil {
		return err
	}
	for _, o := range m.recorded {
		content := state.Bytes("objects/" + o.Key[:2] + "/" + o.Key)
		if len(content) > 0 && m.whole[&content[0]] {
			continue
		}
		if err := s.Verify(context.Background(), o); err != nil {
			return fmt.Errorf("object %s: %w", o.Key, err)
		}
		m.whole[&content[0]] = true
	}
	for e, err := range b.List(context.Background()) {
		if err != nil {
			return err
		}
		name := "objects/" + e.Key[:2] + "/" + e.Key
		if e.Finished && !bytes.Equal(state.Bytes(name), m.disk.Bytes(name)) {
			return fmt.Errorf("object %s is there in part", e.Key)
		}
	}
	return push(b, fmt.Sprintf("%032x", m.random.Uint64())[16:]+"0000000000000000")
}

func push(b *dirbucket.Bucket, key string) error {
	w, err := b.Upload(context.Background(), key, 0, nil)
	if err != nil {
		return err
	}
	_, err = w.Finish()
	return err
}

// run lets the power go so many times.
func (m *mains) run(t *testing.T, times int) {
	m.disk, m.whole = disktest.NewDisk(), map[*byte]bool{}
	for i := range times {
		m.fails = 1 + m.random.IntN(40)
		if i == 1 {
			m.fails += 300 // the directories are made first
		}
		m.disk.After, m.disk.Forgetful = m.after, m.forget
		if err := m.work(); !errors.Is(err, errPower) {
			t.Fatal(err)
		}
		m.busy = false
		m.disk = m.disk.Crash(m.random, keep[m.random.IntN(len(keep))])
	}
}

// work pushes until the power goes.
func (m *mains) work() (err error) {
	defer func() {
		if p := recover(); p != nil {
			if err, _ = p.(error); err == nil {
				panic(p)
			}
		}
	}()
	_, m.store, err = m.over(m.disk)
	for err == nil {
		err = m.step()
	}
	return err
}

// step begins an upload, goes on with one, or finishes one.
func (m *mains) step() error {
	i := m.random.IntN(len(m.uploads) + 1)
	if i == len(m.uploads) {
		if i > 5 {
			return nil
		}
		m.uploads = append(m.uploads, upload{})
	}
	u := m.uploads[i]
	if len(u.content) > 2*blob.Inline || u.Key != "" && m.random.IntN(3) == 0 {
		return m.finish(i)
	}
	p := make([]byte, 1+m.random.IntN(80_000))
	_, _ = m.bytes.Read(p) // never fails
	err := m.store.Append(context.Background(), &u.Upload, bytes.NewReader(p))
	if err == nil {
		u.content = slices.Concat(u.content, p)
		m.uploads[i] = u
		return nil
	}
	return m.end(i, err)
}

// finish finishes an upload.
func (m *mains) finish(i int) error {
	u := m.uploads[i]
	o, err := m.store.Finish(context.Background(), u.Upload, digest.FromBytes(u.content))
	if err == nil {
		if err = m.store.Verify(context.Background(), o); err != nil {
			return fmt.Errorf("what was just finished: %w", err)
		}
		m.recorded = append(m.recorded, o)
	}
	return m.end(i, err)
}

// end forgets an upload. It may be lost, but must say so.
func (m *mains) end(i int, err error) error {
	m.uploads = slices.Delete(m.uploads, i, i+1)
	if errors.Is(err, blob.ErrUploadLost) {
		return nil
	}
	return err
}

func TestWhatWasFinishedOutlivesThePower(t *testing.T) {
	t.Parallel()
	for _, seal := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %v", seal), func(t *testing.T) {
			t.Parallel()
			m := &mains{random: rand.New(rand.NewPCG(1, 2)), bytes: rand.NewChaCha8([32]byte{}), seal: seal}
			m.run(t, crashes)
			if m.lost != 0 || m.states < 100*crashes || len(m.recorded) < crashes {
				t.Errorf("%d states with %d objects, %d wrong, want 0: %s", m.states, len(m.recorded), m.lost, m.problem)
			}
			t.Logf("%d crashes, %d states, %d objects recorded, violations = %d", crashes, m.states, len(m.recorded), m.lost)
		})
	}
}

// What the test above finds if nothing is synced.
func TestWhatIsNotSyncedIsLostWithThePower(t *testing.T) {
	t.Parallel()
	m := &mains{random: rand.New(rand.NewPCG(3, 4)), bytes: rand.NewChaCha8([32]byte{}), forget: true}
	m.run(t, 2)
	if m.lost == 0 {
		t.Errorf("%d states without a sync, none of them wrong", m.states)
	}
}

package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/access"
)

// keeper keeps batches in memory.
type keeper struct {
	mu      sync.Mutex
	batches []Batch // guarded by mu
	err     error   // what Relaxed returns; guarded by mu
	begin   func()  // called at the beginning of Relaxed; nil for nothing
}

// Relaxed implements Store.
func (k *keeper) Relaxed(ctx context.Context, fn func(Tx) error) error {
	if k.begin != nil {
		k.begin()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return fn(k)
}

// View implements Store.
func (k *keeper) View(_ context.Context, fn func(ReadTx) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fn(k)
}

// DecisionBatch implements ReadTx.
func (k *keeper) DecisionBatch(id, account string) ([]byte, Decided, bool, error) {
	for _, b := range k.batches {
		for _, d := range b.Decisions {
			if d.ID == id && (d.Owner == account || d.Caller == account) {
				return b.Content, d, true, nil
			}
		}
	}
	return nil, Decided{}, false, nil
}

// AddBatch implements Tx.
func (k *keeper) AddBatch(b Batch) error {
	k.batches = append(k.batches, b)
	return nil
}

// lines returns the records of a batch.
func lines(t *testing.T, b Batch) []map[string]any {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b.Content))
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	text := bufio.NewScanner(r)
	for text.Scan() {
		var record map[string]any
		if err := json.Unmarshal(text.Bytes(), &record); err != nil {
			t.Fatalf("line %q: %v", text.Bytes(), err)
		}
		out = append(out, record)
	}
	if err := text.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func at(second int) time.Time { return time.Date(2026, 5, 4, 3, 2, second, 0, time.UTC) }

var known = access.Caller{Type: access.Root}

func TestRecordsAreStoredInABatch(t *testing.T) {
	t.Parallel()
	k := new(keeper)
	l := NewLog(k, slog.New(slog.DiscardHandler))
	for i := range 3 {
		l.Record(access.Record{Time: at(i), Caller: known, Service: "ecr", Event: "ListImages", Parameters: map[string]int{"n": i}})
	}
	for range 2 { // the second time there is nothing to store
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.batches) != 1 {
		t.Fatalf("%d batches, want 1", len(k.batches))
	}
	b := k.batches[0]
	if b.ID == "" || !b.First.Equal(at(0)) || !b.Last.Equal(at(2)) || b.Records != 3 || b.Dropped != 0 {
		t.Errorf("batch = %+v, want three records of three seconds", b)
	}
	ids := map[any]bool{}
	for i, record := range lines(t, b) {
		if record["eventName"] != "ListImages" || record["eventTime"] != at(i).Format(time.RFC3339) {
			t.Errorf("record %d = %v", i, record)
		}
		ids[record["eventID"]] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d ids of records, want 3", len(ids))
	}
}

func TestManyRecordsAreSeveralBatches(t *testing.T) {
	t.Parallel()
	k := new(keeper)
	l := NewLog(k, slog.New(slog.DiscardHandler))
	for range 2*batchSize + 1 {
		l.Record(access.Record{Time: at(0), Caller: known})
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, b := range k.batches {
		sizes = append(sizes, len(lines(t, b)))
	}
	if len(sizes) != 3 || sizes[0] != batchSize || sizes[1] != batchSize || sizes[2] != 1 {
		t.Errorf("batches of %v, want %d, %d and 1", sizes, batchSize, batchSize)
	}
}

func TestRecordsThatThereIsNoRoomForAreCounted(t *testing.T) {
	t.Parallel()
	k := new(keeper)
	var log bytes.Buffer
	l := NewLog(k, slog.New(slog.NewTextHandler(&log, nil)))
	for range maxHeld + 7 {
		l.Record(access.Record{Time: at(0), Caller: known})
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, dropped := 0, int64(0)
	for _, b := range k.batches {
		records += b.Records
		dropped += b.Dropped
	}
	if records != maxHeld || dropped != 7 {
		t.Errorf("%d records stored and %d dropped, want %d and 7", records, dropped, maxHeld)
	}
	if !strings.Contains(log.String(), "dropped=7") {
		t.Errorf("log = %q, want it to say that 7 were dropped", &log)
	}
	l.Record(access.Record{Time: at(0), Caller: known})
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last := k.batches[len(k.batches)-1]; last.Records != 1 || last.Dropped != 0 {
		t.Errorf("the next batch has %d records and %d dropped, want 1 and 0", last.Records, last.Dropped)
	}
}

func TestOneRecordThatCannotBeStoredIsReported(t *testing.T) {
	t.Parallel()
	k := &keeper{err: errors.New("the database is away")}
	l := NewLog(k, slog.New(slog.DiscardHandler))
	l.Record(access.Record{Time: at(0), Caller: known})
	if err := l.Flush(t.Context()); !errors.Is(err, k.err) {
		t.Errorf("Flush = %v, want the store's error", err)
	}
}

func TestRunStoresEverySecondAndAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := new(keeper)
		l := NewLog(k, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })

		count := func() int {
			synctest.Wait()
			k.mu.Lock()
			defer k.mu.Unlock()
			n := 0
			for _, b := range k.batches {
				n += b.Records
			}
			return n
		}
		l.Record(access.Record{Time: at(0), Caller: known})
		if n := count(); n != 0 {
			t.Errorf("%d records stored at once, want 0", n)
		}
		time.Sleep(time.Second) // of the bubble's time
		if n := count(); n != 1 {
			t.Errorf("%d records stored after a second, want 1", n)
		}
		for range batchSize {
			l.Record(access.Record{Time: at(0), Caller: known})
		}
		if n := count(); n != 1+batchSize {
			t.Errorf("%d records stored when a batch was full, want %d", n, 1+batchSize)
		}
		l.Record(access.Record{Time: at(0), Caller: known})
		cancel()
		wg.Wait()
		if n := count(); n != 2+batchSize {
			t.Errorf("%d records stored at the end, want %d", n, 2+batchSize)
		}
	})
}

func TestABatchIsStoredEvenIfRunIsToEndMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		k := &keeper{begin: cancel}
		l := NewLog(k, slog.New(slog.DiscardHandler))
		l.Record(access.Record{Time: at(0), Caller: known})
		l.Run(ctx) // begins to store after a second
		if len(k.batches) != 1 {
			t.Errorf("%d batches stored, want 1", len(k.batches))
		}
	})
}

func TestRecordingIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	k := new(keeper)
	l := NewLog(k, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				l.Record(access.Record{Time: at(0), Caller: known})
			}
		})
		wg.Go(func() { _ = l.Flush(context.Background()) }) // the keeper has no errors
	}
	wg.Wait()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range k.batches {
		n += b.Records
	}
	if n != 4000 {
		t.Errorf("%d records stored, want 4000", n)
	}
}

// Those without a login leave few records, and none in the place of others'.
func TestRecordsOfTheAnonymousAreFew(t *testing.T) {
	t.Parallel()
	k := new(keeper)
	l := NewLog(k, slog.New(slog.DiscardHandler))
	start := at(0)
	for i := range 2 * maxHeld {
		l.Record(access.Record{Time: start.Add(time.Duration(i) * time.Millisecond)}) // for 32 seconds
	}
	for range 10 {
		l.Record(access.Record{Time: start, Caller: known})
		l.Record(access.Record{Time: start, Details: "what the service did"})
	}
	for range maxAnonymous + 1 {
		l.Record(access.Record{Time: start.Add(time.Minute)})
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, dropped := 0, int64(0)
	for _, b := range k.batches {
		records += b.Records
		dropped += b.Dropped
	}
	if want := 2*maxAnonymous + 20; records != want || dropped != 2*maxHeld-maxAnonymous+1 {
		t.Errorf("%d records stored and %d dropped, want %d stored", records, dropped, want)
	}
}

// What the store does not take is kept for the next time, as far as there is room.
func TestRecordsOutliveAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	k := &keeper{err: errors.New("the store is away")}
	l := NewLog(k, slog.New(slog.DiscardHandler))
	k.begin = func() { // a record that comes meanwhile finds no room any more
		k.begin = nil
		l.Record(access.Record{Time: at(2), Caller: known, Service: "ecr", Event: "Late"})
	}
	for range maxHeld + 1 {
		l.Record(access.Record{Time: at(1), Caller: known, Service: "ecr", Event: "ListImages"})
	}
	if err := l.Flush(t.Context()); !errors.Is(err, k.err) {
		t.Errorf("Flush = %v, want the store's error", err)
	}
	k.err = nil
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, dropped := 0, int64(0)
	for _, b := range k.batches {
		n, dropped = n+b.Records, dropped+b.Dropped
	}
	if n != maxHeld || dropped != 2 {
		t.Errorf("%d records are stored and %d dropped, want %d and 2", n, dropped, maxHeld)
	}
}

package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"berth/internal/access"
)

// Store keeps batches. It is implemented by package metadata.
type Store interface {
	// View runs fn in a transaction that sees one state and changes nothing.
	View(ctx context.Context, fn func(ReadTx) error) error
	// Relaxed runs fn in a transaction that does not wait for the disk.
	Relaxed(ctx context.Context, fn func(Tx) error) error
}

// Tx is a transaction that adds batches.
type Tx interface {
	AddBatch(Batch) error
}

// ReadTx is a transaction that reads batches.
type ReadTx interface {
	// DecisionBatch returns the content of the batch that has a decision and the
	// accounts that may see it, if account is one of them; else found is false.
	DecisionBatch(id, account string) (content []byte, d Decided, found bool, err error)
}

// Decided is a refusal among the records of a batch, and the accounts that may see
// it: that of the resource, and the caller's.
type Decided struct {
	ID            string
	Owner, Caller string
}

// Batch is many records in one row.
type Batch struct {
	ID          string
	First, Last time.Time
	Records     int
	Dropped     int64  // records that there was no room for, just before or among these
	Content     []byte // gzip of JSON records, one to a line
	Decisions   []Decided
}

const (
	batchSize = 4096          // records that are stored at once
	maxHeld   = 4 * batchSize // records that are held in memory; more are dropped and counted

	// maxFlush is how long it may take to store what is held.
	maxFlush = 30 * time.Second

	// Of the refusals in a batch, how many are explained of one principal and of all:
	// an explanation costs what the policies make it cost.
	maxExplained          = 1000
	maxExplainedPrincipal = 100

	// maxAnonymous are the records of callers without a login that are kept in a
	// minute. There is no end to such calls, and they must not crowd out others.
	maxAnonymous = 100
)

// Log gathers records. It is safe for concurrent use.
type Log struct {
	store Store
	log   *slog.Logger
	full  chan struct{} // a batch is waiting

	flushing sync.Mutex // held while what was taken is not stored yet

	mu      sync.Mutex
	held    []access.Record // guarded by mu
	dropped int64           // since the last batch was taken; guarded by mu

	minute    time.Time // when the minute of the anonymous began; guarded by mu
	anonymous int       // their records in it; guarded by mu
}

// NewLog returns an empty Log.
func NewLog(store Store, log *slog.Logger) *Log {
	return &Log{store: store, log: log, full: make(chan struct{}, 1)}
}

// Record adds a record. It never waits: if too many are held already, or there were
// too many of callers without a login in the minute, the record is dropped, and the
// next batch says so.
func (l *Log) Record(r access.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) >= maxHeld || !l.admit(r) {
		l.dropped++
		return
	}
	l.held = append(l.held, r)
	if len(l.held) == batchSize {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
}

// admit reports whether the record is within the bounds of those without a login.
// mu must be held.
func (l *Log) admit(r access.Record) bool {
	if r.Caller.Type != access.Anonymous || r.Details != nil {
		return true
	}
	if d := r.Time.Sub(l.minute); d < 0 || d >= time.Minute {
		l.minute, l.anonymous = r.Time, 0
	}
	l.anonymous++
	return l.anonymous <= maxAnonymous
}

// Run stores batches, at least every second, until ctx ends; then it stores what
// is left.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.full:
		case <-ctx.Done():
			l.flush(ctx)
			return
		}
		l.flush(ctx)
	}
}

// flush stores all that is held, or leaves it for the next time.
func (l *Log) flush(ctx context.Context) {
	if err := l.Flush(ctx); err != nil {
		l.log.Error("audit records not stored", "error", err)
	}
}

// Flush stores all that is held, also if ctx has ended or ends meanwhile: the
// records are not the caller's alone. When it returns, all that was recorded before
// it began is stored, or there is an error; what is not stored then is held again.
func (l *Log) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxFlush)
	defer cancel()
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	records, dropped := l.held, l.dropped
	if len(records) > 0 { // else there is no batch to say so
		l.held, l.dropped = nil, 0
	}
	l.mu.Unlock()
	if dropped > 0 && len(records) > 0 {
		l.log.Warn("audit records dropped", "dropped", dropped)
	}
	for len(records) > 0 {
		n := min(len(records), batchSize)
		b, err := newBatch(records[:n], dropped)
		if err != nil { // nor would there be one the next time
			l.log.Error("audit records lost", "records", n, "error", err)
			records, dropped = records[n:], dropped+int64(n)
			continue
		}
		if err := l.store.Relaxed(ctx, func(tx Tx) error { return tx.AddBatch(b) }); err != nil {
			l.putBack(records, dropped)
			return err
		}
		records, dropped = records[n:], 0
	}
	l.putBack(nil, dropped)
	return nil
}

// putBack holds again what could not be stored. The newest records are dropped if
// there is no room.
func (l *Log) putBack(records []access.Record, dropped int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Concat(records, l.held)
	l.held = all[:min(len(all), maxHeld)]
	l.dropped += dropped + int64(len(all)-len(l.held))
}

func newBatch(records []access.Record, dropped int64) (Batch, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		return Batch{}, err
	}
	lines := json.NewEncoder(w)
	var decisions []Decided
	explained := map[string]int{} // by principal
	all := 0
	for _, r := range records {
		if r.Refusal != nil && r.Caller.Type != access.Anonymous {
			decisions = append(decisions, Decided{r.Refusal.ID, accountID(r.Refusal.Request.Account), r.Caller.Account})
			who := principal(r.Caller)
			if explained[who]++; all == maxExplained || explained[who] > maxExplainedPrincipal {
				r.Refusal = r.Refusal.Brief()
			} else {
				all++
			}
		}
		if err := lines.Encode(newEvent(NewID(), r)); err != nil {
			return Batch{}, err
		}
	}
	if err := w.Close(); err != nil {
		return Batch{}, err
	}
	return Batch{
		ID: NewID(), First: records[0].Time, Last: records[len(records)-1].Time,
		Records: len(records), Dropped: dropped, Content: buf.Bytes(), Decisions: decisions,
	}, nil
}

// principal returns who is behind a caller, whatever the sessions are called.
func principal(c access.Caller) string {
	if c.Type == access.WebIdentity {
		return c.ARN
	}
	return c.Principal()
}

// accountID returns the id of an account that a caller has named, "" for what is
// none: nobody can look up what is refused about it but the caller, and the store
// does not take any text.
func accountID(s string) string {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return ""
		}
	}
	if len(s) != 12 {
		return ""
	}
	return s
}

// Package move moves objects from one place to another, while everything goes on.
//
// Each object is copied to a key of its own and read back, and then its row names the
// copy: pulls that begin afterwards read that one. What was copied stays for a while,
// for those who have begun before. Before a copy is begun its key is recorded as one
// whose bytes are to go, and so is that of the original afterwards: whenever a process
// ends, nothing stays that nobody knows of. Keys are never used again, so that nothing
// that comes late hits what is in use.
//
// It works in steps that are bounded. What was done is done; to begin again costs little.
// An object that takes longer than a step goes on between steps, in this process, which is
// the only one: it has the data directory.
package move

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/fault"
)

// Position is the place of an object in the order in which objects move: key domain by
// key domain. Its zero value is before the first.
type Position struct {
	KeyDomain string `json:"keyDomain"`
	Digest    string `json:"digest"`
	Algorithm string `json:"algorithm"` // what it is sealed with: one that is not may have the same digest
}

// Object is an object that is in the bucket.
type Object struct {
	UID       string
	Algorithm string
	blob.Object
}

func (o Object) position() Position { return Position{o.Domain.Name, string(o.Digest), o.Algorithm} }

// Left is what is in a place.
type Left struct {
	Objects int64     `json:"objects"`
	Bytes   int64     `json:"bytes"`   // of these
	Uploads int64     `json:"uploads"` // under way, whose objects will be there
	Copied  int64     `json:"copied"`  // bytes that are to go: how many keys
	Until   time.Time `json:"until,omitzero"`
}

// Store keeps the facts. It is implemented by package metadata.
type Store interface {
	View(ctx context.Context, fn func(Tx) error) error
	Update(ctx context.Context, fn func(Tx) error) error
}

// Tx is a transaction.
type Tx interface {
	ClassTx
	// PlacedObjects returns at most limit objects in a place that come after a position.
	PlacedObjects(place string, after Position, limit int) ([]Object, error)
	// Placed returns what is in a place, of the uploads those begun after a time.
	Placed(place string, since time.Time) (Left, error)
	// HasPlaced reports whether any object is in a place.
	HasPlaced(place string) (bool, error)
	// Relocate gives an object another key, under which it is in the class of archived
	// ones or not, unless it has another one already. It reports whether it did.
	Relocate(uid, from, to string, archived bool) (bool, error)
	// PutLeftover has the bytes under a key removed after a time.
	PutLeftover(key string, due time.Time) error
	// KeepLeftover has the bytes under a key stay, and reports whether they do: they do
	// not if somebody has begun to remove them, or has done so.
	KeepLeftover(key string) (bool, error)
	// ClaimLeftovers returns at most limit keys in a place whose bytes are to be removed
	// at a time, and that were not claimed before. They can be kept no more: the caller
	// removes them.
	ClaimLeftovers(place string, at time.Time, limit int) ([]string, error)
	// ClaimedLeftovers returns in order at most limit keys in a place that were claimed and
	// are still there, and come after one, for who may remove them at a time.
	ClaimedLeftovers(place string, at time.Time, after string, limit int) ([]string, error)
	// DeleteLeftovers forgets keys that were claimed, unless they were put anew since.
	DeleteLeftovers(keys []string) error
}

// Mover moves objects.
type Mover struct {
	Store      Store
	Places     *blob.Places
	Blobs      *blob.Store       // over Places
	Names      map[string]string // of places, for people
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Account    string // the administrator's
	Now        func() time.Time
	Go         func(func(context.Context)) // runs what goes on after its request

	mu  sync.Mutex
	run *run // the last one; guarded by mu
	// tried are the keys in places after which those that were claimed before are tried next.
	tried map[string]string // guarded by mu
}

// from returns the place that objects move out of.
func (m *Mover) from() (string, bool) {
	for place := range m.Places.At {
		if place != m.Places.New {
			return place, true
		}
	}
	return "", false
}

// Check returns an error if objects are in a place that is out of reach.
func (m *Mover) Check(ctx context.Context) error {
	return m.Store.View(ctx, func(tx Tx) error {
		for place, remedy := range map[string]string{
			blob.InDirectory: "there are layers in the data directory, which storage leaves out: see berth storage migrate --help",
			blob.InS3:        "there are layers in S3, and no storage is given: see berth storage migrate --help",
		} {
			if m.Places.At[place] != nil {
				continue
			}
			if found, err := tx.HasPlaced(place); err != nil || found {
				return errors.Join(err, errors.New(remedy))
			}
		}
		return nil
	})
}

const (
	// stepTime is how long a step takes, or a little more.
	stepTime = 2 * time.Second
	// abandoned is how long a copy may take.
	abandoned = 48 * time.Hour
	// Grace is how long what was copied stays where it was, if nothing else is said:
	// longer than a URL works that leads there. So long a copy stays that failed: the
	// store may still be at it.
	Grace = time.Hour
	// minGrace is enough for who has read a row to open what it names.
	minGrace = time.Second
	maxGrace = 7 * 24 * time.Hour
	// uploadLife is how long an upload can go on.
	uploadLife = 24 * time.Hour
)

// Input says what a step is to do.
type Input struct {
	After        Position `json:"after,omitzero"`
	GraceSeconds *int64   `json:"graceSeconds,omitempty"` // an hour if nil
}

func (in Input) grace() (time.Duration, error) {
	if in.GraceSeconds == nil {
		return Grace, nil
	}
	if *in.GraceSeconds < int64(minGrace/time.Second) || *in.GraceSeconds > int64(maxGrace/time.Second) {
		return 0, fault.New(fault.Invalid, "InvalidParameterException", "Invalid parameter at 'graceSeconds' failed to satisfy constraint: 'must be from %d to %d'",
			int64(minGrace/time.Second), int64(maxGrace/time.Second))
	}
	return time.Duration(*in.GraceSeconds) * time.Second, nil
}

// Failure is an object that does not move.
type Failure struct {
	KeyDomain string `json:"keyDomain"`
	Digest    string `json:"digest"`
	Reason    string `json:"reason"`
}

// Progress is what a step has done.
type Progress struct {
	From       string    `json:"from"`
	To         string    `json:"to"`
	Objects    int       `json:"objects"`             // that have moved
	Bytes      int64     `json:"bytes"`               // of these
	Unverified int       `json:"unverified"`          // of these, sealed under a key that cannot be used
	Copying    int64     `json:"copying"`             // bytes of those that are being copied
	Failed     []Failure `json:"failed"`              // objects that stay
	Unremoved  string    `json:"unremoved,omitempty"` // why something that was copied is still where it was
	After      *Position `json:"after,omitempty"`     // where to go on; nil at the end
	Left       *Left     `json:"left,omitempty"`      // in From, with the first step and the last
}

// moved is what the audit record of a step says of it.
type moved struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
	Failed  int    `json:"failed"`
}

var (
	errNowhere  = fault.New(fault.Invalid, "InvalidParameterException", "There is nothing to move: the server was given no storage-from")
	errPosition = fault.New(fault.Invalid, "InvalidParameterException", "Invalid parameter at 'after' failed to satisfy constraint: 'must be what the step before returned'")
)

// errStore is for a store that does not do what it should.
func errStore(err error, format string, args ...any) error {
	e := fault.New(fault.Unavailable, "ServiceUnavailable", "%s: %v", fmt.Sprintf(format, args...), err)
	e.Err = err
	return e
}

// Step moves some of the objects after a position. The caller must be allowed
// berth:MigrateStorage in the administrator's account.
func (m *Mover) Step(ctx context.Context, c access.Call, in Input) (Progress, error) {
	err := m.Authorizer.Decide(ctx, access.Request{Caller: c.Caller, Action: "berth:MigrateStorage", Account: m.Account, Resource: "*"})
	var p Progress
	if err == nil {
		p, err = m.step(ctx, in)
	}
	rec := access.Record{
		Time: m.Now(), Caller: c.Caller, Service: "berth", Event: "MigrateStorage", Account: m.Account, Region: c.Region,
		Parameters: moved{p.From, p.To, p.Objects, p.Bytes, len(p.Failed)}, Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if f, ok := fault.As(err); ok {
		rec.Message = f.Message
	}
	m.Auditor.Record(rec)
	return p, err
}

func (m *Mover) step(ctx context.Context, in Input) (p Progress, err error) {
	from, ok := m.from()
	if !ok {
		return p, errNowhere
	}
	if strings.ContainsFunc(in.After.KeyDomain+in.After.Digest+in.After.Algorithm, func(c rune) bool { return c < ' ' || c > '~' }) {
		return p, errPosition
	}
	grace, err := in.grace()
	if err != nil {
		return p, err
	}
	p = Progress{From: m.Names[from], To: m.Names[m.Places.New], Failed: []Failure{}, After: &in.After}
	if err := m.runs(ctx, from, grace, &p); err != nil {
		return p, err
	}
	err = m.remove(ctx, time.Now().Add(stepTime))
	if f, ok := fault.As(err); ok {
		p.Unremoved, err = f.Message, nil
	}
	if err == nil && (in.After == (Position{}) || p.After == nil) {
		err = m.Store.View(ctx, func(tx Tx) error {
			left, err := tx.Placed(from, m.Now().Add(-uploadLife))
			p.Left = &left
			return err
		})
	}
	return p, err
}

// runs makes runs until the step's time is over. What runs then goes on, and the next
// step waits for it.
func (m *Mover) runs(ctx context.Context, from string, grace time.Duration, p *Progress) error {
	end := time.NewTimer(stepTime)
	defer end.Stop()
	for over := false; p.After != nil && !over; {
		r, mine := m.begin(from, *p.After, grace)
		select {
		case <-r.ended:
			if !mine {
				continue
			}
			m.told(r)
			if r.err != nil {
				return r.err
			}
			r.tell(p)
			p.After = r.next
		case <-end.C:
			if mine {
				r.tell(p)
			}
			p.Copying, over = r.copying.Load(), true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case <-end.C:
			over = true
		default:
		}
	}
	return nil
}

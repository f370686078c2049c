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
package move

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
}

// Object is an object that is in the bucket.
type Object struct {
	UID       string
	KeyDomain string
	blob.Object
}

func (o Object) position() Position { return Position{o.KeyDomain, string(o.Digest)} }

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
	// PlacedObjects returns at most limit objects in a place that come after a position.
	PlacedObjects(place string, after Position, limit int) ([]Object, error)
	// Placed returns what is in a place, of the uploads those begun after a time.
	Placed(place string, since time.Time) (Left, error)
	// HasPlaced reports whether any object is in a place.
	HasPlaced(place string) (bool, error)
	// Relocate gives an object another key, unless it has another one already. It
	// reports whether it did.
	Relocate(uid, from, to string) (bool, error)
	// PutLeftover has the bytes under a key removed after a time.
	PutLeftover(key string, due time.Time) error
	// DeleteLeftover reports whether the bytes under the key were to be removed.
	DeleteLeftover(key string) (bool, error)
	// DueLeftovers returns at most limit keys in a place whose bytes are to be removed at
	// a time.
	DueLeftovers(place string, at time.Time, limit int) ([]string, error)
}

// Mover moves objects.
type Mover struct {
	Store      Store
	Places     *blob.Places
	Names      map[string]string // of places, for people
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Account    string // the administrator's
	Now        func() time.Time
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
			blob.InDirectory: "there are layers in the data directory: give no storage to serve them, or storage-from: directory to move them",
			blob.InS3:        "there are layers in S3: give storage to serve them, or storage-from to move them",
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
	// batch is how many objects are copied at once.
	batch = 8
	// stepTime is how long after its beginning a step copies no more.
	stepTime = 2 * time.Second
	// abandoned is how long a copy may take.
	abandoned = 48 * time.Hour
	// Grace is how long what was copied stays where it was, if nothing else is said:
	// longer than a URL works that leads there.
	Grace = time.Hour
	// maxGrace bounds it.
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
	if *in.GraceSeconds < 0 || *in.GraceSeconds > int64(maxGrace/time.Second) {
		return 0, fault.New(fault.Invalid, "InvalidParameterException", "Invalid parameter at 'graceSeconds' failed to satisfy constraint: 'must be from 0 to %d'", int64(maxGrace/time.Second))
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
	From    string    `json:"from"`
	To      string    `json:"to"`
	Objects int       `json:"objects"` // that have moved
	Bytes   int64     `json:"bytes"`   // of these
	Failed  []Failure `json:"failed"`
	After   *Position `json:"after,omitempty"` // where to go on; nil at the end
	Left    *Left     `json:"left,omitempty"`  // in From, with the first step and the last
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
	if strings.ContainsFunc(in.After.KeyDomain+in.After.Digest, func(c rune) bool { return c < ' ' || c > '~' }) {
		return p, errPosition
	}
	grace, err := in.grace()
	if err != nil {
		return p, err
	}
	p = Progress{From: m.Names[from], To: m.Names[m.Places.New], Failed: []Failure{}, After: &in.After}
	for until := time.Now().Add(stepTime); p.After != nil && time.Now().Before(until); {
		if err := m.batch(ctx, from, grace, &p); err != nil {
			return p, err
		}
	}
	if err := m.Remove(ctx); err != nil {
		return p, err
	}
	if in.After == (Position{}) || p.After == nil {
		err = m.Store.View(ctx, func(tx Tx) error {
			left, err := tx.Placed(from, m.Now().Add(-uploadLife))
			p.Left = &left
			return err
		})
	}
	return p, err
}

// removed is how many leftovers are looked for at once.
const removed = 500

// Remove removes bytes that are to go. It may run in several processes at once.
func (m *Mover) Remove(ctx context.Context) error {
	for place := range m.Places.At {
		for {
			var keys []string
			err := m.Store.View(ctx, func(tx Tx) error {
				var err error
				keys, err = tx.DueLeftovers(place, m.Now(), removed)
				return err
			})
			if err != nil {
				return err
			}
			for _, key := range keys {
				if err := m.Places.Delete(ctx, key); err != nil {
					return errStore(err, "What was copied from %s could not be removed", m.Names[place])
				}
			}
			if len(keys) == 0 {
				break
			}
			if err := m.Store.Update(ctx, func(tx Tx) error { return forget(tx, keys) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func forget(tx Tx, keys []string) error {
	for _, key := range keys {
		if _, err := tx.DeleteLeftover(key); err != nil {
			return err
		}
	}
	return nil
}

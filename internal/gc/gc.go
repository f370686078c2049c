// Package gc removes what nothing reaches, while everything goes on.
//
// What is kept: images of living repositories, tagged or not; deleted images and
// repositories as long as they can be restored; what these refer to; layers that
// somebody was told of not long ago. The rest goes, from the top: repositories and
// images whose time is over, then layers that no image refers to, then objects that
// neither a layer nor an image has. Their bytes go last, later, under keys that are
// never used again.
//
// What lets go of something notes it in its transaction, so that a run costs as much as
// there is garbage, not as much as is stored. Once a day all is looked through slowly,
// for what was not noted, and the bucket for what nobody knows of; nothing is found
// there unless a process ended at the wrong moment. The design is in docs/design.
package gc

import (
	"context"
	"sync/atomic"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/fault"
)

// Options are what a Collector works on.
type Options struct {
	Store  Store
	Bucket blob.Bucket
	// Bytes removes the bytes under keys that are due.
	Bytes      func(context.Context) error
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Account    string // the administrator's
	Now        func() time.Time
	Age        func() time.Time // what is old is told by; Now if nil
	Retention  time.Duration    // for so long what was deleted can be restored
	Grace      time.Duration    // for so long a layer stays that nothing refers to
	Delay      time.Duration    // for so long the bytes stay of an object that is gone
	Share      int              // of the time that a run works, in percent; 0 for all
	Idle       bool             // runs are made only when somebody asks
	Refused    func() error     // why changes are refused at present, nil if they are not; nil if they never are
	Lease      time.Duration    // for so long a process is waited for that does not go on, for tests; 0 for as long as is good
	Slices     int              // rows of a transaction, for tests; 0 for as many as is good
	// Orphaned, if not nil, is told how many keys nobody knew of when all of the bucket was
	// looked through, if any, and when their bytes go.
	Orphaned func(keys int64, due time.Time)
}

// Collector removes what nothing reaches. It is safe for concurrent use; of all that
// share a database one works at a time.
type Collector struct {
	Options
	wake chan struct{}
	last time.Time // when it was looked for garbage that nobody had asked for; used by Run alone

	counters Counters
}

// New returns a Collector.
func New(o Options) *Collector {
	if o.Age == nil {
		o.Age = o.Now
	}
	if o.Refused == nil {
		o.Refused = func() error { return nil }
	}
	if o.Lease == 0 {
		o.Lease = leaseLife
	}
	if o.Slices == 0 {
		o.Slices = 500
	}
	return &Collector{Options: o, wake: make(chan struct{}, 1), last: time.Now()}
}

// Counters are what this process has done since it was started.
type Counters struct {
	Runs, Failures, Images, Layers, Objects, Bytes, Found, Orphans atomic.Int64
	Microseconds                                                   atomic.Int64 // that runs took
}

// Counters returns what this process has done.
func (c *Collector) Counters() *Counters { return &c.counters }

const (
	// look is how often it is looked whether somebody has asked for a run, and every
	// how often whether there is anything to do.
	look  = 2 * time.Second
	every = time.Minute
	// throughEvery is how often everything is looked through.
	throughEvery = 24 * time.Hour
	// leaseLife is how long a process that does not go on is waited for.
	leaseLife = 15 * time.Second
	// orphanAge is how old bytes must be that nobody knows of. An object is recorded
	// within half a day, or never.
	orphanAge = 48 * time.Hour
	// orphansAfter is how long they stay after that: there should be none, so that the
	// operator is told, and has the time to see why there are.
	orphansAfter = 7 * 24 * time.Hour
	// removalsLife is how long it is known what was removed, and mostRemovals how much.
	removalsLife = 30 * 24 * time.Hour
	mostRemovals = 200_000
	// pastLife is how long back-tests go back.
	pastLife = 366 * 24 * time.Hour
)

// RunInput says what a run is to do.
type RunInput struct {
	// Full has everything looked through, not only what was noted.
	Full bool `json:"full,omitempty"`
}

// Run asks for a run, and returns its number: it has ended when Status says that a run
// of at least that number was served. The caller must be allowed
// berth:RunGarbageCollection in the administrator's account.
func (c *Collector) Run(ctx context.Context, call access.Call, in RunInput) (int64, error) {
	var number int64
	err := c.decide(ctx, call, "RunGarbageCollection")
	if err == nil {
		err = c.Store.Update(ctx, func(tx Tx) error {
			var r request
			if err := get(tx, stateRequest, true, &r); err != nil {
				return err
			}
			r.Number++
			if in.Full {
				r.Full = r.Number
			}
			number = r.Number
			return put(tx, stateRequest, r)
		})
	}
	c.record(call, "RunGarbageCollection", in, err)
	if err == nil {
		c.Wake()
	}
	return number, err
}

// Wake makes RunDue look at once whether there is something to do.
func (c *Collector) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Status says how far it has come. The caller must be allowed
// berth:GetGarbageCollection in the administrator's account.
func (c *Collector) Status(ctx context.Context, call access.Call) (Status, error) {
	var s Status
	err := c.decide(ctx, call, "GetGarbageCollection")
	if err == nil {
		s, err = c.status(ctx)
	}
	c.record(call, "GetGarbageCollection", nil, err)
	return s, err
}

func (c *Collector) status(ctx context.Context) (s Status, err error) {
	err = c.Store.View(ctx, func(tx Tx) error {
		var r request
		s = Status{}
		if err := get(tx, stateRequest, false, &r); err != nil {
			return err
		}
		if err := get(tx, stateRun, false, &s.Run); err != nil {
			return err
		}
		s.Requested = r.Number
		var err error
		s.Queue, err = tx.GarbageQueue()
		return err
	})
	return s, err
}

// Queue returns what waits to be looked at, for metrics.
func (c *Collector) Queue(ctx context.Context) (Queue, error) {
	s, err := c.status(ctx)
	return s.Queue, err
}

func (c *Collector) decide(ctx context.Context, call access.Call, action string) error {
	return c.Authorizer.Decide(ctx, access.Request{Caller: call.Caller, Action: "berth:" + action, Account: c.Account, Resource: "*"})
}

func (c *Collector) record(call access.Call, event string, params any, err error) {
	rec := access.Record{
		Time: c.Now(), Caller: call.Caller, Service: "berth", Event: event, Account: c.Account, Region: call.Region,
		Parameters: params, Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if f, ok := fault.As(err); ok {
		rec.Message = f.Message
	}
	c.Auditor.Record(rec)
}

// over is the time at or before which things were deleted that cannot be restored now.
func (c *Collector) over() time.Time { return c.age().Add(-c.Retention) }

// loose is the time at or before which leases must have ended, and nothing referred to
// a layer, for it to go now.
func (c *Collector) loose() time.Time { return c.age().Add(-c.Grace) }

func (c *Collector) age() time.Time { return c.Age().UTC().Truncate(time.Microsecond) }

// now is the time to the microsecond, which is what the store keeps.
func (c *Collector) now() time.Time { return c.Now().UTC().Truncate(time.Microsecond) }

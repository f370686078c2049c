// Package maintenance is the switch that has all servers on a database refuse changes.
//
// The switch is a row in the database, and every transaction that changes something for
// somebody looks at it at its end: once On has returned, none commits. What is read goes
// on, and so does what is kept about reading, and what the servers keep about themselves.
package maintenance

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"berth/internal/access"
	"berth/internal/fault"
)

// Store keeps the switch. It is implemented by package metadata.
type Store interface {
	View(ctx context.Context, fn func(Tx) error) error
	// Keep runs fn in a transaction that may change something while changes are refused.
	Keep(ctx context.Context, fn func(Tx) error) error
}

// Tx is a transaction.
type Tx interface {
	// Maintenance returns what the switch says, nil if it is off.
	Maintenance() (*State, error)
	// BeginMaintenance turns the switch on, once all transactions have ended that have
	// seen it off and may yet commit. If it is on already that is so since it was.
	BeginMaintenance(State) error
	// EndMaintenance turns it off.
	EndMaintenance() error
	// Record adds the audit record of the call.
	Record(access.Record) error
}

// State says why changes are refused.
type State struct {
	Reason    string // "" if none was given
	Since     time.Time
	Principal string // the ARN of who has turned the switch on
}

// Refusal is what changes are refused with while the switch is on.
func Refusal(reason string) error {
	if reason != "" {
		reason = ": " + reason
	}
	return refusal("The registry is in read-only mode for maintenance%s. Nothing can be changed until that ends; images can be pulled.", reason)
}

// RefusalByOption is what changes are refused with by a server that was started for
// reading alone.
func RefusalByOption() error {
	return refusal("The registry was started in read-only mode. Nothing can be changed; images can be pulled.")
}

func refusal(format string, args ...any) error {
	return fault.New(fault.ReadOnly, "ReadOnlyException", format, args...)
}

// Options are what a Switch is made of.
type Options struct {
	Store      Store
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Account    string // the administrator's
	Now        func() time.Time
	Log        *slog.Logger
	// Option says that this server was started for reading alone.
	Option bool
}

// Switch is the switch as this server sees it. It is safe for concurrent use.
type Switch struct {
	Options

	mu    sync.Mutex            // held while it is read or turned: what is known then is what was last
	known atomic.Pointer[State] // nil if it is off
}

// New returns a Switch of which nothing is known until Refresh.
func New(o Options) *Switch { return &Switch{Options: o} }

// Refused returns why changes are refused, nil if they are not, by what was last read
// of the switch: it costs nothing, and spares work that would come to nothing. Whether a
// change comes about is decided in its transaction.
func (s *Switch) Refused() error {
	if s.Option {
		return RefusalByOption()
	}
	if on := s.known.Load(); on != nil {
		return Refusal(on.Reason)
	}
	return nil
}

// Refresh reads the switch: another server may have turned it.
func (s *Switch) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var now *State
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		now, err = tx.Maintenance()
		return err
	})
	if err == nil {
		s.note(now)
	}
	return err
}

// note remembers what the switch says, and logs if that is new.
func (s *Switch) note(now *State) {
	before := s.known.Swap(now)
	switch {
	case now != nil && (before == nil || *before != *now):
		s.Log.Info("changes are refused: the registry is read-only for maintenance", "reason", now.Reason, "since", now.Since, "principal", now.Principal)
	case now == nil && before != nil:
		s.Log.Info("changes are taken again: the maintenance has ended")
	}
}

// Status is what the switch says.
type Status struct {
	ReadOnly  bool      `json:"readOnly"` // changes are refused
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Principal string    `json:"principalArn,omitempty"` // who has turned it on
	Option    bool      `json:"option,omitempty"`       // the server that answers was started for reading alone
}

// Input says why changes are to be refused.
type Input struct {
	Reason string `json:"reason,omitempty"`
}

// maxReason is how long a reason may be, in characters: it is part of every refusal.
const maxReason = 256

func (in Input) check() error {
	bad := !utf8.ValidString(in.Reason) || utf8.RuneCountInString(in.Reason) > maxReason
	for _, c := range in.Reason {
		bad = bad || !unicode.IsPrint(c)
	}
	if bad {
		return fault.New(fault.Invalid, "InvalidParameterException",
			"Invalid parameter at 'reason' failed to satisfy constraint: 'must be at most %d printable characters'", maxReason)
	}
	return nil
}

// On has all servers on the database refuse changes from now on: no change is committed
// after it has returned. If they do so already there is another reason, and no more. The caller
// must be allowed berth:StartMaintenance in the administrator's account.
func (s *Switch) On(ctx context.Context, c access.Call, in Input) (Status, error) {
	return s.turn(ctx, c, "StartMaintenance", in, func(tx Tx) error {
		if err := in.check(); err != nil {
			return err
		}
		return tx.BeginMaintenance(State{Reason: in.Reason, Since: s.Now().UTC().Truncate(time.Microsecond), Principal: c.ARN})
	})
}

// errOption is for who would have a server take changes that was started for reading
// alone.
func errOption() error {
	return fault.New(fault.Conflict, "ReadOnlyException", "This server was started with read-only: start it again without")
}

// Off has changes taken again. The caller must be allowed berth:EndMaintenance in the
// administrator's account.
func (s *Switch) Off(ctx context.Context, c access.Call) (Status, error) {
	return s.turn(ctx, c, "EndMaintenance", nil, func(tx Tx) error {
		if s.Option {
			return errOption()
		}
		return tx.EndMaintenance()
	})
}

// turn decides about a call that turns the switch, and records it.
func (s *Switch) turn(ctx context.Context, c access.Call, event string, params any, fn func(Tx) error) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var now *State
	err := s.decide(ctx, c, event)
	if err == nil {
		err = s.Store.Keep(ctx, func(tx Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			var err error
			if now, err = tx.Maintenance(); err != nil {
				return err
			}
			return tx.Record(s.record(c, event, params, nil))
		})
	}
	if err != nil {
		s.Auditor.Record(s.record(c, event, params, err))
		return Status{}, err
	}
	s.note(now)
	return s.status(now), nil
}

// Status returns what the switch says. The caller must be allowed berth:GetMaintenance
// in the administrator's account.
func (s *Switch) Status(ctx context.Context, c access.Call) (Status, error) {
	const event = "GetMaintenance"
	var now *State
	err := s.decide(ctx, c, event)
	if err == nil {
		err = s.Store.View(ctx, func(tx Tx) (err error) {
			now, err = tx.Maintenance()
			return err
		})
	}
	s.Auditor.Record(s.record(c, event, nil, err))
	if err != nil {
		return Status{}, err
	}
	return s.status(now), nil
}

func (s *Switch) status(now *State) Status {
	out := Status{ReadOnly: s.Option || now != nil, Option: s.Option}
	if now != nil {
		out.Reason, out.Since, out.Principal = now.Reason, now.Since, now.Principal
	}
	return out
}

func (s *Switch) decide(ctx context.Context, c access.Call, event string) error {
	return s.Authorizer.Decide(ctx, access.Request{Caller: c.Caller, Action: "berth:" + event, Account: s.Account, Resource: "*"})
}

func (s *Switch) record(c access.Call, event string, params any, err error) access.Record {
	rec := access.Record{
		Time: s.Now(), Caller: c.Caller, Service: "berth", Event: event, Account: s.Account, Region: c.Region,
		ReadOnly: event == "GetMaintenance", Parameters: params, Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if f, ok := fault.As(err); ok {
		rec.Message = f.Message
	}
	return rec
}

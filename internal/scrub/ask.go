package scrub

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// Status says how far passes have come and what is in quarantine.
type Status struct {
	Running bool      `json:"running"`        // a pass is under way, or asked for
	Pass    *Pass     `json:"pass,omitempty"` // the one under way
	Last    *Pass     `json:"last,omitempty"` // the last one that ended
	Next    time.Time `json:"next,omitzero"`  // when one begins that nobody has asked for
	Damaged int64     `json:"damaged"`        // objects in quarantine
	Objects []Damaged `json:"objects"`        // these, at most a hundred
}

// listed is how many objects a status describes.
const listed = 100

// Ask asks for a pass that begins soon, unless one is under way. The caller must be allowed
// berth:RunScrub in the administrator's account.
func (s *Scrubber) Ask(ctx context.Context, c access.Call) (Status, error) {
	return s.answer(ctx, c, "RunScrub", func() error {
		id := rand.Text()
		err := s.Store.Keep(ctx, func(tx Tx) error { return tx.PutScrubState("request", request{id}) })
		select {
		case s.asked <- struct{}{}:
		default:
		}
		return err
	})
}

// Status returns what is known. The caller must be allowed berth:GetScrub in the
// administrator's account.
func (s *Scrubber) Status(ctx context.Context, c access.Call) (Status, error) {
	return s.answer(ctx, c, "GetScrub", func() error { return nil })
}

// answer decides about a call, performs it, returns the status and leaves the record.
func (s *Scrubber) answer(ctx context.Context, c access.Call, event string, perform func() error) (out Status, err error) {
	err = s.Authorizer.Decide(ctx, access.Request{Caller: c.Caller, Action: "berth:" + event, Account: s.Account, Resource: "*"})
	if err == nil {
		err = perform()
	}
	if err == nil {
		out, err = s.status(ctx)
	}
	rec := access.Record{
		Time: s.Now(), Caller: c.Caller, Service: "berth", Event: event, Account: s.Account, Region: c.Region,
		ReadOnly: event == "GetScrub", Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if f, ok := fault.As(err); ok {
		rec.Message = f.Message
	}
	s.Auditor.Record(rec)
	return out, err
}

func (s *Scrubber) status(ctx context.Context) (out Status, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		out = Status{Objects: []Damaged{}}
		var p progress
		var asked request
		if err := errors.Join(tx.ScrubState("pass", &p), tx.ScrubState("request", &asked)); err != nil {
			return err
		}
		out.Pass, out.Last, out.Next = p.Pass, p.Last, p.Next
		out.Running = p.Pass != nil || wanted(p, asked)
		if s.Interval == 0 {
			out.Next = time.Time{}
		}
		if out.Damaged, err = tx.DamagedCount(); err != nil || out.Damaged == 0 {
			return err
		}
		out.Objects, err = tx.Damaged(listed)
		return err
	})
	return out, err
}

// Package fsck compares facts with bytes: every object that the database knows
// must be in the bucket, whole, with its digest; whatever else is in the bucket
// is left over. It also compares the counts that are kept with what they count.
package fsck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"berth/internal/blob"
)

// Object is an object that the database knows.
type Object struct {
	UID string
	blob.Object
}

// Upload is an unfinished upload that the database knows.
type Upload struct {
	ID        string
	Key       string // in the bucket; "" if it has none
	CreatedAt time.Time
}

// Count is a count that is kept and is not what counting finds.
type Count struct {
	Of            string // what is counted
	Kept, Counted int64
}

// Store reads facts, and puts counts right. It is implemented by package metadata.
type Store interface {
	View(ctx context.Context, fn func(Tx) error) error
	Update(ctx context.Context, fn func(Repairer) error) error
}

// Tx is a transaction that reads.
type Tx interface {
	// Objects returns at most limit objects whose UIDs come after one, in order: fewer, but
	// not none, if their contents would fill the memory.
	Objects(after string, limit int) ([]Object, error)
	// Uploads returns at most limit uploads whose ids come after one, in order.
	Uploads(after string, limit int) ([]Upload, error)
	// Leftovers returns at most limit keys, in order, that come after one and whose bytes
	// are to be removed.
	Leftovers(after string, limit int) ([]string, error)
	// WrongCounts returns all counts that are not what counting finds.
	WrongCounts() ([]Count, error)
}

// Repairer is a transaction that repairs.
type Repairer interface {
	// Recount makes all counts what counting finds.
	Recount() error
	// Quarantine marks an object as damaged unless it is marked already, and Release takes
	// one that is whole out of quarantine. Both report whether they did.
	Quarantine(o Object, reason string, at time.Time) (bool, error)
	Release(o Object, at time.Time) (bool, error)
}

// Problem is one thing that is not as it should be.
type Problem struct {
	Kind   string `json:"kind"` // missing, damaged, unreadable, orphan, abandoned, miscounted or locked
	Key    string `json:"key,omitempty"`
	Digest string `json:"digest,omitempty"`
	Detail string `json:"detail"`
}

// The kinds of problems. Only the first three mean that something is lost.
const (
	Missing    = "missing"    // bytes that should be there are not
	Damaged    = "damaged"    // bytes are there but not those that were stored
	Unreadable = "unreadable" // the store has bytes and does not read them
	Orphan     = "orphan"     // bytes are there that nothing refers to
	Abandoned  = "abandoned"  // an upload that nobody has finished
	Miscounted = "miscounted" // a count that quotas go by is wrong
	Locked     = "locked"     // bytes that are sealed under a key that cannot be used
)

// Report is what a check found.
type Report struct {
	Objects  int       `json:"objects"` // checked
	Bytes    int64     `json:"bytes"`   // read
	Uploads  int       `json:"uploads"`
	Problems []Problem `json:"problems"`
}

// Lost returns how many objects are missing or damaged, or cannot be read.
func (r *Report) Lost() int {
	n := 0
	for _, p := range r.Problems {
		if p.Kind == Missing || p.Kind == Damaged || p.Kind == Unreadable {
			n++
		}
	}
	return n
}

// Options are what a check works on. Progress, if not nil, is told now and then
// how far it has come.
type Options struct {
	Store    Store
	Bucket   blob.Bucket
	Keys     blob.KeyWrapper // of what is sealed; nil for none
	Progress func(*Report)
	Repair   bool // put counts right that are wrong, and mark what is damaged
}

const (
	// page is how many facts are read at once.
	page = 500
	// maxFailing is at how many objects in a row that cannot be read a check ends: it is the
	// store that fails.
	maxFailing = 100
)

// Check reads and hashes every object. It changes nothing but, with Repair, counts and which
// objects are in quarantine.
// Nobody else may use the data meanwhile. What was found before an error is reported with it.
func Check(ctx context.Context, o Options) (*Report, error) {
	c := &check{Options: o, blobs: blob.NewSealing(o.Bucket, o.Keys, false), known: map[string]bool{}, report: &Report{Problems: []Problem{}}}
	for _, step := range []func(context.Context) error{c.objects, c.uploads, c.leaving, c.leftovers, c.counts} {
		if err := step(ctx); err != nil {
			return c.report, err
		}
	}
	return c.report, nil
}

type check struct {
	Options
	blobs  *blob.Store
	known  map[string]bool // keys that facts refer to
	report *Report

	failing int // objects in a row that could not be read
}

func (c *check) found(kind, key, digest, format string, args ...any) {
	c.report.Problems = append(c.report.Problems, Problem{kind, key, digest, fmt.Sprintf(format, args...)})
}

func (c *check) objects(ctx context.Context) error {
	for after := ""; ; {
		var objects []Object
		if err := c.Store.View(ctx, func(tx Tx) error {
			var err error
			objects, err = tx.Objects(after, page)
			return err
		}); err != nil {
			return err
		}
		for _, o := range objects {
			if err := c.object(ctx, o); err != nil {
				return err
			}
		}
		if len(objects) == 0 {
			return nil
		}
		after = objects[len(objects)-1].UID
	}
}

// Examine reads and hashes an object, at the pace of who is told how many bytes have been
// read since. It returns what is wrong with it, nil if nothing is: Missing, Damaged or
// Locked. An error says nothing about the object: it could not be read now.
func Examine(ctx context.Context, blobs *blob.Store, o blob.Object, progress func(int)) (*Problem, error) {
	var locked *blob.KeyError
	switch err := blobs.VerifyPaced(ctx, o, progress); {
	case err == nil:
		return nil, nil
	case errors.As(err, &locked):
		return &Problem{Locked, o.Key, o.Digest.String(), fmt.Sprintf("not read: %v", locked)}, nil
	case errors.Is(err, blob.ErrNotFound):
		return &Problem{Missing, o.Key, o.Digest.String(), fmt.Sprintf("its %d bytes are not in the store", o.Size)}, nil
	case errors.Is(err, blob.ErrDamaged):
		return &Problem{Damaged, o.Key, o.Digest.String(), err.Error()}, nil
	default:
		return nil, fmt.Errorf("read %s: %w", o.Digest, err)
	}
}

func (c *check) object(ctx context.Context, o Object) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.Key != "" {
		c.known[o.Key] = true
	}
	problem, err := Examine(ctx, c.blobs, o.Object, nil)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		if c.failing++; c.failing == maxFailing {
			return fmt.Errorf("%d objects in a row cannot be read, the last one: %w", c.failing, err)
		}
		problem = &Problem{Unreadable, o.Key, o.Digest.String(), err.Error()}
	} else if o.Key != "" {
		c.failing = 0
	}
	if err := c.mark(ctx, o, problem); err != nil {
		return err
	}
	if problem != nil {
		c.report.Problems = append(c.report.Problems, *problem)
	}
	c.report.Objects++
	c.report.Bytes += o.Size
	if c.Progress != nil {
		c.Progress(c.report)
	}
	return nil
}

// mark puts an object into quarantine that is lost, or takes one out that is not, if that
// is wanted: who pushes is told the truth then.
func (c *check) mark(ctx context.Context, o Object, problem *Problem) error {
	lost := problem != nil && (problem.Kind == Missing || problem.Kind == Damaged)
	if !c.Repair || lost == o.Damaged || problem != nil && !lost {
		return nil
	}
	done := false
	err := c.Store.Update(ctx, func(tx Repairer) (err error) {
		if lost {
			done, err = tx.Quarantine(o, problem.Kind+": "+problem.Detail, time.Now())
		} else {
			_, err = tx.Release(o, time.Now())
		}
		return err
	})
	if done {
		problem.Detail += "; in quarantine now: push it again"
	}
	return err
}

func (c *check) uploads(ctx context.Context) error {
	for after := ""; ; {
		var uploads []Upload
		if err := c.Store.View(ctx, func(tx Tx) error {
			var err error
			uploads, err = tx.Uploads(after, page)
			return err
		}); err != nil {
			return err
		}
		for _, u := range uploads {
			if u.Key != "" {
				c.known[u.Key] = true
			}
			c.report.Uploads++
			c.found(Abandoned, u.Key, "", "upload %s was started at %s and not finished", u.ID, u.CreatedAt.Format(time.RFC3339))
		}
		if len(uploads) < page {
			return nil
		}
		after = uploads[len(uploads)-1].ID
	}
}

// leaving learns of bytes that are to be removed.
func (c *check) leaving(ctx context.Context) error {
	for after := ""; ; {
		var keys []string
		if err := c.Store.View(ctx, func(tx Tx) error {
			var err error
			keys, err = tx.Leftovers(after, page)
			return err
		}); err != nil {
			return err
		}
		for _, key := range keys {
			c.known[key] = true
		}
		if len(keys) < page {
			return nil
		}
		after = keys[len(keys)-1]
	}
}

// leftovers finds what is in the bucket and in no fact.
func (c *check) leftovers(ctx context.Context) error {
	for e, err := range c.Bucket.List(ctx) {
		if err != nil {
			return err
		}
		if c.known[e.Key] {
			continue
		}
		what := "object"
		if !e.Finished {
			what = "upload"
		}
		c.found(Orphan, e.Key, "", "%s of %d bytes, last written at %s, that nothing refers to", what, e.Size, e.ModTime.UTC().Format(time.RFC3339))
	}
	return nil
}

// counts finds counts that are wrong, and puts them right if that is wanted.
func (c *check) counts(ctx context.Context) error {
	var wrong []Count
	if err := c.Store.View(ctx, func(tx Tx) error {
		var err error
		wrong, err = tx.WrongCounts()
		return err
	}); err != nil {
		return err
	}
	repaired := ""
	if c.Repair && len(wrong) > 0 {
		if err := c.Store.Update(ctx, Repairer.Recount); err != nil {
			return err
		}
		repaired = "; put right"
	}
	for _, w := range wrong {
		c.found(Miscounted, "", "", "%s: %d by the count that is kept, in truth %d%s", w.Of, w.Kept, w.Counted, repaired)
	}
	return nil
}

// PrintProblems writes the problems for people.
func (r *Report) PrintProblems(w io.Writer) error {
	for _, p := range r.Problems {
		what := strings.Join(slices.DeleteFunc([]string{p.Kind, p.Key, p.Digest}, func(s string) bool { return s == "" }), " ")
		if _, err := fmt.Fprintf(w, "%s: %s\n", what, p.Detail); err != nil {
			return err
		}
	}
	return nil
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	if err := r.PrintProblems(w); err != nil {
		return err
	}
	verdict := "clean: all bytes are there and whole"
	if n := r.Lost(); n > 0 {
		verdict = fmt.Sprintf("%d objects are missing or damaged, or cannot be read", n)
	}
	_, err := fmt.Fprintf(w, "%d objects with %d bytes checked; %s\n", r.Objects, r.Bytes, verdict)
	return err
}

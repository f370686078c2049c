package scrub

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/internal/blob"
	"berth/internal/fsck"
)

const (
	// maxMissing is how many objects may be missing where none is there, before it is the
	// place that is taken for the wrong one.
	maxMissing = 10
	// unreadableGrace is how long an object is not read, while others are, until it counts
	// as lost, and maxUnreadable how many such objects are kept in mind.
	unreadableGrace = 24 * time.Hour
	maxUnreadable   = 1000
)

// standing is what other objects say of the place that one is in.
type standing int

const (
	silent standing = iota // none can be read, or many are missing
	there                  // one was read
	few                    // all that there are are missing, but these are few
)

// placeOf returns the name of the place that a key is of.
func placeOf(key string) string { return key[:strings.IndexByte(key, ':')+1] }

// standing reads a byte of other objects in the place of one until one is there: of what
// was read before, of what comes before it, and of what comes after it, each time of others.
func (r *run) standing(o fsck.Object) (standing, error) {
	place := placeOf(o.Key)
	p := &probing{run: r, place: place, seen: map[string]bool{o.UID: true}}
	if known, ok := r.known[place]; ok && p.reach(known) {
		return there, nil
	}
	before, err := p.neighbours(o.UID, true)
	if err != nil || p.any(before, nil) || p.over() {
		return p.verdict(), err
	}
	if r.probed == "" {
		r.probed = o.UID
	}
	for range 2 {
		after, err := p.neighbours(r.probed, false)
		if err != nil || p.any(after, &r.probed) || p.over() {
			return p.verdict(), err
		}
		r.probed = ""
	}
	return p.verdict(), nil
}

// probing is a search for an object that can be read.
type probing struct {
	*run
	place           string
	seen            map[string]bool // by UID
	found           bool
	missing, failed int
}

func (p *probing) neighbours(uid string, before bool) (found []fsck.Object, err error) {
	err = p.Store.View(p.ctx, func(tx Tx) error {
		found, err = tx.Neighbours(p.place, uid, before, maxMissing)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	return found, nil
}

// any reports whether one of the objects can be read, and notes how far it has come.
func (p *probing) any(objects []fsck.Object, last *string) bool {
	for _, o := range objects {
		if p.reach(o) {
			return true
		}
		if last != nil {
			*last = o.UID
		}
		if p.over() {
			return false
		}
	}
	return false
}

// reach reads the first byte of an object.
func (p *probing) reach(o fsck.Object) bool {
	if p.seen[o.UID] {
		return false
	}
	p.seen[o.UID] = true
	switch err := p.Blobs.Reach(p.ctx, o.Object); {
	case err == nil:
		p.found = true
		p.answered(o)
	case errors.Is(err, blob.ErrNotFound):
		p.missing++
	default:
		p.failed++
	}
	return p.found
}

func (p *probing) over() bool { return p.failed == maxFailing || p.missing == maxMissing }

func (p *probing) verdict() standing {
	switch {
	case p.found:
		return there
	case p.failed > 0 || p.missing == maxMissing:
		return silent
	}
	return few
}

// answered notes that the store has an object.
func (r *run) answered(o fsck.Object) {
	if o.Key == "" {
		return
	}
	if r.known == nil {
		r.known = map[string]fsck.Object{}
	}
	o.Content = nil
	r.known[placeOf(o.Key)] = o
}

// missing does what follows from an object's bytes not being there.
func (r *run) missing(pass *Pass, o fsck.Object, problem *fsck.Problem) error {
	s, err := r.standing(o)
	if err != nil {
		return err
	}
	if s == silent {
		return fmt.Errorf("%w: objects are missing and none was found that is there: is this the right place?", errAway)
	}
	return r.judge(pass, o, problem)
}

// unreadable does what follows from an object not being read: if others are, and it is not
// for a day, its bytes are as good as lost.
func (r *run) unreadable(pass *Pass, o fsck.Object, cause error) error {
	pass.Unreadable++
	s, err := r.standing(o)
	if err != nil {
		return err
	}
	if s != there {
		if r.failing++; r.failing == maxFailing {
			return fmt.Errorf("%w: %w", errAway, cause)
		}
	} else {
		r.failing = 0
	}
	if o.Damaged {
		if s != there {
			return nil
		}
		return r.mend(pass, o)
	}
	since := r.suspect(o.UID)
	r.Log.Warn("an object could not be read", "digest", o.Digest, "since", since, "others", s == there, "error", cause)
	if s != there || r.Now().Sub(since) < unreadableGrace {
		return nil
	}
	return r.quarantine(pass, o, &fsck.Problem{Kind: fsck.Unreadable, Detail: cause.Error()})
}

// suspect keeps in mind that an object is not read, and returns since when it is so.
func (r *run) suspect(uid string) time.Time {
	since, ok := r.progress.Unreadable[uid]
	if ok {
		return since
	}
	since = r.Now()
	if len(r.progress.Unreadable) < maxUnreadable {
		r.progress.Unreadable[uid] = since
	}
	return since
}

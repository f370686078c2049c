package lifecycle

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Backtest returns what a policy would have done to the images of a repository,
// had it been carried out once a day from then on: at the end of each day after
// from, and at to. It is in the order of time, and of the decisions of [Evaluate].
//
// Images are pushed, tags are moved, and images deleted, as they were. What a
// lifecycle policy did after from has not happened; neither has what anybody
// moved to the archive after from, and brought back. Of an image's pulls the last
// one is known, and counts from then on. An image that would have been deleted,
// and that a tag was put on later or that was pushed again, is there again from
// then on as one that was pushed then.
//
// A day costs an evaluation, unless neither an event nor an age of an image that
// a rule counts makes a difference on it. Errors: that of ctx, which is looked at
// once a day.
func Backtest(ctx context.Context, p *Policy, h *History, from, to time.Time) ([]Removal, error) {
	r := newReplay(p, h, from)
	events := r.events(to)
	var out []Removal
	last := time.Time{}
	for at := from; at.Before(to); {
		if at = at.Add(24 * time.Hour); at.After(to) {
			at = to
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := 0
		for n < len(events) && !events[n].at.After(at) {
			r.apply(events[n])
			n++
		}
		events = events[n:]
		if n > 0 || last.IsZero() || r.acted || r.ages(last, at) {
			out = r.evaluate(out, at)
		}
		last = at
	}
	r.look(out)
	return out, nil
}

// replay is the state of a repository in a Backtest. Each digest has a place in
// images, whether or not it is there.
type replay struct {
	policy    *Policy
	history   *History
	from      time.Time
	images    []Image
	there     []bool
	taken     []bool             // the policy has deleted the image
	row       []int              // which of the history's images stands for it now
	places    map[string]int32   // by digest
	tags      map[string]int32   // where each tag is
	referrers map[string][]int32 // of a digest
	buffer    []Image
	acted     bool // the last evaluation has done something
}

func newReplay(p *Policy, h *History, from time.Time) *replay {
	r := &replay{
		policy: p, history: h, from: from,
		places: make(map[string]int32, len(h.Images)), tags: map[string]int32{}, referrers: map[string][]int32{},
	}
	for i := range h.Images {
		img := &h.Images[i].Image
		if _, known := r.places[img.Digest]; known {
			continue
		}
		at := int32(len(r.places))
		r.places[img.Digest] = at
		if img.Subject != "" {
			r.referrers[img.Subject] = append(r.referrers[img.Subject], at)
		}
	}
	n := len(r.places)
	r.images, r.there, r.taken, r.row = make([]Image, n), make([]bool, n), make([]bool, n), make([]int, n)
	return r
}

// kind is what happens in an event. What happens at the same time happens in the
// order of the kinds.
type kind int

const (
	pushed kind = iota
	tagged
	orphaned
	activated
	archived
	pulled
	deleted
)

// event is something that happens to an image, or to a tag, of the history.
type event struct {
	at   time.Time
	kind kind
	n    int // which of the history's images, or changes of tags
}

// events returns what happens until to, in order. Of what is known only as the
// last time it happened, some counts only as far as it made the state at from.
func (r *replay) events(to time.Time) []event {
	var out []event
	add := func(at time.Time, k kind, n int, counts bool) {
		if counts && !at.IsZero() && !at.After(to) {
			out = append(out, event{at, k, n})
		}
	}
	before := func(t time.Time) bool { return !t.After(r.from) }
	for n := range r.history.Images {
		p := &r.history.Images[n]
		add(p.PushedAt, pushed, n, true)
		add(p.OrphanedAt, orphaned, n, before(p.OrphanedAt))
		add(p.ActivatedAt, activated, n, true)
		add(p.ArchivedAt, archived, n, before(p.ArchivedAt) && (p.State == Archived || !before(p.ActivatedAt)))
		add(p.PulledAt, pulled, n, true)
		add(p.DeletedAt, deleted, n, !p.Expired || before(p.DeletedAt))
	}
	for n, c := range r.history.Tags {
		add(c.At, tagged, n, !c.Policy || before(c.At))
	}
	slices.SortStableFunc(out, func(a, b event) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return cmp.Compare(a.kind, b.kind)
	})
	return out
}

// apply makes an event happen.
func (r *replay) apply(e event) {
	if e.kind == tagged {
		r.tag(&r.history.Tags[e.n])
		return
	}
	at := r.places[r.history.Images[e.n].Digest]
	if e.kind == pushed {
		r.push(at, e.n)
		return
	}
	if !r.there[at] || r.row[at] != e.n {
		return
	}
	img := &r.images[at]
	switch e.kind {
	case orphaned:
		img.Orphan = true
	case activated:
		if img.State == Archived {
			img.State, img.ActivatedAt = Active, e.at
		} else if !e.at.After(r.from) {
			img.ActivatedAt = e.at
		}
	case archived:
		img.State, img.ArchivedAt = Archived, e.at
	case pulled:
		img.PulledAt = e.at
	case deleted:
		r.remove(at)
	}
}

// push makes a row of the history stand for its digest. If the image is there
// already, that is all: so it is with pushes.
func (r *replay) push(at int32, row int) {
	r.row[at] = row
	if !r.there[at] {
		r.add(at, r.history.Images[row].PushedAt)
	}
}

// add puts an image into the repository as one that is pushed at a time.
func (r *replay) add(at int32, pushedAt time.Time) {
	p := &r.history.Images[r.row[at]]
	r.there[at] = true
	r.images[at] = Image{ID: p.ID, Digest: p.Digest, PushedAt: pushedAt, Children: p.Children, Subject: p.Subject}
	if p.State == Restoring {
		r.images[at].State = Restoring
	}
}

// tag puts a tag on an image, or takes it away. An image that is there only if the
// policy has not deleted it has been pushed again.
func (r *replay) tag(c *TagChange) {
	if at, on := r.tags[c.Tag]; on {
		img := &r.images[at]
		if n, there := slices.BinarySearch(img.Tags, c.Tag); there {
			img.Tags = slices.Delete(img.Tags, n, n+1)
		}
		delete(r.tags, c.Tag)
	}
	at, known := r.places[c.Digest]
	if !known || !r.there[at] && !r.taken[at] {
		return
	}
	if !r.there[at] {
		r.add(at, c.At)
	}
	img := &r.images[at]
	n, _ := slices.BinarySearch(img.Tags, c.Tag)
	img.Tags = slices.Insert(img.Tags, n, c.Tag)
	r.tags[c.Tag] = at
}

// remove takes an image out of the repository, and its tags.
func (r *replay) remove(at int32) {
	img := &r.images[at]
	for _, t := range img.Tags {
		delete(r.tags, t)
	}
	r.there[at] = false
	for _, referrer := range r.referrers[img.Digest] {
		if r.there[referrer] {
			r.images[referrer].Orphan = true
		}
	}
}

// evaluate carries out the policy, and appends what it does.
func (r *replay) evaluate(out []Removal, now time.Time) []Removal {
	r.acted = false
	r.buffer = r.buffer[:0]
	for at, there := range r.there {
		if there {
			r.buffer = append(r.buffer, r.images[at])
		}
	}
	for _, d := range Evaluate(r.policy, r.buffer, now) {
		if d.Action == Keep {
			break // the rest is kept, too
		}
		at := r.places[d.Image.Digest]
		removal := Removal{Image: *d.Image, At: now, Action: d.Action, Rule: d.Rule, Reason: d.Reason}
		removal.Image.Tags = slices.Clone(d.Image.Tags)
		out = append(out, removal)
		r.acted = true
		if d.Action == Expire {
			r.taken[at] = true
			r.remove(at)
			continue
		}
		r.images[at].State, r.images[at].ArchivedAt = Archived, now
	}
	return out
}

// ages reports whether an image that was not over a limit of days at one time is
// at a later one.
func (r *replay) ages(last, now time.Time) bool {
	for _, rule := range r.policy.Rules {
		count, days := rule.Selection.Count, rule.Selection.Number
		if count == MoreThan || count == NoCount {
			continue
		}
		was, is := daysBefore(last, days), daysBefore(now, days)
		for at := range r.images {
			img := &r.images[at]
			if !r.there[at] {
				continue
			}
			t := img.ArchivedAt
			switch count {
			case SincePushed:
				t = img.since()
			case SincePulled:
				t = img.used()
			}
			if t.Before(is) && !t.Before(was) {
				return true
			}
		}
	}
	return false
}

// look adds to the removals what has become of the images since.
func (r *replay) look(out []Removal) {
	pulls, there := map[string]time.Time{}, map[string]bool{}
	for n := range r.history.Images {
		p := &r.history.Images[n]
		if p.PulledAt.After(pulls[p.Digest]) {
			pulls[p.Digest] = p.PulledAt
		}
		there[p.Digest] = there[p.Digest] || p.DeletedAt.IsZero()
	}
	for n := range out {
		d := out[n].Image.Digest
		out[n].LastPull, out[n].StillThere = pulls[d], there[d]
		out[n].PulledLater = pulls[d].After(out[n].At)
	}
}

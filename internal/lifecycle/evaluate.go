package lifecycle

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// State is where an image's bytes are.
type State int

// The states of an image.
const (
	Active    State = iota // in the standard storage class
	Archived               // in the archive
	Restoring              // on its way back; no rule is about such an image
)

// Image is an image of a repository at the time of an evaluation.
type Image struct {
	ID          string // unique; of images pushed at the same time, the later ones have greater IDs
	Digest      string // unique
	Tags        []string
	State       State
	PushedAt    time.Time
	PulledAt    time.Time // zero if never
	ArchivedAt  time.Time // zero if never
	ActivatedAt time.Time // when it was last restored from the archive; zero if never
	Children    []string  // the digests that an index lists
	Subject     string    // the digest that a referrer refers to; "" if it refers to none
	// Orphan is true of a referrer whose subject was deleted from the
	// repository after the referrer had been pushed.
	Orphan bool
}

// since is the time that an image's age counts from: when it was pushed, or was
// last restored from the archive.
func (i *Image) since() time.Time {
	if i.ActivatedAt.IsZero() {
		return i.PushedAt
	}
	return i.ActivatedAt
}

// used is when the image was last pulled or, if that is not known since it came
// into the storage class, when it came.
func (i *Image) used() time.Time {
	if since := i.since(); i.PulledAt.Before(since) {
		return since
	}
	return i.PulledAt
}

// Reason says why a decision was made.
type Reason string

// The reasons.
const (
	NoRule         Reason = "no rule selects it"
	OverLimit      Reason = "it is over the limit of the rule"
	WithinLimit    Reason = "it is within the limit of the rule"
	ListedByIndex  Reason = "an index that stays lists it"
	SubjectStays   Reason = "it refers to an image that stays"
	FollowsSubject Reason = "it follows the image that it refers to"
	SubjectDeleted Reason = "the image that it refers to is deleted"
	BeingRestored  Reason = "it is being restored from the archive"
	RefersInCircle Reason = "it would have to go both before and after another image"
)

// Decision is what is to happen to one image, and why.
type Decision struct {
	Image  *Image
	Action Action // Expire, Transition or Keep
	Rule   int    // the priority of the rule that decided; 0 if none did
	Reason Reason
	By     string // the digest of the index or subject that the reason is about
}

// Evaluate decides about every image of a repository. The decisions come in the
// order in which to carry them out: an index before what it lists, a subject
// before what refers to it, otherwise the oldest first; then the images that are
// kept. The order of the images given makes no difference.
//
// Every rule by itself looks at all images that it selects and finds those over
// its limit. The first rule that selects an image decides about it. Then images
// are kept that an index lists which is not deleted, or archived, with them.
// Images that refer to another one in the repository are not selected by any
// rule: they are deleted or archived when their subject is.
//
// It takes time proportional to n log n, to what the indexes list, and to the
// number of patterns times that of tags.
func Evaluate(p *Policy, images []Image, now time.Time) []Decision {
	e := newEvaluation(images, now)
	for i := range p.Rules {
		m := newMatcher(&p.Rules[i])
		e.apply(&m)
	}
	e.settle()
	return e.ordered()
}

// evaluation is the state of one Evaluate. Images are known by their index.
type evaluation struct {
	images     []Image
	now        time.Time
	newest     []int32    // those that rules are about, newest first
	decided    []bool     // by a rule
	base       []Decision // of the rules
	out        []Decision // of the rules and of what images have to do with each other
	byDigest   map[string]int32
	subject    []int32   // of a referrer, where the subject is there; else -1
	parents    [][]int32 // the indexes that list an image
	dependents [][]int32 // what an index lists, and what refers to an image
	level      []int32   // an image goes after those with lower levels; the greatest if it stays
}

func newEvaluation(images []Image, now time.Time) *evaluation {
	n := len(images)
	e := &evaluation{
		images: images, now: now, decided: make([]bool, n), base: make([]Decision, n), out: make([]Decision, n),
		byDigest: make(map[string]int32, n), subject: make([]int32, n), parents: make([][]int32, n), dependents: make([][]int32, n),
	}
	for i := range images {
		e.byDigest[images[i].Digest] = int32(i)
	}
	for i := range images {
		e.relate(int32(i))
	}
	slices.SortFunc(e.newest, func(a, b int32) int { return older(&images[b], &images[a]) })
	return e
}

// older orders images by age, the oldest first.
func older(a, b *Image) int {
	if c := a.since().Compare(b.since()); c != 0 {
		return c
	}
	return cmp.Compare(a.ID, b.ID)
}

// relate notes what the image has to do with others, and whether rules are about
// it.
func (e *evaluation) relate(i int32) {
	img := &e.images[i]
	e.base[i], e.subject[i] = Decision{Image: img, Reason: NoRule}, -1
	for _, d := range img.Children {
		if c, there := e.byDigest[d]; there && c != i {
			e.parents[c] = append(e.parents[c], i)
			e.dependents[i] = append(e.dependents[i], c)
		}
	}
	if img.Subject != "" {
		if s, there := e.byDigest[img.Subject]; there && s != i {
			e.subject[i] = s
			e.dependents[s] = append(e.dependents[s], i)
			return
		}
		if img.Orphan {
			e.base[i] = Decision{Image: img, Action: Expire, Reason: SubjectDeleted, By: img.Subject}
			return
		}
	}
	if img.State == Restoring {
		e.base[i].Reason = BeingRestored
		return
	}
	e.newest = append(e.newest, i)
}

// apply lets a rule decide about the images that it selects and that no rule
// before it has decided about. It counts the others as well.
func (e *evaluation) apply(m *matcher) {
	s := m.Selection
	within := 0
	before := daysBefore(e.now, s.Number)
	for _, i := range e.newest {
		if e.decided[i] && (s.Count != MoreThan || within >= s.Number) || !m.selects(&e.images[i]) {
			continue
		}
		over := false
		switch s.Count {
		case MoreThan:
			over = within >= s.Number
			within++
		case SincePushed:
			over = e.images[i].since().Before(before)
		case SincePulled:
			over = e.images[i].used().Before(before)
		case SinceTransitioned:
			over = e.images[i].ArchivedAt.Before(before)
		}
		if e.decided[i] || over && m.Action == Retain {
			continue
		}
		e.decided[i] = true
		e.base[i].Rule, e.base[i].Reason = m.Priority, WithinLimit
		if over {
			e.base[i].Action, e.base[i].Reason = m.Action, OverLimit
		}
	}
}

// daysBefore returns the time so many days before now: what is not older than
// that is not over the limit.
func daysBefore(now time.Time, days int) time.Time {
	const day = 24 * time.Hour
	if days > int(math.MaxInt64/day) {
		return time.Time{}
	}
	return now.Add(-time.Duration(days) * day)
}

// ordered returns the decisions in the order in which to carry them out.
func (e *evaluation) ordered() []Decision {
	order := make([]int32, len(e.images))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := cmp.Compare(e.level[a], e.level[b]); c != 0 {
			return c
		}
		if c := older(&e.images[a], &e.images[b]); c != 0 {
			return c
		}
		return strings.Compare(e.images[a].Digest, e.images[b].Digest)
	})
	out := make([]Decision, len(order))
	for n, i := range order {
		out[n] = e.out[i]
	}
	return out
}

package lifecycle

import "math"

// settle makes out of the rules' decisions those that go together: nothing goes
// before the indexes that list it, and referrers follow their subjects. It decides
// about an image when it has decided about all of these. An image that is never
// reached has to go, or has one before it that has to go, both before and after
// another one, as when an index refers to what it lists: such images stay.
func (e *evaluation) settle() {
	e.level = make([]int32, len(e.images))
	waits := make([]int32, len(e.images)) // for decisions about so many others
	var ready []int32
	for i := range e.images {
		waits[i] = int32(len(e.parents[i]))
		if e.subject[i] >= 0 {
			waits[i]++
		}
		if waits[i] == 0 {
			ready = append(ready, int32(i))
		}
		e.level[i] = math.MaxInt32
		e.out[i] = Decision{Image: &e.images[i], Rule: e.base[i].Rule, Reason: RefersInCircle}
	}
	for len(ready) > 0 {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		e.out[i] = e.decide(i)
		if e.out[i].Action != Keep {
			e.level[i] = e.after(i)
		}
		for _, c := range e.dependents[i] {
			if waits[c]--; waits[c] == 0 {
				ready = append(ready, c)
			}
		}
	}
}

// decide returns the decision about an image. Those about its indexes and its
// subject have been made.
func (e *evaluation) decide(i int32) Decision {
	d := e.base[i]
	if s := e.subject[i]; s >= 0 {
		d = e.follow(i, s)
	}
	if d.Action == Keep {
		return d
	}
	by := ""
	for _, p := range e.parents[i] {
		if e.holds(p, d.Action) && (by == "" || e.images[p].Digest < by) {
			by = e.images[p].Digest
		}
	}
	if by != "" {
		return Decision{Image: d.Image, Rule: d.Rule, Reason: ListedByIndex, By: by}
	}
	return d
}

// holds reports whether an index keeps what it lists from an action: it must be
// gone before that is deleted, and archived before it is archived.
func (e *evaluation) holds(index int32, a Action) bool {
	if a == Expire {
		return e.out[index].Action != Expire
	}
	return e.out[index].Action == Keep && e.images[index].State != Archived
}

// follow returns what happens to a referrer because of its subject.
func (e *evaluation) follow(i, subject int32) Decision {
	s := &e.out[subject]
	d := Decision{Image: &e.images[i], Reason: FollowsSubject, By: e.images[subject].Digest}
	switch {
	case s.Action == Expire:
		d.Action, d.Rule = Expire, s.Rule
	case s.Action == Keep && e.images[subject].State != Archived:
		d.Reason = SubjectStays
	case e.images[i].State == Active:
		d.Action = Transition
		if s.Action == Transition {
			d.Rule = s.Rule
		}
	}
	return d
}

// after returns the level of an image that goes: it is above those of its indexes
// and of its subject, as far as they go.
func (e *evaluation) after(i int32) int32 {
	level := int32(0)
	for _, p := range e.parents[i] {
		if e.out[p].Action != Keep {
			level = max(level, e.level[p]+1)
		}
	}
	if s := e.subject[i]; s >= 0 && e.out[s].Action != Keep {
		level = max(level, e.level[s]+1)
	}
	return level
}

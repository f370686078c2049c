package lifecycle

import "math"

// settle makes out of the rules' decisions those that go together: nothing goes
// before the indexes that list it, and referrers go with their subjects. An image
// that would have to go both before and after another one stays, as when an index
// refers to what it lists.
func (e *evaluation) settle() {
	e.stuck = make([]bool, len(e.images))
	for {
		e.fixpoint()
		e.level = e.levels()
		more := false
		for i := range e.out {
			if e.out[i].Action != Keep && e.level[i] == math.MaxInt32 {
				e.stuck[i], more = true, true
			}
		}
		if !more {
			return
		}
	}
}

// fixpoint starts with all that could go and takes away what must stay, which can
// only make more stay: each image changes at most twice.
func (e *evaluation) fixpoint() {
	e.out = append([]Decision(nil), e.base...)
	var queue []int32
	for i := range e.out {
		if _, refers := e.subject[int32(i)]; refers {
			e.out[i].Action = Expire // at most
		}
		if e.out[i].Action != Keep {
			queue = append(queue, int32(i))
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		d := e.decide(i)
		if d == e.out[i] {
			continue
		}
		e.out[i] = d
		for _, c := range e.dependents[i] {
			if _, refers := e.subject[c]; refers || e.out[c].Action != Keep {
				queue = append(queue, c)
			}
		}
	}
	for i := range e.out { // reasons may name what was found out later
		e.out[i] = e.decide(int32(i))
	}
}

// decide returns the decision about an image as far as those about its subject
// and its indexes are made.
func (e *evaluation) decide(i int32) Decision {
	d := e.base[i]
	if s, refers := e.subject[i]; refers {
		d = e.follow(i, s)
	}
	if d.Action == Keep {
		return d
	}
	if e.stuck[i] {
		return Decision{Image: d.Image, Rule: d.Rule, Reason: RefersInCircle}
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

// levels returns when the images are to go: after all images with a lower level.
// Those that are kept have the greatest level.
func (e *evaluation) levels() []int32 {
	levels := make([]int32, len(e.images))
	waits := make([]int32, len(e.images)) // for so many images to go first
	var ready []int32
	goes := func(i int32) bool { return e.out[i].Action != Keep }
	for i := range levels {
		levels[i] = math.MaxInt32
		if !goes(int32(i)) {
			continue
		}
		for _, p := range e.parents[int32(i)] {
			if goes(p) {
				waits[i]++
			}
		}
		if s, refers := e.subject[int32(i)]; refers && goes(s) {
			waits[i]++
		}
		if waits[i] == 0 {
			levels[i] = 0
			ready = append(ready, int32(i))
		}
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		for _, c := range e.dependents[i] {
			if !goes(c) {
				continue
			}
			if waits[c]--; waits[c] == 0 {
				levels[c] = levels[i] + 1
				ready = append(ready, c)
			}
		}
	}
	return levels
}

package policy

import (
	"maps"
	"sync/atomic"
)

// actionIndex remembers which statements of a policy are about an action: services
// ask about the same few actions again and again.
type actionIndex struct {
	known atomic.Pointer[map[string][]candidate]
}

// candidate is a statement that is about an action.
type candidate struct {
	index int32
	needs string // a key without which the statement does not apply, "" for none
}

// Services ask about fewer and shorter actions than are remembered; only who tries
// policies out can name others.
const (
	maxActions = 256
	maxAction  = 128 // bytes
)

// about returns the statements that are about an action. It allocates when it is
// asked for the first time.
func (p *Policy) about(action string) []candidate {
	known := p.actions.known.Load()
	if known != nil {
		if list, ok := (*known)[action]; ok {
			return list
		}
	}
	list := []candidate{}
	for i := range p.statements {
		if s := &p.statements[i]; s.hasAction(action) {
			list = append(list, candidate{int32(i), s.needs()})
		}
	}
	more := map[string][]candidate{}
	if known != nil {
		more = maps.Clone(*known)
	}
	if len(more) < maxActions && len(action) <= maxAction {
		more[action] = list
		p.actions.known.CompareAndSwap(known, &more) // who comes second asks again
	}
	return list
}

// needs returns a key without which one of the statement's conditions is false.
func (s *statement) needs() string {
	for i := range s.conditions {
		if c := &s.conditions[i]; c.compare != isNull && !c.holds(Context{}) {
			return c.key
		}
	}
	return ""
}

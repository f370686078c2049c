package policy

import (
	"maps"
	"sync/atomic"
)

// actionIndex remembers which statements of a policy are about an action: services
// ask about the same few actions again and again.
type actionIndex struct {
	known atomic.Pointer[map[string][]int32]
}

// Services ask about fewer and shorter actions than are remembered; only who tries
// policies out can name others.
const (
	maxActions = 256
	maxAction  = 128 // bytes
)

// about returns the indexes of the statements that are about an action. It
// allocates when it is asked for the first time.
func (p *Policy) about(action string) []int32 {
	known := p.actions.known.Load()
	if known != nil {
		if list, ok := (*known)[action]; ok {
			return list
		}
	}
	list := []int32{}
	for i := range p.statements {
		if p.statements[i].hasAction(action) {
			list = append(list, int32(i))
		}
	}
	more := map[string][]int32{}
	if known != nil {
		more = maps.Clone(*known)
	}
	if len(more) < maxActions && len(action) <= maxAction {
		more[action] = list
		p.actions.known.CompareAndSwap(known, &more) // who comes second asks again
	}
	return list
}

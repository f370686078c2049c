//go:build unix

package storm

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/opencontainers/go-digest"
)

// place is a tag of a repository.
type place struct{ repository, tag string }

type kind int

const (
	put     kind = iota // the tag is put on an image
	refused             // it was not, because it is on one and immutable
	get                 // it is on an image, or on none
	cleared             // it is taken from an image, or was on none
	deleted             // an image is deleted, and all of its tags with it
	absent              // an image is not there, not whole, or not under the tag
)

// event is something that was done to a tag, or seen of it.
type event struct {
	kind    kind
	image   digest.Digest // "" for none
	unknown bool          // it is not known whether it was done
}

// history is what has become of tags.
type history struct {
	began time.Time

	mu    sync.Mutex
	tags  map[place][]porcupine.Operation
	goner map[string]map[digest.Digest][]porcupine.Operation // deletions, by repository
	is    map[place]map[digest.Digest]bool                   // images that a tag was put on
}

func newHistory() *history {
	return &history{began: time.Now(), tags: map[place][]porcupine.Operation{}, goner: map[string]map[digest.Digest][]porcupine.Operation{}, is: map[place]map[digest.Digest]bool{}}
}

func (h *history) operation(client int, e event, a answer) porcupine.Operation {
	end := a.said.Sub(h.began).Nanoseconds()
	if e.unknown {
		end = math.MaxInt64 // it may come about at any time
	}
	return porcupine.Operation{ClientId: client, Input: e, Call: a.called.Sub(h.began).Nanoseconds(), Return: end}
}

// add notes what was done to a tag.
func (h *history) add(client int, p place, e event, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tags[p] = append(h.tags[p], h.operation(client, e, a))
	if e.kind == put {
		if h.is[p] == nil {
			h.is[p] = map[digest.Digest]bool{}
		}
		h.is[p][e.image] = true
	}
}

// addImage notes what was done to an image, whatever its tags.
func (h *history) addImage(client int, repository string, e event, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.goner[repository]
	if of == nil {
		of = map[digest.Digest][]porcupine.Operation{}
		h.goner[repository] = of
	}
	of[e.image] = append(of[e.image], h.operation(client, e, a))
}

// register is a tag: "" or the image that it is on.
func register(immutable bool) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return digest.Digest("") },
		Step: func(state, input, _ any) (bool, any) {
			is, e := state.(digest.Digest), input.(event)
			switch e.kind {
			case put:
				if immutable && is != "" {
					return e.unknown, is
				}
				return true, e.image
			case refused:
				return is != "", is
			case get:
				return is == e.image, is
			case cleared:
				return e.unknown || is == e.image, digest.Digest("")
			case deleted:
				if is == e.image {
					is = ""
				}
				return true, is
			default:
				return is != e.image, is
			}
		},
		DescribeOperation: func(input, _ any) string {
			e := input.(event)
			return fmt.Sprintf("%s %.15s unknown=%t", [...]string{"put", "refused", "get", "cleared", "deleted", "absent"}[e.kind], e.image, e.unknown)
		},
	}
}

// check has each tag's history be explained by one order, and returns how many operations
// there were, and how many tags.
func (h *history) check(t *testing.T, dir string, immutable func(repository string) bool) (operations, tags int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for p, ops := range h.tags {
		for image := range h.is[p] {
			ops = append(ops, h.goner[p.repository][image]...)
		}
		operations += len(ops)
		tags++
		model := register(immutable(p.repository))
		switch result := porcupine.CheckOperationsTimeout(model, ops, 2*time.Minute); result {
		case porcupine.Ok:
		case porcupine.Unknown:
			t.Errorf("%s:%s: it takes too long to check %d operations", p.repository, p.tag, len(ops))
		default:
			t.Errorf("%s:%s: no order explains %d operations", p.repository, p.tag, len(ops))
			_, info := porcupine.CheckOperationsVerbose(model, ops, time.Minute)
			file := fmt.Sprintf("%s/%s-%s.html", dir, p.repository, p.tag)
			if err := porcupine.VisualizePath(model, info, file); err == nil {
				t.Logf("see %s", file)
			}
		}
	}
	return operations, tags
}

//go:build unix

package storm

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/opencontainers/go-digest"
)

// What cannot be is seen: histories of a tag that no server has that keeps its promises.
func TestWhatCannotBeIsSeen(t *testing.T) {
	t.Parallel()
	type at struct {
		from, to int // seconds
		event
	}
	a, b := digest.FromString("a"), digest.FromString("b")
	is := func(kind kind, image digest.Digest) event { return event{kind: kind, image: image} }
	perhaps := func(kind kind, image digest.Digest) event { return event{kind, image, true} }
	for name, c := range map[string]struct {
		immutable, possible bool
		history             []at
	}{
		"a read of what was put":                          {false, true, []at{{0, 1, is(put, a)}, {2, 3, is(get, a)}}},
		"a read of what was replaced":                     {false, false, []at{{0, 1, is(put, a)}, {2, 3, is(put, b)}, {4, 5, is(get, a)}}},
		"... while it was":                                {false, true, []at{{0, 1, is(put, a)}, {2, 5, is(put, b)}, {3, 4, is(get, a)}}},
		"a read back":                                     {false, false, []at{{0, 1, is(put, a)}, {2, 9, is(put, b)}, {3, 4, is(get, b)}, {5, 6, is(get, a)}}},
		"a tag that is lost":                              {false, false, []at{{0, 1, is(put, a)}, {2, 3, is(get, "")}}},
		"a tag on an image that was deleted":              {false, false, []at{{0, 1, is(put, a)}, {2, 3, is(deleted, a)}, {4, 5, is(get, a)}}},
		"a tag that a deletion of another image has lost": {false, false, []at{{0, 1, is(put, a)}, {2, 3, is(deleted, b)}, {4, 5, is(get, "")}}},
		"an image that is not whole":                      {false, false, []at{{0, 1, is(put, a)}, {2, 3, is(absent, a)}}},
		"... while its tag is moved":                      {false, true, []at{{0, 1, is(put, a)}, {2, 4, is(put, b)}, {3, 5, is(absent, a)}}},
		"... and before and after it is there":            {false, false, []at{{0, 1, is(put, a)}, {2, 3, is(get, a)}, {4, 5, is(absent, a)}, {6, 7, is(get, a)}}},
		"what comes about late and was not answered":      {false, true, []at{{0, 1, is(put, a)}, {2, 3, perhaps(put, b)}, {4, 5, is(get, a)}, {6, 7, is(get, b)}}},
		"... and goes again":                              {false, false, []at{{0, 1, is(put, a)}, {2, 3, perhaps(put, b)}, {4, 5, is(get, b)}, {6, 7, is(get, a)}}},
		"two winners":                                     {true, false, []at{{0, 3, is(put, a)}, {0, 3, is(put, b)}}},
		"one winner":                                      {true, true, []at{{0, 3, is(put, a)}, {0, 3, is(refused, "")}, {4, 5, is(get, a)}}},
		"no winner":                                       {true, false, []at{{0, 3, is(refused, "")}, {0, 3, is(refused, "")}}},
		"another winner than the tag is on":               {true, false, []at{{0, 3, is(put, a)}, {0, 3, is(refused, "")}, {4, 5, is(get, b)}}},
	} {
		h := newHistory()
		var ops []porcupine.Operation
		for i, o := range c.history {
			second := func(n int) time.Time { return h.began.Add(time.Duration(n) * time.Second) }
			ops = append(ops, h.operation(i, o.event, answer{called: second(o.from), said: second(o.to)}))
		}
		if got := porcupine.CheckOperations(register(c.immutable), ops); got != c.possible {
			t.Errorf("%s is possible: %t, want %t", name, got, c.possible)
		}
	}
}

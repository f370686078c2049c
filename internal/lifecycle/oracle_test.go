package lifecycle

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// oracle decides as Evaluate does, in the plainest way and however long it
// takes. It returns the action and the rule of every image.
func oracle(p *Policy, images []Image, now time.Time) map[string]string {
	byDigest := map[string]*Image{}
	for i := range images {
		byDigest[images[i].Digest] = &images[i]
	}
	action, rule := map[string]Action{}, map[string]int{}
	for d, i := range byDigest {
		if byDigest[i.Subject] != nil {
			continue // see below
		}
		if i.Subject != "" && i.Orphan {
			action[d] = Expire
			continue
		}
		for _, r := range p.Rules {
			if !identifies(r, i) {
				continue
			}
			marked := marks(r, i, images, byDigest, now)
			if r.Action == Retain && marked {
				continue
			}
			rule[d] = r.Priority
			if marked {
				action[d] = r.Action
			}
			break
		}
	}
	before := func(i *Image) []*Image { // what must have been decided about
		var out []*Image
		for n := range images {
			if slices.Contains(images[n].Children, i.Digest) {
				out = append(out, &images[n])
			}
		}
		if s := byDigest[i.Subject]; s != nil {
			out = append(out, s)
		}
		return out
	}
	final := map[string]Action{}
	var settled func(i *Image, path []*Image) (Action, bool)
	settled = func(i *Image, path []*Image) (a Action, ok bool) {
		if a, known := final[i.Digest]; known {
			return a, true
		}
		defer func() {
			if ok {
				final[i.Digest] = a
			}
		}()
		if slices.Contains(path, i) {
			return Keep, false // a circle
		}
		of := map[string]Action{}
		for _, b := range before(i) {
			if of[b.Digest], ok = settled(b, append(path, i)); !ok {
				return Keep, false
			}
		}
		a = action[i.Digest]
		if s := byDigest[i.Subject]; s != nil {
			a = Keep
			if of[s.Digest] == Expire {
				a = Expire
			} else if i.State == Active && (of[s.Digest] == Transition || s.State == Archived) {
				a = Transition
			}
		}
		for _, p := range images {
			if slices.Contains(p.Children, i.Digest) && (a == Expire && of[p.Digest] != Expire || a == Transition && of[p.Digest] == Keep && p.State != Archived) {
				return Keep, true
			}
		}
		return a, true
	}
	for _, i := range byDigest {
		settled(i, nil)
	}
	action = final // nothing happens to those in a circle, nor to what depends on them
	out := map[string]string{}
	for d, i := range byDigest {
		out[d] = string(action[d])
		for s := i; action[d] != Keep; s = byDigest[s.Subject] { // the rule of the subject that all follow
			if byDigest[s.Subject] == nil {
				out[d] += fmt.Sprint(" ", rule[s.Digest])
				break
			}
			if action[s.Digest] == Transition && action[s.Subject] == Keep {
				out[d] += " 0"
				break
			}
		}
	}
	return out
}

func identifies(r Rule, i *Image) bool {
	if i.State == Restoring || (i.State == Archived) != (r.Selection.Class == Archive) {
		return false
	}
	switch r.Selection.TagStatus {
	case Tagged:
		if len(i.Tags) == 0 {
			return false
		}
	case Untagged:
		return len(i.Tags) == 0
	}
	for _, p := range r.Selection.Prefixes {
		if !slices.ContainsFunc(i.Tags, func(t string) bool { return strings.HasPrefix(t, p) }) {
			return false
		}
	}
	for _, p := range r.Selection.Patterns {
		if !slices.ContainsFunc(i.Tags, func(t string) bool { return like(p, t) }) {
			return false
		}
	}
	return !slices.ContainsFunc(r.Selection.Excluded, func(p string) bool {
		return slices.ContainsFunc(i.Tags, func(t string) bool { return like(p, t) })
	})
}

// like matches by trying every length that a wildcard can have.
func like(p, s string) bool {
	if p == "" {
		return s == ""
	}
	if p[0] != '*' {
		return s != "" && s[0] == p[0] && like(p[1:], s[1:])
	}
	for n := range len(s) + 1 {
		if like(p[1:], s[n:]) {
			return true
		}
	}
	return false
}

// marks reports whether the image is over the limit of the rule.
func marks(r Rule, i *Image, images []Image, byDigest map[string]*Image, now time.Time) bool {
	since := func(i *Image) time.Time {
		if !i.ActivatedAt.IsZero() {
			return i.ActivatedAt
		}
		return i.PushedAt
	}
	limit := time.Duration(r.Selection.Number) * 24 * time.Hour
	switch r.Selection.Count {
	case MoreThan:
		newer := 0
		for n := range images {
			o := &images[n]
			if byDigest[o.Subject] != nil || o.Subject != "" && o.Orphan || !identifies(r, o) {
				continue
			}
			if since(o).After(since(i)) || since(o).Equal(since(i)) && o.ID > i.ID {
				newer++
			}
		}
		return newer >= r.Selection.Number
	case SincePushed:
		return now.Sub(since(i)) > limit
	case SincePulled:
		used := i.PulledAt
		if used.Before(since(i)) {
			used = since(i)
		}
		return now.Sub(used) > limit
	case SinceTransitioned:
		return now.Sub(i.ArchivedAt) > limit
	}
	return false
}

// anyPolicy returns a policy made of chance.
func anyPolicy(r *rand.Rand) (*Policy, bool) {
	var lines []string
	for n := range 1 + r.IntN(5) {
		selection := []string{"any", "untagged", "a*", "b", "a*,b", "*1", "*!a1", "any!b"}[r.IntN(8)]
		count := []string{"count", "pushed", "pulled", "all"}[r.IntN(4)]
		action := []string{"expire", "transition", "retain"}[r.IntN(3)]
		if r.IntN(4) == 0 {
			selection, count = selection+"/archive", "archived"
			if before, excluded, ok := strings.Cut(selection, "!"); ok {
				selection = before + "/archive!" + strings.TrimSuffix(excluded, "/archive")
			}
		}
		lines = append(lines, fmt.Sprintf("%d %s %s %d %s", n+1, selection, count, 1+r.IntN(4), action))
	}
	p, err := Parse(rules(lines...), Options{Extended: true})
	return p, err == nil
}

// anyImages returns images made of chance. As digests have it, no image can list
// or refer to a later one; but an index can refer to what it lists.
func anyImages(r *rand.Rand) []Image {
	var out []Image
	for n := range 1 + r.IntN(12) {
		i := img(fmt.Sprint("i", n), float64(r.IntN(7)))
		for _, tag := range []string{"a1", "a2", "b", "c1"} {
			if r.IntN(4) == 0 {
				i.Tags = append(i.Tags, tag)
			}
		}
		if r.IntN(3) == 0 {
			i = i.pulled(float64(r.IntN(7)))
		}
		switch r.IntN(8) {
		case 0:
			i = i.archived(float64(r.IntN(7)))
		case 1:
			i = i.restored(float64(r.IntN(7)))
		case 2:
			i.State = Restoring
		}
		if n > 0 && r.IntN(4) == 0 {
			i = i.index(fmt.Sprint("i", r.IntN(n)), fmt.Sprint("i", r.IntN(n)))
		}
		if n > 0 && r.IntN(3) == 0 {
			i = i.of(fmt.Sprint("i", r.IntN(n+n/2))) // perhaps one that is not there
			if i.Subject >= i.Digest || len(i.Subject) > len(i.Digest) {
				i.Subject = "gone"
			}
			i.Orphan = r.IntN(2) == 0
		}
		out = append(out, i)
	}
	return out
}

func TestEvaluateAgreesWithAPlainOracle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for tried < 20_000 {
		p, ok := anyPolicy(r)
		if !ok {
			continue
		}
		tried++
		images := anyImages(r)
		got := map[string]string{}
		for _, d := range Evaluate(p, images, now) {
			got[d.Image.Digest] = string(d.Action)
			if d.Action != Keep {
				got[d.Image.Digest] += fmt.Sprint(" ", d.Rule)
			}
		}
		if want := oracle(p, images, now); !maps.Equal(got, want) {
			t.Fatalf("policy %+v\nimages %+v\nEvaluate = %v\nwant       %v", p, images, got, want)
		}
	}
}

// What is carried out in the order of the decisions never leaves an index without
// what it lists, or a referrer behind; and the order of the images makes no
// difference.
func TestDecisionsCanBeCarriedOutInTheirOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		p, ok := anyPolicy(r)
		if !ok {
			continue
		}
		images := anyImages(r)
		left := map[string]Image{}
		for _, i := range images {
			left[i.Digest] = i
		}
		decisions := Evaluate(p, images, now)
		shuffled := slices.Clone(images)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if a, b := fmt.Sprint(acts(decisions), whys(decisions)), fmt.Sprint(acts(Evaluate(p, shuffled, now)), whys(Evaluate(p, shuffled, now))); a != b {
			t.Fatalf("in another order: %s\nwant %s", b, a)
		}
		for _, d := range decisions {
			if d.Action == Keep {
				continue
			}
			for _, other := range left {
				if slices.Contains(other.Children, d.Image.Digest) && (d.Action == Expire || other.State != Archived) {
					t.Fatalf("%s of %s before %s, which lists it\npolicy %+v\nimages %+v", d.Action, d.Image.Digest, other.Digest, p, images)
				}
			}
			i := left[d.Image.Digest]
			if s, there := left[i.Subject]; there && (d.Action == Expire || s.State != Archived) {
				t.Fatalf("%s of %s before its subject %s\npolicy %+v\nimages %+v", d.Action, i.Digest, s.Digest, p, images)
			}
			delete(left, i.Digest)
			if d.Action == Transition {
				left[i.Digest] = i.archived(0)
			}
		}
	}
}

// What a preview shows is all that is done: when it is done, nothing more is to
// be done at the same time.
func TestNothingIsLeftToBeDone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for range 10_000 {
		p, ok := anyPolicy(r)
		if !ok {
			continue
		}
		images := anyImages(r)
		var left []Image
		gone := map[string]bool{}
		for _, d := range Evaluate(p, images, now) {
			switch i := *d.Image; d.Action {
			case Expire:
				gone[i.Digest] = true
			case Transition:
				left = append(left, i.archived(0))
			default:
				left = append(left, i)
			}
		}
		for n := range left {
			left[n].Orphan = left[n].Orphan || gone[left[n].Subject]
		}
		if again := acts(Evaluate(p, left, now)); len(again) > 0 {
			t.Fatalf("done: %q\nthen: %q\npolicy %+v\nimages %+v", acts(Evaluate(p, images, now)), again, p, images)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	const n = 100_000
	images := make([]Image, 0, n)
	for k := range n {
		i := img(fmt.Sprintf("sha256:%064x", k), float64(k%400), fmt.Sprintf("build-%d", k))
		switch k % 10 {
		case 1:
			i.Tags = []string{fmt.Sprintf("release-1.%d", k), "stable"}
		case 2, 3, 4:
			i.Tags = nil
		case 5:
			i = i.index(fmt.Sprintf("sha256:%064x", k-1), fmt.Sprintf("sha256:%064x", k-2))
		case 6:
			i.Tags = nil
			i = i.of(fmt.Sprintf("sha256:%064x", k-1))
		}
		images = append(images, i)
	}
	lines := []string{"1 release-*,stable count 10 expire", "2 untagged pushed 1 expire", "50 any pushed 90 transition"}
	for k := 3; k < 50; k++ {
		lines = append(lines, fmt.Sprintf("%d *%d*x*y count 5 expire", k, k))
	}
	p := parse(b, rules(lines...), Options{})
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(p, images, now)
	}
}

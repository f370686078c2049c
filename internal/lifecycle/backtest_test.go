package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// past returns an image that is there as it is, and was.
func past(i Image) Past { return Past{Image: i} }

// gone returns an image that somebody deleted so many days ago.
func gone(i Image, days float64) Past { return Past{Image: i, DeletedAt: ago(days)} }

// expired returns an image that a policy deleted so many days ago.
func expired(i Image, days float64) Past { return Past{Image: i, DeletedAt: ago(days), Expired: true} }

// back returns an image that was archived, and restored, so many days ago.
func back(i Image, archived, restored float64) Image {
	i = i.archived(archived).restored(restored)
	i.State = Active
	return i
}

// put returns a tag that was put on an image so many days ago; on "" it went away.
func put(days float64, tag, on string) TagChange {
	return TagChange{At: ago(days), Tag: tag, Digest: on}
}

// byPolicy makes it what a policy did.
func (c TagChange) byPolicy() TagChange {
	c.Policy = true
	return c
}

// removals writes what was done as ACTION NAME [TAGS] by RULE DAYS ago, and what
// has become of it.
func removals(rs []Removal) []string {
	out := []string{}
	for _, r := range rs {
		s := fmt.Sprintf("%s %s %v by %d %.0f ago", r.Action, r.Image.Digest, r.Image.Tags, r.Rule, now.Sub(r.At).Hours()/24)
		if r.PulledLater {
			s += ", pulled later"
		}
		if !r.StillThere {
			s += ", gone"
		}
		out = append(out, s)
	}
	return out
}

func TestBacktest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rules  []string
		images []Past
		tags   []TagChange
		days   float64
		want   []string
	}{
		"nothing was there": {rules: []string{"1 any count 1 expire"}, days: 365},
		"an age is reached on a day": {
			rules: []string{"1 any pushed 5 expire"}, days: 10,
			images: []Past{past(img("old", 40)), past(img("a", 8.5)), past(img("b", 2))},
			want:   []string{"expire old [] by 1 9 ago", "expire a [] by 1 3 ago"},
		},
		"what was deleted before is not there, and what was later is": {
			rules: []string{"1 any pushed 5 expire"}, days: 10,
			images: []Past{gone(img("before", 40), 11), gone(img("early", 8.5), 4), gone(img("late", 8.5), 1)},
			want:   []string{"expire late [] by 1 3 ago, gone"},
		},
		"what the present policy deleted is there": {
			rules: []string{"1 any pushed 5 expire"}, days: 10,
			images: []Past{expired(img("before", 40), 11), expired(img("a", 8.5), 7)},
			want:   []string{"expire a [] by 1 3 ago, gone"},
		},
		"pushes push others over a limit": {
			rules: []string{"1 any count 2 expire"}, days: 10,
			images: []Past{past(img("a", 30)), past(img("b", 20)), past(img("c", 4.5)), past(img("d", 2.5))},
			want:   []string{"expire a [] by 1 4 ago", "expire b [] by 1 2 ago"},
		},
		"tags are where they were": {
			rules: []string{"1 v* pushed 5 expire"}, days: 10,
			images: []Past{past(img("a", 40)), past(img("b", 40)), past(img("c", 40))},
			tags:   []TagChange{put(40, "v1", "a"), put(6.5, "v1", "b"), put(2.5, "v2", "c"), put(30, "latest", "a")},
			want:   []string{"expire a [latest v1] by 1 9 ago", "expire b [v1] by 1 6 ago", "expire c [v2] by 1 2 ago"},
		},
		"a tag that goes away leaves the image untagged": {
			rules: []string{"1 untagged pushed 1 expire"}, days: 10, images: []Past{past(img("a", 40))},
			tags: []TagChange{put(40, "v1", "a"), put(3.5, "v1", "")}, want: []string{"expire a [] by 1 3 ago"},
		},
		"a tag that a policy took away is still there": {
			rules: []string{"1 untagged pushed 1 expire"}, days: 10, images: []Past{expired(img("a", 40), 3.5)},
			tags: []TagChange{put(40, "v1", "a"), put(3.5, "v1", "").byPolicy()},
		},
		"a tag that a policy took away before is not": {
			rules: []string{"1 untagged pushed 1 expire"}, days: 10, images: []Past{past(img("a", 40))},
			tags: []TagChange{put(40, "v1", "a"), put(12, "v1", "").byPolicy()}, want: []string{"expire a [] by 1 9 ago"},
		},
		"a pull counts from when it was": {
			rules: []string{"1 any pulled 5 expire"}, days: 10,
			images: []Past{past(img("a", 40).pulled(12)), past(img("b", 40).pulled(9.5)), past(img("c", 40).pulled(2))},
			want:   []string{"expire c [] by 1 9 ago, pulled later", "expire a [] by 1 6 ago", "expire b [] by 1 4 ago"},
		},
		"what was deleted and pushed again": {
			rules: []string{"1 any pushed 5 expire"}, days: 10,
			images: []Past{gone(img("a", 15), 8.8), {Image: Image{ID: "z", Digest: "a", PushedAt: ago(8.5)}}},
			want:   []string{"expire a [] by 1 9 ago", "expire a [] by 1 3 ago"},
		},
		"what a policy deleted and was pushed again is older": {
			rules: []string{"1 any pushed 5 expire"}, days: 10,
			images: []Past{expired(img("a", 10), 7), {Image: Image{ID: "z", Digest: "a", PushedAt: ago(6.5)}}},
			want:   []string{"expire a [] by 1 4 ago"},
		},
		"what was pushed again and deleted by somebody": {
			rules: []string{"1 any pushed 5 expire"}, days: 10,
			images: []Past{expired(img("a", 10), 7), {Image: Image{ID: "z", Digest: "a", PushedAt: ago(6.5)}, DeletedAt: ago(5.5)}},
		},
		"a tag brings back what the policy would have deleted": {
			rules: []string{"1 any pushed 5 expire"}, days: 20, images: []Past{past(img("a", 40))}, tags: []TagChange{put(10.5, "v1", "a")},
			want: []string{"expire a [] by 1 19 ago", "expire a [v1] by 1 5 ago"},
		},
		"archived, then deleted": {
			rules: []string{"1 any pushed 5 transition", "2 any/archive archived 3 expire"}, days: 10, images: []Past{past(img("a", 8.5))},
			want: []string{"transition a [] by 1 3 ago"},
		},
		"archived at the start": {
			rules: []string{"1 any/archive archived 3 expire"}, days: 10,
			images: []Past{past(img("a", 40).archived(9)), past(img("b", 40).archived(11)), {Image: back(img("c", 40), 10.5, 7.5)}},
			want:   []string{"expire b [] by 1 7 ago"},
		},
		"an index goes first": {
			rules: []string{"1 any pushed 5 expire"}, days: 10,
			images: []Past{past(img("c", 9)), gone(img("I", 9).index("c"), 1.5)}, want: []string{"expire I [] by 1 3 ago, gone", "expire c [] by 1 3 ago"},
		},
		"a referrer follows what somebody deleted": {
			rules: []string{"1 any pushed 300 expire"}, days: 10,
			images: []Past{past(img("r", 9).of("s")), gone(img("s", 20), 4.5), {Image: img("q", 30).of("t"), OrphanedAt: ago(25)}, past(img("n", 9).of("never"))},
			want:   []string{"expire q [] by 0 9 ago", "expire r [] by 0 4 ago"},
		},
		"a referrer of what a policy deleted stays with it": {
			rules: []string{"1 any pushed 300 expire"}, days: 10,
			images: []Past{{Image: img("r", 20).of("s"), OrphanedAt: ago(4.5)}, expired(img("s", 20), 4.5)},
		},
		"all at one time": {
			rules: []string{"1 untagged pushed 1 expire"}, days: 10,
			images: []Past{gone(img("a", 5), 5), {Image: Image{ID: "b", Digest: "a", PushedAt: ago(5)}}, gone(img("c", 5), 5)},
			tags:   []TagChange{put(5, "v1", "a"), put(5, "v1", ""), put(5, "v1", "a"), put(5, "v2", "c"), put(5, "v2", "")},
		},
		"the time is not whole days": {
			rules: []string{"1 any pushed 5 expire"}, days: 2.5, images: []Past{past(img("a", 7)), past(img("b", 5.25))},
			want: []string{"expire a [] by 1 2 ago", "expire b [] by 1 0 ago"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := parse(t, rules(tt.rules...), Options{Extended: true})
			got, err := Backtest(t.Context(), p, &History{tt.images, tt.tags}, ago(tt.days), now)
			if err != nil || !slices.Equal(removals(got), tt.want) {
				t.Errorf("Backtest = %v, want\n%s\ngot\n%s", err, strings.Join(tt.want, "\n"), strings.Join(removals(got), "\n"))
			}
		})
	}
}

// anyHistory returns images made of chance as a history in which nothing has
// happened for at least a day, and with them as they are.
func anyHistory(r *rand.Rand) ([]Image, *History) {
	images, h := anyImages(r), &History{}
	for n := range images {
		i := &images[n]
		for _, at := range []*time.Time{&i.PulledAt, &i.ArchivedAt, &i.ActivatedAt} {
			if !at.IsZero() && at.Before(i.PushedAt) {
				*at = i.PushedAt
			}
		}
		p := Past{Image: *i}
		p.Tags, p.Orphan = nil, false
		if i.Orphan {
			p.OrphanedAt = now
		}
		h.Images = append(h.Images, p)
		for _, t := range i.Tags { // one tag is on one image
			if slices.ContainsFunc(h.Tags, func(c TagChange) bool { return c.Tag == t }) {
				continue
			}
			h.Tags = append(h.Tags, TagChange{At: now, Tag: t, Digest: i.Digest})
		}
	}
	for n := range images {
		images[n].Tags = nil
		for _, c := range h.Tags {
			if c.Digest == images[n].Digest {
				images[n].Tags = append(images[n].Tags, c.Tag)
			}
		}
	}
	return images, h
}

func TestBacktestOfADayIsAnEvaluation(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for range 4_000 {
		p, ok := anyPolicy(r)
		if !ok {
			continue
		}
		images, h := anyHistory(r)
		later := now.Add(day)
		want := acts(Evaluate(p, images, later))
		rs, err := Backtest(t.Context(), p, h, now, later)
		got := []string{}
		for _, r := range rs {
			got = append(got, fmt.Sprintf("%s %s by %d", r.Action, r.Image.Digest, r.Rule))
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("policy %+v\nimages %+v\nBacktest = %v, %v\nwant       %v", p, images, got, err, want)
		}
	}
}

// everyDay is Backtest of a repository to which nothing happens, in the plainest
// way.
func everyDay(p *Policy, images []Image, days int) []string {
	out := []string{}
	for d := 1; d <= days; d++ {
		var left []Image
		gone := map[string]bool{}
		for _, a := range Evaluate(p, images, now.Add(time.Duration(d)*day)) {
			switch i := *a.Image; a.Action {
			case Expire:
				gone[i.Digest] = true
			case Transition:
				i.State, i.ArchivedAt = Archived, now.Add(time.Duration(d)*day)
				left = append(left, i)
			default:
				left = append(left, i)
			}
			if a.Action != Keep {
				out = append(out, fmt.Sprintf("%s %s by %d on day %d", a.Action, a.Image.Digest, a.Rule, d))
			}
		}
		for n := range left {
			left[n].Orphan = left[n].Orphan || gone[left[n].Subject]
		}
		images = left
	}
	return out
}

// Days that are left out make no difference.
func TestBacktestLooksAtEveryDayOnWhichSomethingCanChange(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	for range 2_000 {
		p, ok := anyPolicy(r)
		if !ok {
			continue
		}
		images, h := anyHistory(r)
		rs, err := Backtest(t.Context(), p, h, now, now.Add(12*day))
		got := []string{}
		for _, r := range rs {
			got = append(got, fmt.Sprintf("%s %s by %d on day %.0f", r.Action, r.Image.Digest, r.Rule, r.At.Sub(now).Hours()/24))
		}
		if want := everyDay(p, images, 12); err != nil || !slices.Equal(got, want) {
			t.Fatalf("policy %+v\nimages %+v\nBacktest = %v, %v\nwant       %v", p, images, got, err, want)
		}
	}
}

func TestBacktestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := parse(t, rules("1 any count 1 expire"), Options{})
	if _, err := Backtest(ctx, p, &History{}, ago(10), now); !errors.Is(err, context.Canceled) {
		t.Errorf("Backtest = %v, want the context's error", err)
	}
}

func BenchmarkBacktest(b *testing.B) {
	h := &History{}
	for k := range 50_000 {
		name := fmt.Sprintf("sha256:%064x", k)
		h.Images = append(h.Images, past(img(name, float64(k%365)+0.5)))
		h.Tags = append(h.Tags, put(float64(k%365)+0.5, fmt.Sprintf("build-%d", k), name), put(float64(k%365)+0.5, "latest", name))
	}
	p := parse(b, rules("1 latest count 1 expire", "2 any pushed 200 expire"), Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Backtest(b.Context(), p, h, ago(365), now); err != nil {
			b.Fatal(err)
		}
	}
}

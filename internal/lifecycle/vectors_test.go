package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// ago returns the time so many days before now.
func ago(days float64) time.Time { return now.Add(-time.Duration(days * float64(day))) }

// img returns an image that was pushed so many days ago. Its name is its digest,
// and where ages are equal the later name is the later push.
func img(name string, days float64, tags ...string) Image {
	return Image{ID: name, Digest: name, Tags: tags, PushedAt: ago(days)}
}

func (i Image) index(children ...string) Image {
	i.Children = children
	return i
}

func (i Image) of(subject string) Image {
	i.Subject = subject
	return i
}

func (i Image) pulled(days float64) Image {
	i.PulledAt = ago(days)
	return i
}

func (i Image) restored(days float64) Image {
	i.ActivatedAt = ago(days)
	return i
}

func (i Image) archived(days float64) Image {
	i.State, i.ArchivedAt = Archived, ago(days)
	return i
}

func (i Image) orphan() Image {
	i.Orphan = true
	return i
}

// rules returns a policy of rules written as
//
//	PRIORITY SELECTION[-archive] COUNT NUMBER ACTION
//
// where SELECTION is any, untagged, or patterns joined by commas with those to
// leave out after a !, and COUNT is one of the words below.
func rules(lines ...string) string {
	counts := map[string]string{
		"count": "imageCountMoreThan", "pushed": "sinceImagePushed", "pulled": "sinceImagePulled", "archived": "sinceImageTransitioned",
	}
	var out []string
	for _, line := range lines {
		f := strings.Fields(line)
		selection, class := strings.CutSuffix(f[1], "/archive")
		selection, excluded, exclude := strings.Cut(selection, "!")
		s := fmt.Sprintf(`"tagStatus":"tagged","tagPatternList":["%s"]`, strings.ReplaceAll(selection, ",", `","`))
		if selection == "any" || selection == "untagged" {
			s = fmt.Sprintf(`"tagStatus":"%s"`, selection)
		}
		if exclude {
			s += fmt.Sprintf(`,"tagPatternExcludeList":["%s"]`, strings.ReplaceAll(excluded, ",", `","`))
		}
		if class {
			s += `,"storageClass":"archive"`
		}
		if f[2] != "all" {
			s += fmt.Sprintf(`,"countType":"%s","countNumber":%s`, counts[f[2]], f[3])
		}
		if f[2] != "count" && f[2] != "all" {
			s += `,"countUnit":"days"`
		}
		action := `"type":"` + f[4] + `"`
		if f[4] == "transition" {
			action += `,"targetStorageClass":"archive"`
		}
		out = append(out, fmt.Sprintf(`{"rulePriority":%s,"selection":{%s},"action":{%s}}`, f[0], s, action))
	}
	return `{"rules":[` + strings.Join(out, ",") + `]}`
}

func parse(t testing.TB, text string, o Options) *Policy {
	t.Helper()
	p, err := Parse(text, o)
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return p
}

// acts writes the decisions that something is to happen as ACTION NAME by RULE,
// in their order.
func acts(ds []Decision) []string {
	out := []string{}
	for _, d := range ds {
		if d.Action != Keep {
			out = append(out, fmt.Sprintf("%s %s by %d", d.Action, d.Image.Digest, d.Rule))
		}
	}
	return out
}

func whys(ds []Decision) map[string]string {
	out := map[string]string{}
	for _, d := range ds {
		out[d.Image.Digest] = strings.TrimSpace(fmt.Sprintf("%s %d: %s %s", d.Action, d.Rule, d.Reason, d.By))
	}
	return out
}

// The examples of the ECR User Guide, and those that follow from its rules.
func TestExamples(t *testing.T) {
	t.Parallel()
	shared := []Image{img("A", 10, "beta-1", "prod-1"), img("B", 9, "beta-2", "prod-2"), img("C", 8, "beta-3")}
	restored := []Image{
		img("restored", 120, "a").pulled(90).restored(60), img("pulled", 60, "b").pulled(5), img("never", 60, "c"), img("young", 29),
		img("pulled since", 120).restored(60).pulled(10),
	}
	for name, tt := range map[string]struct {
		images   []Image
		rules    []string
		extended bool
		want     []string
	}{
		"by age": {
			[]Image{img("A", 20, "prod-1"), img("B", 15, "x", "prod"), img("C", 14, "prod-3"), img("D", 90, "dev"), img("E", 90)},
			[]string{"1 prod* pushed 14 expire"}, false, []string{"expire A by 1", "expire B by 1"},
		},
		"by count": {
			[]Image{img("A", 4), img("B", 3), img("C", 2), img("D", 1, "latest")},
			[]string{"1 untagged count 1 expire"}, false, []string{"expire A by 1", "expire B by 1"},
		},
		"several rules A": {shared, []string{"1 prod* count 1 expire", "2 beta* count 1 expire"}, false, []string{"expire A by 1"}},
		"several rules B": {shared, []string{"1 beta* count 1 expire", "2 prod* count 1 expire"}, false, []string{"expire A by 1", "expire B by 1"}},
		"several tags A": {
			[]Image{
				img("A", 12, "alpha-1"), img("B", 11, "beta-1"), img("C", 10, "alpha-2", "beta-2"), img("D", 4, "alpha-3"),
				img("E", 3, "beta-3"), img("F", 2, "alpha-4", "beta-4"),
			},
			[]string{"1 alpha*,beta* pushed 5 expire"}, false, []string{"expire C by 1"},
		},
		"several tags B": {
			[]Image{img("A", 10, "alpha-1", "beta-1", "gamma-1"), img("B", 9, "alpha-2", "beta-2"), img("C", 8, "alpha-3", "beta-3", "gamma-2")},
			[]string{"1 alpha*,beta* count 1 expire"}, false, []string{"expire A by 1", "expire B by 1"},
		},
		"all images A": {
			[]Image{img("A", 4, "alpha-1"), img("B", 3, "beta-1"), img("C", 2), img("D", 1, "alpha-2")},
			[]string{"1 any count 1 expire"}, false, []string{"expire A by 1", "expire B by 1", "expire C by 1"},
		},
		"all images B": {
			[]Image{img("A", 4, "alpha-1", "beta-1"), img("B", 3), img("C", 2, "alpha-2"), img("D", 1, "git hash"), img("E", 1)},
			[]string{"1 alpha* count 1 expire", "2 untagged pushed 1 expire", "3 any count 1 expire"}, false,
			[]string{"expire A by 1", "expire B by 2", "expire D by 3"},
		},
		"archive what is not pulled": {
			[]Image{img("A", 100), img("B", 100).pulled(91), img("C", 100).pulled(90), img("D", 90)},
			[]string{"1 any pulled 90 transition"}, false, []string{"transition A by 1", "transition B by 1"},
		},
		"delete what was archived long ago": {
			[]Image{img("A", 900).archived(366), img("B", 900).archived(365), img("C", 900)},
			[]string{"1 any/archive archived 365 expire"}, false, []string{"expire A by 1"},
		},
		"archive by age": {
			[]Image{img("A", 31, "prod-1"), img("B", 30, "prod-2"), img("C", 31, "dev")},
			[]string{"1 prod* pushed 30 transition"}, false, []string{"transition A by 1"},
		},
		"archive, then delete": {
			[]Image{img("A", 31), img("B", 400).archived(366), img("C", 400).archived(10), img("D", 1)},
			[]string{"1 any pushed 30 transition", "2 any/archive archived 365 expire"}, false, []string{"expire B by 2", "transition A by 1"},
		},
		"restored, pulled and never pulled": {
			restored, []string{"1 any pulled 30 transition"}, false, []string{"transition never by 1", "transition restored by 1"},
		},
		"the classes apart": {
			[]Image{img("X", 1).archived(60), img("Y", 90)},
			[]string{"1 any/archive archived 30 expire"}, true, []string{"expire X by 1"},
		},
		"an index that stays keeps what it lists": {
			[]Image{img("I", 40, "v1").index("c1", "c2"), img("c1", 40), img("c2", 40)},
			[]string{"1 untagged pushed 1 expire"}, false, []string{},
		},
		"an index goes before what it lists": {
			[]Image{img("c1", 41), img("c2", 41), img("I", 40, "v1").index("c1", "c2"), img("J", 39).index("I")},
			[]string{"1 any pushed 30 expire"}, false, []string{"expire J by 1", "expire I by 1", "expire c1 by 1", "expire c2 by 1"},
		},
		"a referrer goes with its subject": {
			[]Image{img("S", 40, "v1"), img("R", 39).of("S"), img("Q", 38).of("R"), img("T", 20, "v2"), img("U", 40).of("T")},
			[]string{"1 v* pushed 30 expire"}, false, []string{"expire S by 1", "expire R by 1", "expire Q by 1"},
		},
		"a rule shields what it does not take": {
			[]Image{img("A", 10, "v1"), img("B", 5, "v2"), img("C", 20, "v3", "keep")},
			[]string{"1 keep count 10 expire", "2 any pushed 7 expire"}, false, []string{"expire A by 2"},
		},
		"wildcards": {
			[]Image{img("A", 9, "test-1-2-3-4-x"), img("B", 9, "test-1-2-3"), img("C", 9, "test-1-3-2")},
			[]string{"1 *test*1*2*3 pushed 1 expire", "2 test*1*2*3* pushed 1 expire"}, false, []string{"expire A by 2", "expire B by 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			images := slices.Clone(tt.images)
			for range 2 {
				got := acts(Evaluate(parse(t, rules(tt.rules...), Options{Extended: tt.extended}), images, now))
				if !slices.Equal(got, tt.want) {
					t.Errorf("Evaluate = %q, want %q", got, tt.want)
				}
				slices.Reverse(images)
			}
		})
	}
}

func TestAnImageIsOverTheLimitWhenItIsOlder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule string
		make func(age time.Duration) Image
	}{
		{"1 any pushed 1 expire", func(age time.Duration) Image { return Image{PushedAt: now.Add(-age)} }},
		{"1 any pushed 1 transition", func(age time.Duration) Image { return Image{PushedAt: ago(9), ActivatedAt: now.Add(-age)} }},
		{"1 any pulled 1 transition", func(age time.Duration) Image { return Image{PushedAt: ago(9), PulledAt: now.Add(-age)} }},
		{"1 any/archive archived 1 expire", func(age time.Duration) Image {
			return Image{State: Archived, PushedAt: ago(9), ArchivedAt: now.Add(-age)}
		}},
	} {
		p := parse(t, rules(tt.rule), Options{Extended: true})
		for age, want := range map[time.Duration]bool{0: false, day: false, day + time.Microsecond: true, -day: false} {
			if d := Evaluate(p, []Image{tt.make(age)}, now)[0]; (d.Action != Keep) != want {
				t.Errorf("%s at the age of %v: %v %s, want it taken: %t", tt.rule, age, d.Action, d.Reason, want)
			}
		}
	}
	p := parse(t, rules("1 any pushed 2147483647 expire"), Options{})
	if d := Evaluate(p, []Image{img("A", 90_000)}, now)[0]; d.Action != Keep {
		t.Errorf("an image of 90,000 days = %v, want it kept", d)
	}
}

func TestEveryDecisionHasItsReason(t *testing.T) {
	t.Parallel()
	images := []Image{
		img("old", 40, "v1"), img("young", 1, "v2"), img("other", 40, "x"), img("index", 1, "x").index("child", "absent"), img("child", 40),
		img("referrer", 40).of("index"), img("referrer of old", 40).of("old"), img("nobody's", 40).of("absent"), img("orphan", 40).of("absent").orphan(),
		{ID: "restoring", Digest: "restoring", State: Restoring, PushedAt: ago(40)},
		img("archived", 50, "y").archived(10), img("referrer of archived", 40).of("archived"), img("archived referrer", 40).of("archived").archived(3),
	}
	p := parse(t, rules("1 v* pushed 30 expire", "2 untagged pushed 30 expire"), Options{})
	want := map[string]string{
		"old":                  "expire 1: it is over the limit of the rule",
		"young":                "1: it is within the limit of the rule",
		"other":                "0: no rule selects it",
		"index":                "0: no rule selects it",
		"child":                "2: an index that stays lists it index",
		"referrer":             "0: it refers to an image that stays index",
		"referrer of old":      "expire 1: it follows the image that it refers to old",
		"nobody's":             "expire 2: it is over the limit of the rule",
		"orphan":               "expire 0: the image that it refers to is deleted absent",
		"restoring":            "0: it is being restored from the archive",
		"archived":             "0: no rule selects it",
		"referrer of archived": "transition 0: it follows the image that it refers to archived",
		"archived referrer":    "0: it follows the image that it refers to archived",
	}
	got := whys(Evaluate(p, images, now))
	for name, why := range want {
		if got[name] != why {
			t.Errorf("%s: %q, want %q", name, got[name], why)
		}
	}
	if len(got) != len(images) {
		t.Errorf("%d decisions about %d images", len(got), len(images))
	}
}

func TestWhatAnIndexListsWaitsForIt(t *testing.T) {
	t.Parallel()
	list := func(archive bool) []Image {
		i := img("I", 40, "v1").index("c")
		if archive {
			i = i.archived(20)
		}
		return []Image{i, img("c", 40)}
	}
	for name, tt := range map[string]struct {
		images []Image
		rules  []string
		want   []string
	}{
		"archived together":                 {list(false), []string{"1 any pushed 30 transition"}, []string{"transition I by 1", "transition c by 1"}},
		"archived after it":                 {list(true), []string{"1 any pushed 30 transition"}, []string{"transition c by 1"}},
		"not deleted when it is archived":   {list(false), []string{"1 untagged pushed 30 expire", "2 any pushed 30 transition"}, []string{"transition I by 2"}},
		"not deleted while it is archived":  {list(true), []string{"1 any pushed 30 expire"}, []string{}},
		"archived when the index goes":      {list(false), []string{"1 v* pushed 30 expire", "2 any pushed 30 transition"}, []string{"expire I by 1", "transition c by 2"}},
		"listed by one that stays as well":  {append(list(false), img("J", 1).index("c")), []string{"1 any pushed 30 expire"}, []string{"expire I by 1"}},
		"an index in an index that stays":   {append(list(false), img("J", 1).index("I")), []string{"1 any pushed 30 expire"}, []string{}},
		"a referrer that an index lists":    {append(list(false), img("J", 1, "x").index("R"), img("R", 40).of("I")), []string{"1 v* pushed 30 expire"}, []string{"expire I by 1"}},
		"a referrer whose subject is kept":  {append(list(false), img("J", 1).index("I"), img("R", 40).of("I")), []string{"1 any pushed 30 expire"}, []string{}},
		"a referrer of a child that goes":   {append(list(false), img("R", 40, "sig").of("c")), []string{"1 any pushed 30 expire"}, []string{"expire I by 1", "expire c by 1", "expire R by 1"}},
		"an archived subject that is held":  {[]Image{img("J", 1).index("S"), img("S", 40).archived(9), img("R", 40).of("S")}, []string{"1 any/archive archived 5 expire"}, []string{"transition R by 0"}},
		"a subject that is archived":        {[]Image{img("S", 40, "v"), img("R", 1).of("S"), img("Q", 1).of("R")}, []string{"1 v pushed 30 transition"}, []string{"transition S by 1", "transition R by 1", "transition Q by 1"}},
		"an archived subject that is gone":  {[]Image{img("S", 400).archived(100), img("R", 400).of("S").archived(100)}, []string{"1 any/archive archived 90 expire"}, []string{"expire S by 1", "expire R by 1"}},
		"referrers do not count as images":  {[]Image{img("A", 3), img("B", 2), img("R", 1).of("A"), img("Q", 1).of("B")}, []string{"1 any count 2 expire"}, []string{}},
		"referrers of nothing count":        {[]Image{img("A", 3), img("B", 2), img("R", 1).of("x")}, []string{"1 any count 2 expire"}, []string{"expire A by 1"}},
		"restoring images are nobody's":     {[]Image{{ID: "A", Digest: "A", State: Restoring, PushedAt: ago(9)}, img("B", 9)}, []string{"1 any pushed 1 expire"}, []string{"expire B by 1"}},
		"the same image listed twice":       {[]Image{img("I", 40).index("c", "c"), img("c", 40)}, []string{"1 any pushed 30 expire"}, []string{"expire I by 1", "expire c by 1"}},
		"children do count as images":       {list(false), []string{"1 any count 1 expire"}, []string{"expire I by 1"}},
		"an index that refers to its child": {[]Image{img("I", 40).index("c").of("c"), img("c", 40), img("R", 40).of("I")}, []string{"1 any pushed 30 expire"}, []string{}},
		"what an archived referrer lists":   {[]Image{img("T", 40, "v"), img("S", 40).of("T"), img("i", 40).of("S").index("J"), img("K", 40), img("J", 40).index("K"), img("P", 40).index("i")}, []string{"1 any pushed 30 transition"}, []string{"transition P by 1", "transition T by 1", "transition S by 1", "transition i by 1", "transition J by 1", "transition K by 1"}},
		"what is newer in the archive kept": {[]Image{img("A", 9), img("B", 8).archived(1)}, []string{"1 any count 1 expire"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := acts(Evaluate(parse(t, rules(tt.rules...), Options{Extended: true}), tt.images, now))
			if !slices.Equal(got, tt.want) {
				t.Errorf("Evaluate = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	images := []Image{
		img("A", 50, "release-1"), img("B", 40, "release-2").pulled(2), img("C", 30, "dev-1"), img("D", 20, "dev-2", "keep"), img("E", 10),
	}
	for name, tt := range map[string]struct{ rules, want []string }{
		"delete what is not pulled": {[]string{"1 any pulled 15 expire"}, []string{"expire A by 1", "expire C by 1", "expire D by 1"}},
		"retain what is pulled":     {[]string{"1 any pulled 15 retain", "2 any pushed 5 expire"}, []string{"expire A by 2", "expire C by 2", "expire D by 2"}},
		"retain the newest":         {[]string{"1 release-* count 1 retain", "2 any pushed 5 expire"}, []string{"expire A by 2", "expire C by 2", "expire D by 2", "expire E by 2"}},
		"retain all with a tag":     {[]string{"1 keep all - retain", "2 * pushed 5 expire"}, []string{"expire A by 2", "expire B by 2", "expire C by 2"}},
		"all but some tags":         {[]string{"1 *!release-*,keep pushed 5 expire"}, []string{"expire C by 1"}},
		"any but some tags":         {[]string{"1 any!*-1 pushed 5 expire", "2 * count 1 expire"}, []string{"expire A by 2", "expire B by 1", "expire C by 2", "expire D by 1", "expire E by 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := rules(tt.rules...)
			got := acts(Evaluate(parse(t, text, Options{Extended: true}), images, now))
			if !slices.Equal(got, tt.want) {
				t.Errorf("Evaluate = %q, want %q", got, tt.want)
			}
			if _, err := Parse(text, Options{}); err == nil {
				t.Errorf("Parse(%s) without extensions succeeded", text)
			}
		})
	}
}

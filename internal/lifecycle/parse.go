package lifecycle

import (
	"cmp"
	"slices"
	"strings"
)

// Parse reads the text of a policy. The error is InvalidParameterException with
// ECR's text where that is known.
func Parse(text string, o Options) (*Policy, error) {
	doc, err := decode(text)
	if err != nil {
		return nil, err
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, errNoPolicy()
	}
	members, err := object(doc, []string{"rules"})
	if err != nil {
		return nil, err
	}
	rules, ok := members["rules"].([]any)
	switch {
	case !ok:
		return nil, errType(members["rules"], "array")
	case len(rules) == 0:
		return nil, refuse("array is too short: must have at least 1 elements but instance has 0 elements")
	case len(rules) > maxRules:
		return nil, refuse("array is too long: must have at most %d elements but instance has %d elements", maxRules, len(rules))
	}
	p := &Policy{}
	for _, v := range rules {
		r, err := o.rule(v)
		if err != nil {
			return nil, err
		}
		p.Rules = append(p.Rules, r)
	}
	slices.SortStableFunc(p.Rules, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	for i := range p.Rules {
		if err := p.Rules[i].check(o); err != nil {
			return nil, err
		}
	}
	return p, p.check()
}

// rule reads a rule as ECR's schema has it.
func (o Options) rule(v any) (Rule, error) {
	var r Rule
	members, err := object(v, []string{"rulePriority", "selection", "action"}, "description")
	if err != nil {
		return r, err
	}
	if r.Priority, err = integer(members["rulePriority"]); err != nil {
		return r, err
	}
	if d, there := members["description"]; there {
		if r.Description, err = text(d); err != nil {
			return r, err
		}
	}
	if r.Action, err = o.action(members["action"]); err != nil {
		return r, err
	}
	r.Selection, err = o.selection(members["selection"], r.Action)
	return r, err
}

// errNoSchema is what ECR says of members that do not go together: its schema
// knows two shapes of a count, and two of an action.
func errNoSchema() error {
	return refuseOpen("instance failed to match exactly one schema (matched 0 out of 2)")
}

func (o Options) action(v any) (Action, error) {
	members, err := object(v, []string{"type"}, "targetStorageClass")
	if err != nil {
		return Keep, err
	}
	possible := []string{string(Expire), string(Transition)}
	if o.Extended {
		possible = append(possible, string(Retain))
	}
	kind, err := oneOf(members["type"], possible...)
	if err != nil {
		return Keep, err
	}
	target, there := members["targetStorageClass"]
	if there != (kind == string(Transition)) || there && target != string(Archive) {
		return Keep, errNoSchema()
	}
	return Action(kind), nil
}

func (o Options) selection(v any, a Action) (Selection, error) {
	var s Selection
	required := []string{"tagStatus", "countType", "countNumber"}
	optional := []string{"tagPatternList", "tagPrefixList", "storageClass", "countUnit"}
	if a == Retain {
		required, optional = required[:1], append(optional, required[1:]...)
	}
	if o.Extended {
		optional = append(optional, "tagPatternExcludeList")
	}
	members, err := object(v, required, optional...)
	if err != nil {
		return s, err
	}
	status, err := oneOf(members["tagStatus"], string(Tagged), string(Untagged), string(Any))
	if err != nil {
		return s, err
	}
	s.TagStatus, s.Class = TagStatus(status), Standard
	if c, there := members["storageClass"]; there {
		class, err := oneOf(c, string(Standard), string(Archive))
		if err != nil {
			return s, err
		}
		s.Class = Class(class)
	}
	for _, l := range []struct {
		name string
		into *[]string
	}{{"tagPrefixList", &s.Prefixes}, {"tagPatternList", &s.Patterns}, {"tagPatternExcludeList", &s.Excluded}} {
		v, there := members[l.name]
		if *l.into, err = textList(v, there); err != nil {
			return s, err
		}
	}
	return s, s.count(members)
}

// count reads what a selection counts.
func (s *Selection) count(members map[string]any) error {
	kind, hasKind := members["countType"]
	number, hasNumber := members["countNumber"]
	unit, hasUnit := members["countUnit"]
	if !hasKind && !hasNumber && !hasUnit {
		return nil // of a retain rule
	}
	if hasUnit && unit != nil {
		if _, err := oneOf(unit, "days"); err != nil {
			return err
		}
	}
	name, _ := kind.(string)
	known := []CountType{MoreThan, SincePushed, SincePulled, SinceTransitioned}
	if s.Count = CountType(name); !slices.Contains(known, s.Count) || !hasNumber {
		return errNoSchema()
	}
	if hasUnit != (s.Count != MoreThan) || hasUnit && unit == nil {
		return errNoSchema()
	}
	var err error
	s.Number, err = integer(number)
	return err
}

// check returns an error if the parts of a rule do not go together.
func (r *Rule) check(o Options) error {
	if err := r.Selection.checkTags(); err != nil {
		return err
	}
	s := r.Selection
	switch {
	case s.Class == Archive && s.Count != SinceTransitioned && s.Count != NoCount:
		return refuse("storageClass=ARCHIVE can only be specified when countType=SINCE_IMAGE_TRANSITIONED.")
	case s.Count == SinceTransitioned && s.Class != Archive:
		return refuse("Must specify storageClass=ARCHIVE when countType=SINCE_IMAGE_TRANSITIONED.")
	case s.Class == Archive && r.Action == Transition:
		return refuse("Images in storageClass=ARCHIVE can only be expired.")
	case o.Extended:
		return nil
	case s.Count == SincePulled && r.Action == Expire:
		return refuse("countType=SINCE_IMAGE_PULLED can only be specified when the action is TRANSITION.")
	case s.Count == SinceTransitioned && s.Number < minArchived:
		return refuse("countNumber must be at least %d when countType=SINCE_IMAGE_TRANSITIONED: images are archived for at least %[1]d days.", minArchived)
	}
	return nil
}

func (s *Selection) checkTags() error {
	listed := s.Prefixes != nil || s.Patterns != nil
	switch {
	case s.Prefixes != nil && s.Patterns != nil:
		return refuse("Only one of tagPrefixList and tagPatternList can be specified.")
	case s.TagStatus == Tagged && len(s.Prefixes) == 0 && len(s.Patterns) == 0:
		return refuse("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")
	case s.TagStatus != Tagged && listed:
		return refuse("tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED.")
	case s.TagStatus == Untagged && s.Excluded != nil:
		return refuse("tagPatternExcludeList cannot be specified when tagStatus=UNTAGGED.")
	}
	for _, p := range slices.Concat(s.Patterns, s.Excluded) {
		if strings.Count(p, "*") > maxWildcards {
			return refuse("A tag pattern can contain at most %d wildcards (*): %.*s", maxWildcards, maxEcho, p)
		}
	}
	return nil
}

// check returns an error if the rules do not go together.
func (p *Policy) check() error {
	last := map[Class]bool{}
	used := uses{}
	for i := range p.Rules {
		r := &p.Rules[i]
		if i > 0 && r.Priority == p.Rules[i-1].Priority {
			return refuse("Rule priorities must be unique: %d is given more than once.", r.Priority)
		}
		if last[r.Selection.Class] {
			return refuse("Rule for tagStatus=ANY must have the lowest priority per storage class")
		}
		// What overlaps with other rules on purpose is an extension.
		if r.Action == Retain || r.Selection.Excluded != nil {
			continue
		}
		last[r.Selection.Class] = r.Selection.TagStatus == Any
		if err := used.add(r.Selection); err != nil {
			return err
		}
	}
	return nil
}

// uses are what the rules seen so far select by.
type uses map[use]bool

type use struct {
	class Class
	what  string // how tags are compared, or that there are none
	text  string
}

// add returns an error if another rule selects by the same.
func (u uses) add(s Selection) error {
	taken := func(what, text string) bool {
		k := use{s.Class, what, text}
		defer func() { u[k] = true }()
		return u[k]
	}
	if s.TagStatus == Untagged && taken("untagged", "") {
		return refuse("Only one rule can select Untagged images per storage class.")
	}
	for _, t := range s.Prefixes {
		if taken("prefix", t) {
			return refuse("Tag prefixes must be unique per storage class: %.*s is in more than one rule.", maxEcho, t)
		}
	}
	for _, t := range s.Patterns {
		if taken("pattern", t) {
			return refuse("Tag patterns must be unique per storage class: %.*s is in more than one rule.", maxEcho, t)
		}
	}
	return nil
}

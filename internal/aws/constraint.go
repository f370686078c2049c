package aws

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"berth/internal/fault"
)

const (
	maxViolations = 20  // that one message reports
	maxEcho       = 256 // characters of a value that a message repeats
)

// A violation is a constraint that a value does not satisfy.
type violation struct {
	path       string
	value      string // "Value 'x'", "Value null", or "Value" where it is not to be shown
	constraint string
	ecr        string // the constraint in the words of ECR's own validation
	words      string // the whole message, where AWS has one of its own
}

// check holds the input of an operation against the model and returns the
// error of the first violation, or of all, in one of the two styles of AWS:
// ValidationException for operations that declare it, the older
// InvalidParameterException, or InvalidInputException where that is declared, for
// all others. An operation that is not in the
// model has no constraints. The document must have been decoded by decodeJSON.
func (m *Model) check(operation string, input *node) error {
	if m == nil || m.operations[operation] == nil {
		return nil
	}
	all := m.declares(operation, "ValidationException")
	v := validator{limit: 1}
	if all {
		v.limit = maxViolations
	}
	v.structure(input, m.operations[operation].input, nil)
	switch {
	case len(v.found) == 0:
		return nil
	case all:
		return validationException(v.found)
	}
	first := v.found[0]
	err := fault.New(fault.Invalid, "InvalidParameterException",
		"Invalid parameter at '%s' failed to satisfy constraint: '%s'", first.path, first.ecr)
	if m.declares(operation, "InvalidInputException") {
		err.Code, err.Members = "InvalidInputException", map[string]any{"Reason": first.reason()}
	}
	return err
}

// reason is what the Reason of InvalidInputException calls the constraint.
func (v violation) reason() string {
	for _, r := range []struct{ words, reason string }{
		{"not be null", "INPUT_REQUIRED"}, {"regular expression", "INVALID_PATTERN"}, {"enum", "INVALID_ENUM"},
		{"length greater", "MIN_LENGTH_EXCEEDED"}, {"length less", "MAX_LENGTH_EXCEEDED"}, {"value greater", "MIN_VALUE_EXCEEDED"},
	} {
		if strings.Contains(v.constraint, r.words) {
			return r.reason
		}
	}
	return "MAX_VALUE_EXCEEDED"
}

func validationException(found []violation) error {
	texts := make([]string, len(found))
	for i, f := range found {
		if f.words != "" {
			return fault.New(fault.Invalid, "ValidationException", "%s", f.words)
		}
		texts[i] = fmt.Sprintf("%s at '%s' failed to satisfy constraint: %s", f.value, f.path, f.constraint)
	}
	plural := "s"
	if len(found) == 1 {
		plural = ""
	}
	return fault.New(fault.Invalid, "ValidationException",
		"%d validation error%s detected: %s", len(found), plural, strings.Join(texts, "; "))
}

// checkForm is check for a Query request. The form must have been decoded by
// decodeQuery with the shape of the operation's input.
func (m *Model) checkForm(operation string, form *param) error {
	if m == nil || m.operations[operation] == nil {
		return nil
	}
	input := form.node(m.operations[operation].input)
	return m.check(operation, &input)
}

// A validator collects violations in the order of the model, up to its limit.
type validator struct {
	limit int
	found []violation
}

func (v *validator) full() bool { return len(v.found) >= v.limit }

// add records a violation. The ECR wording is the constraint itself unless
// given.
func (v *validator) add(at *path, value, constraint string, ecr ...string) {
	if v.full() {
		return
	}
	f := violation{path: at.String(), value: value, constraint: constraint, ecr: constraint}
	if len(ecr) > 0 {
		f.ecr = ecr[0]
	}
	v.found = append(v.found, f)
}

func (v *validator) structure(n *node, s *shape, up *path) {
	for i := range s.Members {
		member := &s.Members[i]
		at := &path{up: up, name: member.Name}
		kid := n.member(member.Name)
		switch {
		case v.full():
			return
		case kid != nil:
			v.value(kid, member.shape, at)
		case member.Required:
			v.add(at, "Value null", "Member must not be null", "Cannot be null")
		}
	}
}

func (v *validator) value(n *node, s *shape, at *path) {
	switch s.Type {
	case "structure":
		v.structure(n, s, at)
	case "list":
		v.list(n, s, at)
	case "string":
		v.text(n.text(), s, at)
	case "blob":
		if c := s.bound("length", int64(n.size)); c != "" {
			v.add(at, "Value", c)
		}
	case "integer", "long":
		i, err := strconv.ParseInt(n.text(), 10, 64)
		if c := s.bound("value", i); err == nil && c != "" {
			v.add(at, echo(n.text()), c)
		}
	case "double":
		f, err := strconv.ParseFloat(n.text(), 64)
		if c := s.floatBound(f); err == nil && c != "" {
			v.add(at, echo(n.text()), c)
		}
	}
}

func (v *validator) list(n *node, s *shape, at *path) {
	if c := s.bound("length", int64(len(n.kids))); c != "" {
		value := "Value"
		if len(n.kids) == 0 {
			value = "Value '[]'"
		}
		v.add(at, value, c)
	}
	for i := range n.kids {
		if v.full() {
			return
		}
		v.value(&n.kids[i], s.element, &path{up: at, index: i + 1})
	}
}

// namePattern is that of IAM's names.
const namePattern = `[\w+=,.@-]+`

// text checks the pattern before the length, as AWS does.
func (v *validator) text(text string, s *shape, at *path) {
	if s.pattern != nil && !s.pattern.MatchString(text) {
		v.add(at, echo(text), "Member must satisfy regular expression pattern: "+s.Pattern, ecrPattern(s.Pattern))
		if s.Pattern == namePattern && len(v.found) > 0 {
			v.found[len(v.found)-1].words = "The specified value for " + at.String() +
				" is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
		}
	}
	if c := s.bound("length", int64(utf8.RuneCountInString(text))); c != "" {
		v.add(at, echo(text), c)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		v.add(at, echo(text), "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
	}
}

// ecrPattern spells a pattern as ECR's own validation does: in quotes that
// double with those around the constraint, except for registry ids, and with
// plain slashes.
func ecrPattern(pattern string) string {
	if pattern == "[0-9]{12}" {
		return "must satisfy regular expression " + pattern
	}
	return "must satisfy regular expression '" + strings.ReplaceAll(pattern, `\/`, "/") + "'"
}

// bound returns the constraint that a length or a value n breaks, or "".
func (s *shape) bound(what string, n int64) string {
	switch {
	case s.Min != nil && n < *s.Min:
		return fmt.Sprintf("Member must have %s greater than or equal to %d", what, *s.Min)
	case s.Max != nil && n > *s.Max:
		return fmt.Sprintf("Member must have %s less than or equal to %d", what, *s.Max)
	}
	return ""
}

// floatBound is bound for a value that need not be whole.
func (s *shape) floatBound(f float64) string {
	switch {
	case s.Min != nil && f < float64(*s.Min):
		return s.bound("value", *s.Min-1)
	case s.Max != nil && f > float64(*s.Max):
		return s.bound("value", *s.Max+1)
	}
	return ""
}

// echo quotes the beginning of a value.
func echo(text string) string {
	n := 0
	for i := range text {
		if n++; n > maxEcho {
			return "Value '" + text[:i] + "...'"
		}
	}
	return "Value '" + text + "'"
}

package policy

import "strings"

// condition is one operator on one key, compiled. All conditions of a statement
// must hold.
type condition struct {
	operator
	set      set
	ifExists bool
	careful  bool   // in doubt the condition does not hold: the statement allows
	key      string // in lower case
	values   []value
	written  *written
}

// written is a condition as the policy has it, for explanations.
type written struct {
	operator, key string
	values        []string
}

// set says of how many of the request's values a condition must be true.
type set int

const (
	single    set = iota // the key has one value
	allValues            // ForAllValues
	anyValue             // ForAnyValue
)

// parseOperator reads the name of an operator with what may be around it.
func parseOperator(name string) (c condition, ok bool) {
	rest := name
	if after, found := strings.CutPrefix(rest, "ForAllValues:"); found {
		c.set, rest = allValues, after
	} else if after, found := strings.CutPrefix(rest, "ForAnyValue:"); found {
		c.set, rest = anyValue, after
	}
	rest, c.ifExists = strings.CutSuffix(rest, "IfExists")
	c.operator, ok = operators[rest]
	if c.compare == isNull && rest != name {
		return c, false
	}
	return c, ok
}

// holds reports whether the condition is true of a request.
//
// Without the key a condition is true if it ends in IfExists, is ForAllValues:
// or is negated, but that ForAnyValue: makes a negated one false. With several
// values and neither ForAllValues: nor ForAnyValue:, one value that matches makes
// a positive condition true and a negated one false.
func (c *condition) holds(ctx Context) bool {
	values := ctx.values[c.key]
	if c.compare == isNull {
		return c.holdsNull(len(values) == 0)
	}
	if c.set != single && allEmpty(values) {
		values = nil
	}
	if len(values) == 0 {
		return c.ifExists || c.set == allValues || c.set == single && c.negated
	}
	all := c.set == allValues || c.set == single && c.negated
	for _, v := range values {
		if c.holdsFor(v, ctx) != all {
			return !all
		}
	}
	return all
}

// holdsFor reports whether the condition is true of one value of the request: it
// matches one of the policy's, or, negated, none.
func (c *condition) holdsFor(text string, ctx Context) bool {
	doubt := false
	for i := range c.values {
		ok, unclear := c.matches(&c.values[i], text, ctx)
		if ok {
			return !c.negated
		}
		doubt = doubt || unclear
	}
	return c.negated && !(doubt && c.careful)
}

func (c *condition) holdsNull(absent bool) bool {
	for i := range c.values {
		if c.values[i].flag == absent {
			return true
		}
	}
	return false
}

// allEmpty reports whether a set has nothing but empty texts, which is as if it
// were not there.
func allEmpty(values []string) bool {
	for _, v := range values {
		if v != "" {
			return false
		}
	}
	return true
}

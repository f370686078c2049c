package policy

import (
	"encoding/base64"
	"net/netip"
	"strings"
)

// comparison is what an operator does with one value of the request and one of
// the policy.
type comparison int

const (
	stringEquals comparison = iota + 1 // also Like and IgnoreCase: the pattern knows
	numericEquals
	numericLess
	numericLessEquals
	numericGreater
	numericGreaterEquals
	dateEquals
	dateLess
	dateLessEquals
	dateGreater
	dateGreaterEquals
	isBool
	binaryEquals
	inNetwork
	arnLike
	isNull
)

// cost says roughly how long a comparison takes.
func (c comparison) cost() int {
	switch {
	case c == inNetwork, dateEquals <= c && c <= dateGreaterEquals:
		return 2
	case c == arnLike, numericEquals <= c && c <= numericGreaterEquals:
		return 1
	}
	return 0
}

// operator is an operator without ForAllValues, ForAnyValue and IfExists.
type operator struct {
	compare comparison
	negated bool
	syntax  syntax // of patterns; variables only where the version has them
}

var operators = map[string]operator{
	"StringEquals":              {stringEquals, false, syntax{variables: true}},
	"StringNotEquals":           {stringEquals, true, syntax{variables: true}},
	"StringEqualsIgnoreCase":    {stringEquals, false, syntax{variables: true, fold: anyCase}},
	"StringNotEqualsIgnoreCase": {stringEquals, true, syntax{variables: true, fold: anyCase}},
	"StringLike":                {stringEquals, false, syntax{variables: true, wildcards: true}},
	"StringNotLike":             {stringEquals, true, syntax{variables: true, wildcards: true}},
	"NumericEquals":             {numericEquals, false, syntax{}},
	"NumericNotEquals":          {numericEquals, true, syntax{}},
	"NumericLessThan":           {numericLess, false, syntax{}},
	"NumericLessThanEquals":     {numericLessEquals, false, syntax{}},
	"NumericGreaterThan":        {numericGreater, false, syntax{}},
	"NumericGreaterThanEquals":  {numericGreaterEquals, false, syntax{}},
	"DateEquals":                {dateEquals, false, syntax{}},
	"DateNotEquals":             {dateEquals, true, syntax{}},
	"DateLessThan":              {dateLess, false, syntax{}},
	"DateLessThanEquals":        {dateLessEquals, false, syntax{}},
	"DateGreaterThan":           {dateGreater, false, syntax{}},
	"DateGreaterThanEquals":     {dateGreaterEquals, false, syntax{}},
	"Bool":                      {isBool, false, syntax{}},
	"BinaryEquals":              {binaryEquals, false, syntax{}},
	"IpAddress":                 {inNetwork, false, syntax{}},
	"NotIpAddress":              {inNetwork, true, syntax{}},
	"ArnEquals":                 {arnLike, false, syntax{variables: true, wildcards: true}},
	"ArnLike":                   {arnLike, false, syntax{variables: true, wildcards: true}},
	"ArnNotEquals":              {arnLike, true, syntax{variables: true, wildcards: true}},
	"ArnNotLike":                {arnLike, true, syntax{variables: true, wildcards: true}},
	"Null":                      {isNull, false, syntax{}},
}

// value is a value of a condition, compiled as its operator needs it.
type value struct {
	pattern  pattern
	segments []pattern // of an ARN; nil if the pattern is for the whole of it
	number   decimal
	instant  instant
	network  netip.Prefix
	flag     bool
}

// compile reads a value of a policy. The error is a reason, in words.
func (o operator) compile(text string) (v value, reason string) {
	ok := true
	switch o.compare {
	case stringEquals:
		v.pattern, reason = o.syntax.compile(text)
		return v, reason
	case arnLike:
		return o.compileARN(text)
	case numericEquals, numericLess, numericLessEquals, numericGreater, numericGreaterEquals:
		v.number, ok = parseDecimal(text)
		reason = "is not a number (digits, a minus before and a point in between at most)"
	case dateEquals, dateLess, dateLessEquals, dateGreater, dateGreaterEquals:
		v.instant, ok = parseInstant(text)
		reason = "is neither a date as in 2026-01-31T23:59:59Z nor seconds since 1970"
	case isBool, isNull:
		v.flag, ok = parseBool(text)
		reason = "is neither true nor false"
	case inNetwork:
		v.network, ok = parseNetwork(text)
		reason = "is neither an address nor a network as in 203.0.113.0/24"
	case binaryEquals:
		_, err := base64.StdEncoding.Strict().DecodeString(text)
		v.pattern.text, ok = text, err == nil && !strings.ContainsAny(text, "\r\n")
		reason = "is not base64"
	}
	if ok {
		reason = ""
	}
	return v, reason
}

// compileARN cuts a pattern into the six segments of an ARN, which match one by
// one. A text of fewer segments that begins with a variable, whose value has the
// others, is a pattern for the whole ARN, and * is for every one.
func (o operator) compileARN(text string) (v value, reason string) {
	if v.pattern, reason = o.syntax.compile(text); reason != "" || v.pattern.all {
		return v, reason
	}
	parts := splitOutside(text, o.syntax.variables)
	if len(parts) < 6 {
		if p := v.pattern.pieces; p == nil || p[0].kind != variable {
			reason = "is not an ARN of six segments, as in arn:aws:iam::123456789012:role/*"
		}
		return v, reason
	}
	for _, part := range parts {
		s, reason := o.syntax.compile(part)
		if reason != "" {
			return v, reason
		}
		v.segments = append(v.segments, s)
	}
	return v, ""
}

// splitOutside cuts a text into at most six at the colons that are not within a
// variable. Variables have been checked to be whole.
func splitOutside(text string, variables bool) []string {
	var parts []string
	start := 0
	for i := 0; i < len(text) && len(parts) < 5; {
		switch {
		case variables && strings.HasPrefix(text[i:], "${"):
			_, n, _ := compileVariable(text[i:])
			i += max(n, 1)
			continue
		case text[i] == ':':
			parts = append(parts, text[start:i])
			start = i + 1
		}
		i++
	}
	return append(parts, text[start:])
}

// matches compares a value of the request with the policy's. It is unclear
// whether they match if the request's value is not of the operator's type. What
// has a variable without a value does not match.
func (c *condition) matches(v *value, text string, ctx Context) (ok, unclear bool) {
	switch o := c.compare; o {
	case stringEquals:
		ok, _ = v.pattern.match(text, ctx)
		return ok, false
	case arnLike:
		return v.matchARN(text, ctx), false
	case numericEquals, numericLess, numericLessEquals, numericGreater, numericGreaterEquals:
		n, valid := parseDecimal(text)
		return valid && ordered(o-numericEquals, n.compare(v.number)), !valid
	case dateEquals, dateLess, dateLessEquals, dateGreater, dateGreaterEquals:
		i, valid := parseInstant(text)
		return valid && ordered(o-dateEquals, i.compare(v.instant)), !valid
	case isBool:
		flag, valid := parseBool(text)
		return valid && flag == v.flag, !valid
	case inNetwork:
		a, valid := parseAddress(text)
		return valid && v.network.Contains(a), !valid
	case binaryEquals:
		return text == v.pattern.text, false
	}
	return false, false
}

// ordered reports whether an order (-1, 0, 1) is what a comparison asks for:
// equal, less, less or equal, greater, greater or equal.
func ordered(asked comparison, order int) bool {
	switch asked {
	case 0:
		return order == 0
	case 1:
		return order < 0
	case 2:
		return order <= 0
	case 3:
		return order > 0
	}
	return order >= 0
}

// matchARN matches segment by segment. What is not an ARN does not match.
func (v *value) matchARN(text string, ctx Context) bool {
	if v.segments == nil {
		ok, _ := v.pattern.match(text, ctx)
		return ok
	}
	for i := range v.segments {
		segment, rest, colon := strings.Cut(text, ":")
		if i == len(v.segments)-1 {
			segment, colon = text, true
		}
		if ok, _ := v.segments[i].match(segment, ctx); !ok || !colon {
			return false
		}
		text = rest
	}
	return true
}

func parseBool(s string) (value, ok bool) {
	if strings.EqualFold(s, "true") {
		return true, true
	}
	return false, strings.EqualFold(s, "false")
}

package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"berth/internal/policy"
)

// holds reports whether a statement with a condition applies to a request with a
// context. Both are JSON; an Allow and a Deny are asked.
func holds(t *testing.T, version, condition, context string) (allow, deny bool) {
	t.Helper()
	ask := func(effect string) policy.Decision {
		q, err := policy.ParseQuestion([]byte(fmt.Sprintf(`{"request": {"principal": "arn:aws:iam::123456789012:user/u", "action": "ecr:PutImage", "resource": "*", "context": %s},
			"policies": {"identity": {"Version": %q, "Statement": {"Effect": %q, "Action": "*", "Resource": "*", "Condition": %s}}}}`, context, version, effect, condition)))
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		return q.Decide()
	}
	return ask("Allow").Allowed, ask("Deny").Reason == policy.ExplicitDeny
}

// object prints a JSON object of one member.
func object(name string, v any) string {
	b, _ := json.Marshal(map[string]any{name: v})
	return string(b)
}

// Each operator with a value of the policy, the values of requests that it is
// true of, and those that it is false of. The negated ones are the other way round.
var operatorCases = []struct {
	operator, negated string
	value             any
	yes, no           []string
}{
	{"StringEquals", "StringNotEquals", "a*b", []string{"a*b"}, []string{"a*B", "ab", "axb", "", "a*b "}},
	{"StringEquals", "StringNotEquals", []any{"a", "é"}, []string{"a", "é"}, []string{"A", "É", "e"}},
	{"StringEquals", "StringNotEquals", "", []string{""}, []string{" "}},
	{"StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "Straße*", []string{"straße*", "STRAßE*"}, []string{"strasse*", "Straßex", "Straße"}},
	{"StringLike", "StringNotLike", "a*b?c", []string{"abxc", "a**b?c", "a//b/c", "abébéc"}, []string{"abc", "abbcd", "Abxc", "xabxc"}},
	{"StringLike", "StringNotLike", "*", []string{"", "x"}, nil},
	{"StringLike", "StringNotLike", "??", []string{"ab", "éé"}, []string{"a", "abc", "é", ""}},
	{"StringLike", "StringNotLike", "*???", []string{"😀éa", "abcd"}, []string{"😀", "éé"}},
	{"NumericEquals", "NumericNotEquals", 10, []string{"10", "10.0", "010", "10.00"}, []string{"11", "-10", "1", "100"}},
	{"NumericEquals", "NumericNotEquals", "9007199254740993", []string{"9007199254740993"}, []string{"9007199254740992"}},
	{"NumericEquals", "NumericNotEquals", "-0", []string{"0", "-0.0"}, []string{"1"}},
	{"NumericLessThan", "", "-1.5", []string{"-2", "-1.51", "-100"}, []string{"-1.5", "-1.49", "0", "x", "", "1e9", "-1e9"}},
	{"NumericLessThanEquals", "", 5, []string{"5", "4.99", "-6", "5.000"}, []string{"5.01", "10", "50"}},
	{"NumericGreaterThan", "", 5, []string{"5.01", "10"}, []string{"5", "-6", "4", " 6", "+6", "0x6"}},
	{"NumericGreaterThanEquals", "", 5, []string{"5", "6"}, []string{"4.9999", "-5"}},
	{"DateEquals", "DateNotEquals", "2026-01-31T12:00:00Z", []string{"2026-01-31T13:00:00+01:00", "2026-01-31T12:00Z", "1769860800", "2026-01-31T12:00:00.000Z"}, []string{"2026-01-31", "2026-01-31T12:00:01Z"}},
	{"DateEquals", "DateNotEquals", "2026", []string{"2026-01", "2026-01-01", "1767225600"}, []string{"2027", "2026-01-01T00:00:01Z"}},
	{"DateEquals", "DateNotEquals", "-000", []string{"0", "-0", "0.00", "1970"}, []string{"0000", "1"}},
	{"DateLessThan", "", "2026-01-31T12:00:00Z", []string{"2026-01-31T11:59:59.999Z", "1769860799.5", "-1"}, []string{"2026-01-31T12:00:00Z", "2027", "x", "2026-02-30", "2025-01-31T12:00:00"}},
	{"DateLessThanEquals", "", 1769860800, []string{"2026-01-31T12:00:00Z", "0"}, []string{"2026-01-31T12:00:00.000001Z"}},
	{"DateGreaterThan", "", "2026-01-31", []string{"2026-01-31T00:00:01Z", "2026-01-30T23:30:00-01:00"}, []string{"2026-01-31T00:00:00Z", "2025", "2026-01-31T00:30:00+01:00"}},
	{"DateGreaterThanEquals", "", "2026-01-31", []string{"2026-01-31", "2030"}, []string{"2026-01-30T23:59:59Z", ""}},
	{"Bool", "", true, []string{"true", "True"}, []string{"false", "", "1", "yes"}},
	{"Bool", "", "false", []string{"false", "FALSE"}, []string{"true", "", "0"}},
	{"BinaryEquals", "", "AAEC", []string{"AAEC"}, []string{"AAED", "aaec", ""}},
	{"IpAddress", "NotIpAddress", "203.0.113.0/24", []string{"203.0.113.0", "203.0.113.255", "::ffff:203.0.113.7"}, []string{"203.0.114.0", "2001:db8::1"}},
	{"IpAddress", "NotIpAddress", []any{"2001:db8::/32", "192.0.2.1"}, []string{"2001:db8:ffff::1", "192.0.2.1"}, []string{"2001:db9::1", "192.0.2.2"}},
	{"IpAddress", "NotIpAddress", "::ffff:203.0.113.0/120", []string{"203.0.113.200", "::ffff:203.0.113.1"}, []string{"203.0.114.0", "203.0.112.255"}},
	{"IpAddress", "NotIpAddress", "10.1.2.3/8", []string{"10.200.0.1"}, []string{"11.1.2.3"}},
	{"ArnLike", "ArnNotLike", "arn:aws:iam::*:role/ci-*", []string{"arn:aws:iam::123456789012:role/ci-a/b:c"}, []string{"arn:aws:iam::1:2:role/ci-a", "arn:aws:iam::123456789012:role/c", "arn:aws:sts::123456789012:role/ci-a", "x", ""}},
	{"ArnEquals", "ArnNotEquals", "arn:aws:s3:::b?", []string{"arn:aws:s3:::b1"}, []string{"arn:aws:s3:::b", "arn:aws:s3::1:b1"}},
	{"ArnEquals", "ArnNotEquals", "arn:*:*:*:*:x", []string{"arn:aws:s3:us-east-1:1:x"}, []string{"arn:aws:s3:a:b:c:x", "arn:aws:s3:::y"}},
	{"ArnLike", "ArnNotLike", "arn:aws:s3:::a*:d", []string{"arn:aws:s3:::a:b:c:d"}, []string{"arn:aws:s3:::a:b:c"}},
	{"ArnLike", "ArnNotLike", "*", []string{"arn:aws:s3:::b", ""}, nil},
}

func TestOperators(t *testing.T) {
	t.Parallel()
	for _, c := range operatorCases {
		check := func(operator, have string, want bool) {
			t.Helper()
			condition := object(operator, map[string]any{"k:x": c.value})
			if allow, deny := holds(t, "2012-10-17", condition, object("K:X", have)); allow != want || deny != want {
				t.Errorf("%s of %q allows %t and denies %t, want %t", condition, have, allow, deny, want)
			}
		}
		for _, have := range c.yes {
			for _, around := range []string{"%s", "%sIfExists", "ForAnyValue:%s", "ForAllValues:%s"} {
				if have == "" && around[0] == 'F' {
					continue // a set of empty texts is as if it were not there
				}
				check(fmt.Sprintf(around, c.operator), have, true)
				if c.negated != "" {
					check(fmt.Sprintf(around, c.negated), have, false)
				}
			}
		}
		for _, have := range c.no {
			check(c.operator, have, false)
			check(c.operator+"IfExists", have, false)
			if c.negated != "" {
				check(c.negated, have, true)
				check(c.negated+"IfExists", have, true)
			}
		}
	}
}

// A value that is not of the operator's type never gives access: a negated condition is then false in an Allow, and true in a Deny.
func TestDoubtNeverAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ condition, context string }{
		{`{"NumericNotEquals": {"k:x": 1}}`, `{"k:x": "many"}`},
		{`{"DateNotEquals": {"k:x": "2026"}}`, `{"k:x": "soon"}`},
		{`{"NotIpAddress": {"k:x": "10.0.0.0/8"}}`, `{"k:x": "localhost"}`},
		{`{"NotIpAddress": {"k:x": "10.0.0.0/8"}}`, `{"k:x": "fe80::1%eth0"}`},
		{`{"ForAllValues:NotIpAddress": {"k:x": "10.0.0.0/8"}}`, `{"k:x": ["192.0.2.1", "?"]}`},
	} {
		if allow, deny := holds(t, "2012-10-17", c.condition, c.context); allow || !deny {
			t.Errorf("%s of %s allows %t and denies %t, want false and true", c.condition, c.context, allow, deny)
		}
	}
}

func TestConditionsOnSeveralOrNoValues(t *testing.T) {
	t.Parallel()
	const none, one, both, other, empty = `{}`, `{"k:x": "a"}`, `{"k:x": ["a", "b"]}`, `{"k:x": ["b", "c"]}`, `{"k:x": ""}`
	for condition, want := range map[string]map[string]bool{
		`{"StringEquals": {"k:x": "a"}}`:                        {none: false, one: true, both: true, other: false, empty: false},
		`{"StringNotEquals": {"k:x": "a"}}`:                     {none: true, one: false, both: false, other: true, empty: true},
		`{"StringEqualsIfExists": {"k:x": "a"}}`:                {none: true, one: true, both: true, other: false, empty: false},
		`{"StringNotEqualsIfExists": {"k:x": "a"}}`:             {none: true, one: false, both: false, other: true, empty: true},
		`{"ForAllValues:StringEquals": {"k:x": ["a", "b"]}}`:    {none: true, one: true, both: true, other: false, empty: true},
		`{"ForAnyValue:StringEquals": {"k:x": ["a", "z"]}}`:     {none: false, one: true, both: true, other: false, empty: false},
		`{"ForAllValues:StringNotEquals": {"k:x": "a"}}`:        {none: true, one: false, both: false, other: true, empty: true},
		`{"ForAnyValue:StringNotEquals": {"k:x": "a"}}`:         {none: false, one: false, both: true, other: true, empty: false},
		`{"ForAnyValue:StringNotEquals": {"k:x": ["a", "b"]}}`:  {none: false, one: false, both: false, other: true, empty: false},
		`{"ForAllValues:StringEqualsIfExists": {"k:x": "a"}}`:   {none: true, one: true, both: false, other: false, empty: true},
		`{"ForAnyValue:StringEqualsIfExists": {"k:x": "a"}}`:    {none: true, one: true, both: true, other: false, empty: true},
		`{"ForAnyValue:StringNotEqualsIfExists": {"k:x": "a"}}`: {none: true, one: false, both: true, other: true, empty: true},
		`{"Null": {"k:x": "true"}}`:                             {none: true, one: false, both: false, other: false, empty: false},
		`{"Null": {"k:x": false}}`:                              {none: false, one: true, both: true, other: true, empty: true},
		`{"Null": {"k:x": ["true", "false"]}}`:                  {none: true, one: true},
		`{"StringEquals": {"k:x": "a", "k:y": "b"}}`:            {none: false, one: false},
		`{"StringEquals": {"k:x": "a"}, "Null": {"k:y": true}}`: {none: false, one: true},
		`{}`: {none: true, one: true},
	} {
		for context, want := range want {
			if allow, deny := holds(t, "2012-10-17", condition, context); allow != want || deny != want {
				t.Errorf("%s of %s allows %t and denies %t, want %t", condition, context, allow, deny, want)
			}
		}
	}
}

func TestVariablesInConditions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, condition, context string
		want                        bool
	}{
		{"2012-10-17", `{"StringEquals": {"k:x": "${k:y}"}}`, `{"k:x": "a", "k:y": "a"}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "${k:y}"}}`, `{"k:x": "${k:y}", "k:y": "a"}`, false},
		{"2008-10-17", `{"StringEquals": {"k:x": "${k:y}"}}`, `{"k:x": "${k:y}", "k:y": "a"}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "p-${K:Y}-s"}}`, `{"k:x": "p-a-s", "k:y": "a"}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "${k:y, 'd'}"}}`, `{"k:x": "d"}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "${ k:y,'d e' }"}}`, `{"k:x": "d e"}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "${k:y, ''}"}}`, `{"k:x": ""}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "${k:y, '}'}"}}`, `{"k:x": "}"}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "${k:y, 'd'}"}}`, `{"k:x": "d", "k:y": "e"}`, false},
		{"2012-10-17", `{"StringEqualsIgnoreCase": {"k:x": "A${k:y}C"}}`, `{"k:x": "aÄc", "k:y": "ä"}`, true},
		{"2012-10-17", `{"StringEqualsIgnoreCase": {"k:x": "A${k:y}C"}}`, `{"k:x": "aÄcd", "k:y": "ä"}`, false},
		{"2012-10-17", `{"StringLike": {"k:x": "${k:y}*"}}`, `{"k:x": "a*b", "k:y": "a*"}`, true},
		{"2012-10-17", `{"StringLike": {"k:x": "${k:y}"}}`, `{"k:x": "abc", "k:y": "a*"}`, false},
		{"2012-10-17", `{"StringLike": {"k:x": "a${*}${?}${$}"}}`, `{"k:x": "a*?$"}`, true},
		{"2012-10-17", `{"StringLike": {"k:x": "a${*}"}}`, `{"k:x": "ab"}`, false},
		{"2012-10-17", `{"StringEquals": {"k:x": "$5 $ ${$}{k:y}"}}`, `{"k:x": "$5 $ ${k:y}"}`, true},
		{"2012-10-17", `{"ArnEquals": {"k:x": "${k:y}"}}`, `{"k:x": "arn:aws:s3:::b", "k:y": "arn:aws:s3:::b"}`, true},
		{"2012-10-17", `{"ArnEquals": {"k:x": "arn:aws:s3:${k:y}::b"}}`, `{"k:x": "arn:aws:s3:::b", "k:y": ":"}`, false},
		{"2012-10-17", `{"ArnLike": {"k:x": "arn:aws:iam::${k:y}:role/*"}}`, `{"k:x": "arn:aws:iam::1:role/a", "k:y": "1"}`, true},
		{"2012-10-17", `{"StringEquals": {"k:x": "${k:y}"}}`, `{"k:x": "a"}`, false},
		{"2012-10-17", `{"StringNotEquals": {"k:x": "${k:y}"}}`, `{"k:x": "a"}`, true},
		{"2012-10-17", `{"StringNotEquals": {"k:x": "${k:y}"}}`, `{}`, true},
		{"2012-10-17", `{"StringLike": {"k:x": ["b", "a${k:y}"]}}`, `{"k:x": "a", "k:y": ["1", "2"]}`, false},
		{"2012-10-17", `{"StringNotLike": {"k:x": ["b", "a${k:y}"]}}`, `{"k:x": "a", "k:y": ["1", "2"]}`, true},
		{"2012-10-17", `{"StringNotLike": {"k:x": ["a", "a${k:y}"]}}`, `{"k:x": "a"}`, false},
		{"2012-10-17", `{"ArnNotLike": {"k:x": "arn:aws:iam::*:role/${k:y}"}}`, `{"k:x": "arn:aws:iam::1:role/a"}`, true},
		{"2012-10-17", `{"ForAllValues:StringNotEquals": {"k:x": "${k:y}"}}`, `{"k:x": ["a", "b"]}`, true},
		{"2012-10-17", `{"ArnLike": {"k:x": "arn:aws:s3:::${k:y, 'a:b'}"}}`, `{"k:x": "arn:aws:s3:::a:b"}`, true},
	} {
		if allow, deny := holds(t, c.version, c.condition, c.context); allow != c.want || deny != c.want {
			t.Errorf("%s: %s of %s allows %t and denies %t, want %t", c.version, c.condition, c.context, allow, deny, c.want)
		}
	}
}

// Patterns that make naive matchers take for ever.
func TestWildcardsTakeLittleTime(t *testing.T) {
	t.Parallel()
	condition := object("StringLike", map[string]any{"k:x": strings.Repeat("a*", 5000) + "b"})
	context := object("k:x", strings.Repeat("a", 50000))
	if allow, deny := holds(t, "2012-10-17", condition, context); allow || deny {
		t.Errorf("a*a*...b allows %t and denies %t, want false", allow, deny)
	}
}

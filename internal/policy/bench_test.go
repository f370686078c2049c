package policy

import (
	"fmt"
	"strings"
	"testing"
)

// tenByTen is a request that the last of ten statements in the last of ten
// policies allows. Half of the statements before are for the same action and
// resource, and fail by a condition; the other half are for others.
func tenByTen(tb testing.TB) (*Request, *Policies) {
	tb.Helper()
	p := &Policies{}
	for i := range 10 {
		var s []string
		for j := range 10 {
			team := fmt.Sprintf("team-%d-%d", i, j)
			switch {
			case i == 9 && j == 9:
				s = append(s, `{"Effect": "Allow", "Action": "ecr:*", "Resource": "arn:aws:ecr:*:123456789012:repository/${aws:username}/*"}`)
			case j%2 == 0:
				s = append(s, `{"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:PutImage"], "Resource": "arn:aws:ecr:us-east-1:123456789012:repository/*",
					"Condition": {"StringEquals": {"aws:ResourceTag/team": "`+team+`"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}`)
			default:
				s = append(s, `{"Effect": "Deny", "Action": ["ecr:Delete*", "s3:*"], "Resource": "arn:aws:ecr:us-east-1:123456789012:repository/`+team+`/*"}`)
			}
		}
		parsed, err := Parse(`{"Version": "2012-10-17", "Statement": [`+strings.Join(s, ",")+`]}`, Options{Kind: Identity})
		if err != nil {
			tb.Fatal(err)
		}
		p.Identity = append(p.Identity, Attached{Name: fmt.Sprint("policy-", i), Policy: parsed})
	}
	return &Request{
		Principal:       Principal{Type: User, ARN: "arn:aws:iam::123456789012:user/alice", Account: "123456789012"},
		Action:          "ecr:PutImage",
		Resource:        "arn:aws:ecr:us-east-1:123456789012:repository/alice/app",
		ResourceAccount: "123456789012",
		Context: NewContext(map[string][]string{
			"aws:username": {"alice"}, "aws:SourceIp": {"10.1.2.3"}, "aws:ResourceTag/team": {"red"},
			"aws:SecureTransport": {"true"}, "aws:CurrentTime": {"2026-01-31T12:00:00Z"}, "aws:UserAgent": {"docker/29.0"},
		}),
	}, p
}

func BenchmarkDecideTenPoliciesOfTenStatements(b *testing.B) {
	r, p := tenByTen(b)
	want := Decision{Allowed: true, Reason: Statement, By: Source{Kind: Identity, Index: 10, Policy: "policy-9", Statement: 10}}
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(r, p); d != want {
			b.Fatalf("Decide = %+v, want %+v", d, want)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	const text = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
		"Resource": "arn:aws:ecr:*:123456789012:repository/${aws:username}/*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}]}`
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text, Options{Kind: Identity}); err != nil {
			b.Fatal(err)
		}
	}
}

// A decision is on the way of every request: it must not make garbage, with
// whatever operators.
func TestDecisionsAllocateNothing(t *testing.T) {
	r, p := tenByTen(t)
	everything, err := Parse(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {
		"StringLike": {"k:s": "a*${k:s}c"}, "StringNotEqualsIgnoreCase": {"k:s": "${k:s}x"}, "NumericLessThan": {"k:n": 10},
		"DateGreaterThan": {"k:d": "2026-01-01T00:00:00+02:00"}, "Bool": {"k:b": true}, "BinaryEquals": {"k:y": "AAEC"},
		"NotIpAddress": {"k:i": ["10.0.0.0/8", "2001:db8::/32"]}, "ArnNotLike": {"k:a": "arn:aws:iam::*:role/${k:s}*"},
		"ForAllValues:StringEquals": {"k:l": ["a", "b"]}, "ForAnyValue:StringLike": {"k:l": "b*"}, "Null": {"k:none": true}}}}`, Options{Kind: Identity})
	if err != nil {
		t.Fatal(err)
	}
	p.Identity = append(p.Identity, Attached{Policy: everything})
	p.Boundary = []Attached{{Policy: everything}}
	r.Context = NewContext(map[string][]string{
		"k:s": {"b"}, "k:n": {"9.5"}, "k:d": {"2026-01-31T12:00:00+01:00"}, "k:b": {"true"}, "k:y": {"AAEC"},
		"k:i": {"::ffff:192.0.2.1"}, "k:a": {"arn:aws:iam::123456789012:role/x"}, "k:l": {"a", "b"},
	})
	if n := testing.AllocsPerRun(100, func() { Decide(r, p) }); n != 0 {
		t.Errorf("a decision allocates %v times, want never", n)
	}
}

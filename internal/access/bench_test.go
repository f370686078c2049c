package access

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"berth/internal/policy"
)

// underPolicies is a request that the last of ten statements in the last of ten
// policies allows, and the authorizer that knows them.
func underPolicies(tb testing.TB) (*Authorizer, Request) {
	tb.Helper()
	var p Policies
	for i := range 10 {
		var s []string
		for j := range 10 {
			switch {
			case i == 9 && j == 9:
				s = append(s, `{"Effect":"Allow","Action":"ecr:*","Resource":"*"}`)
			case j%2 == 0:
				s = append(s, fmt.Sprintf(`{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:PutImage"],"Resource":"arn:aws:ecr:*:*:repository/*",
					"Condition":{"StringEquals":{"aws:ResourceTag/team":"team-%d-%d"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`, i, j))
			default:
				s = append(s, fmt.Sprintf(`{"Effect":"Deny","Action":["ecr:Delete*","s3:*"],"Resource":"arn:aws:ecr:*:*:repository/team-%d-%d/*"}`, i, j))
			}
		}
		parsed, err := policy.Parse(`{"Version":"2012-10-17","Statement":[`+strings.Join(s, ",")+`]}`, policy.Options{Kind: policy.Identity})
		if err != nil {
			tb.Fatal(err)
		}
		p.Identity = append(p.Identity, policy.Attached{Policy: parsed})
	}
	a := &Authorizer{Source: source(func(c Caller) (Policies, error) { return *c.Policies, nil })}
	return a, Request{
		Caller: Caller{
			Account: home, ARN: "arn:aws:iam::" + home + ":user/alice", ID: "AIDA", Type: User, SourceIP: netip.MustParseAddr("127.0.0.1"),
			UserAgent: "docker/29.0", Policies: &p,
		},
		Action: "ecr:BatchGetImage", Account: home, Resource: app,
	}
}

func BenchmarkDecideUnderTenPolicies(b *testing.B) {
	a, r := underPolicies(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Decide(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

package server_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"berth/internal/servertest"
)

// What policies cost a GET of a manifest: none of them, some, and some that read
// the tags of images.
func BenchmarkManifestGet(b *testing.B) {
	s := servertest.Start(b, servertest.Options{})
	s.CreateRepository(b, "app")
	s.Login(b).Push(b, "app", "v1", servertest.NewImage(1, 10))
	const pull = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage"],"Resource":"*"`
	const tags = pull + `},{"Effect":"Deny","Action":"ecr:BatchGetImage","Resource":"*","Condition":{"ForAnyValue:StringLike":{"ecr:ImageTag":"dev-*"}}}]}`
	for _, bb := range []struct {
		name string
		c    *servertest.Client
	}{
		{"root", s.Login(b)},
		{"user", s.LoginAs(b, s.CreateUserOf(b, s.AWS(), "user", pull+`}]}`))},
		{"user with ten policies", s.LoginAs(b, userWithTenPolicies(b, s))},
		{"user with a rule about tags", s.LoginAs(b, s.CreateUserOf(b, s.AWS(), "tags", tags))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			h := s.Server().Handler()
			for b.Loop() {
				r := httptest.NewRequest("GET", manifestPath("app", "v1"), nil)
				r.SetBasicAuth(bb.c.User, bb.c.Pass)
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
				s.Decisions()
			}
		})
	}
}

// userWithTenPolicies has ten policies of ten statements, the last of which allows a
// pull: half of those before are about the same action and fail by a condition, half
// are about others.
func userWithTenPolicies(b *testing.B, s *servertest.Server) aws.Config {
	user, c := s.CreateUserOf(b, s.AWS(), "ten", ""), iam.NewFromConfig(s.AWS())
	for i := range 10 {
		var list []string
		for j := range 5 {
			team := fmt.Sprintf("team-%d-%d", i, j)
			list = append(list, `{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:PutImage"],"Resource":"arn:aws:ecr:*:*:repository/*",
				"Condition":{"StringEquals":{"aws:ResourceTag/team":"`+team+`"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`,
				`{"Effect":"Deny","Action":["ecr:Delete*","s3:*"],"Resource":"arn:aws:ecr:*:*:repository/`+team+`/*"}`)
		}
		if i == 9 {
			list[9] = `{"Effect":"Allow","Action":"ecr:*","Resource":"*"}`
		}
		made, err := c.CreatePolicy(b.Context(), &iam.CreatePolicyInput{
			PolicyName: new(fmt.Sprint("ten-", i)), PolicyDocument: new(`{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`),
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.AttachUserPolicy(b.Context(), &iam.AttachUserPolicyInput{UserName: new("ten"), PolicyArn: made.Policy.Arn}); err != nil {
			b.Fatal(err)
		}
	}
	return user
}

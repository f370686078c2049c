package server_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// What a principal's own policies deny tells nothing of the images and tags of
// another account that has not allowed the principal anything.
func TestDeniesAcrossAccountsTellNothingOfTheImage(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		if status, text := call(t, s, "TagResource", `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/app","tags":[{"Key":"secret","Value":"cherry"}]}`); status != 200 {
			t.Fatal(text)
		}
		img := servertest.NewImage(1, 10)
		s.Login(t).Push(t, "app", "v1", img)
		abroad := s.CreateAccount(t, "210987654321")
		probe := func(name, condition string) (string, string) {
			t.Helper()
			as := s.CreateUserOf(t, abroad, name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
				{"Sid":"Probe","Effect":"Deny","Action":"ecr:BatchGetImage","Resource":"*","Condition":{`+condition+`}}]}`)
			r := askAs(t, s, as, "/", "ecr", ecrTarget+"BatchGetImage",
				`{"registryId":"123456789012","repositoryName":"app","imageIds":[{"imageDigest":"`+img.Digest.String()+`"}]}`)
			_, e, exception := lookUp(t, s, abroad, r.header.Get(decisionHeader))
			if exception != "" || e.Allowed {
				t.Fatalf("%s: the decision is %s", name, exception)
			}
			for _, p := range e.Policies {
				for _, st := range p.Statements {
					if st.Sid == "Probe" && name != "always" && (!st.Hidden || st.Applies || st.Conditions != nil) {
						t.Errorf("%s: the caller's account sees %+v", name, st)
					}
				}
			}
			return strings.ReplaceAll(r.body, name, "NAME"), fmt.Sprintf("%+v", e.Decision)
		}
		for name, condition := range map[string][2]string{
			"tag":      {`"StringLike":{"ecr:ImageTag":"v*"}`, `"StringLike":{"ecr:ImageTag":"x*"}`},
			"digest":   {`"Null":{"ecr:ImageDigest":"false"}`, `"StringEquals":{"ecr:ImageDigest":"x"}`},
			"resource": {`"StringEquals":{"aws:ResourceTag/secret":"cherry"}`, `"StringEquals":{"aws:ResourceTag/secret":"plum"}`},
		} {
			hit, hitBy := probe("hit-"+name, condition[0])
			miss, missBy := probe("miss-"+name, condition[1])
			if hit != miss || hitBy != missBy || !strings.Contains(hit, "no resource-based policy allows") {
				t.Errorf("%s: a deny that applies is told as\n%s%s\nand one that does not as\n%s%s", name, hit, hitBy, miss, missBy)
			}
		}
		// What is denied whatever the image is like, is told; and so is what is denied
		// of an image that its owner has allowed.
		if text, _ := probe("always", `"Null":{"aws:PrincipalArn":"false"}`); !strings.Contains(text, "explicit deny in an identity-based policy") {
			t.Errorf("a deny of everything is told as %s", text)
		}
		allow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"ecr:BatchGetImage"}]}`
		if _, err := s.ECR().SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &allow}); err != nil {
			t.Fatal(err)
		}
		if text, _ := probe("allowed", `"StringLike":{"ecr:ImageTag":"v*"}`); !strings.Contains(text, "explicit deny in an identity-based policy") {
			t.Errorf("a deny of what the owner allows is told as %s", text)
		}
	})
}

package access

import (
	"errors"
	"testing"

	"berth/internal/policy"
)

// Images cost a query: nobody looks at them unless a policy says something of them.
func TestImagesAreLookedAtOnlyIfAPolicyReadsThem(t *testing.T) {
	t.Parallel()
	alice := Caller{Account: home, ARN: "arn:aws:iam::123456789012:user/alice", Type: User}
	away := errors.New("the store is away")
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	when := func(effect, condition string) string {
		return `{"Effect":"` + effect + `","Action":"*","Resource":"*","Condition":{` + condition + `}}`
	}
	const toAll = `{"Effect":"Allow","Principal":"*","Action":"ecr:*","Condition":{"Null":{"ecr:ImageDigest":"true"}}}`
	dev, v := Image{Tags: []string{"dev-1"}, Digest: "sha256:1"}, Image{Tags: []string{"v1"}, ArtifactType: "application/vnd.example"}
	for name, tt := range map[string]struct {
		action, identity, repository string
		early                        bool
		images                       []Image
		looked, allowed              bool
	}{
		"no condition":              {"ecr:BatchGetImage", all, "", false, []Image{dev}, false, true},
		"another condition":         {"ecr:BatchGetImage", when("Allow", `"Bool":{"aws:SecureTransport":"false"}`), "", false, []Image{dev}, false, true},
		"a condition on tags":       {"ecr:BatchGetImage", when("Allow", `"StringLike":{"ECR:imageTag":"dev-*"}`), "", false, []Image{dev}, true, true},
		"one of two refused":        {"ecr:BatchGetImage", when("Allow", `"StringLike":{"ecr:ImageTag":"dev-*"}`), "", false, []Image{dev, v}, true, false},
		"the other order":           {"ecr:BatchGetImage", when("Allow", `"StringLike":{"ecr:ImageTag":"dev-*"}`), "", false, []Image{v, dev}, true, false},
		"no images":                 {"ecr:BatchGetImage", when("Allow", `"StringLike":{"ecr:ImageTag":"dev-*"}`), "", false, nil, true, false},
		"a variable":                {"ecr:BatchGetImage", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecr:*:*:repository/${ecr:ImageTag}"}`, "", false, []Image{{Tags: []string{"app"}}}, true, true},
		"a variable in a condition": {"ecr:BatchGetImage", when("Allow", `"StringEquals":{"aws:username":"${ecr:ImageTag}"}`), "", false, []Image{{Tags: []string{"alice"}}}, true, true},
		"keys of one image each":    {"ecr:BatchGetImage", all + "," + when("Deny", `"Null":{"ecr:ImageDigest":"false","ecr:ArtifactType":"false"}`), "", false, []Image{dev, v, dev}, true, true},
		"a repository's policy":     {"ecr:BatchGetImage", `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`, toAll, false, []Image{v}, true, true},
		"another service":           {"ecr-public:PutImage", all + "," + when("Deny", `"StringLike":{"ecr:ImageTag":"*"}`), "", false, []Image{dev}, false, true},
		"a public repository":       {"ecr-public:PutImage", all + "," + when("Deny", `"StringLike":{"ecr-public:ImageTag":"dev-*"}`), "", false, []Image{dev}, true, false},
		"early, tags":               {"ecr:PutImage", when("Allow", `"StringLike":{"ecr:ImageTag":"dev-*"}`), "", true, []Image{v}, true, false},
		"early, more":               {"ecr:PutImage", when("Allow", `"StringLike":{"ecr:ArtifactType":"x"}`), "", true, []Image{v}, false, true},
		"early, nothing":            {"ecr:PutImage", `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`, "", true, []Image{v}, false, false},
	} {
		p := Policies{Identity: attach(t, policy.Identity, tt.identity)}
		a := &Authorizer{Source: source(func(Caller) (Policies, error) { return p, nil })}
		looked := false
		r := Request{Caller: alice, Action: tt.action, Account: home, Resource: app, Early: tt.early}
		r.Images = func() ([]Image, error) {
			looked = true
			return tt.images, nil
		}
		if tt.repository != "" {
			r.Repository = attach(t, policy.Repository, tt.repository)
		}
		if err := a.Decide(t.Context(), r); (err == nil) != tt.allowed || looked != tt.looked {
			t.Errorf("%s: Decide = %v, looked at images: %t; want allowed %t, looked %t", name, err, looked, tt.allowed, tt.looked)
		}
		r.Images = func() ([]Image, error) { return nil, away }
		if err := a.Decide(t.Context(), r); tt.looked && !errors.Is(err, away) {
			t.Errorf("%s: Decide without images = %v, want the store's error", name, err)
		}
	}
}

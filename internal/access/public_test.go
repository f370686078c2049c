package access

import (
	"slices"
	"testing"
)

func TestEverybodyMayPullFromPublicRepositoriesAndNothingElse(t *testing.T) {
	t.Parallel()
	a := &Authorizer{Source: source(func(Caller) (Policies, error) { return Policies{}, nil })}
	reads := []string{"BatchGetImage", "GetDownloadUrlForLayer", "ListImages", "BatchCheckLayerAvailability"}
	others := []string{"PutImage", "BatchDeleteImage", "InitiateLayerUpload", "DescribeImages", "DescribeImageTags", "DeleteRepository", "*", "", "batchgetimage"}
	callers := map[string]Caller{
		"nobody": {}, "another root": {Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", Type: Root},
	}
	resources := map[string]bool{ // whether it is a public repository
		PublicRepositoryARN("123456789012", "team/app"):              true,
		RepositoryARN("123456789012", "us-east-1", "team/app"):       false,
		RepositoryARN("123456789012", "public", "team/app"):          false,
		RepositoryARN("123456789012", "", "app"):                     false,
		"arn:aws:ecr-public::123456789012:registry/123456789012":     false,
		"arn:aws:ecr-public-x::123456789012:repository/app":          false,
		"arn:aws:ecr:ecr-public:123456789012:repository/app":         false,
		"arn:aws:ecr:us-east-1:ecr-public:repository/ecr-public::/x": false,
		"*": false, "": false,
	}
	for who, c := range callers {
		for resource, public := range resources {
			for _, action := range append(reads, others...) {
				for _, service := range []string{"ecr-public:", "ecr:", ""} {
					want := public && service == "ecr-public:" && slices.Contains(reads, action)
					err := a.Decide(t.Context(), Request{Caller: c, Action: service + action, Account: "123456789012", Resource: resource})
					if (err == nil) != want {
						t.Errorf("%s asks for %s on %s: %v, want allowed %t", who, service+action, resource, err, want)
					}
				}
			}
		}
	}
}

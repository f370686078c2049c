package access

import (
	"strings"

	"berth/internal/policy"
)

// publicReads are the actions that pulling from a public repository takes. Only
// the last of them is one of IAM's: the API of ECR Public has no operations for
// the others, but the distribution API reads manifests, layers and tag lists.
var publicReads = map[string]bool{
	"ecr-public:BatchGetImage":               true,
	"ecr-public:GetDownloadUrlForLayer":      true,
	"ecr-public:ListImages":                  true,
	"ecr-public:BatchCheckLayerAvailability": true,
}

// PublicRepositoryARN returns arn:aws:ecr-public::account:repository/name.
func PublicRepositoryARN(account, name string) string {
	return policy.ARN{Partition: "aws", Service: "ecr-public", Account: account, Resource: "repository/" + name}.String()
}

// everybodyMay reports whether r is what everybody may do, known or not: to pull
// from a public repository. Public repositories are not behind VPC endpoints.
func everybodyMay(r Request) bool {
	if !publicReads[r.Action] || r.Caller.Endpoint != nil {
		return false
	}
	a, ok := policy.ParseARN(r.Resource)
	return ok && a.Service == "ecr-public" && strings.HasPrefix(a.Resource, "repository/")
}

package ecr_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// implemented are the operations that Berth has; these tests call them all.
var implemented = []string{
	"BatchCheckLayerAvailability", "BatchDeleteImage", "BatchGetImage", "CompleteLayerUpload", "CreateRepository", "DeleteRepository",
	"DescribeImages", "DescribeRepositories", "GetAccountSetting", "GetAuthorizationToken", "GetDownloadUrlForLayer", "InitiateLayerUpload",
	"ListImageReferrers", "ListImages", "ListTagsForResource", "PutAccountSetting", "PutImage", "PutImageTagMutability", "TagResource", "UntagResource",
	"UpdateImageStorageClass", "UploadLayerPart",
}

// unsupported are all others, with why.
var unsupported = map[string]string{
	"BatchGetRepositoryScanningConfiguration": "scanning is not implemented yet",
	"CreatePullThroughCacheRule":              "the pull-through cache is not implemented yet",
	"CreateRepositoryCreationTemplate":        "repository creation templates cannot be managed yet",
	"DeleteLifecyclePolicy":                   "lifecycle policies are not implemented yet",
	"DeletePullThroughCacheRule":              "the pull-through cache is not implemented yet",
	"DeleteRegistryPolicy":                    "only the root of an account has access so far; policies are not implemented yet",
	"DeleteRepositoryCreationTemplate":        "repository creation templates cannot be managed yet",
	"DeleteRepositoryPolicy":                  "only the root of an account has access so far; policies are not implemented yet",
	"DeleteSigningConfiguration":              "managed signing is not implemented yet",
	"DeregisterPullTimeUpdateExclusion":       "pull times are not recorded yet",
	"DescribeImageReplicationStatus":          "replication is not implemented yet",
	"DescribeImageScanFindings":               "scanning is not implemented yet",
	"DescribeImageSigningStatus":              "managed signing is not implemented yet",
	"DescribePullThroughCacheRules":           "the pull-through cache is not implemented yet",
	"DescribeRegistry":                        "replication is not implemented yet",
	"DescribeReplicationBackfillResults":      "replication is not implemented yet",
	"DescribeRepositoryCreationTemplates":     "repository creation templates cannot be managed yet",
	"GetLifecyclePolicy":                      "lifecycle policies are not implemented yet",
	"GetLifecyclePolicyPreview":               "lifecycle policies are not implemented yet",
	"GetRegistryPolicy":                       "only the root of an account has access so far; policies are not implemented yet",
	"GetRegistryScanningConfiguration":        "scanning is not implemented yet",
	"GetRepositoryPolicy":                     "only the root of an account has access so far; policies are not implemented yet",
	"GetSigningConfiguration":                 "managed signing is not implemented yet",
	"ListPullTimeUpdateExclusions":            "pull times are not recorded yet",
	"ListReplicationBackfills":                "replication is not implemented yet",
	"PutImageScanningConfiguration":           "scanning is not implemented yet",
	"PutLifecyclePolicy":                      "lifecycle policies are not implemented yet",
	"PutRegistryPolicy":                       "only the root of an account has access so far; policies are not implemented yet",
	"PutRegistryScanningConfiguration":        "scanning is not implemented yet",
	"PutReplicationConfiguration":             "replication is not implemented yet",
	"PutSigningConfiguration":                 "managed signing is not implemented yet",
	"RegisterPullTimeUpdateExclusion":         "pull times are not recorded yet",
	"SetRepositoryPolicy":                     "only the root of an account has access so far; policies are not implemented yet",
	"StartImageScan":                          "scanning is not implemented yet",
	"StartLifecyclePolicyPreview":             "lifecycle policies are not implemented yet",
	"StartReplicationBackfill":                "replication is not implemented yet",
	"StopReplicationBackfill":                 "replication is not implemented yet",
	"UpdatePullThroughCacheRule":              "the pull-through cache is not implemented yet",
	"UpdateRepositoryCreationTemplate":        "repository creation templates cannot be managed yet",
	"ValidatePullThroughCacheRule":            "the pull-through cache is not implemented yet",
}

// operations returns the names of the operations that the SDK has: the methods
// of its client that take a context, an input and options.
func operations() []string {
	var names []string
	client := reflect.TypeFor[*ecr.Client]()
	for m := range client.Methods() {
		if m.Type.NumIn() == 4 && m.Type.In(2).Elem().Name() == m.Name+"Input" {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestEveryOperationOfTheSDKIsImplementedOrRefused(t *testing.T) {
	t.Parallel()
	all := operations()
	if len(all) < 62 {
		t.Fatalf("the SDK has %d operations, want at least 62", len(all))
	}
	known := append(slices.Collect(maps.Keys(unsupported)), implemented...)
	slices.Sort(known)
	wantEqual(t, "operations", known, all)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range all {
			got := rawCall{target: name, body: "{}"}.do(t, s)
			if reason, ok := unsupported[name]; ok {
				got.wantFailure(t, 400, "UnsupportedCommandException", "The operation "+name+" is not supported by Berth: "+reason)
			} else if code := got.header.Get("X-Amzn-Errortype"); code == "UnsupportedCommandException" || code == "UnknownOperationException" {
				t.Errorf("%s: %s", name, code)
			}
		}
	})
}

func TestTheSDKSeesARefusalAsAnError(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		_, err := s.ECR().GetRegistryPolicy(t.Context(), &ecr.GetRegistryPolicyInput{})
		wantError(t, err, "UnsupportedCommandException", "The operation GetRegistryPolicy is not supported by Berth: "+unsupported["GetRegistryPolicy"])
		_, err = s.ECR().DescribeRegistry(t.Context(), &ecr.DescribeRegistryInput{})
		wantError(t, err, "UnsupportedCommandException", "The operation DescribeRegistry is not supported by Berth: "+unsupported["DescribeRegistry"])
	})
}

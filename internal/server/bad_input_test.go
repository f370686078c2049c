package server_test

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"berth/internal/servertest"
)

// validates are the operations whose model has ValidationException for input that
// breaks a constraint; of all others it is InvalidParameterException.
var validates = map[string]bool{
	"BatchGetRepositoryScanningConfiguration": true, "CreatePullThroughCacheRule": true, "CreateRepositoryCreationTemplate": true,
	"DeleteLifecyclePolicy": true, "DeletePullThroughCacheRule": true, "DeleteRepositoryCreationTemplate": true,
	"DeregisterPullTimeUpdateExclusion": true, "DescribeImageReplicationStatus": true, "DescribeImageScanFindings": true,
	"DescribeImageSigningStatus": true, "DescribePullThroughCacheRules": true, "DescribeReplicationBackfillResults": true,
	"DescribeRepositoryCreationTemplates": true, "GetAccountSetting": true, "GetLifecyclePolicy": true, "GetLifecyclePolicyPreview": true,
	"ListImageReferrers": true, "ListPullTimeUpdateExclusions": true, "ListReplicationBackfills": true, "PutAccountSetting": true,
	"PutImageScanningConfiguration": true, "PutLifecyclePolicy": true, "PutRegistryScanningConfiguration": true,
	"PutReplicationConfiguration": true, "PutSigningConfiguration": true, "RegisterPullTimeUpdateExclusion": true,
	"StartLifecyclePolicyPreview": true, "StopReplicationBackfill": true, "UpdateImageStorageClass": true,
	"UpdatePullThroughCacheRule": true, "UpdateRepositoryCreationTemplate": true,
}

// bad are values that no member of that name can have. The first one that an
// input has is what is wrong with it.
var bad = []struct{ member, value string }{
	{"RepositoryName", `"Bad!"`}, {"EcrRepositoryPrefix", `"Bad!"`}, {"Prefix", `"Bad!"`}, {"ResourceArn", `"x"`}, {"PrincipalArn", `"x"`},
	{"Name", `"` + strings.Repeat("a", 65) + `"`}, {"RepositoryNames", `["Bad!"]`}, {"RegistryIds", `["1"]`}, {"RegistryId", `"1"`},
	{"MaxResults", `5000`}, {"ScanType", `"bad"`}, {"DisplayName", `"` + strings.Repeat("a", 101) + `"`},
	{"ReplicationConfiguration", `{"rules":[{"destinations":[{"region":"x!","registryId":"1"}]}]}`},
	{"SigningConfiguration", `{"rules":[{"signingProfileArn":"x"}]}`},
}

// spoil returns an input with a bad value, and the name of its member, "" if
// nothing can be wrong with such an input.
func spoil(t *testing.T, client any, operation, input string) (string, string) {
	t.Helper()
	in := reflect.ValueOf(client).MethodByName(operation).Type().In(1).Elem()
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(input), &members); err != nil {
		t.Fatal(err)
	}
	for _, b := range bad {
		if _, there := in.FieldByName(b.member); !there {
			continue
		}
		for name := range members {
			if strings.EqualFold(name, b.member) {
				delete(members, name)
			}
		}
		members[b.member] = json.RawMessage(b.value)
		return string(servertest.JSON(members)), b.member
	}
	return input, ""
}

func TestInputThatBreaksAConstraintIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		check := func(ctx context.Context, client any, calls []sdkCall) {
			for _, c := range calls {
				input, member := spoil(t, client, c.operation, strings.ReplaceAll(c.input, "PART", "e30="))
				if member == "" || c.fails == "UnsupportedCommandException" {
					continue
				}
				want := "InvalidParameterException"
				if validates[c.operation] {
					want = "ValidationException"
				}
				_, err := invoke(ctx, client, c.operation, input)
				if got := servertest.ErrorCode(err); got != want {
					t.Errorf("%s with a bad %s = %v, want %s", c.operation, member, err, want)
				}
			}
		}
		check(t.Context(), s.ECR(), privateCalls)
		check(t.Context(), s.ECRPublic(), publicCalls)
	})
}

package ecr_test

import (
	"fmt"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// configurations are calls that change what is configured for a registry, in
// order, with the event of each, or the exception.
var configurations = []struct{ operation, body, event, code string }{
	{"CreateRepositoryCreationTemplate", `{"prefix":"team/","appliedFor":["CREATE_ON_PUSH"]}`, "template team", ""},
	{"CreateRepositoryCreationTemplate", `{"prefix":"team","appliedFor":["CREATE_ON_PUSH"]}`, "", "TemplateAlreadyExistsException"},
	{"CreateRepositoryCreationTemplate", `{"prefix":"new","appliedFor":["CREATE_ON_PUSH"],"repositoryPolicy":"{}"}`, "", "InvalidParameterException"},
	{"UpdateRepositoryCreationTemplate", `{"prefix":"team","description":"d"}`, "template team", ""},
	{"UpdateRepositoryCreationTemplate", `{"prefix":"absent"}`, "", "TemplateNotFoundException"},
	{"DeleteRepositoryCreationTemplate", `{"prefix":"team"}`, "template team", ""},
	{"DeleteRepositoryCreationTemplate", `{"prefix":"team"}`, "", "TemplateNotFoundException"},
	{"CreatePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay","upstreamRegistryUrl":"quay.io"}`, "pull through cache rule quay", ""},
	{"CreatePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay","upstreamRegistryUrl":"quay.io"}`, "", "PullThroughCacheRuleAlreadyExistsException"},
	{"CreatePullThroughCacheRule", `{"ecrRepositoryPrefix":"ghcr","upstreamRegistryUrl":"ghcr.io"}`, "", "UnsupportedUpstreamRegistryException"},
	{"UpdatePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay"}`, "pull through cache rule quay", ""},
	{"DeletePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay"}`, "pull through cache rule quay", ""},
	{"DeletePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay"}`, "", "PullThroughCacheRuleNotFoundException"},
	{"RegisterPullTimeUpdateExclusion", `{"principalArn":"arn:aws:iam::123456789012:user/u"}`, "pull time exclusion arn:aws:iam::123456789012:user/u", ""},
	{"RegisterPullTimeUpdateExclusion", `{"principalArn":"arn:aws:iam::123456789012:user/u"}`, "", "ExclusionAlreadyExistsException"},
	{"DeregisterPullTimeUpdateExclusion", `{"principalArn":"arn:aws:iam::123456789012:user/u"}`, "pull time exclusion arn:aws:iam::123456789012:user/u", ""},
	{"DeregisterPullTimeUpdateExclusion", `{"principalArn":"arn:aws:iam::123456789012:user/u"}`, "", "ExclusionNotFoundException"},
	{"PutReplicationConfiguration", `{"replicationConfiguration":{"rules":[{"destinations":[{"region":"eu-west-1","registryId":"123456789012"}]}]}}`, "replication", ""},
	{"PutReplicationConfiguration", `{"replicationConfiguration":{"rules":[{"destinations":[{"region":"us-east-1","registryId":"123456789012"}]}]}}`, "", "InvalidParameterException"},
	{"PutRegistryScanningConfiguration", `{}`, "scanning", ""},
	{"PutRegistryScanningConfiguration", `{"rules":[{"scanFrequency":"CONTINUOUS_SCAN","repositoryFilters":[]}]}`, "", "InvalidParameterException"},
	{"DeleteSigningConfiguration", `{}`, "", "SigningConfigurationNotFoundException"},
	{"PutSigningConfiguration", `{"signingConfiguration":{"rules":[]}}`, "signing", ""},
	{"DeleteSigningConfiguration", `{}`, "signing", ""},
}

// questions are calls about configurations, and about the image app:v1, that
// change no configuration of a registry, with the exception of each.
var questions = []struct{ operation, body, code string }{
	{"DescribeRepositoryCreationTemplates", `{}`, ""},
	{"DescribePullThroughCacheRules", `{}`, ""},
	{"DescribePullThroughCacheRules", `{"ecrRepositoryPrefixes":["absent"]}`, "PullThroughCacheRuleNotFoundException"},
	{"ListPullTimeUpdateExclusions", `{}`, ""},
	{"DescribeRegistry", `{}`, ""},
	{"DescribeImageReplicationStatus", `{"repositoryName":"app","imageId":{"imageTag":"v1"}}`, ""},
	{"DescribeImageReplicationStatus", `{"repositoryName":"app","imageId":{"imageTag":"v9"}}`, "ImageNotFoundException"},
	{"ListReplicationBackfills", `{}`, ""},
	{"StopReplicationBackfill", `{"replicationBackfillId":"b"}`, "ReplicationBackfillNotFoundException"},
	{"DescribeReplicationBackfillResults", `{"replicationBackfillId":"b"}`, "ReplicationBackfillNotFoundException"},
	{"GetRegistryScanningConfiguration", `{}`, ""},
	{"BatchGetRepositoryScanningConfiguration", `{"repositoryNames":["app","absent"]}`, ""},
	{"DescribeImageScanFindings", `{"repositoryName":"app","imageId":{"imageTag":"v1"}}`, "ScanNotFoundException"},
	{"GetSigningConfiguration", `{}`, "SigningConfigurationNotFoundException"},
	{"DescribeImageSigningStatus", `{"repositoryName":"app","imageId":{"imageTag":"v1"}}`, ""},
	{"GetRepositoryPolicy", `{"repositoryName":"app"}`, "RepositoryPolicyNotFoundException"},
	{"DeleteRepositoryPolicy", `{"repositoryName":"app"}`, "RepositoryPolicyNotFoundException"},
	{"GetRegistryPolicy", `{}`, "RegistryPolicyNotFoundException"},
	{"DeleteRegistryPolicy", `{}`, "RegistryPolicyNotFoundException"},
}

func TestEveryChangeOfAConfigurationHasItsEvent(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		var want []string
		for _, c := range configurations {
			got := rawCall{target: c.operation, body: c.body}.do(t, s)
			if code := got.header.Get("X-Amzn-Errortype"); code != c.code {
				t.Errorf("%s %s = %d %s, want %q", c.operation, c.body, got.status, got.body, c.code)
			}
			if c.event != "" {
				want = append(want, "setting.changed  "+c.event)
			}
		}
		createRepository(t, s.ECR(), "app")
		must(s.ECR().PutImageScanningConfiguration(t.Context(), &ecr.PutImageScanningConfigurationInput{
			RepositoryName: new("app"), ImageScanningConfiguration: described(t, s.ECR(), "app").ImageScanningConfiguration,
		}))(t)
		wantEqual(t, "events", events(t, s), append(want, "repository.created app", "repository.changed app"))
	})
}

// Of updates of one template that come at once, none undoes another.
func TestUpdatesOfATemplateTakeTurns(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for round := range 5 {
			prefix := fmt.Sprintf("team-%d", round)
			createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{Prefix: &prefix})
			errs := make(chan error)
			for _, in := range []ecr.UpdateRepositoryCreationTemplateInput{
				{Description: new("d")}, {CustomRoleArn: new("arn:aws:iam::123456789012:role/r")}, {ResourceTags: resourceTags("k", "v")}, {ImageTagMutability: "IMMUTABLE"},
			} {
				in.Prefix = &prefix
				go func() {
					_, err := s.ECR().UpdateRepositoryCreationTemplate(t.Context(), &in)
					errs <- err
				}()
			}
			for range 4 {
				must(0, <-errs)(t)
			}
			got := describeTemplates(t, c, prefix)[0]
			if got.Description == nil || got.CustomRoleArn == nil || len(got.ResourceTags) != 1 || got.ImageTagMutability != "IMMUTABLE" {
				t.Errorf("the template lost an update: %+v", got)
			}
		}
	})
}

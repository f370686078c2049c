package ecr_test

import (
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// described returns a repository as ECR describes it.
func described(t *testing.T, c *ecr.Client, name string) types.Repository {
	t.Helper()
	return must(c.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}}))(t).Repositories[0]
}

func TestAPushMakesARepositoryAsTheTemplateSays(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, client := s.ECR(), s.Login(t)
		key := s.CreateKey(t)
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("team/"), ResourceTags: resourceTags("cost", "7"), ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
			ImageTagMutabilityExclusionFilters: wildcards("latest"),
			EncryptionConfiguration:            &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: types.EncryptionTypeKms, KmsKey: &key},
		})
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{
			Prefix:                  new("own"),
			EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: types.EncryptionTypeKms},
		})
		s.Decisions()
		client.Push(t, "team/app", "v1", servertest.NewImage(1, 10))
		client.Push(t, "own/app", "v1", servertest.NewImage(1, 10))

		created := false
		for _, d := range s.Decisions() {
			if d.Action == "ecr:CreateRepository" && d.Resource == "arn:aws:ecr:us-east-1:123456789012:repository/team/app" {
				created = true
				wantEqual(t, "condition keys", d.Context, map[string][]string{"aws:TagKeys": {"cost"}, "aws:RequestTag/cost": {"7"}})
			}
		}
		if !created {
			t.Error("nobody was asked about ecr:CreateRepository")
		}
		got := described(t, c, "team/app")
		wantEqual(t, "mode", got.ImageTagMutability, types.ImageTagMutabilityImmutableWithExclusion)
		wantEqual(t, "filters", got.ImageTagMutabilityExclusionFilters, wildcards("latest"))
		wantEqual(t, "encryption", got.EncryptionConfiguration, &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: &key})
		wantEqual(t, "tags", listTags(t, c, *got.RepositoryArn), resourceTags("cost", "7"))
		wantEqual(t, "the key of a template without one", *described(t, c, "own/app").EncryptionConfiguration.KmsKey, s.ManagedKey(t))

		// What is made later follows the template as it is then; what there is stays.
		must(c.UpdateRepositoryCreationTemplate(t.Context(), &ecr.UpdateRepositoryCreationTemplateInput{
			Prefix: new("team"), ImageTagMutability: types.ImageTagMutabilityMutable, ResourceTags: []types.Tag{},
		}))(t)
		client.Push(t, "team/other", "v1", servertest.NewImage(1, 10))
		wantEqual(t, "mode of the older", described(t, c, "team/app").ImageTagMutability, types.ImageTagMutabilityImmutableWithExclusion)
		other := described(t, c, "team/other")
		wantEqual(t, "mode of the newer", other.ImageTagMutability, types.ImageTagMutabilityMutable)
		wantEqual(t, "tags of the newer", listTags(t, c, *other.RepositoryArn), []types.Tag{})
	})
}

func TestATemplateThatIsNotForPushesGivesWayToAShorterOne(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, client := s.ECR(), s.Login(t)
		push := func(name string) int {
			t.Helper()
			return client.Do(t, "POST", "/v2/"+name+"/blobs/uploads/", nil).Status
		}
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("team/app"), AppliedFor: []types.RCTAppliedFor{types.RCTAppliedForReplication, types.RCTAppliedForPullThroughCache},
		})
		wantEqual(t, "without a template for pushes", push("team/app/x"), 404)
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("ROOT"), ImageTagMutability: types.ImageTagMutabilityImmutable})
		wantEqual(t, "with ROOT", push("team/app/x"), 202)
		wantEqual(t, "mode by ROOT", described(t, c, "team/app/x").ImageTagMutability, types.ImageTagMutabilityImmutable)
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("team")})
		wantEqual(t, "with the next shorter prefix", push("team/app/y"), 202)
		wantEqual(t, "mode by the shorter prefix", described(t, c, "team/app/y").ImageTagMutability, types.ImageTagMutabilityMutable)

		must(c.DeleteRepositoryCreationTemplate(t.Context(), &ecr.DeleteRepositoryCreationTemplateInput{Prefix: new("team")}))(t)
		must(c.DeleteRepositoryCreationTemplate(t.Context(), &ecr.DeleteRepositoryCreationTemplateInput{Prefix: new("ROOT")}))(t)
		wantEqual(t, "without templates for pushes again", push("team/app/z"), 404)
	})
}

func TestAPushMakesARepositoryWithTheLifecyclePolicyOfItsTemplate(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, client := s.ECR(), s.Login(t)
		policy := `{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged",
			"countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]}`
		_, err := c.CreateRepositoryCreationTemplate(t.Context(), &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("team"), AppliedFor: onPush, LifecyclePolicy: new("{}"),
		})
		wantEqual(t, "code", servertest.ErrorCode(err), "InvalidParameterException")
		s.Decisions()
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("team"), LifecyclePolicy: &policy})
		must(c.UpdateRepositoryCreationTemplate(t.Context(), &ecr.UpdateRepositoryCreationTemplateInput{Prefix: new("team"), LifecyclePolicy: &policy}))(t)
		var asked []string
		for _, d := range s.Decisions() {
			asked = append(asked, d.Action)
		}
		wantEqual(t, "actions asked for", asked, []string{
			"ecr:CreateRepositoryCreationTemplate", "ecr:CreateRepository", "ecr:PutLifecyclePolicy",
			"ecr:UpdateRepositoryCreationTemplate", "ecr:CreateRepository", "ecr:PutLifecyclePolicy",
		})
		_, err = c.UpdateRepositoryCreationTemplate(t.Context(), &ecr.UpdateRepositoryCreationTemplateInput{Prefix: new("team"), LifecyclePolicy: new("{")})
		wantEqual(t, "code", servertest.ErrorCode(err), "InvalidParameterException")
		client.Push(t, "team/app", "v1", servertest.NewImage(1, 10))
		got := must(c.GetLifecyclePolicy(t.Context(), &ecr.GetLifecyclePolicyInput{RepositoryName: new("team/app")}))(t)
		wantEqual(t, "policy", *got.LifecyclePolicyText, policy)
	})
}

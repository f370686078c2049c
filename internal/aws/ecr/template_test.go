package ecr_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const noRole = "must be the ARN of a role in the account of the registry"

const noTemplate = "The repository creation template with prefix 'absent' does not exist in the registry with id '123456789012'"

var onPush = []types.RCTAppliedFor{types.RCTAppliedForCreateOnPush}

func createTemplate(t *testing.T, c *ecr.Client, in *ecr.CreateRepositoryCreationTemplateInput) *types.RepositoryCreationTemplate {
	t.Helper()
	if in.AppliedFor == nil {
		in.AppliedFor = onPush
	}
	return must(c.CreateRepositoryCreationTemplate(t.Context(), in))(t).RepositoryCreationTemplate
}

// describeTemplates returns the templates of the prefixes, or all of a page.
func describeTemplates(t *testing.T, c *ecr.Client, prefixes ...string) []types.RepositoryCreationTemplate {
	t.Helper()
	in := &ecr.DescribeRepositoryCreationTemplatesInput{Prefixes: prefixes}
	return must(c.DescribeRepositoryCreationTemplates(t.Context(), in))(t).RepositoryCreationTemplates
}

func templatePrefixes(ts []types.RepositoryCreationTemplate) []string {
	out := []string{}
	for _, t := range ts {
		out = append(out, *t.Prefix)
	}
	return out
}

// Terraform puts, reads back, updates, deletes and makes anew.
func TestATemplateIsReadBackAsItWasPut(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		at := s.Clock.Now()
		in := &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("team/app"), Description: new("what \"is\" made — é\n\tin lines"), ResourceTags: resourceTags("a", "1", "b", ""),
			AppliedFor:         []types.RCTAppliedFor{types.RCTAppliedForReplication, types.RCTAppliedForPullThroughCache, types.RCTAppliedForCreateOnPush},
			ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion, ImageTagMutabilityExclusionFilters: wildcards("latest", "dev-*"),
			EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{
				EncryptionType: types.EncryptionTypeKms, KmsKey: new("arn:aws:kms:us-east-1:123456789012:key/1-2"),
			},
			CustomRoleArn: new("arn:aws:iam::123456789012:role/ecr"),
		}
		want := types.RepositoryCreationTemplate{
			Prefix: in.Prefix, Description: in.Description, ResourceTags: in.ResourceTags, AppliedFor: in.AppliedFor,
			ImageTagMutability: in.ImageTagMutability, ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
			EncryptionConfiguration: in.EncryptionConfiguration, CustomRoleArn: in.CustomRoleArn, CreatedAt: &at, UpdatedAt: &at,
		}
		for range 2 {
			out := must(c.CreateRepositoryCreationTemplate(t.Context(), in))(t)
			wantEqual(t, "registry", *out.RegistryId, "123456789012")
			wantEqual(t, "created", *out.RepositoryCreationTemplate, want)
			s.Restart(t)
			c = s.ECR()
			wantEqual(t, "read back", describeTemplates(t, c, "team/app"), []types.RepositoryCreationTemplate{want})
			wantEqual(t, "listed", describeTemplates(t, c), []types.RepositoryCreationTemplate{want})
			deleted := must(c.DeleteRepositoryCreationTemplate(t.Context(), &ecr.DeleteRepositoryCreationTemplateInput{Prefix: in.Prefix}))(t)
			wantEqual(t, "deleted", *deleted.RepositoryCreationTemplate, want)
			wantEqual(t, "left", describeTemplates(t, c), []types.RepositoryCreationTemplate{})
		}
	})
}

func TestATemplateHasDefaults(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		at := s.Clock.Now()
		in := &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("ROOT"), Description: new(""), RepositoryPolicy: new(""), LifecyclePolicy: new(""), CustomRoleArn: new(""),
		}
		wantEqual(t, "template", createTemplate(t, s.ECR(), in), &types.RepositoryCreationTemplate{
			Prefix: new("ROOT"), AppliedFor: onPush, ImageTagMutability: types.ImageTagMutabilityMutable, ResourceTags: []types.Tag{},
			EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: types.EncryptionTypeAes256},
			CreatedAt:               &at, UpdatedAt: &at,
		})
		wantEqual(t, "templates of another region", describeTemplates(t, s.ECRIn("eu-west-1")), []types.RepositoryCreationTemplate{})
	})
}

func TestAnUpdateChangesWhatIsGivenOfATemplate(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		want := createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("team"), Description: new("first"), ResourceTags: resourceTags("a", "1"), CustomRoleArn: new("arn:aws:iam::123456789012:role/r"),
			ImageTagMutability: types.ImageTagMutabilityImmutable,
		})
		key := &types.EncryptionConfigurationForRepositoryCreationTemplate{
			EncryptionType: types.EncryptionTypeKms, KmsKey: new("arn:aws:kms:us-east-1:123456789012:key/1-2"),
		}
		aes := &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: types.EncryptionTypeAes256}
		for _, step := range []struct {
			what string
			in   ecr.UpdateRepositoryCreationTemplateInput
			then func()
		}{
			{"nothing", ecr.UpdateRepositoryCreationTemplateInput{}, func() {}},
			{"description", ecr.UpdateRepositoryCreationTemplateInput{Description: new("second")}, func() { want.Description = new("second") }},
			{"no description", ecr.UpdateRepositoryCreationTemplateInput{Description: new("")}, func() { want.Description = nil }},
			{"tags", ecr.UpdateRepositoryCreationTemplateInput{ResourceTags: resourceTags("b", "2")}, func() { want.ResourceTags = resourceTags("b", "2") }},
			{"no tags", ecr.UpdateRepositoryCreationTemplateInput{ResourceTags: []types.Tag{}}, func() { want.ResourceTags = []types.Tag{} }},
			{"mode and filters", ecr.UpdateRepositoryCreationTemplateInput{
				ImageTagMutability: types.ImageTagMutabilityMutableWithExclusion, ImageTagMutabilityExclusionFilters: wildcards("v*"),
			}, func() {
				want.ImageTagMutability, want.ImageTagMutabilityExclusionFilters = types.ImageTagMutabilityMutableWithExclusion, wildcards("v*")
			}},
			{"filters", ecr.UpdateRepositoryCreationTemplateInput{ImageTagMutabilityExclusionFilters: wildcards("w*", "x")},
				func() { want.ImageTagMutabilityExclusionFilters = wildcards("w*", "x") }},
			{"mode with the same filters", ecr.UpdateRepositoryCreationTemplateInput{ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion},
				func() { want.ImageTagMutability = types.ImageTagMutabilityImmutableWithExclusion }},
			{"mode without filters", ecr.UpdateRepositoryCreationTemplateInput{ImageTagMutability: types.ImageTagMutabilityMutable}, func() {
				want.ImageTagMutability, want.ImageTagMutabilityExclusionFilters = types.ImageTagMutabilityMutable, nil
			}},
			{"a key", ecr.UpdateRepositoryCreationTemplateInput{EncryptionConfiguration: key}, func() { want.EncryptionConfiguration = key }},
			{"no key", ecr.UpdateRepositoryCreationTemplateInput{EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{
				EncryptionType: types.EncryptionTypeAes256, KmsKey: new(""),
			}}, func() { want.EncryptionConfiguration = aes }},
			{"uses", ecr.UpdateRepositoryCreationTemplateInput{AppliedFor: []types.RCTAppliedFor{types.RCTAppliedForReplication}},
				func() { want.AppliedFor = []types.RCTAppliedFor{types.RCTAppliedForReplication} }},
			{"no role and no policies", ecr.UpdateRepositoryCreationTemplateInput{CustomRoleArn: new(""), RepositoryPolicy: new(""), LifecyclePolicy: new("")},
				func() { want.CustomRoleArn = nil }},
		} {
			s.Clock.Advance(time.Minute)
			step.in.Prefix = new("team")
			out := must(c.UpdateRepositoryCreationTemplate(t.Context(), &step.in))(t)
			step.then()
			want.UpdatedAt = new(s.Clock.Now())
			wantEqual(t, "registry", *out.RegistryId, "123456789012")
			wantEqual(t, "after an update of "+step.what, out.RepositoryCreationTemplate, want)
			wantEqual(t, "read back after an update of "+step.what, describeTemplates(t, c, "team"), []types.RepositoryCreationTemplate{*want})
		}
	})
}

func TestDescribeRepositoryCreationTemplatesPages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		want := []string{"ROOT", "a", "a-b", "a/b/", "ab", "b/"}
		for _, p := range []string{"b/", "a", "ab", "ROOT", "a/b/", "a-b"} {
			createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{Prefix: &p})
		}
		for size := range int32(8) {
			in := &ecr.DescribeRepositoryCreationTemplatesInput{MaxResults: new(size + 1)}
			var got []string
			pages := ecr.NewDescribeRepositoryCreationTemplatesPaginator(c, in)
			for pages.HasMorePages() {
				page := must(pages.NextPage(t.Context()))(t)
				if len(page.RepositoryCreationTemplates) > int(size)+1 {
					t.Errorf("a page of at most %d has %d", size+1, len(page.RepositoryCreationTemplates))
				}
				got = append(got, templatePrefixes(page.RepositoryCreationTemplates)...)
			}
			wantEqual(t, fmt.Sprintf("prefixes in pages of %d", size+1), got, want)
		}
		// By prefix: in the order asked for, each once, without those that there are not, with and without the slash.
		named := templatePrefixes(describeTemplates(t, c, "b", "absent", "a/", "a/b", "ROOT", "a"))
		wantEqual(t, "named", named, []string{"b/", "a", "a/b/", "ROOT"})
	})
}

func TestTemplatesComeInPagesOf100(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for i := range 101 {
			createTemplate(t, s.ECR(), &ecr.CreateRepositoryCreationTemplateInput{Prefix: new(fmt.Sprintf("p%03d", i))})
		}
		out := must(s.ECR().DescribeRepositoryCreationTemplates(t.Context(), &ecr.DescribeRepositoryCreationTemplatesInput{}))(t)
		wantEqual(t, "templates in the first page", len(out.RepositoryCreationTemplates), 100)
		out = must(s.ECR().DescribeRepositoryCreationTemplates(t.Context(), &ecr.DescribeRepositoryCreationTemplatesInput{NextToken: out.NextToken}))(t)
		wantEqual(t, "the last page", templatePrefixes(out.RepositoryCreationTemplates), []string{"p100"})
	})
}

func TestARegistryHasAtMost1000Templates(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		rows(t, s, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
			INSERT INTO repository_creation_templates (account, region, prefix, document)
			SELECT '123456789012', 'us-east-1', 'p' || i, '{}' FROM n`)
		createTemplate(t, s.ECR(), &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("last")})
		_, err := s.ECR().CreateRepositoryCreationTemplate(t.Context(), &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("more"), AppliedFor: onPush})
		wantError(t, err, "LimitExceededException", "A registry can have at most 1000 repository creation templates.")
		wantEqual(t, "the one too many", describeTemplates(t, s.ECR(), "more"), []types.RepositoryCreationTemplate{})
		createTemplate(t, s.ECRIn("eu-west-1"), &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("more")})
	})
}

func TestTemplatesThatAreRefused(t *testing.T) {
	t.Parallel()
	const at = "Invalid parameter at '%s' failed to satisfy constraint: '%s'"
	const validation = "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must %s"
	const prefixPattern = `satisfy regular expression pattern: ^([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\/?|ROOT)$`
	long := strings.Repeat("é", 257)
	kms := func(kind types.EncryptionType, key string) *types.EncryptionConfigurationForRepositoryCreationTemplate {
		return &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: kind, KmsKey: &key}
	}
	cases := map[string]struct {
		in            ecr.CreateRepositoryCreationTemplateInput
		code, message string
	}{
		"a prefix that is none": {ecr.CreateRepositoryCreationTemplateInput{Prefix: new("Team")}, "ValidationException", fmt.Sprintf(validation, "Team", "prefix", prefixPattern)},
		"root in small letters and a star": {
			ecr.CreateRepositoryCreationTemplateInput{Prefix: new("root*")}, "ValidationException", fmt.Sprintf(validation, "root*", "prefix", prefixPattern),
		},
		"a use that is none": {
			ecr.CreateRepositoryCreationTemplateInput{AppliedFor: []types.RCTAppliedFor{"PUSH"}}, "ValidationException",
			fmt.Sprintf(validation, "PUSH", "appliedFor.1.member", "satisfy enum value set: [REPLICATION, PULL_THROUGH_CACHE, CREATE_ON_PUSH]"),
		},
		"no use": {
			ecr.CreateRepositoryCreationTemplateInput{AppliedFor: []types.RCTAppliedFor{}}, "InvalidParameterException",
			fmt.Sprintf(at, "appliedFor", "Member must have length greater than or equal to 1"),
		},
		"a long description": {
			ecr.CreateRepositoryCreationTemplateInput{Description: &long}, "ValidationException",
			fmt.Sprintf(validation, strings.Repeat("é", 256)+"...", "description", "have length less than or equal to 256"),
		},
		"a use twice": {
			ecr.CreateRepositoryCreationTemplateInput{AppliedFor: []types.RCTAppliedFor{"REPLICATION", "CREATE_ON_PUSH", "REPLICATION"}}, "InvalidParameterException",
			fmt.Sprintf(at, "appliedFor", "REPLICATION is given more than once"),
		},
		"a role with a NUL": {
			ecr.CreateRepositoryCreationTemplateInput{CustomRoleArn: new("arn:aws:iam::123456789012:role/a\x00")}, "InvalidParameterException",
			fmt.Sprintf(at, "customRoleArn", noRole),
		},
		"a role of another account": {
			ecr.CreateRepositoryCreationTemplateInput{CustomRoleArn: new("arn:aws:iam::210987654321:role/r")}, "InvalidParameterException",
			fmt.Sprintf(at, "customRoleArn", noRole),
		},
		"a user for a role": {
			ecr.CreateRepositoryCreationTemplateInput{CustomRoleArn: new("arn:aws:iam::123456789012:user/u")}, "InvalidParameterException",
			fmt.Sprintf(at, "customRoleArn", noRole),
		},
		"a role that is no ARN": {
			ecr.CreateRepositoryCreationTemplateInput{CustomRoleArn: new("r")}, "InvalidParameterException", fmt.Sprintf(at, "customRoleArn", noRole),
		},
		"a mode that is none": {
			ecr.CreateRepositoryCreationTemplateInput{ImageTagMutability: "FIXED"}, "ValidationException",
			fmt.Sprintf(validation, "FIXED", "imageTagMutability", "satisfy enum value set: [IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]"),
		},
		"filters without exclusion": {
			ecr.CreateRepositoryCreationTemplateInput{ImageTagMutabilityExclusionFilters: wildcards("a")}, "InvalidParameterException",
			fmt.Sprintf(at, "imageTagMutabilityExclusionFilters", "ImageTagMutabilityExclusionFilters can't be specified when imageTagMutability is set as MUTABLE"),
		},
		"a key for AES256": {
			ecr.CreateRepositoryCreationTemplateInput{EncryptionConfiguration: kms(types.EncryptionTypeAes256, "arn:aws:kms:us-east-1:123456789012:key/1")},
			"InvalidParameterException",
			fmt.Sprintf(at, "encryptionConfiguration.kmsKey", "kmsKey can only be specified when encryptionType is KMS or KMS_DSSE"),
		},
		"a key that is no ARN": {
			ecr.CreateRepositoryCreationTemplateInput{EncryptionConfiguration: kms(types.EncryptionTypeKms, "alias/key")}, "ValidationException",
			fmt.Sprintf(validation, "alias/key", "encryptionConfiguration.kmsKey",
				`satisfy regular expression pattern: ^$|arn:aws[a-z0-9-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[a-z0-9-]+`),
		},
		"a reserved tag": {
			ecr.CreateRepositoryCreationTemplateInput{ResourceTags: resourceTags("aws:k", "v")}, "InvalidParameterException",
			fmt.Sprintf(at, "resourceTags", "The tag key 'aws:k' is invalid: keys that begin with 'aws:' are reserved."),
		},
		"a tag twice": {
			ecr.CreateRepositoryCreationTemplateInput{ResourceTags: resourceTags("k", "v", "k", "v")}, "InvalidParameterException",
			fmt.Sprintf(at, "resourceTags", "The tag key 'k' is given more than once."),
		},
		"a repository policy": {
			ecr.CreateRepositoryCreationTemplateInput{RepositoryPolicy: new("{}")}, "InvalidParameterException",
			fmt.Sprintf(at, "repositoryPolicy", "Invalid repository policy provided"),
		},
		"a repository policy for nobody": {
			ecr.CreateRepositoryCreationTemplateInput{RepositoryPolicy: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Principal":{"AWS":"arn:aws:iam::123456789012:user/nobody"},"Action":"ecr:BatchGetImage"}}`)}, "InvalidParameterException",
			fmt.Sprintf(at, "repositoryPolicy", "Invalid repository policy provided"),
		},
		"a prefix that is taken": {
			ecr.CreateRepositoryCreationTemplateInput{Prefix: new("taken/")}, "TemplateAlreadyExistsException",
			"The repository creation template with prefix 'taken/' already exists in the registry with id '123456789012'",
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		before := createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("taken")})
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				update := in.Prefix == nil // the rest is refused by an update too
				if update {
					in.Prefix = new("new")
				}
				if in.AppliedFor == nil {
					in.AppliedFor = onPush
				}
				_, err := c.CreateRepositoryCreationTemplate(t.Context(), &in)
				wantError(t, err, tt.code, tt.message)
				if !update {
					return
				}
				_, err = c.UpdateRepositoryCreationTemplate(t.Context(), &ecr.UpdateRepositoryCreationTemplateInput{
					Prefix: new("taken"), AppliedFor: in.AppliedFor, Description: in.Description, CustomRoleArn: in.CustomRoleArn,
					ImageTagMutability: in.ImageTagMutability, ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
					EncryptionConfiguration: in.EncryptionConfiguration, ResourceTags: in.ResourceTags, RepositoryPolicy: in.RepositoryPolicy,
				})
				wantError(t, err, tt.code, tt.message)
			})
		}
		wantEqual(t, "templates", describeTemplates(t, c), []types.RepositoryCreationTemplate{*before})

		_, err := c.UpdateRepositoryCreationTemplate(t.Context(), &ecr.UpdateRepositoryCreationTemplateInput{Prefix: new("absent")})
		wantError(t, err, "TemplateNotFoundException", noTemplate)
		_, err = c.DeleteRepositoryCreationTemplate(t.Context(), &ecr.DeleteRepositoryCreationTemplateInput{Prefix: new("absent")})
		wantError(t, err, "TemplateNotFoundException", noTemplate)
		_, err = c.DescribeRepositoryCreationTemplates(t.Context(), &ecr.DescribeRepositoryCreationTemplatesInput{NextToken: new("x")})
		wantError(t, err, "InvalidParameterException", fmt.Sprintf(at, "nextToken", "Invalid token"))
		_, err = c.DescribeRepositoryCreationTemplates(t.Context(), &ecr.DescribeRepositoryCreationTemplatesInput{Prefixes: []string{"a"}, MaxResults: new(int32(1))})
		wantError(t, err, "InvalidParameterException", fmt.Sprintf(at, "prefixes", "nextToken and maxResults cannot be used with prefixes"))
		_, err = c.DescribeRepositoryCreationTemplates(t.Context(), &ecr.DescribeRepositoryCreationTemplatesInput{Prefixes: slices.Repeat([]string{"a"}, 101)})
		wantError(t, err, "InvalidParameterException", fmt.Sprintf(at, "prefixes", "Member must have length less than or equal to 100"))
	})
}

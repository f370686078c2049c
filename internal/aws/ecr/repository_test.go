package ecr_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

func TestCreateRepositoryReturnsTheRepositoryWithECRsDefaults(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		wantEqual(t, "CreateRepository", createRepository(t, s.ECR(), "team/app"), &types.Repository{
			RepositoryArn:              new("arn:aws:ecr:us-east-1:123456789012:repository/team/app"),
			RegistryId:                 new("123456789012"),
			RepositoryName:             new("team/app"),
			RepositoryUri:              new(s.Host + "/team/app"),
			CreatedAt:                  new(s.Clock.Now()),
			ImageTagMutability:         types.ImageTagMutabilityMutable,
			ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: false},
			EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256},
		})
	})
}

func TestCreateRepositoryKeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	const key, managed = "a key", "the key that AWS manages" // what stands for their ARNs
	filters := []types.ImageTagMutabilityExclusionFilter{
		{Filter: new("dev-*"), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard},
		{Filter: new("*.tmp*"), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard},
	}
	cases := map[string]struct {
		in   ecr.CreateRepositoryInput
		want func(*types.Repository) // changes the defaults
	}{
		"immutable": {
			ecr.CreateRepositoryInput{ImageTagMutability: types.ImageTagMutabilityImmutable},
			func(r *types.Repository) { r.ImageTagMutability = types.ImageTagMutabilityImmutable },
		},
		"mutable": {
			ecr.CreateRepositoryInput{ImageTagMutability: types.ImageTagMutabilityMutable},
			func(*types.Repository) {},
		},
		"immutable with exclusion": {
			ecr.CreateRepositoryInput{
				ImageTagMutability:                 types.ImageTagMutabilityImmutableWithExclusion,
				ImageTagMutabilityExclusionFilters: filters,
			},
			func(r *types.Repository) {
				r.ImageTagMutability = types.ImageTagMutabilityImmutableWithExclusion
				r.ImageTagMutabilityExclusionFilters = filters
			},
		},
		"mutable with exclusion": {
			ecr.CreateRepositoryInput{
				ImageTagMutability:                 types.ImageTagMutabilityMutableWithExclusion,
				ImageTagMutabilityExclusionFilters: filters[:1],
			},
			func(r *types.Repository) {
				r.ImageTagMutability = types.ImageTagMutabilityMutableWithExclusion
				r.ImageTagMutabilityExclusionFilters = filters[:1]
			},
		},
		"scan on push": {
			ecr.CreateRepositoryInput{ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true}},
			func(r *types.Repository) { r.ImageScanningConfiguration.ScanOnPush = true },
		},
		"an empty scanning configuration": {
			ecr.CreateRepositoryInput{ImageScanningConfiguration: &types.ImageScanningConfiguration{}},
			func(*types.Repository) {},
		},
		"AES256": {
			ecr.CreateRepositoryInput{EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256}},
			func(*types.Repository) {},
		},
		"KMS with a key": {
			ecr.CreateRepositoryInput{EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: new(key)}},
			func(r *types.Repository) {
				r.EncryptionConfiguration = &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: new(key)}
			},
		},
		"KMS without a key has the key that AWS manages": {
			ecr.CreateRepositoryInput{EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms}},
			func(r *types.Repository) {
				r.EncryptionConfiguration = &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: new(managed)}
			},
		},
		"KMS_DSSE": {
			ecr.CreateRepositoryInput{EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKmsDsse, KmsKey: new(key)}},
			func(r *types.Repository) {
				r.EncryptionConfiguration = &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKmsDsse, KmsKey: new(key)}
			},
		},
		"one's own registry": {
			ecr.CreateRepositoryInput{RegistryId: new("123456789012")},
			func(*types.Repository) {},
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		defaults := *createRepository(t, s.ECR(), "defaults")
		keys := map[string]string{key: s.CreateKey(t), managed: s.ManagedKey(t)}
		withKey := func(e *types.EncryptionConfiguration) *types.EncryptionConfiguration {
			if e == nil || e.KmsKey == nil {
				return e
			}
			return &types.EncryptionConfiguration{EncryptionType: e.EncryptionType, KmsKey: new(keys[*e.KmsKey])}
		}
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				in.RepositoryName = new("case/" + strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(name, "'", "")), " ", "-"))
				want := defaults
				want.ImageScanningConfiguration = &types.ImageScanningConfiguration{}
				want.RepositoryName = in.RepositoryName
				want.RepositoryArn = new("arn:aws:ecr:us-east-1:123456789012:repository/" + *in.RepositoryName)
				want.RepositoryUri = new(s.Host + "/" + *in.RepositoryName)
				tt.want(&want)
				in.EncryptionConfiguration, want.EncryptionConfiguration = withKey(in.EncryptionConfiguration), withKey(want.EncryptionConfiguration)
				got := must(s.ECR().CreateRepository(t.Context(), &in))(t).Repository
				wantEqual(t, "CreateRepository", got, &want)
				read := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{
					RepositoryNames: []string{*in.RepositoryName},
				}))(t)
				wantEqual(t, "DescribeRepositories", read.Repositories, []types.Repository{want})
			})
		}
	})
}

func TestCreateRepositoryWithTagsKeepsThem(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		out := must(s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{
			RepositoryName: new("app"),
			Tags:           []types.Tag{{Key: new("team"), Value: new("träger")}, {Key: new("Team"), Value: new("")}},
		}))(t)
		tags := must(s.ECR().ListTagsForResource(t.Context(), &ecr.ListTagsForResourceInput{ResourceArn: out.Repository.RepositoryArn}))(t)
		wantEqual(t, "tags", tags.Tags, []types.Tag{{Key: new("Team"), Value: new("")}, {Key: new("team"), Value: new("träger")}})
	})
}

func TestCreateRepositoryRefuses(t *testing.T) {
	t.Parallel()
	const exclusions = "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
	filter := func(fs ...string) []types.ImageTagMutabilityExclusionFilter {
		out := []types.ImageTagMutabilityExclusionFilter{}
		for _, f := range fs {
			out = append(out, types.ImageTagMutabilityExclusionFilter{Filter: &f, FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard})
		}
		return out
	}
	withFilters := func(m types.ImageTagMutability, fs ...string) ecr.CreateRepositoryInput {
		return ecr.CreateRepositoryInput{ImageTagMutability: m, ImageTagMutabilityExclusionFilters: filter(fs...)}
	}
	tags := func(kv ...string) ecr.CreateRepositoryInput {
		var in ecr.CreateRepositoryInput
		for i := 0; i < len(kv); i += 2 {
			in.Tags = append(in.Tags, types.Tag{Key: &kv[i], Value: &kv[i+1]})
		}
		return in
	}
	cases := map[string]struct {
		in            ecr.CreateRepositoryInput
		code, message string
	}{
		"a name that exists": {
			ecr.CreateRepositoryInput{RepositoryName: new("taken")}, "RepositoryAlreadyExistsException",
			"The repository with name 'taken' already exists in the registry with id '123456789012'",
		},
		"upper case":      {ecr.CreateRepositoryInput{RepositoryName: new("App")}, "InvalidParameterException", nameRegexp},
		"a leading slash": {ecr.CreateRepositoryInput{RepositoryName: new("/app")}, "InvalidParameterException", nameRegexp},
		"a last slash":    {ecr.CreateRepositoryInput{RepositoryName: new("app/")}, "InvalidParameterException", nameRegexp},
		"two slashes":     {ecr.CreateRepositoryInput{RepositoryName: new("a//b")}, "InvalidParameterException", nameRegexp},
		"three underscores": {
			ecr.CreateRepositoryInput{RepositoryName: new("a___b")}, "InvalidParameterException", nameRegexp,
		},
		"dots":           {ecr.CreateRepositoryInput{RepositoryName: new("a/../b")}, "InvalidParameterException", nameRegexp},
		"a line's end":   {ecr.CreateRepositoryInput{RepositoryName: new("app\n")}, "InvalidParameterException", nameRegexp},
		"a NUL":          {ecr.CreateRepositoryInput{RepositoryName: new("app\x00")}, "InvalidParameterException", nameRegexp},
		"another script": {ecr.CreateRepositoryInput{RepositoryName: new("äpp")}, "InvalidParameterException", nameRegexp},
		"one character": {
			ecr.CreateRepositoryInput{RepositoryName: new("a")}, "InvalidParameterException",
			"Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must have length greater than or equal to 2'",
		},
		"257 characters": {
			ecr.CreateRepositoryInput{RepositoryName: new(strings.Repeat("a", 257))}, "InvalidParameterException",
			"Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must have length less than or equal to 256'",
		},
		"the registry of another account": {
			ecr.CreateRepositoryInput{RegistryId: new("999999999999")}, "AccessDeniedException",
			"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:CreateRepository on resource: " +
				"arn:aws:ecr:us-east-1:999999999999:repository/new because no resource-based policy allows the ecr:CreateRepository action",
		},
		"a registry id that is none": {
			ecr.CreateRepositoryInput{RegistryId: new("12345678901")}, "InvalidParameterException",
			"Invalid parameter at 'registryId' failed to satisfy constraint: 'must satisfy regular expression [0-9]{12}'",
		},
		"another mode": {
			ecr.CreateRepositoryInput{ImageTagMutability: "FROZEN"}, "InvalidParameterException",
			"Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set: " +
				"[IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]'",
		},
		"MUTABLE with filters": {
			withFilters(types.ImageTagMutabilityMutable, "a*"), "InvalidParameterException",
			exclusions + "'ImageTagMutabilityExclusionFilters can't be specified when imageTagMutability is set as MUTABLE'",
		},
		"no mode with filters": {
			withFilters("", "a*"), "InvalidParameterException",
			exclusions + "'ImageTagMutabilityExclusionFilters can't be specified when imageTagMutability is set as MUTABLE'",
		},
		"IMMUTABLE with filters": {
			withFilters(types.ImageTagMutabilityImmutable, "a*"), "InvalidParameterException",
			exclusions + "'ImageTagMutabilityExclusionFilters can't be specified when imageTagMutability is set as IMMUTABLE'",
		},
		"MUTABLE_WITH_EXCLUSION without filters": {
			ecr.CreateRepositoryInput{ImageTagMutability: types.ImageTagMutabilityMutableWithExclusion}, "InvalidParameterException",
			exclusions + "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as MUTABLE_WITH_EXCLUSION'",
		},
		"IMMUTABLE_WITH_EXCLUSION without filters": {
			ecr.CreateRepositoryInput{ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion}, "InvalidParameterException",
			exclusions + "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as IMMUTABLE_WITH_EXCLUSION'",
		},
		"no filter in the list": {
			withFilters(types.ImageTagMutabilityImmutableWithExclusion), "InvalidParameterException",
			exclusions + "'Member must have length greater than or equal to 1'",
		},
		"six filters": {
			withFilters(types.ImageTagMutabilityImmutableWithExclusion, "a", "b", "c", "d", "e", "f"), "InvalidParameterException",
			exclusions + "'Member must have length less than or equal to 5'",
		},
		"three wildcards": {
			withFilters(types.ImageTagMutabilityImmutableWithExclusion, "*a*b*"), "InvalidParameterException",
			exclusions + "'a filter can contain at most 2 wildcards (*)'",
		},
		"a filter with a slash": {
			withFilters(types.ImageTagMutabilityImmutableWithExclusion, "ok", "a/*"), "InvalidParameterException",
			"Invalid parameter at 'imageTagMutabilityExclusionFilters.2.member.filter' failed to satisfy constraint: " +
				"'must satisfy regular expression '^[0-9a-zA-Z._*-]{1,128}$''",
		},
		"another type of filter": {
			ecr.CreateRepositoryInput{
				ImageTagMutability:                 types.ImageTagMutabilityImmutableWithExclusion,
				ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{Filter: new("a"), FilterType: "REGEX"}},
			}, "InvalidParameterException",
			"Invalid parameter at 'imageTagMutabilityExclusionFilters.1.member.filterType' failed to satisfy constraint: " +
				"'Member must satisfy enum value set: [WILDCARD]'",
		},
		"another encryption": {
			ecr.CreateRepositoryInput{EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: "ROT13"}}, "InvalidParameterException",
			"Invalid parameter at 'encryptionConfiguration.encryptionType' failed to satisfy constraint: 'Member must satisfy enum value set: [AES256, KMS, KMS_DSSE]'",
		},
		"a key with AES256": {
			ecr.CreateRepositoryInput{EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256, KmsKey: new("k")}},
			"InvalidParameterException",
			"Invalid parameter at 'encryptionConfiguration.kmsKey' failed to satisfy constraint: 'kmsKey can only be specified when encryptionType is KMS or KMS_DSSE'",
		},
		"a key with a NUL": {
			ecr.CreateRepositoryInput{EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: new("k\x00")}},
			"InvalidParameterException",
			"Invalid parameter at 'encryptionConfiguration.kmsKey' failed to satisfy constraint: 'a key is named without control characters'",
		},
		"a tag key twice": {
			tags("k", "1", "k", "2"), "InvalidTagParameterException", "The tag key 'k' is given more than once.",
		},
		"an empty tag key": {
			tags("", "1"), "InvalidTagParameterException", "A tag key must have 1 to 128 characters.",
		},
		"a reserved tag key": {
			tags("aws:k", "1"), "InvalidTagParameterException", "The tag key 'aws:k' is invalid: keys that begin with 'aws:' are reserved.",
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "taken")
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				if in.RepositoryName == nil {
					in.RepositoryName = new("new")
				}
				_, err := s.ECR().CreateRepository(t.Context(), &in)
				wantError(t, err, tt.code, tt.message)
			})
		}
		wantEqual(t, "repositories", repositoryNames(t, s.ECR()), []string{"taken"})
	})
}

func TestNamesOfEveryAllowedFormAreAccepted(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range []string{"ab", "0a", "a.b", "a_b", "a__b", "a-b", "a---b", "a/b", "a/b/c/d/e", strings.Repeat("a", 256)} {
			got := createRepository(t, s.ECR(), name)
			wantEqual(t, "name", *got.RepositoryName, name)
		}
	})
}

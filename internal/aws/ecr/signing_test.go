package ecr_test

import (
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const noSigning = "Signing configuration does not exist in the registry with id '123456789012'"

func signingRule(arn string, filters ...string) types.SigningRule {
	r := types.SigningRule{SigningProfileArn: &arn}
	for _, f := range filters {
		r.RepositoryFilters = append(r.RepositoryFilters, types.SigningRepositoryFilter{Filter: &f, FilterType: types.SigningRepositoryFilterTypeWildcardMatch})
	}
	return r
}

func putSigning(t *testing.T, c *ecr.Client, rules ...types.SigningRule) error {
	t.Helper()
	in := &ecr.PutSigningConfigurationInput{SigningConfiguration: &types.SigningConfiguration{Rules: append([]types.SigningRule{}, rules...)}}
	out, err := c.PutSigningConfiguration(t.Context(), in)
	if err == nil {
		wantEqual(t, "put", out.SigningConfiguration, in.SigningConfiguration)
	}
	return err
}

func TestSigningIsReadBackAsItWasPut(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		get := func(c *ecr.Client) (*ecr.GetSigningConfigurationOutput, error) {
			return c.GetSigningConfiguration(t.Context(), &ecr.GetSigningConfigurationInput{})
		}
		remove := func() (*ecr.DeleteSigningConfigurationOutput, error) {
			return c.DeleteSigningConfiguration(t.Context(), &ecr.DeleteSigningConfigurationInput{})
		}
		rules := []types.SigningRule{
			signingRule("arn:aws:signer:us-east-1:123456789012:/signing-profiles/all"),
			signingRule("arn:aws:signer:us-east-1:210987654321:/signing-profiles/Some_1", "myapp/*", "*/production", "*prod*"),
		}
		for range 2 {
			_, err := get(c)
			wantError(t, err, "SigningConfigurationNotFoundException", noSigning)
			_, err = remove()
			wantError(t, err, "SigningConfigurationNotFoundException", noSigning)
			must(0, putSigning(t, c, rules...))(t)
			s.Restart(t)
			c = s.ECR()
			want := &types.SigningConfiguration{Rules: rules}
			wantEqual(t, "read back", must(get(c))(t), &ecr.GetSigningConfigurationOutput{RegistryId: new("123456789012"), SigningConfiguration: want})
			_, err = get(s.ECRIn("eu-west-1"))
			wantError(t, err, "SigningConfigurationNotFoundException", noSigning)
			must(0, putSigning(t, c, rules[1]))(t)
			wantEqual(t, "replaced", must(get(c))(t).SigningConfiguration.Rules, rules[1:])
			must(0, putSigning(t, c))(t)
			wantEqual(t, "without rules", must(get(c))(t).SigningConfiguration, &types.SigningConfiguration{Rules: []types.SigningRule{}})
			must(0, putSigning(t, c, rules...))(t)
			wantEqual(t, "deleted", must(remove())(t), &ecr.DeleteSigningConfigurationOutput{RegistryId: new("123456789012"), SigningConfiguration: want})
		}
	})
}

func TestSigningThatIsRefused(t *testing.T) {
	t.Parallel()
	const one = "1 validation error detected: "
	const good = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/all"
	many := func(n int, s string) []string {
		var out []string
		for range n {
			out = append(out, s)
		}
		return out
	}
	var eleven []types.SigningRule
	for range 11 {
		eleven = append(eleven, signingRule(good))
	}
	cases := map[string]struct {
		rules         []types.SigningRule
		code, message string
	}{
		"a profile of another region": {
			[]types.SigningRule{signingRule(good), signingRule("arn:aws:signer:eu-west-1:123456789012:/signing-profiles/all")}, "InvalidParameterException",
			"Invalid parameter at 'signingConfiguration' failed to satisfy constraint: " +
				"'the signing profile 'arn:aws:signer:eu-west-1:123456789012:/signing-profiles/all' is not in the region of the registry'",
		},
		"a profile of another partition": {
			[]types.SigningRule{signingRule("arn:aws-cn:signer:us-east-1:123456789012:/signing-profiles/all")}, "InvalidParameterException",
			"Invalid parameter at 'signingConfiguration' failed to satisfy constraint: " +
				"'the signing profile 'arn:aws-cn:signer:us-east-1:123456789012:/signing-profiles/all' is not in the region of the registry'",
		},
		"what is no profile": {
			[]types.SigningRule{signingRule("arn:aws:kms:us-east-1:123456789012:key/1")}, "ValidationException",
			one + "Value 'arn:aws:kms:us-east-1:123456789012:key/1' at 'signingConfiguration.rules.1.member.signingProfileArn' failed to satisfy constraint: " +
				`Member must satisfy regular expression pattern: ^arn:aws(-[a-z]+)*:signer:[a-z0-9-]+:[0-9]{12}:\/signing-profiles\/[a-zA-Z0-9_]{2,}$`,
		},
		"11 rules": {
			eleven, "ValidationException", one + "Value at 'signingConfiguration.rules' failed to satisfy constraint: Member must have length less than or equal to 10",
		},
		"101 filters": {
			[]types.SigningRule{signingRule(good, many(101, "app")...)}, "ValidationException",
			one + "Value at 'signingConfiguration.rules.1.member.repositoryFilters' failed to satisfy constraint: Member must have length less than or equal to 100",
		},
		"a filter that is none": {
			[]types.SigningRule{signingRule(good, "App")}, "ValidationException",
			one + "Value 'App' at 'signingConfiguration.rules.1.member.repositoryFilters.1.member.filter' failed to satisfy constraint: " +
				`Member must satisfy regular expression pattern: ^(?:[a-z0-9*]+(?:[._-][a-z0-9*]+)*/)*[a-z0-9*]+(?:[._-][a-z0-9*]+)*$`,
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) { wantError(t, putSigning(t, s.ECR(), tt.rules...), tt.code, tt.message) })
		}
		_, err := s.ECR().GetSigningConfiguration(t.Context(), &ecr.GetSigningConfigurationInput{})
		wantError(t, err, "SigningConfigurationNotFoundException", noSigning)
	})
}

func TestAnImageThatIsNotSignedHasNoStatus(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		ask := func(repository string, id types.ImageIdentifier) (*ecr.DescribeImageSigningStatusOutput, error) {
			return c.DescribeImageSigningStatus(t.Context(), &ecr.DescribeImageSigningStatusInput{RepositoryName: &repository, ImageId: &id})
		}
		wantEqual(t, "status", must(ask("app", byTag("v1")))(t), &ecr.DescribeImageSigningStatusOutput{
			RegistryId: new("123456789012"), RepositoryName: new("app"), ImageId: new(byBoth(img.Digest, "v1")), SigningStatuses: []types.ImageSigningStatus{},
		})
		for _, f := range imageFaults(img) {
			_, err := ask(f.repository, f.id)
			wantError(t, err, f.code, f.message)
		}
	})
}

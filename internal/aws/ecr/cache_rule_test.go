package ecr_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const (
	noCacheRule = "The pull through cache rule with prefix 'absent' does not exist in the registry with id '123456789012'"
	anySecret   = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"
)

func createCacheRule(t *testing.T, c *ecr.Client, prefix, url string) *ecr.CreatePullThroughCacheRuleOutput {
	t.Helper()
	return must(c.CreatePullThroughCacheRule(t.Context(), &ecr.CreatePullThroughCacheRuleInput{EcrRepositoryPrefix: &prefix, UpstreamRegistryUrl: &url}))(t)
}

// describeCacheRules returns the rules of the prefixes, or all of a page.
func describeCacheRules(t *testing.T, c *ecr.Client, prefixes ...string) []types.PullThroughCacheRule {
	t.Helper()
	return must(c.DescribePullThroughCacheRules(t.Context(), &ecr.DescribePullThroughCacheRulesInput{EcrRepositoryPrefixes: prefixes}))(t).PullThroughCacheRules
}

func cacheRulePrefixes(rules []types.PullThroughCacheRule) []string {
	out := []string{}
	for _, r := range rules {
		out = append(out, *r.EcrRepositoryPrefix)
	}
	return out
}

func TestACacheRuleIsReadBackAsItWasPut(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		in := &ecr.CreatePullThroughCacheRuleInput{
			EcrRepositoryPrefix: new("team-a"), UpstreamRegistryUrl: new("210987654321.dkr.ecr.eu-west-1.amazonaws.com"), UpstreamRegistry: "ecr",
			UpstreamRepositoryPrefix: new("upstream/team"), CustomRoleArn: new("arn:aws:iam::123456789012:role/ptc"), RegistryId: new("123456789012"),
		}
		for range 2 {
			at := s.Clock.Now()
			wantEqual(t, "created", must(c.CreatePullThroughCacheRule(t.Context(), in))(t), &ecr.CreatePullThroughCacheRuleOutput{
				EcrRepositoryPrefix: in.EcrRepositoryPrefix, UpstreamRegistryUrl: in.UpstreamRegistryUrl, UpstreamRegistry: in.UpstreamRegistry,
				UpstreamRepositoryPrefix: in.UpstreamRepositoryPrefix, CustomRoleArn: in.CustomRoleArn, RegistryId: in.RegistryId, CreatedAt: &at,
			})
			want := types.PullThroughCacheRule{
				EcrRepositoryPrefix: in.EcrRepositoryPrefix, UpstreamRegistryUrl: in.UpstreamRegistryUrl, UpstreamRegistry: in.UpstreamRegistry,
				UpstreamRepositoryPrefix: in.UpstreamRepositoryPrefix, CustomRoleArn: in.CustomRoleArn, RegistryId: in.RegistryId, CreatedAt: &at, UpdatedAt: &at,
			}
			wantEqual(t, "read back", describeCacheRules(t, c, "team-a"), []types.PullThroughCacheRule{want})

			s.Clock.Advance(time.Hour)
			later := s.Clock.Now()
			role := "arn:aws:iam::123456789012:role/other"
			update := &ecr.UpdatePullThroughCacheRuleInput{EcrRepositoryPrefix: new("team-a"), CustomRoleArn: &role}
			wantEqual(t, "updated", must(c.UpdatePullThroughCacheRule(t.Context(), update))(t), &ecr.UpdatePullThroughCacheRuleOutput{
				EcrRepositoryPrefix: in.EcrRepositoryPrefix, UpstreamRepositoryPrefix: in.UpstreamRepositoryPrefix, CustomRoleArn: &role,
				RegistryId: in.RegistryId, UpdatedAt: &later,
			})
			want.CustomRoleArn, want.UpdatedAt = &role, &later
			s.Restart(t)
			c = s.ECR()
			wantEqual(t, "read back after an update", describeCacheRules(t, c), []types.PullThroughCacheRule{want})
			update.CustomRoleArn = new("")
			_, err := c.UpdatePullThroughCacheRule(t.Context(), update)
			wantError(t, err, "InvalidParameterException",
				"Invalid parameter at 'customRoleArn' failed to satisfy constraint: 'is required for an upstream registry of another account'")

			wantEqual(t, "deleted", must(c.DeletePullThroughCacheRule(t.Context(), &ecr.DeletePullThroughCacheRuleInput{EcrRepositoryPrefix: new("team-a")}))(t),
				&ecr.DeletePullThroughCacheRuleOutput{
					EcrRepositoryPrefix: in.EcrRepositoryPrefix, UpstreamRegistryUrl: in.UpstreamRegistryUrl,
					UpstreamRepositoryPrefix: in.UpstreamRepositoryPrefix, CustomRoleArn: &role, RegistryId: in.RegistryId, CreatedAt: &at,
				})
			wantEqual(t, "left", describeCacheRules(t, c), []types.PullThroughCacheRule{})
		}
	})
}

func TestTheKindOfAnUpstreamFollowsFromItsHost(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for i, tt := range []struct{ url, want string }{
			{"public.ecr.aws", "ecr-public"},
			{"registry.k8s.io", "k8s"},
			{"quay.io", "quay"},
			{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecr"},
		} {
			out := createCacheRule(t, c, fmt.Sprintf("p%d", i), tt.url)
			wantEqual(t, tt.url, string(out.UpstreamRegistry), tt.want)
			wantEqual(t, "upstream prefix", *out.UpstreamRepositoryPrefix, "ROOT")
		}
		for region, host := range map[string]string{
			"cn-northwest-1": "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
			"us-gov-east-1":  "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com",
			"eusc-de-east-2": "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
		} {
			wantEqual(t, region, createCacheRule(t, s.ECRIn(region), "pp", host).UpstreamRegistry, "ecr")
		}
		// A rule of which a role is taken away.
		in := &ecr.CreatePullThroughCacheRuleInput{EcrRepositoryPrefix: new("role"), UpstreamRegistryUrl: new("123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
			CustomRoleArn: new("arn:aws:iam::123456789012:role/r")}
		must(c.CreatePullThroughCacheRule(t.Context(), in))(t)
		out := must(c.UpdatePullThroughCacheRule(t.Context(), &ecr.UpdatePullThroughCacheRuleInput{EcrRepositoryPrefix: new("role"), CustomRoleArn: new("")}))(t)
		wantEqual(t, "role taken away", out.CustomRoleArn, nil)
		// These want credentials, and there are no secrets.
		for url, kind := range map[string]string{
			"registry-1.docker.io": "docker-hub", "ghcr.io": "github-container-registry", "registry.gitlab.com": "gitlab-container-registry",
			"my-team.azurecr.io": "azure-container-registry", "cgr.dev": "chainguard",
		} {
			in := &ecr.CreatePullThroughCacheRuleInput{EcrRepositoryPrefix: new("hub"), UpstreamRegistryUrl: &url, UpstreamRegistry: types.UpstreamRegistry(kind)}
			_, err := c.CreatePullThroughCacheRule(t.Context(), in)
			wantError(t, err, "UnsupportedUpstreamRegistryException", "The specified upstream registry requires authentication")
			in.CredentialArn = new(anySecret)
			_, err = c.CreatePullThroughCacheRule(t.Context(), in)
			wantError(t, err, "SecretNotFoundException", "The secret with ARN '"+anySecret+"' does not exist")
		}
	})
}

func TestCacheRulesThatAreRefused(t *testing.T) {
	t.Parallel()
	const invalid, validation, unsupported = "InvalidParameterException", "ValidationException", "UnsupportedUpstreamRegistryException"
	const at = "Invalid parameter at '%s' failed to satisfy constraint: '%s'"
	const prefixPattern = `^([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\/?|ROOT)$`
	type in = ecr.CreatePullThroughCacheRuleInput
	secret := func(region, account string) *string {
		return new("arn:aws:secretsmanager:" + region + ":" + account + ":secret:ecr-pullthroughcache/hub")
	}
	cases := map[string]struct {
		in            in
		code, message string
	}{
		"a prefix that is none": {in{EcrRepositoryPrefix: new("Quay"), UpstreamRegistryUrl: new("quay.io")}, validation,
			"1 validation error detected: Value 'Quay' at 'ecrRepositoryPrefix' failed to satisfy constraint: Member must satisfy regular expression pattern: " + prefixPattern},
		"a short prefix": {in{EcrRepositoryPrefix: new("q"), UpstreamRegistryUrl: new("quay.io")}, validation,
			"1 validation error detected: Value 'q' at 'ecrRepositoryPrefix' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		"a prefix that is taken": {in{EcrRepositoryPrefix: new("taken/"), UpstreamRegistryUrl: new("quay.io")}, "PullThroughCacheRuleAlreadyExistsException",
			"The pull through cache rule with prefix 'taken/' already exists in the registry with id '123456789012'"},
		"another host":     {in{UpstreamRegistryUrl: new("registry.example.com")}, unsupported, `The upstream registry "registry.example.com" is not supported`},
		"a URL":            {in{UpstreamRegistryUrl: new("https://quay.io")}, unsupported, `The upstream registry "https://quay.io" is not supported`},
		"a host with more": {in{UpstreamRegistryUrl: new("quay.io.example.com")}, unsupported, `The upstream registry "quay.io.example.com" is not supported`},
		"two lines":        {in{UpstreamRegistryUrl: new("quay.io\n")}, unsupported, `The upstream registry "quay.io\n" is not supported`},
		"no region": {in{UpstreamRegistryUrl: new("210987654321.dkr.ecr.x.amazonaws.com")}, unsupported,
			`The upstream registry "210987654321.dkr.ecr.x.amazonaws.com" is not supported`},
		"another kind": {in{UpstreamRegistryUrl: new("quay.io"), UpstreamRegistry: "k8s"}, invalid,
			fmt.Sprintf(at, "upstreamRegistry", "the registry at quay.io is quay")},
		"a kind that is none": {in{UpstreamRegistryUrl: new("quay.io"), UpstreamRegistry: "harbor"}, validation,
			"1 validation error detected: Value 'harbor' at 'upstreamRegistry' failed to satisfy constraint: Member must satisfy enum value set: " +
				"[ecr, ecr-public, quay, k8s, docker-hub, github-container-registry, azure-container-registry, gitlab-container-registry, chainguard]"},
		"itself": {in{UpstreamRegistryUrl: new("123456789012.dkr.ecr.us-east-1.amazonaws.com")}, invalid,
			fmt.Sprintf(at, "upstreamRegistryUrl", "the upstream registry cannot be the registry itself")},
		"ROOT with a prefix": {in{EcrRepositoryPrefix: new("ROOT"), UpstreamRegistryUrl: new("quay.io"), UpstreamRepositoryPrefix: new("team")}, invalid,
			fmt.Sprintf(at, "upstreamRepositoryPrefix", "can only be specified when ecrRepositoryPrefix is not ROOT")},
		"a role that is none": {in{UpstreamRegistryUrl: new("quay.io"), CustomRoleArn: new("a\x00")}, invalid, fmt.Sprintf(at, "customRoleArn", noRole)},
		"another account without a role": {in{UpstreamRegistryUrl: new("210987654321.dkr.ecr.us-east-1.amazonaws.com")}, invalid,
			fmt.Sprintf(at, "customRoleArn", "is required for an upstream registry of another account")},
		"another partition": {in{UpstreamRegistryUrl: new("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn")}, invalid,
			fmt.Sprintf(at, "upstreamRegistryUrl", "the upstream registry must be in the partition of the registry")},
		"the domain of another partition": {in{UpstreamRegistryUrl: new("123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn")}, unsupported,
			`The upstream registry "123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn" is not supported`},
		"the region of another partition": {in{UpstreamRegistryUrl: new("123456789012.dkr.ecr.cn-north-1.amazonaws.com")}, unsupported,
			`The upstream registry "123456789012.dkr.ecr.cn-north-1.amazonaws.com" is not supported`},
		"a long URL": {in{UpstreamRegistryUrl: new(strings.Repeat("u", 2049))}, validation,
			"1 validation error detected: Value '" + strings.Repeat("u", 256) + "...' at 'upstreamRegistryUrl' failed to satisfy constraint: Member must have length less than or equal to 2048"},
		"a secret of another region": {in{UpstreamRegistryUrl: new("ghcr.io"), CredentialArn: secret("eu-west-1", "123456789012")}, invalid,
			fmt.Sprintf(at, "credentialArn", "the secret must be in the account and the region of the registry")},
		"a secret of another account": {in{UpstreamRegistryUrl: new("ghcr.io"), CredentialArn: secret("us-east-1", "210987654321")}, invalid,
			fmt.Sprintf(at, "credentialArn", "the secret must be in the account and the region of the registry")},
		"a secret of another name": {in{UpstreamRegistryUrl: new("ghcr.io"), CredentialArn: new("arn:aws:secretsmanager:us-east-1:123456789012:secret:other/hub")},
			validation, "1 validation error detected: Value 'arn:aws:secretsmanager:us-east-1:123456789012:secret:other/hub' at 'credentialArn' failed to satisfy constraint: " +
				`Member must satisfy regular expression pattern: ^arn:aws(-\w+)*:secretsmanager:[a-zA-Z0-9-:]+:secret:ecr\-pullthroughcache\/[a-zA-Z0-9\/_+=.@-]+$`},
		"another account": {in{UpstreamRegistryUrl: new("quay.io"), RegistryId: new("999999999999")}, "AccessDeniedException",
			"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:CreatePullThroughCacheRule on resource: * " +
				"because no resource-based policy allows the ecr:CreatePullThroughCacheRule action"},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createCacheRule(t, c, "taken", "quay.io")
		before := describeCacheRules(t, c)
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				if in.EcrRepositoryPrefix == nil {
					in.EcrRepositoryPrefix = new("new")
				}
				_, err := c.CreatePullThroughCacheRule(t.Context(), &in)
				wantError(t, err, tt.code, tt.message)
			})
		}
		_, err := c.UpdatePullThroughCacheRule(t.Context(), &ecr.UpdatePullThroughCacheRuleInput{EcrRepositoryPrefix: new("taken"), CredentialArn: new(anySecret)})
		wantError(t, err, "SecretNotFoundException", "The secret with ARN '"+anySecret+"' does not exist")
		wantEqual(t, "rules", describeCacheRules(t, c), before)

		_, err = c.UpdatePullThroughCacheRule(t.Context(), &ecr.UpdatePullThroughCacheRuleInput{EcrRepositoryPrefix: new("absent")})
		wantError(t, err, "PullThroughCacheRuleNotFoundException", noCacheRule)
		_, err = c.DeletePullThroughCacheRule(t.Context(), &ecr.DeletePullThroughCacheRuleInput{EcrRepositoryPrefix: new("absent")})
		wantError(t, err, "PullThroughCacheRuleNotFoundException", noCacheRule)
		_, err = c.DescribePullThroughCacheRules(t.Context(), &ecr.DescribePullThroughCacheRulesInput{EcrRepositoryPrefixes: []string{"taken", "absent"}})
		wantError(t, err, "PullThroughCacheRuleNotFoundException", noCacheRule)
		_, err = c.DescribePullThroughCacheRules(t.Context(), &ecr.DescribePullThroughCacheRulesInput{EcrRepositoryPrefixes: []string{"absent/", "absent"}})
		wantError(t, err, "PullThroughCacheRuleNotFoundException", strings.Replace(noCacheRule, "absent", "absent/", 1))
		_, err = c.DescribePullThroughCacheRules(t.Context(), &ecr.DescribePullThroughCacheRulesInput{NextToken: new("x")})
		wantError(t, err, invalid, fmt.Sprintf(at, "nextToken", "Invalid token"))
		_, err = c.DescribePullThroughCacheRules(t.Context(), &ecr.DescribePullThroughCacheRulesInput{EcrRepositoryPrefixes: []string{"taken"}, MaxResults: new(int32(1))})
		wantError(t, err, invalid, fmt.Sprintf(at, "ecrRepositoryPrefixes", "nextToken and maxResults cannot be used with ecrRepositoryPrefixes"))
	})
}

func TestARegistryHasAtMost50CacheRules(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		want := []string{"ROOT"}
		createCacheRule(t, c, "ROOT", "quay.io")
		for i := range 48 {
			want = append(want, fmt.Sprintf("p%02d", i))
			createCacheRule(t, c, want[i+1], "quay.io")
		}
		// Of several that come at once, one has the last place.
		errs := make(chan error)
		for i := range 6 {
			go func() {
				_, err := s.ECR().CreatePullThroughCacheRule(t.Context(),
					&ecr.CreatePullThroughCacheRuleInput{EcrRepositoryPrefix: new(fmt.Sprintf("z%d", i)), UpstreamRegistryUrl: new("quay.io")})
				errs <- err
			}()
		}
		made := 0
		for range 6 {
			if err := <-errs; err == nil {
				made++
			} else {
				wantError(t, err, "LimitExceededException", "A registry can have at most 50 pull through cache rules.")
			}
		}
		wantEqual(t, "rules made", made, 1)
		got := cacheRulePrefixes(describeCacheRules(t, c))
		wantEqual(t, "all but the last", got[:len(got)-1], want)
		for _, size := range []int32{1, 7, 50, 1000} {
			var paged []string
			pages := ecr.NewDescribePullThroughCacheRulesPaginator(c, &ecr.DescribePullThroughCacheRulesInput{MaxResults: &size})
			for pages.HasMorePages() {
				page := must(pages.NextPage(t.Context()))(t)
				if len(page.PullThroughCacheRules) > int(size) {
					t.Errorf("a page of at most %d has %d", size, len(page.PullThroughCacheRules))
				}
				paged = append(paged, cacheRulePrefixes(page.PullThroughCacheRules)...)
			}
			wantEqual(t, fmt.Sprintf("in pages of %d", size), paged, got)
		}
		wantEqual(t, "named", cacheRulePrefixes(describeCacheRules(t, c, "p01/", "ROOT", "p01")), []string{"p01", "ROOT"})
		createCacheRule(t, s.ECRIn("eu-west-1"), "p00", "quay.io")
	})
}

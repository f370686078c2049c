package ecr_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

func destination(region, account string) types.ReplicationDestination {
	return types.ReplicationDestination{Region: &region, RegistryId: &account}
}

func prefixFilters(prefixes ...string) []types.RepositoryFilter {
	var out []types.RepositoryFilter
	for _, p := range prefixes {
		out = append(out, types.RepositoryFilter{Filter: &p, FilterType: types.RepositoryFilterTypePrefixMatch})
	}
	return out
}

func putReplication(t *testing.T, c *ecr.Client, rules ...types.ReplicationRule) error {
	t.Helper()
	in := &ecr.PutReplicationConfigurationInput{ReplicationConfiguration: &types.ReplicationConfiguration{Rules: append([]types.ReplicationRule{}, rules...)}}
	out, err := c.PutReplicationConfiguration(t.Context(), in)
	if err == nil {
		wantEqual(t, "put", out.ReplicationConfiguration, in.ReplicationConfiguration)
	}
	return err
}

func replicationRules(t *testing.T, c *ecr.Client) []types.ReplicationRule {
	t.Helper()
	out := must(c.DescribeRegistry(t.Context(), &ecr.DescribeRegistryInput{}))(t)
	wantEqual(t, "registry", *out.RegistryId, "123456789012")
	return out.ReplicationConfiguration.Rules
}

func TestReplicationIsReadBackAsItWasPut(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		wantEqual(t, "at first", replicationRules(t, c), []types.ReplicationRule{})
		rules := []types.ReplicationRule{
			{Destinations: []types.ReplicationDestination{destination("eu-west-1", "123456789012"), destination("us-east-1", "210987654321")}},
			{
				Destinations:      []types.ReplicationDestination{destination("ap-southeast-2", "123456789012")},
				RepositoryFilters: prefixFilters("prod", "team/", "a-b_c.d/e", ".-"),
			},
			{Destinations: []types.ReplicationDestination{}},
		}
		for range 2 {
			must(0, putReplication(t, c, rules...))(t)
			s.Restart(t)
			c = s.ECR()
			wantEqual(t, "read back", replicationRules(t, c), rules)
			must(0, putReplication(t, c, rules[1]))(t)
			wantEqual(t, "replaced", replicationRules(t, c), rules[1:2])
			wantEqual(t, "in another region", replicationRules(t, s.ECRIn("eu-west-1")), []types.ReplicationRule{})
			must(0, putReplication(t, c))(t)
			wantEqual(t, "removed", replicationRules(t, c), []types.ReplicationRule{})
		}
		got := rawCall{target: "DescribeRegistry", body: "{}"}.do(t, s)
		if !sameJSON(t, got.body, `{"registryId":"123456789012","replicationConfiguration":{"rules":[]}}`) {
			t.Errorf("DescribeRegistry without rules = %s", got.body)
		}
	})
}

func TestReplicationThatIsRefused(t *testing.T) {
	t.Parallel()
	const invalid, validation = "InvalidParameterException", "ValidationException"
	const at = "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint: '%s'"
	const one = "1 validation error detected: "
	to := func(ds ...types.ReplicationDestination) types.ReplicationRule {
		return types.ReplicationRule{Destinations: append([]types.ReplicationDestination{}, ds...)}
	}
	elsewhere := destination("eu-west-1", "123456789012")
	unique := func(n int) []types.ReplicationRule { // in ten rules that share one
		var rules []types.ReplicationRule
		for range 10 {
			rules = append(rules, to(elsewhere))
		}
		for i := range n - 1 {
			r := &rules[i%10]
			r.Destinations = append(r.Destinations, destination("us-west-2", fmt.Sprintf("%012d", i)))
		}
		return rules
	}
	most := to(elsewhere)
	for i := range 101 {
		most.RepositoryFilters = append(most.RepositoryFilters, prefixFilters(fmt.Sprintf("team-%d", i))...)
	}
	cases := map[string]struct {
		rules         []types.ReplicationRule
		code, message string
	}{
		"the registry itself": {
			[]types.ReplicationRule{to(elsewhere), to(elsewhere, destination("us-east-1", "123456789012"))}, invalid,
			fmt.Sprintf(at, "Replication destination cannot be the same as the source registry"),
		},
		"a region that is none": {
			[]types.ReplicationRule{to(destination("moon", "123456789012"))}, invalid,
			fmt.Sprintf(at, "there is no registry '123456789012' in a region 'moon'"),
		},
		"another partition": {
			[]types.ReplicationRule{to(elsewhere, destination("us-gov-west-1", "123456789012"))}, invalid,
			fmt.Sprintf(at, "the region 'us-gov-west-1' is not in the partition of the registry"),
		},
		"26 destinations": {unique(26), invalid, fmt.Sprintf(at, "there can be at most 25 unique destinations across all rules")},
		"11 rules": {
			append(unique(25), to(elsewhere)), validation, one + "Value at 'replicationConfiguration.rules' failed to satisfy constraint: Member must have length less than or equal to 10",
		},
		"101 filters": {
			[]types.ReplicationRule{most}, validation,
			one + "Value at 'replicationConfiguration.rules.1.member.repositoryFilters' failed to satisfy constraint: Member must have length less than or equal to 100",
		},
		"no filters": {
			[]types.ReplicationRule{{Destinations: []types.ReplicationDestination{elsewhere}, RepositoryFilters: []types.RepositoryFilter{}}}, validation,
			one + "Value '[]' at 'replicationConfiguration.rules.1.member.repositoryFilters' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		"a filter that is no prefix": {
			[]types.ReplicationRule{{Destinations: []types.ReplicationDestination{elsewhere}, RepositoryFilters: prefixFilters("Prod")}}, validation,
			one + "Value 'Prod' at 'replicationConfiguration.rules.1.member.repositoryFilters.1.member.filter' failed to satisfy constraint: " +
				`Member must satisfy regular expression pattern: ^(?:[a-z0-9]+(?:[._-][a-z0-9]*)*/)*[a-z0-9]*(?:[._-][a-z0-9]*)*$`,
		},
		"another type of filter": {
			[]types.ReplicationRule{{Destinations: []types.ReplicationDestination{elsewhere}, RepositoryFilters: []types.RepositoryFilter{{Filter: new("prod"), FilterType: "WILDCARD"}}}},
			validation, one + "Value 'WILDCARD' at 'replicationConfiguration.rules.1.member.repositoryFilters.1.member.filterType' failed to satisfy constraint: " +
				"Member must satisfy enum value set: [PREFIX_MATCH]",
		},
		"an account that is none": {
			[]types.ReplicationRule{to(destination("eu-west-1", "me"))}, validation,
			one + "Value 'me' at 'replicationConfiguration.rules.1.member.destinations.1.member.registryId' failed to satisfy constraint: " +
				"Member must satisfy regular expression pattern: [0-9]{12}",
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		must(0, putReplication(t, c, unique(25)...))(t)
		before := replicationRules(t, c)
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) { wantError(t, putReplication(t, c, tt.rules...), tt.code, tt.message) })
		}
		wantEqual(t, "rules", replicationRules(t, c), before)
	})
}

func TestAnImageThatIsNotReplicatedHasNoStatus(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		ask := func(repository string, id types.ImageIdentifier) (*ecr.DescribeImageReplicationStatusOutput, error) {
			return c.DescribeImageReplicationStatus(t.Context(), &ecr.DescribeImageReplicationStatusInput{RepositoryName: &repository, ImageId: &id})
		}
		for want, id := range map[string]types.ImageIdentifier{
			img.Digest.String() + "@v1": byTag("v1"), img.Digest.String(): byDigest(img.Digest),
		} {
			out := must(ask("app", id))(t)
			wantEqual(t, "image", *out.RepositoryName+" "+text(*out.ImageId), "app "+want)
			wantEqual(t, "statuses", out.ReplicationStatuses, []types.ImageReplicationStatus{})
		}
		for _, f := range imageFaults(img) {
			_, err := ask(f.repository, f.id)
			wantError(t, err, f.code, f.message)
		}
	})
}

// imageFault is a call about one image that fails, whatever it is about.
type imageFault struct {
	repository    string
	id            types.ImageIdentifier
	code, message string
}

// imageFaults are those of calls about images of the repository app, which has
// the image under v1.
func imageFaults(img servertest.Image) []imageFault {
	const missing = "does not exist within the repository with name 'app' in the registry with id '123456789012'"
	return []imageFault{
		{"absent", byTag("v1"), "RepositoryNotFoundException", noRepository},
		{"app", byTag("v2"), "ImageNotFoundException", "The image with imageId {imageDigest:'null', imageTag:'v2'} " + missing},
		{"app", byDigest(unknownDigest), "ImageNotFoundException", "The image with imageId {imageDigest:'" + unknownDigest + "', imageTag:'null'} " + missing},
		{"app", byBoth(unknownDigest, "v1"), "ImageNotFoundException", "The image with imageId {imageDigest:'" + unknownDigest + "', imageTag:'v1'} " + missing},
		{"app", types.ImageIdentifier{}, "InvalidParameterException", "Invalid request parameters: both tag and digest cannot be null"},
		{"app", byTag("a b"), "InvalidParameterException", "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9-_.]+'"},
	}
}

func TestThereAreNoReplicationBackfills(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		pages := ecr.NewListReplicationBackfillsPaginator(c, &ecr.ListReplicationBackfillsInput{MaxResults: new(int32(50))})
		for pages.HasMorePages() {
			page := must(pages.NextPage(t.Context()))(t)
			wantEqual(t, "registry", *page.RegistryId, "123456789012")
			wantEqual(t, "backfills", page.Backfills, []types.ReplicationBackfillSummary{})
		}
		_, err := c.ListReplicationBackfills(t.Context(), &ecr.ListReplicationBackfillsInput{NextToken: new("x")})
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
		_, err = c.ListReplicationBackfills(t.Context(), &ecr.ListReplicationBackfillsInput{MaxResults: new(int32(51))})
		wantError(t, err, "ValidationException",
			"1 validation error detected: Value '51' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 50")

		const unknown = "The replication backfill with id 'b-1' does not exist in the registry with id '123456789012'"
		_, err = c.StopReplicationBackfill(t.Context(), &ecr.StopReplicationBackfillInput{ReplicationBackfillId: new("b-1")})
		wantError(t, err, "ReplicationBackfillNotFoundException", unknown)
		_, err = c.StopReplicationBackfill(t.Context(), &ecr.StopReplicationBackfillInput{ReplicationBackfillId: new(strings.Repeat("b", 256))})
		wantError(t, err, "ValidationException", "1 validation error detected: Value '"+strings.Repeat("b", 256)+
			"' at 'replicationBackfillId' failed to satisfy constraint: Member must have length less than or equal to 255")
		results := ecr.NewDescribeReplicationBackfillResultsPaginator(c, &ecr.DescribeReplicationBackfillResultsInput{ReplicationBackfillId: new("b-1")})
		_, err = results.NextPage(t.Context())
		wantError(t, err, "ReplicationBackfillNotFoundException", unknown)
		_, err = c.DescribeReplicationBackfillResults(t.Context(),
			&ecr.DescribeReplicationBackfillResultsInput{ReplicationBackfillId: new("b-1"), ResultStatusFilter: "PENDING"})
		wantError(t, err, "ValidationException",
			"1 validation error detected: Value 'PENDING' at 'resultStatusFilter' failed to satisfy constraint: Member must satisfy enum value set: [COMPLETE, FAILED]")
		_, err = c.StartReplicationBackfill(t.Context(), &ecr.StartReplicationBackfillInput{Destination: new(destination("eu-west-1", "123456789012"))})
		wantError(t, err, "UnsupportedCommandException", "The operation StartReplicationBackfill is not supported by Berth: replication is not implemented yet")
	})
}

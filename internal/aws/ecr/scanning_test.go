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

func scanFilters(filters ...string) []types.ScanningRepositoryFilter {
	out := []types.ScanningRepositoryFilter{}
	for _, f := range filters {
		out = append(out, types.ScanningRepositoryFilter{Filter: &f, FilterType: types.ScanningRepositoryFilterTypeWildcard})
	}
	return out
}

func scanRule(f types.ScanFrequency, filters ...string) types.RegistryScanningRule {
	return types.RegistryScanningRule{ScanFrequency: f, RepositoryFilters: scanFilters(filters...)}
}

func putScanning(t *testing.T, c *ecr.Client, kind types.ScanType, rules ...types.RegistryScanningRule) error {
	t.Helper()
	out, err := c.PutRegistryScanningConfiguration(t.Context(), &ecr.PutRegistryScanningConfigurationInput{ScanType: kind, Rules: rules})
	if err == nil {
		wantEqual(t, "put", out.RegistryScanningConfiguration,
			&types.RegistryScanningConfiguration{ScanType: kind, Rules: append([]types.RegistryScanningRule{}, rules...)})
	}
	return err
}

func registryScanning(t *testing.T, c *ecr.Client) *types.RegistryScanningConfiguration {
	t.Helper()
	out := must(c.GetRegistryScanningConfiguration(t.Context(), &ecr.GetRegistryScanningConfigurationInput{}))(t)
	wantEqual(t, "registry", *out.RegistryId, "123456789012")
	return out.ScanningConfiguration
}

// repositoryScanning returns what scanning means for repositories, as name,
// scanOnPush, frequency and filters, or as name, failure code and reason.
func repositoryScanning(t *testing.T, c *ecr.Client, names ...string) []string {
	t.Helper()
	out := must(c.BatchGetRepositoryScanningConfiguration(t.Context(), &ecr.BatchGetRepositoryScanningConfigurationInput{RepositoryNames: names}))(t)
	got := []string{}
	for _, s := range out.ScanningConfigurations {
		wantEqual(t, "ARN", *s.RepositoryArn, "arn:aws:ecr:us-east-1:123456789012:repository/"+*s.RepositoryName)
		filters := []string{}
		for _, f := range s.AppliedScanFilters {
			filters = append(filters, *f.Filter)
		}
		got = append(got, fmt.Sprintf("%s %v %s %v", *s.RepositoryName, s.ScanOnPush, s.ScanFrequency, filters))
	}
	for _, f := range out.Failures {
		got = append(got, fmt.Sprintf("%s %s %s", *f.RepositoryName, f.FailureCode, *f.FailureReason))
	}
	return got
}

func TestRegistryScanningIsReadBackAsItWasPut(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		basic := &types.RegistryScanningConfiguration{ScanType: types.ScanTypeBasic, Rules: []types.RegistryScanningRule{}}
		wantEqual(t, "at first", registryScanning(t, c), basic)
		for range 2 {
			rules := []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH", "prod*", "a/b_c.d-e"), scanRule("CONTINUOUS_SCAN")}
			must(0, putScanning(t, c, types.ScanTypeEnhanced, rules...))(t)
			s.Restart(t)
			c = s.ECR()
			wantEqual(t, "read back", registryScanning(t, c), &types.RegistryScanningConfiguration{ScanType: types.ScanTypeEnhanced, Rules: rules})
			wantEqual(t, "in another region", registryScanning(t, s.ECRIn("eu-west-1")), basic)
			rules = []types.RegistryScanningRule{scanRule("MANUAL", "*"), scanRule("SCAN_ON_PUSH", "prod")}
			must(0, putScanning(t, c, types.ScanTypeBasic, rules...))(t)
			wantEqual(t, "replaced", registryScanning(t, c), &types.RegistryScanningConfiguration{ScanType: types.ScanTypeBasic, Rules: rules})
			// Nothing is basic scanning without rules.
			out := must(c.PutRegistryScanningConfiguration(t.Context(), &ecr.PutRegistryScanningConfigurationInput{}))(t)
			wantEqual(t, "put of nothing", out.RegistryScanningConfiguration, basic)
			wantEqual(t, "removed", registryScanning(t, c), basic)
		}
	})
}

func TestRegistryScanningThatIsRefused(t *testing.T) {
	t.Parallel()
	const invalid, validation = "InvalidParameterException", "ValidationException"
	const at = "Invalid parameter at 'rules' failed to satisfy constraint: '%s'"
	const one = "1 validation error detected: "
	cases := map[string]struct {
		kind          types.ScanType
		rules         []types.RegistryScanningRule
		code, message string
	}{
		"continuous basic scans": {"BASIC", []types.RegistryScanningRule{scanRule("CONTINUOUS_SCAN", "*")}, invalid,
			fmt.Sprintf(at, "the scan frequencies of scan type BASIC are MANUAL and SCAN_ON_PUSH")},
		"manual enhanced scans": {"ENHANCED", []types.RegistryScanningRule{scanRule("MANUAL", "*")}, invalid,
			fmt.Sprintf(at, "the scan frequencies of scan type ENHANCED are SCAN_ON_PUSH and CONTINUOUS_SCAN")},
		"a frequency twice": {"BASIC", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH", "a"), scanRule("SCAN_ON_PUSH", "b")}, invalid,
			fmt.Sprintf(at, "there can be only one rule for the scan frequency SCAN_ON_PUSH")},
		"three rules": {"BASIC", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH"), scanRule("MANUAL"), scanRule("MANUAL")}, validation,
			one + "Value at 'rules' failed to satisfy constraint: Member must have length less than or equal to 2"},
		"another type": {"CLAIR", nil, validation,
			one + "Value 'CLAIR' at 'scanType' failed to satisfy constraint: Member must satisfy enum value set: [BASIC, ENHANCED]"},
		"another frequency": {"BASIC", []types.RegistryScanningRule{scanRule("DAILY")}, validation,
			one + "Value 'DAILY' at 'rules.1.member.scanFrequency' failed to satisfy constraint: Member must satisfy enum value set: [SCAN_ON_PUSH, CONTINUOUS_SCAN, MANUAL]"},
		"another filter": {"BASIC", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH", "Prod")}, validation,
			one + "Value 'Prod' at 'rules.1.member.repositoryFilters.1.member.filter' failed to satisfy constraint: " +
				`Member must satisfy regular expression pattern: ^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$`},
		"101 filters": {"BASIC", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH", strings.Fields(strings.Repeat("prod ", 101))...)}, validation,
			one + "Value at 'rules.1.member.repositoryFilters' failed to satisfy constraint: Member must have length less than or equal to 100"},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		before := registryScanning(t, s.ECR())
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) { wantError(t, putScanning(t, s.ECR(), tt.kind, tt.rules...), tt.code, tt.message) })
		}
		wantEqual(t, "scanning", registryScanning(t, s.ECR()), before)
	})
}

func TestFiltersSayHowRepositoriesAreScanned(t *testing.T) {
	t.Parallel()
	names := []string{"prod", "repo-prod", "prod-repo", "repo-prod-repo", "prodrepo"}
	matches := map[string]string{ // the names that a filter is for, Y or N
		"prod": "YYYYY", "*prod": "YYNNN", "prod*": "YNYNY", "*prod*": "YYYYY", "prod*repo": "NNYNY", "*": "YYYYY", "pro*d": "YNNNN",
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for _, name := range names {
			createRepository(t, c, name)
		}
		for filter, yes := range matches {
			must(0, putScanning(t, c, types.ScanTypeBasic, scanRule("SCAN_ON_PUSH", filter)))(t)
			var want []string
			for i, name := range names {
				if yes[i] == 'Y' {
					want = append(want, name+" true SCAN_ON_PUSH ["+filter+"]")
				} else {
					want = append(want, name+" false MANUAL []")
				}
			}
			wantEqual(t, "by the filter "+filter, repositoryScanning(t, c, names...), want)
		}
	})
}

func TestTheMostFrequentScanningCounts(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "own")
		must(c.PutImageScanningConfiguration(t.Context(), &ecr.PutImageScanningConfigurationInput{
			RepositoryName: new("own"), ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
		}))(t)
		for _, tt := range []struct {
			what     string
			kind     types.ScanType
			rules    []types.RegistryScanningRule
			app, own string
		}{
			{"no rules", "BASIC", nil, "false MANUAL []", "true SCAN_ON_PUSH []"},
			{"a rule for one", "BASIC", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH", "app", "x", "a*")}, "true SCAN_ON_PUSH [app a*]", "true SCAN_ON_PUSH []"},
			{"a rule without filters", "BASIC", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH")}, "false MANUAL []", "true SCAN_ON_PUSH []"},
			{"two rules", "BASIC", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH", "app"), scanRule("MANUAL", "*")}, "true SCAN_ON_PUSH [app]", "true SCAN_ON_PUSH []"},
			{"a rule that says by hand", "BASIC", []types.RegistryScanningRule{scanRule("MANUAL", "app")}, "false MANUAL [app]", "true SCAN_ON_PUSH []"},
			{"enhanced, no rules", "ENHANCED", nil, "false MANUAL []", "false MANUAL []"},
			{"enhanced, both rules", "ENHANCED", []types.RegistryScanningRule{scanRule("CONTINUOUS_SCAN", "ap*"), scanRule("SCAN_ON_PUSH", "*")},
				"false CONTINUOUS_SCAN [ap*]", "true SCAN_ON_PUSH [*]"},
			{"enhanced, the other way round", "ENHANCED", []types.RegistryScanningRule{scanRule("SCAN_ON_PUSH", "*"), scanRule("CONTINUOUS_SCAN", "ap*")},
				"false CONTINUOUS_SCAN [ap*]", "true SCAN_ON_PUSH [*]"},
		} {
			must(0, putScanning(t, c, tt.kind, tt.rules...))(t)
			wantEqual(t, tt.what, repositoryScanning(t, c, "app", "own"), []string{"app " + tt.app, "own " + tt.own})
		}
	})
}

func TestBatchGetRepositoryScanningConfigurationTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		wantEqual(t, "found and missing", repositoryScanning(t, c, "absent", "app"),
			[]string{"app false MANUAL []", "absent REPOSITORY_NOT_FOUND " + noRepository})
		got := rawCall{target: "BatchGetRepositoryScanningConfiguration", body: `{"repositoryNames":["app"]}`}.do(t, s)
		if want := `{"scanningConfigurations":[{"repositoryArn":"` + appARN + `","repositoryName":"app","scanOnPush":false,"scanFrequency":"MANUAL",` +
			`"appliedScanFilters":[]}],"failures":[]}`; !sameJSON(t, got.body, want) {
			t.Errorf("BatchGetRepositoryScanningConfiguration = %s, want %s", got.body, want)
		}
		_, err := c.BatchGetRepositoryScanningConfiguration(t.Context(), &ecr.BatchGetRepositoryScanningConfigurationInput{
			RepositoryNames: strings.Fields(strings.Repeat("app ", 26)),
		})
		wantError(t, err, "ValidationException",
			"1 validation error detected: Value at 'repositoryNames' failed to satisfy constraint: Member must have length less than or equal to 25")
	})
}

// Terraform sends an empty object for false.
func TestScanOnPushIsReadBackAsItWasPut(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		for body, want := range map[string]bool{`{"scanOnPush":true}`: true, `{"scanOnPush":false}`: false, `{}`: false} {
			got := rawCall{target: "PutImageScanningConfiguration", body: `{"repositoryName":"app","imageScanningConfiguration":` + body + `}`}.do(t, s)
			if answer := fmt.Sprintf(`{"registryId":"123456789012","repositoryName":"app","imageScanningConfiguration":{"scanOnPush":%v}}`, want); !sameJSON(t, got.body, answer) {
				t.Errorf("PutImageScanningConfiguration %s = %s, want %s", body, got.body, answer)
			}
			wantEqual(t, "after "+body, described(t, c, "app").ImageScanningConfiguration.ScanOnPush, want)
		}
		_, err := c.PutImageScanningConfiguration(t.Context(), &ecr.PutImageScanningConfigurationInput{
			RepositoryName: new("absent"), ImageScanningConfiguration: &types.ImageScanningConfiguration{},
		})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		rawCall{target: "PutImageScanningConfiguration", body: `{"repositoryName":"app"}`}.do(t, s).wantFailure(t, 400, "ValidationException",
			"1 validation error detected: Value null at 'imageScanningConfiguration' failed to satisfy constraint: Member must not be null")
	})
}

func TestAnImageThatWasNotScannedHasNoFindings(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		ask := func(repository string, id types.ImageIdentifier) error {
			_, err := ecr.NewDescribeImageScanFindingsPaginator(c, &ecr.DescribeImageScanFindingsInput{RepositoryName: &repository, ImageId: &id}).NextPage(t.Context())
			return err
		}
		for want, id := range map[string]types.ImageIdentifier{
			"{imageDigest:'null', imageTag:'v1'}":                          byTag("v1"),
			"{imageDigest:'" + img.Digest.String() + "', imageTag:'null'}": byDigest(img.Digest),
			"{imageDigest:'" + img.Digest.String() + "', imageTag:'v1'}":   byBoth(img.Digest, "v1"),
		} {
			wantError(t, ask("app", id), "ScanNotFoundException",
				"Image scan does not exist for the image with '"+want+"' in the repository with name 'app' in the registry with id '123456789012'")
		}
		for _, f := range imageFaults(img) {
			wantError(t, ask(f.repository, f.id), f.code, f.message)
		}
		waiter := ecr.NewImageScanCompleteWaiter(c)
		err := waiter.Wait(t.Context(), &ecr.DescribeImageScanFindingsInput{RepositoryName: new("app"), ImageId: new(byTag("v1"))}, time.Minute)
		wantEqual(t, "the end of waiting for a scan", servertest.ErrorCode(err), "ScanNotFoundException")
		_, err = c.StartImageScan(t.Context(), &ecr.StartImageScanInput{RepositoryName: new("app"), ImageId: new(byTag("v1"))})
		wantError(t, err, "UnsupportedCommandException", "The operation StartImageScan is not supported by Berth: scanning is not implemented yet")
	})
}

package ecr_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// rule returns a rule of a lifecycle policy. A limit is a number of images, or a
// count type and a number of days.
func rule(priority int, selection, limit, action string) string {
	count := `"countType":"imageCountMoreThan","countNumber":` + limit
	if kind, days, byTime := strings.Cut(limit, " "); byTime {
		count = fmt.Sprintf(`"countType":"%s","countUnit":"days","countNumber":%s`, kind, days)
	}
	if action == "transition" {
		action += `","targetStorageClass":"archive`
	}
	return fmt.Sprintf(`{"rulePriority":%d,"selection":{%s,%s},"action":{"type":"%s"}}`, priority, selection, count, action)
}

func policyText(rules ...string) string { return `{"rules":[` + strings.Join(rules, ",") + `]}` }

const (
	anyImage = `"tagStatus":"any"`
	untagged = `"tagStatus":"untagged"`
	archived = `"tagStatus":"any","storageClass":"archive"`
)

func tagged(patterns ...string) string {
	return `"tagStatus":"tagged","tagPatternList":["` + strings.Join(patterns, `","`) + `"]`
}

// keepOne keeps one untagged image.
var keepOne = policyText(rule(1, untagged, "1", "expire"))

func putPolicy(t *testing.T, c *ecr.Client, repository, text string) {
	t.Helper()
	out := must(c.PutLifecyclePolicy(t.Context(), &ecr.PutLifecyclePolicyInput{RepositoryName: &repository, LifecyclePolicyText: &text}))(t)
	if *out.LifecyclePolicyText != text || *out.RepositoryName != repository || *out.RegistryId != servertest.Account {
		t.Errorf("PutLifecyclePolicy = %s %s %s, want what was put", *out.RegistryId, *out.RepositoryName, *out.LifecyclePolicyText)
	}
}

func getPolicy(t *testing.T, c *ecr.Client, repository string) *ecr.GetLifecyclePolicyOutput {
	t.Helper()
	return must(c.GetLifecyclePolicy(t.Context(), &ecr.GetLifecyclePolicyInput{RepositoryName: &repository}))(t)
}

// seizeLifecycle keeps the server from carrying out policies and previews by
// itself, until the function returned is called.
func seizeLifecycle(t *testing.T, s *servertest.Server) (release func()) {
	t.Helper()
	eventually(t, "the lease is free", func() bool {
		return len(rows(t, s, `INSERT INTO leases (name, owner, lease_until) VALUES ('lifecycle', 'the test', 9000000000000000)
			ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
			WHERE leases.lease_until <= $1 RETURNING name`, s.Clock.Now().UnixMicro())) == 1
	})
	return func() {
		rows(t, s, `UPDATE leases SET lease_until = 0 WHERE owner = 'the test' RETURNING name`)
		s.Server().Registry().WakeLifecycle()
	}
}

// advance puts the clock forward and lets the server see what is due then.
func advance(s *servertest.Server, d time.Duration) {
	s.Clock.Advance(d)
	s.Server().Registry().WakeLifecycle()
}

// eventually waits until something is so that the server does in the background.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come about that %s", what)
		}
	}
}

var (
	root        = access.Caller{Account: servertest.Account, ARN: "arn:aws:iam::123456789012:root", ID: servertest.Account, Type: access.Root}
	appPolicies = registry.RunLifecyclePoliciesInput{
		Ref: registry.Ref{ID: registry.ID{Account: servertest.Account, Region: servertest.Region}, Name: "app"},
	}
)

// runLifecycle carries out the policy of a repository and returns how many images
// were deleted and archived by this.
func runLifecycle(t *testing.T, s *servertest.Server, repository string) (expired, archived int) {
	t.Helper()
	in := appPolicies
	in.Name = registry.RepositoryName(repository)
	runs := must(s.Server().Registry().RunLifecyclePolicies(t.Context(), root, in))(t)
	if len(runs) != 1 || !runs[0].EvaluatedAt.Equal(s.Clock.Now()) {
		t.Fatalf("RunLifecyclePolicies = %+v, want one run at this time", runs)
	}
	return runs[0].Expired, runs[0].Archived
}

// tiny puts a small image that is like no other under the tags, and returns its
// digest. The layer {} must be in the repository.
func tiny(t *testing.T, c *ecr.Client, repository, name string, tags ...string) string {
	t.Helper()
	text := manifest(set("annotations", map[string]string{"name": name}))
	putImage(t, c, repository, []byte(text), tags...)
	return digest.FromString(text).String()
}

// shelf makes a repository for tiny images.
func shelf(t *testing.T, c *ecr.Client, repository string) {
	t.Helper()
	createRepository(t, c, repository)
	pushLayer(t, c, repository, []byte("{}"))
}

func TestALifecyclePolicyIsReadBackAsItWasPut(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		release := seizeLifecycle(t, s)
		text := "\n{ \"rules\" :\t[ {\"action\":{\"type\":\"expire\"}, \"rulePriority\":1,\r\n" +
			`"selection":{"countNumber":14,"countUnit":"days","countType":"sinceImagePushed","tagStatus":"untagged"},"description":"ä \u0000 <&>"}]} `
		putPolicy(t, c, "app", text)
		got := getPolicy(t, c, "app")
		wantEqual(t, "text", *got.LifecyclePolicyText, text)
		wantEqual(t, "repository", *got.RegistryId+"/"+*got.RepositoryName, "123456789012/app")
		wantEqual(t, "evaluated before the first run", got.LastEvaluatedAt.UnixMilli(), 0)
		s.Restart(t)
		wantEqual(t, "text after a restart", *getPolicy(t, c, "app").LifecyclePolicyText, text)
		release()
		eventually(t, "the policy is evaluated", func() bool { return getPolicy(t, c, "app").LastEvaluatedAt.Equal(s.Clock.Now()) })

		putPolicy(t, c, "app", keepOne)
		wantEqual(t, "text after another was put", *getPolicy(t, c, "app").LifecyclePolicyText, keepOne)
		runLifecycle(t, s, "app")
		deleted := must(c.DeleteLifecyclePolicy(t.Context(), &ecr.DeleteLifecyclePolicyInput{RepositoryName: new("app")}))(t)
		wantEqual(t, "text deleted", *deleted.LifecyclePolicyText, keepOne)
		wantEqual(t, "repository", *deleted.RegistryId+"/"+*deleted.RepositoryName, "123456789012/app")
		wantEqual(t, "evaluated", *deleted.LastEvaluatedAt, s.Clock.Now())
		const none = "Lifecycle policy does not exist for the repository with name 'app' in the registry with id '123456789012'"
		_, err := c.GetLifecyclePolicy(t.Context(), &ecr.GetLifecyclePolicyInput{RepositoryName: new("app")})
		wantError(t, err, "LifecyclePolicyNotFoundException", none)
		_, err = c.DeleteLifecyclePolicy(t.Context(), &ecr.DeleteLifecyclePolicyInput{RepositoryName: new("app")})
		wantError(t, err, "LifecyclePolicyNotFoundException", none)
		_, err = c.StartLifecyclePolicyPreview(t.Context(), &ecr.StartLifecyclePolicyPreviewInput{RepositoryName: new("app")})
		wantError(t, err, "LifecyclePolicyNotFoundException", none)
	})
}

func TestLifecycleOperationsOnARepositoryThatDoesNotExist(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx, name := s.ECR(), t.Context(), new("absent")
		_, put := c.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: name, LifecyclePolicyText: &keepOne})
		_, get := c.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: name})
		_, del := c.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: name})
		_, start := c.StartLifecyclePolicyPreview(ctx, &ecr.StartLifecyclePolicyPreviewInput{RepositoryName: name, LifecyclePolicyText: &keepOne})
		_, preview := c.GetLifecyclePolicyPreview(ctx, &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: name})
		for _, err := range []error{put, get, del, start, preview} {
			wantError(t, err, "RepositoryNotFoundException", "The repository with name 'absent' does not exist in the registry with id '123456789012'")
		}
	})
}

func TestTextsThatAreNoLifecyclePolicyAreRefused(t *testing.T) {
	t.Parallel()
	const invalid = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "
	long := strings.Repeat(" ", 30720)
	for name, tt := range map[string]struct{ text, code, message string }{
		"no JSON": {strings.Repeat("x", 100), "InvalidParameterException", invalid + "Could not map policyString into LifecyclePolicy.'"},
		"no rules": {
			`{"x":"` + strings.Repeat("x", 100) + `"}`, "InvalidParameterException", invalid + `object has missing required properties (["rules"])'`,
		},
		"two untagged rules": {
			policyText(rule(1, untagged, "1", "expire"), rule(2, untagged, "2", "expire")), "InvalidParameterException",
			invalid + "Only one rule can select Untagged images per storage class.'",
		},
		"any before others": {
			policyText(rule(1, anyImage, "1", "expire"), rule(2, tagged("a"), "2", "expire")), "InvalidParameterException",
			invalid + "Rule for tagStatus=ANY must have the lowest priority per storage class'",
		},
		"delete by pull time": {
			policyText(rule(1, anyImage, "sinceImagePulled 1", "expire")), "InvalidParameterException",
			invalid + "countType=SINCE_IMAGE_PULLED can only be specified when the action is TRANSITION.'",
		},
		"a count in days": {
			policyText(strings.Replace(rule(1, anyImage, "1", "expire"), `"countNumber"`, `"countUnit":"days","countNumber"`, 1)), "InvalidParameterException",
			invalid + "instance failed to match exactly one schema (matched 0 out of 2)",
		},
		"a NUL": {keepOne + "\x00", "InvalidParameterException", invalid + "Could not map policyString into LifecyclePolicy.'"},
		"too short": {
			`{"rules":[]}`, "ValidationException", "1 validation error detected: Value '{\"rules\":[]}' at 'lifecyclePolicyText' " +
				"failed to satisfy constraint: Member must have length greater than or equal to 100",
		},
		"too long": {
			keepOne + long, "ValidationException", "failed to satisfy constraint: Member must have length less than or equal to 30720",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
				c := s.ECR()
				createRepository(t, c, "app")
				putPolicy(t, c, "app", keepOne)
				_, put := c.PutLifecyclePolicy(t.Context(), &ecr.PutLifecyclePolicyInput{RepositoryName: new("app"), LifecyclePolicyText: &tt.text})
				_, start := c.StartLifecyclePolicyPreview(t.Context(), &ecr.StartLifecyclePolicyPreviewInput{RepositoryName: new("app"), LifecyclePolicyText: &tt.text})
				for _, err := range []error{put, start} {
					if code, message := servertest.ErrorCode(err), servertest.ErrorMessage(err); code != tt.code || !strings.HasSuffix(message, tt.message) {
						t.Errorf("error = %s: %s\nwant    %s: %s", code, message, tt.code, tt.message)
					}
				}
				wantEqual(t, "the policy", *getPolicy(t, c, "app").LifecyclePolicyText, keepOne)
			})
		})
	}
}

func TestExtensionsOfLifecyclePoliciesAreTurnedOnByASetting(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		set := func(value string) {
			t.Helper()
			must(c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: new("BERTH_LIFECYCLE_EXTENSIONS"), Value: &value}))(t)
		}
		got := must(c.GetAccountSetting(t.Context(), &ecr.GetAccountSettingInput{Name: new("BERTH_LIFECYCLE_EXTENSIONS")}))(t)
		wantEqual(t, "by default", *got.Value, "DISABLED")
		extended := policyText(rule(1, tagged("keep"), "sinceImagePushed 10", "retain"), rule(2, anyImage, "sinceImagePushed 1", "expire"))
		_, err := c.PutLifecyclePolicy(t.Context(), &ecr.PutLifecyclePolicyInput{RepositoryName: new("app"), LifecyclePolicyText: &extended})
		wantEqual(t, "when they are disabled", servertest.ErrorCode(err), "InvalidParameterException")

		set("ENABLED")
		kept := tiny(t, c, "app", "1", "keep")
		tiny(t, c, "app", "2", "other")
		putPolicy(t, c, "app", extended)
		s.Clock.Advance(24*time.Hour + time.Second)
		runLifecycle(t, s, "app")
		wantEqual(t, "images", listImages(t, c, "app"), []string{kept + "@keep"})
		_, err = s.ECRIn("eu-west-1").PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: new("BERTH_LIFECYCLE_EXTENSIONS"), Value: new("on")})
		wantEqual(t, "another value", servertest.ErrorCode(err), "InvalidParameterException")

		// A policy that is not valid any more does nothing.
		set("DISABLED")
		advance(s, 20*24*time.Hour)
		eventually(t, "the policy is put off", func() bool {
			return rows(t, s, "SELECT count(*) FROM lifecycle_policies WHERE due_at <= $1", s.Clock.Now().UnixMicro())[0] == "0"
		})
		wantEqual(t, "images", listImages(t, c, "app"), []string{kept + "@keep"})
		set("ENABLED")
		eventually(t, "the policy is carried out at once", func() bool { return len(listImages(t, c, "app")) == 0 })
	})
}

func TestAnotherAccountsLifecyclePoliciesAreOutOfReach(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		_, err := s.ECR().PutLifecyclePolicy(t.Context(), &ecr.PutLifecyclePolicyInput{
			RegistryId: new("999999999999"), RepositoryName: new("app"), LifecyclePolicyText: &keepOne,
		})
		wantEqual(t, "error", servertest.ErrorCode(err), "AccessDeniedException")
		stranger := access.Caller{Account: servertest.Account, ARN: "arn:aws:iam::123456789012:user/u", Type: "IAMUser"}
		in := appPolicies
		for _, name := range []registry.RepositoryName{"", "app"} {
			in.Name = name
			_, err := s.Server().Registry().RunLifecyclePolicies(t.Context(), stranger, in)
			if err == nil || !strings.Contains(err.Error(), "is not authorized to perform: ecr:PutLifecyclePolicy on resource: arn:aws:ecr:us-east-1:123456789012:repository/") {
				t.Errorf("RunLifecyclePolicies(%q) by a stranger = %v, want a refusal", name, err)
			}
		}
	})
}

// statuses returns the digests of all images with their states.
func statuses(t *testing.T, c *ecr.Client, repository string) []string {
	t.Helper()
	out := must(c.DescribeImages(t.Context(), &ecr.DescribeImagesInput{
		RepositoryName: &repository, Filter: &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny},
	}))(t)
	all := []string{}
	for _, i := range out.ImageDetails {
		all = append(all, *i.ImageDigest+" "+string(i.ImageStatus))
	}
	return all
}

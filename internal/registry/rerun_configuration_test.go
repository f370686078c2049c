package registry_test

import (
	"fmt"
	"testing"

	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
)

// configure calls the verbs of a registry's configuration and returns what they
// answered.
func configure(t *testing.T, r *registry.Registry) []string {
	t.Helper()
	ctx := t.Context()
	var out []string
	say := func(verb string, answers ...any) { out = append(out, verb+" "+fmt.Sprintf("%+v", answers)) }
	for range 2 {
		template, err := r.CreateRepositoryCreationTemplate(ctx, caller, home, registry.Template{
			Prefix: "a/", AppliedFor: []string{registry.CreateOnPush}, Tags: map[string]string{"k": "v"},
		})
		say("CreateRepositoryCreationTemplate", template, err)
		rule, err := r.CreatePullThroughCacheRule(ctx, caller, registry.CacheRuleInput{ID: home, CacheRule: registry.CacheRule{Prefix: "qq", UpstreamURL: "quay.io"}})
		say("CreatePullThroughCacheRule", rule, err)
		at, err := r.RegisterPullTimeUpdateExclusion(ctx, caller, registry.Exclusion{ID: home, PrincipalARN: "arn:aws:iam::123456789012:user/u"})
		say("RegisterPullTimeUpdateExclusion", at, err)
		say("PutReplicationConfiguration", r.PutReplicationConfiguration(ctx, caller, home, registry.Replication{
			Rules: []registry.ReplicationRule{{Destinations: []registry.Destination{{Region: "eu-west-1", Account: home.Account}}}},
		}))
		say("PutSigningConfiguration", r.PutSigningConfiguration(ctx, caller, home, registry.Signing{}))
		scanning, err := r.PutRegistryScanningConfiguration(ctx, caller, home, registry.Scanning{
			Rules: []registry.ScanningRule{{Frequency: registry.ScanOnPush, Filters: []string{"*"}}},
		})
		say("PutRegistryScanningConfiguration", scanning, err)
	}
	mode := "text"
	for _, prefix := range []string{"a", "b"} {
		template, err := r.UpdateRepositoryCreationTemplate(ctx, caller, home, registry.UpdateTemplateInput{
			Prefix: prefix, Description: &mode, Mode: registry.ImmutableWithExclusion, Filters: []string{"x"},
		})
		say("UpdateRepositoryCreationTemplate", template, err)
	}
	_, err := r.InitiateLayerUpload(ctx, caller, registry.Ref{ID: home, Name: "a/app"})
	say("InitiateLayerUpload", err)
	tags, err := r.ListTagsForResource(ctx, caller, registry.Ref{ID: home, Name: "a/app"})
	say("ListTagsForResource", tags, err)
	found, failures, err := r.BatchGetRepositoryScanningConfiguration(ctx, caller, registry.BatchGetScanningInput{ID: home, Names: []registry.RepositoryName{"a/app", "absent"}})
	say("BatchGetRepositoryScanningConfiguration", found, failures, err)
	role := "arn:aws:iam::123456789012:role/r"
	rule, err := r.UpdatePullThroughCacheRule(ctx, caller, registry.UpdateCacheRuleInput{ID: home, Prefix: "qq", RoleARN: &role})
	say("UpdatePullThroughCacheRule", rule, err)
	for range 2 {
		list := registry.DescribePrefixesInput{ID: home, Page: registry.Page{Max: 1}}
		templates, next, err := r.DescribeRepositoryCreationTemplates(ctx, caller, list)
		say("DescribeRepositoryCreationTemplates", templates, next, err)
		rules, next, err := r.DescribePullThroughCacheRules(ctx, caller, list)
		say("DescribePullThroughCacheRules", rules, next, err)
		excluded, next, err := r.ListPullTimeUpdateExclusions(ctx, caller, home, list.Page)
		say("ListPullTimeUpdateExclusions", excluded, next, err)
		replication, err := r.DescribeRegistry(ctx, caller, home)
		say("DescribeRegistry", replication, err)
		scanning, err := r.GetRegistryScanningConfiguration(ctx, caller, home)
		say("GetRegistryScanningConfiguration", scanning, err)
		signing, err := r.GetSigningConfiguration(ctx, caller, home)
		say("GetSigningConfiguration", signing, err)
		deleted, err := r.DeleteRepositoryCreationTemplate(ctx, caller, registry.TemplateName{ID: home, Prefix: "a"})
		say("DeleteRepositoryCreationTemplate", deleted, err)
		gone, err := r.DeletePullThroughCacheRule(ctx, caller, registry.CacheRuleName{ID: home, Prefix: "qq"})
		say("DeletePullThroughCacheRule", gone, err)
		say("DeregisterPullTimeUpdateExclusion",
			r.DeregisterPullTimeUpdateExclusion(ctx, caller, registry.Exclusion{ID: home, PrincipalARN: "arn:aws:iam::123456789012:user/u"}))
		unsigned, err := r.DeleteSigningConfiguration(ctx, caller, home)
		say("DeleteSigningConfiguration", unsigned, err)
	}
	return out
}

func TestConfigurationsMayRunMoreThanOnce(t *testing.T) {
	t.Parallel()
	once := configure(t, open(t, func(s registry.Store) registry.Store { return s }))
	again := configure(t, open(t, func(s registry.Store) registry.Store { return rerun{s} }))
	if diff := cmp.Diff(once, again); diff != "" {
		t.Errorf("answers of transactions that run once and twice (-once +twice):\n%s", diff)
	}
}

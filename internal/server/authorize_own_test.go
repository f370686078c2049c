package server_test

import (
	"slices"
	"testing"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/servertest"
)

// What is configured for a registry can be asked of one's own only through the
// API; here strangers ask through the domain.
func TestTheConfigurationOfARegistryIsClosedToStrangers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	r, id, ctx := s.Server().Registry(), registry.ID{Account: servertest.Account, Region: servertest.Region}, t.Context()
	verbs := map[string]func(access.Caller) error{
		"CreateRepositoryCreationTemplate": func(c access.Caller) error {
			_, err := r.CreateRepositoryCreationTemplate(ctx, c, id, registry.Template{Prefix: "a", AppliedFor: []string{registry.CreateOnPush}})
			return err
		},
		"UpdateRepositoryCreationTemplate": func(c access.Caller) error {
			_, err := r.UpdateRepositoryCreationTemplate(ctx, c, id, registry.UpdateTemplateInput{Prefix: "a"})
			return err
		},
		"DeleteRepositoryCreationTemplate": func(c access.Caller) error {
			_, err := r.DeleteRepositoryCreationTemplate(ctx, c, registry.TemplateName{ID: id, Prefix: "a"})
			return err
		},
		"DescribeRepositoryCreationTemplates": func(c access.Caller) error {
			_, _, err := r.DescribeRepositoryCreationTemplates(ctx, c, registry.DescribePrefixesInput{ID: id})
			return err
		},
		"RegisterPullTimeUpdateExclusion": func(c access.Caller) error {
			_, err := r.RegisterPullTimeUpdateExclusion(ctx, c, registry.Exclusion{ID: id, PrincipalARN: "arn:aws:iam::123456789012:role/r"})
			return err
		},
		"DeregisterPullTimeUpdateExclusion": func(c access.Caller) error {
			return r.DeregisterPullTimeUpdateExclusion(ctx, c, registry.Exclusion{ID: id, PrincipalARN: "arn:aws:iam::123456789012:role/r"})
		},
		"ListPullTimeUpdateExclusions": func(c access.Caller) error {
			_, _, err := r.ListPullTimeUpdateExclusions(ctx, c, id, registry.Page{})
			return err
		},
		"PutReplicationConfiguration": func(c access.Caller) error { return r.PutReplicationConfiguration(ctx, c, id, registry.Replication{}) },
		"DescribeRegistry": func(c access.Caller) error {
			_, err := r.DescribeRegistry(ctx, c, id)
			return err
		},
		"PutRegistryScanningConfiguration": func(c access.Caller) error {
			_, err := r.PutRegistryScanningConfiguration(ctx, c, id, registry.Scanning{})
			return err
		},
		"GetRegistryScanningConfiguration": func(c access.Caller) error {
			_, err := r.GetRegistryScanningConfiguration(ctx, c, id)
			return err
		},
		"BatchGetRepositoryScanningConfiguration": func(c access.Caller) error {
			_, _, err := r.BatchGetRepositoryScanningConfiguration(ctx, c, registry.BatchGetScanningInput{ID: id, Names: []registry.RepositoryName{"absent"}})
			return err
		},
		"PutSigningConfiguration": func(c access.Caller) error { return r.PutSigningConfiguration(ctx, c, id, registry.Signing{}) },
		"GetSigningConfiguration": func(c access.Caller) error {
			_, err := r.GetSigningConfiguration(ctx, c, id)
			return err
		},
		"DeleteSigningConfiguration": func(c access.Caller) error {
			_, err := r.DeleteSigningConfiguration(ctx, c, id)
			return err
		},
		"PutRegistryPolicy": func(c access.Caller) error {
			return r.PutRegistryPolicy(ctx, c, registry.PutRegistryPolicyInput{ID: id})
		},
		"GetRegistryPolicy": func(c access.Caller) error {
			_, err := r.GetRegistryPolicy(ctx, c, id)
			return err
		},
		"DeleteRegistryPolicy": func(c access.Caller) error {
			_, err := r.DeleteRegistryPolicy(ctx, c, id)
			return err
		},
	}
	elsewhere := []string{"GetAccountSetting", "GetAuthorizationToken", "PutAccountSetting"} // they have a test of their own
	for name, op := range operations {
		if op.own && verbs[name] == nil && !slices.Contains(elsewhere, name) {
			t.Errorf("%s is not in this test's table", name)
		}
	}
	for who, c := range map[string]access.Caller{
		"nobody":                 {},
		"another account's root": {Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", ID: "210987654321", Type: access.Root},
		"a user":                 {Account: servertest.Account, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: "IAMUser"},
	} {
		for name, verb := range verbs {
			if err := verb(c); fault.CodeOf(err) != "AccessDeniedException" {
				t.Errorf("%s by %s = %v, want AccessDeniedException", name, who, err)
			}
		}
	}
}

package server_test

import (
	"slices"
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"
)

// extensions are the operations that ECR does not have, by path. The one that
// makes accounts is apart: it may be asked for by the root of the first account
// only. A new one must be added here.
var extensions = map[string]asks{
	server.LifecyclePath: {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, action: "ecr:PutLifecyclePolicy", fails: "LifecyclePolicyNotFoundException"},
	server.BacktestPath: {body: `{"registryId":"ACCOUNT","repositoryName":"NAME",` + lifecyclePolicy + `,"days":1}`,
		action: "ecr:StartLifecyclePolicyPreview"},
	server.TagHistoryPath:          {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageTag":"v1"}`, action: "ecr:DescribeImages"},
	server.TagRollbackPath:         {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageTag":"v1"}`, action: "ecr:PutImage", fails: "ImageNotFoundException"},
	server.DeletedImagesPath:       {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, action: "ecr:DescribeImages"},
	server.DeletedRepositoriesPath: {body: `{"registryId":"ACCOUNT"}`, action: "ecr:DescribeRepositories", resource: "repository/*"},
	server.RestoreImagePath:        {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageDigest":"NEW"}`, action: "ecr:PutImage", fails: "ImageNotFoundException"},
	server.RestoreRepositoryPath:   {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, action: "ecr:CreateRepository", fails: "RepositoryAlreadyExistsException"},
	server.ProtectionPath:          {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, action: "ecr:DescribeRepositories"},
	server.AccountPath:             {body: `{"accountId":"333333333333"}`, action: "organizations:CreateAccount", resource: "*", own: true},
	server.MigratePath:             {body: `{}`, action: "berth:MigrateStorage", resource: "*", own: true, fails: "InvalidParameterException"},
	server.QuotaListPath:           {body: `{}`, action: "servicequotas:ListServiceQuotaRequests", resource: "*", own: true},
	server.QuotaApprovePath:        {body: `{"requestId":"none"}`, action: "servicequotas:DecideServiceQuotaRequest", resource: "*", own: true, fails: "NoSuchResourceException"},
	server.QuotaDenyPath:           {body: `{"requestId":"none"}`, action: "servicequotas:DecideServiceQuotaRequest", resource: "*", own: true, fails: "NoSuchResourceException"},

	// What these ask about principals is in tests of their own.
	server.TokenPath:     {body: `{"lifetimeSeconds":60}`, action: "ecr:GetAuthorizationToken", resource: "*", own: true},
	server.SessionsPath:  {body: `{"principalArn":"none"}`, action: "berth:ListSessions", resource: "*", own: true, fails: "InvalidInput"},
	server.RevokePath:    {body: `{"accessKeyId":"ASIAAAAAAAAAAAAAAAAA"}`, action: "berth:RevokeSession", resource: "*", own: true, fails: "NoSuchEntity"},
	server.BindingPath:   {body: `{"principalArn":"none","service":"x"}`, action: "berth:PutServiceBinding", resource: "*", own: true, fails: "InvalidInput"},
	server.UnbindingPath: {body: `{"principalArn":"none","service":"x"}`, action: "berth:DeleteServiceBinding", resource: "*", own: true, fails: "InvalidInput"},
	server.BindingsPath:  {body: `{}`, action: "berth:ListServiceBindings", resource: "*", own: true},
	server.ExplainPath: {body: `{"principal":"arn:aws:iam::123456789012:root","action":"iam:GetUser","resource":"*"}`, // of repositories it asks more
		action: "iam:SimulatePrincipalPolicy", resource: "arn:aws:iam::123456789012:root", own: true},
	server.RotatePath:            {body: `{}`, action: "berth:RotateKeys", resource: "*", own: true},
	server.GCRunPath:             {body: `{}`, action: "berth:RunGarbageCollection", resource: "*", own: true},
	server.GCStatusPath:          {body: `{}`, action: "berth:GetGarbageCollection", resource: "*", own: true},
	server.GCExplainPath:         {body: `{"digest":"sha256:0"}`, action: "berth:GetGarbageCollection", resource: "*", own: true},
	server.DecisionPath:          {body: `{"decisionId":"aaaaaaaaaaaaaaaaaaaa"}`, action: "berth:GetDecision", resource: "*", own: true, fails: "DecisionNotFoundException"},
	server.ScrubRunPath:          {body: `{}`, action: "berth:RunScrub", resource: "*", own: true},
	server.MaintenanceStatusPath: {body: `{}`, action: "berth:GetMaintenance", resource: "*", own: true},
	server.MaintenanceOnPath:     {body: `{"reason":"a\u0000"}`, action: "berth:StartMaintenance", resource: "*", own: true, fails: "InvalidParameterException"},
	server.MaintenanceOffPath:    {body: `{}`, action: "berth:EndMaintenance", resource: "*", own: true},
	server.ScrubStatusPath:       {body: `{}`, action: "berth:GetScrub", resource: "*", own: true},
}

// No path decides nothing.
func TestEveryExtensionAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	m := &matrix{Server: servertest.Start(t, servertest.Options{}), img: servertest.NewImage(1, 10)}
	m.make(t, things[0])
	root := &someone{account: servertest.Account, signs: m.AWS()}
	paths := m.Server.Server().ExtensionPaths()
	for _, path := range paths {
		want, listed := extensions[path]
		if !listed {
			t.Errorf("%s is not in this test's table", path)
			continue
		}
		m.Decisions()
		v := m.extension(path, want, things[0])
		r := v.do(t, root)
		if (r.status == 200) != (want.fails == "") || !strings.Contains(r.text, want.fails) {
			t.Errorf("%s = %d %s, want %q", path, r.status, r.text, want.fails)
		}
		var got []string
		for _, d := range m.Decisions() {
			got = append(got, d.Action)
			if d.Resource != v.on(servertest.Account) || d.Account != servertest.Account {
				t.Errorf("%s asked about %s in %s, want %s", path, d.Resource, d.Account, v.on(servertest.Account))
			}
		}
		if got = slices.Compact(got); !slices.Equal(got, v.asks) {
			t.Errorf("%s asked about %q, want %q", path, got, v.asks)
		}
	}
	if len(paths) != len(extensions) {
		t.Errorf("%d paths are served, %d are in this test's table", len(paths), len(extensions))
	}
}

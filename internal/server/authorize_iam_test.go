package server_test

import (
	"strings"
	"testing"

	awsiam "berth/internal/aws/iam"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// iamAsks says what an operation of IAM asks the authorizer about.
type iamAsks struct {
	input    string // JSON with ARN for arn:aws:iam::ACCOUNT:, SOME and TRUST for policies
	resource string // after ARN, or "*"
}

// iamOperations are those of IAM that Berth has. A new one must be added here.
var iamOperations = map[string]iamAsks{
	"AddClientIDToOpenIDConnectProvider":      {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com","ClientID":"c"}`, "oidc-provider/i.example.com"},
	"AddUserToGroup":                          {`{"GroupName":"g","UserName":"u"}`, "group/t/g"},
	"AttachGroupPolicy":                       {`{"GroupName":"g","PolicyArn":"ARNpolicy/t/p"}`, "group/t/g"},
	"AttachRolePolicy":                        {`{"RoleName":"r","PolicyArn":"ARNpolicy/t/p"}`, "role/t/r"},
	"AttachUserPolicy":                        {`{"UserName":"u","PolicyArn":"ARNpolicy/t/p"}`, "user/t/u"},
	"CreateAccessKey":                         {`{"UserName":"u"}`, "user/t/u"},
	"CreateAccountAlias":                      {`{"AccountAlias":"acme"}`, "*"},
	"CreateGroup":                             {`{"GroupName":"new","Path":"/n/"}`, "group/n/new"},
	"CreateOpenIDConnectProvider":             {`{"Url":"https://n.example.com/x"}`, "oidc-provider/n.example.com/x"},
	"CreatePolicy":                            {`{"PolicyName":"new","Path":"/n/","PolicyDocument":"SOME"}`, "policy/n/new"},
	"CreatePolicyVersion":                     {`{"PolicyArn":"ARNpolicy/t/p","PolicyDocument":"SOME"}`, "policy/t/p"},
	"CreateRole":                              {`{"RoleName":"new","Path":"/n/","AssumeRolePolicyDocument":"TRUST"}`, "role/n/new"},
	"CreateServiceLinkedRole":                 {`{"AWSServiceName":"replication.ecr.amazonaws.com"}`, "role/aws-service-role/replication.ecr.amazonaws.com/AWSServiceRoleForECRReplication"},
	"CreateUser":                              {`{"UserName":"new","Path":"/n/"}`, "user/n/new"},
	"DeleteAccessKey":                         {`{"UserName":"u","AccessKeyId":"AKIAAAAAAAAAAAAAAAAA"}`, "user/t/u"},
	"DeleteAccountAlias":                      {`{"AccountAlias":"acme"}`, "*"},
	"DeleteGroup":                             {`{"GroupName":"g"}`, "group/t/g"},
	"DeleteGroupPolicy":                       {`{"GroupName":"g","PolicyName":"i"}`, "group/t/g"},
	"DeleteOpenIDConnectProvider":             {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com"}`, "oidc-provider/i.example.com"},
	"DeletePolicy":                            {`{"PolicyArn":"ARNpolicy/t/p"}`, "policy/t/p"},
	"DeletePolicyVersion":                     {`{"PolicyArn":"ARNpolicy/t/p","VersionId":"v1"}`, "policy/t/p"},
	"DeleteRole":                              {`{"RoleName":"r"}`, "role/t/r"},
	"DeleteRolePermissionsBoundary":           {`{"RoleName":"r"}`, "role/t/r"},
	"DeleteRolePolicy":                        {`{"RoleName":"r","PolicyName":"i"}`, "role/t/r"},
	"DeleteServiceLinkedRole":                 {`{"RoleName":"r"}`, "role/t/r"},
	"DeleteUser":                              {`{"UserName":"u"}`, "user/t/u"},
	"DeleteUserPermissionsBoundary":           {`{"UserName":"u"}`, "user/t/u"},
	"DeleteUserPolicy":                        {`{"UserName":"u","PolicyName":"i"}`, "user/t/u"},
	"DetachGroupPolicy":                       {`{"GroupName":"g","PolicyArn":"ARNpolicy/t/p"}`, "group/t/g"},
	"DetachRolePolicy":                        {`{"RoleName":"r","PolicyArn":"ARNpolicy/t/p"}`, "role/t/r"},
	"DetachUserPolicy":                        {`{"UserName":"u","PolicyArn":"ARNpolicy/t/p"}`, "user/t/u"},
	"GetAccessKeyLastUsed":                    {`{"AccessKeyId":"AKIAAAAAAAAAAAAAAAAA"}`, "*"},
	"GetAccountSummary":                       {`{}`, "*"},
	"GetGroup":                                {`{"GroupName":"g"}`, "group/t/g"},
	"GetGroupPolicy":                          {`{"GroupName":"g","PolicyName":"i"}`, "group/t/g"},
	"GetOpenIDConnectProvider":                {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com"}`, "oidc-provider/i.example.com"},
	"GetPolicy":                               {`{"PolicyArn":"ARNpolicy/t/p"}`, "policy/t/p"},
	"GetPolicyVersion":                        {`{"PolicyArn":"ARNpolicy/t/p","VersionId":"v1"}`, "policy/t/p"},
	"GetRole":                                 {`{"RoleName":"r"}`, "role/t/r"},
	"GetRolePolicy":                           {`{"RoleName":"r","PolicyName":"i"}`, "role/t/r"},
	"GetServiceLinkedRoleDeletionStatus":      {`{"DeletionTaskId":"task/none"}`, "role/aws-service-role/"},
	"GetUser":                                 {`{"UserName":"u"}`, "user/t/u"},
	"GetUserPolicy":                           {`{"UserName":"u","PolicyName":"i"}`, "user/t/u"},
	"ListAccessKeys":                          {`{"UserName":"u"}`, "user/t/u"},
	"ListAccountAliases":                      {`{}`, "*"},
	"ListAttachedGroupPolicies":               {`{"GroupName":"g"}`, "group/t/g"},
	"ListAttachedRolePolicies":                {`{"RoleName":"r"}`, "role/t/r"},
	"ListAttachedUserPolicies":                {`{"UserName":"u"}`, "user/t/u"},
	"ListEntitiesForPolicy":                   {`{"PolicyArn":"ARNpolicy/t/p"}`, "policy/t/p"},
	"ListGroupPolicies":                       {`{"GroupName":"g"}`, "group/t/g"},
	"ListGroups":                              {`{}`, "group/"},
	"ListGroupsForUser":                       {`{"UserName":"u"}`, "user/t/u"},
	"ListInstanceProfilesForRole":             {`{"RoleName":"r"}`, "role/t/r"},
	"ListOpenIDConnectProviderTags":           {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com"}`, "oidc-provider/i.example.com"},
	"ListOpenIDConnectProviders":              {`{}`, "oidc-provider/"},
	"ListPolicies":                            {`{}`, "policy/"},
	"ListPolicyTags":                          {`{"PolicyArn":"ARNpolicy/t/p"}`, "policy/t/p"},
	"ListPolicyVersions":                      {`{"PolicyArn":"ARNpolicy/t/p"}`, "policy/t/p"},
	"ListRolePolicies":                        {`{"RoleName":"r"}`, "role/t/r"},
	"ListRoleTags":                            {`{"RoleName":"r"}`, "role/t/r"},
	"ListRoles":                               {`{"PathPrefix":"/t/"}`, "role/t/"},
	"ListUserPolicies":                        {`{"UserName":"u"}`, "user/t/u"},
	"ListUserTags":                            {`{"UserName":"u"}`, "user/t/u"},
	"ListUsers":                               {`{}`, "user/"},
	"PutGroupPolicy":                          {`{"GroupName":"g","PolicyName":"i","PolicyDocument":"SOME"}`, "group/t/g"},
	"PutRolePermissionsBoundary":              {`{"RoleName":"r","PermissionsBoundary":"ARNpolicy/t/p"}`, "role/t/r"},
	"PutRolePolicy":                           {`{"RoleName":"r","PolicyName":"i","PolicyDocument":"SOME"}`, "role/t/r"},
	"PutUserPermissionsBoundary":              {`{"UserName":"u","PermissionsBoundary":"ARNpolicy/t/p"}`, "user/t/u"},
	"PutUserPolicy":                           {`{"UserName":"u","PolicyName":"i","PolicyDocument":"SOME"}`, "user/t/u"},
	"RemoveClientIDFromOpenIDConnectProvider": {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com","ClientID":"c"}`, "oidc-provider/i.example.com"},
	"RemoveUserFromGroup":                     {`{"GroupName":"g","UserName":"u"}`, "group/t/g"},
	"SetDefaultPolicyVersion":                 {`{"PolicyArn":"ARNpolicy/t/p","VersionId":"v1"}`, "policy/t/p"},
	"SimulateCustomPolicy":                    {`{"PolicyInputList":["{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}"],"ActionNames":["ecr:PutImage"]}`, "*"},
	"SimulatePrincipalPolicy":                 {`{"PolicySourceArn":"ARNuser/t/u","ActionNames":["ecr:PutImage"]}`, "user/t/u"},
	"TagOpenIDConnectProvider":                {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com","Tags":[{"Key":"a","Value":"b"}]}`, "oidc-provider/i.example.com"},
	"TagPolicy":                               {`{"PolicyArn":"ARNpolicy/t/p","Tags":[{"Key":"a","Value":"b"}]}`, "policy/t/p"},
	"TagRole":                                 {`{"RoleName":"r","Tags":[{"Key":"a","Value":"b"}]}`, "role/t/r"},
	"TagUser":                                 {`{"UserName":"u","Tags":[{"Key":"a","Value":"b"}]}`, "user/t/u"},
	"UntagOpenIDConnectProvider":              {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com","TagKeys":["a"]}`, "oidc-provider/i.example.com"},
	"UntagPolicy":                             {`{"PolicyArn":"ARNpolicy/t/p","TagKeys":["a"]}`, "policy/t/p"},
	"UntagRole":                               {`{"RoleName":"r","TagKeys":["a"]}`, "role/t/r"},
	"UntagUser":                               {`{"UserName":"u","TagKeys":["a"]}`, "user/t/u"},
	"UpdateAccessKey":                         {`{"UserName":"u","AccessKeyId":"AKIAAAAAAAAAAAAAAAAA","Status":"Inactive"}`, "user/t/u"},
	"UpdateAssumeRolePolicy":                  {`{"RoleName":"r","PolicyDocument":"TRUST"}`, "role/t/r"},
	"UpdateGroup":                             {`{"GroupName":"g","NewPath":"/n/"}`, "group/t/g"},
	"UpdateOpenIDConnectProviderThumbprint":   {`{"OpenIDConnectProviderArn":"ARNoidc-provider/i.example.com","ThumbprintList":[]}`, "oidc-provider/i.example.com"},
	"UpdateRole":                              {`{"RoleName":"r"}`, "role/t/r"},
	"UpdateRoleDescription":                   {`{"RoleName":"r","Description":"d"}`, "role/t/r"},
	"UpdateUser":                              {`{"UserName":"u","NewPath":"/n/"}`, "user/t/u"},
}

// filler puts values into inputs of the table.
func filler(arn string, more ...string) *strings.Replacer {
	some := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ecs-tasks.amazonaws.com"}}]}`
	return strings.NewReplacer(append(more, "ARN", arn, "SOME", quoted(some), "TRUST", quoted(trust))...)
}

// fillAccount makes what the inputs of the table are about.
func fillAccount(t *testing.T, s *servertest.Server) {
	t.Helper()
	for _, made := range []struct{ operation, input string }{
		{"CreateUser", `{"UserName":"u","Path":"/t/"}`}, {"CreateGroup", `{"GroupName":"g","Path":"/t/"}`},
		{"CreateRole", `{"RoleName":"r","Path":"/t/","AssumeRolePolicyDocument":"TRUST"}`},
		{"CreatePolicy", `{"PolicyName":"p","Path":"/t/","PolicyDocument":"SOME"}`},
		{"CreateOpenIDConnectProvider", `{"Url":"https://i.example.com"}`},
	} {
		if _, err := invoke(t.Context(), s.IAM(), made.operation, filler("").Replace(made.input)); err != nil {
			t.Fatal(err)
		}
	}
}

// A user is refused every operation, by its name and with the ARN of what there
// is, and so is who asks about what there is not.
func TestEveryOperationOfIAMAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	service, err := awsiam.New(nil).Service()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range service.Operations {
		if _, listed := iamOperations[op.Name]; !listed {
			t.Errorf("%s is not in this test's table", op.Name)
		}
	}
	if len(service.Operations) != len(iamOperations) {
		t.Errorf("%d operations are in the service, %d in this test's table", len(service.Operations), len(iamOperations))
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		const arn = "arn:aws:iam::" + servertest.Account + ":"
		stranger := iam.NewFromConfig(s.CreateUser(t, "stranger"))
		ask := func(client *iam.Client, operation string, fill *strings.Replacer) (string, string) {
			_, err := invoke(t.Context(), client, operation, fill.Replace(iamOperations[operation].input))
			return servertest.ErrorCode(err), servertest.ErrorMessage(err)
		}
		there := filler(arn)
		fillAccount(t, s)
		elsewhere := filler("arn:aws:iam::210987654321:")
		for operation, want := range iamOperations {
			resource := want.resource
			if resource != "*" {
				resource = arn + resource
			}
			s.Decisions()
			code, message := ask(stranger, operation, there)
			if code != "AccessDenied" || !strings.Contains(message, "user/stranger is not authorized to perform: iam:"+operation+" on resource: ") {
				t.Errorf("%s by a user = %s: %s, want AccessDenied about %s", operation, code, message, resource)
			}
			if d := s.Decisions(); len(d) != 1 || d[0].Action != "iam:"+operation || d[0].Resource != resource || d[0].Account != servertest.Account {
				t.Errorf("%s asked about %v, want %s", operation, d, resource)
			}
			// The refusal is the same for what there is not, but for its name.
			absent := filler(arn, `"u"`, `"X"`, `"g"`, `"X"`, `"r"`, `"X"`, "/t/p", "/t/X")
			_, other := ask(stranger, operation, absent)
			renamed := strings.NewReplacer("user u ", "user X ", "group g ", "group X ", "role r ", "role X ", "/t/p ", "/t/X ").Replace(message)
			if other != renamed {
				t.Errorf("%s about what there is not = %s\nwant %s", operation, other, renamed)
			}
			// ARNs of another account are that account's business, its root's included.
			if strings.Contains(want.input, `Arn":"ARN`) && strings.HasPrefix(want.input, `{"PolicyArn`) || strings.HasPrefix(want.input, `{"OpenID`) {
				if code, message := ask(s.IAM(), operation, elsewhere); code != "AccessDenied" {
					t.Errorf("%s in another account = %s: %s, want AccessDenied", operation, code, message)
				}
			}
		}
	})
}

package ecr_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

const (
	readOnly = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
	alice    = "arn:aws:iam::123456789012:user/alice"
)

// statement is a policy of one statement.
func statement(effect, action, resource, condition string) *string {
	if condition != "" {
		condition = `,"Condition":{` + condition + `}`
	}
	return aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Action":"` + action + `","Resource":"` + resource + `"` + condition + `}}`)
}

// putInline gives alice a policy.
func putInline(t *testing.T, s *servertest.Server, name string, document *string) {
	t.Helper()
	must(s.IAM().PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: new("alice"), PolicyName: &name, PolicyDocument: document}))(t)
}

// wantDenied fails the test unless err refuses alice an action on app.
func wantDenied(t *testing.T, err error, action, because string) {
	t.Helper()
	wantError(t, err, "AccessDeniedException", "User: "+alice+" is not authorized to perform: "+action+" on resource: "+appARN+because)
}

func lacking(action string) string {
	return " because no identity-based policy allows the " + action + " action"
}

// loginAs logs in to the registry with a key.
func loginAs(t *testing.T, s *servertest.Server, who aws.Config) *servertest.Client {
	t.Helper()
	out := must(ecr.NewFromConfig(who).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}))(t)
	b := must(base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken))(t)
	c := s.Login(t)
	c.Pass = strings.TrimPrefix(string(b), "AWS:")
	return c
}

func TestAUserWhoMayReadPullsAndDoesNotPush(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx, who := t.Context(), s.CreateUser(t, "alice")
		createRepository(t, s.ECR(), "app")
		img := servertest.NewImage(1, 100)
		s.Login(t).Push(t, "app", "v1", img)
		must(s.IAM().AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("alice"), PolicyArn: new(readOnly)}))(t)
		c, docker := ecr.NewFromConfig(who), loginAs(t, s, who)
		get := func() error {
			_, err := c.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1")}})
			return err
		}
		if err := get(); err != nil {
			t.Error(err)
		}
		docker.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)
		docker.Do(t, "GET", "/v2/app/blobs/"+servertest.Descriptor("", img.Config).Digest.String(), nil).Want(t, 200)
		_, err := c.PutImage(ctx, &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageTag: new("v2")})
		wantDenied(t, err, "ecr:PutImage", lacking("ecr:PutImage"))
		for _, push := range []struct{ method, path, action string }{
			{"POST", "/v2/app/blobs/uploads/", "ecr:InitiateLayerUpload"}, {"DELETE", "/v2/app/manifests/v1", "ecr:BatchDeleteImage"},
		} {
			r := docker.Do(t, push.method, push.path, nil).Want(t, 403)
			want := "User: " + alice + " is not authorized to perform: " + push.action + " on resource: " + appARN + lacking(push.action)
			if r.Code() != "DENIED" || r.Message() != want {
				t.Errorf("%s %s = %s %s, want %s", push.method, push.path, r.Code(), r.Message(), want)
			}
		}
		must(s.IAM().DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: new("alice"), PolicyArn: new(readOnly)}))(t)
		wantDenied(t, get(), "ecr:BatchGetImage", lacking("ecr:BatchGetImage"))
		docker.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 403)
	})
}

func TestPoliciesOfAUserItsGroupsAndItsBoundary(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx, root := t.Context(), s.IAM()
		c := ecr.NewFromConfig(s.CreateUser(t, "alice"))
		createRepository(t, s.ECR(), "app")
		const action = "ecr:DescribeImages"
		describe := func() error {
			_, err := c.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: new("app")})
			return err
		}
		allowed := func(what string) {
			t.Helper()
			if err := describe(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		denied := func(because string) { t.Helper(); wantDenied(t, describe(), action, because) }

		denied(lacking(action))
		must(root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("team")}))(t)
		must(root.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: new("team"), PolicyName: new("p"), PolicyDocument: statement("Allow", "ecr:*", "*", "")}))(t)
		denied(lacking(action))
		must(root.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("team"), UserName: new("alice")}))(t)
		allowed("in a group")
		putInline(t, s, "no", statement("Deny", action, appARN, ""))
		denied(" with an explicit deny in an identity-based policy")
		must(root.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("alice"), PolicyName: new("no")}))(t)
		allowed("without the deny")

		made := must(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("limit"), PolicyDocument: statement("Allow", "ecr:List*", "*", "")}))(t).Policy
		must(root.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("alice"), PermissionsBoundary: made.Arn}))(t)
		denied(" because no permissions boundary allows the " + action + " action")
		must(root.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: made.Arn, PolicyDocument: statement("Allow", "ecr:Describe*", "*", ""), SetAsDefault: true}))(t)
		allowed("within a boundary")
		must(root.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: new("team"), UserName: new("alice")}))(t)
		denied(lacking(action))

		must(root.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("alice"), PolicyArn: made.Arn}))(t)
		allowed("with a managed policy")
		s.Restart(t)
		allowed("after a restart")
		must(root.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: made.Arn, VersionId: new("v1")}))(t)
		denied(lacking(action))
	})
}

func TestConditionsOfPolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx, c := t.Context(), ecr.NewFromConfig(s.CreateUser(t, "alice"))
		createRepository(t, s.ECR(), "app")
		must(s.ECR().TagResource(ctx, &ecr.TagResourceInput{ResourceArn: new(appARN), Tags: []types.Tag{{Key: new("env"), Value: new("dev")}}}))(t)
		for condition, want := range map[string]bool{
			`"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}`:                                true,
			`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`:                             false,
			`"StringEquals":{"ecr:ResourceTag/env":"dev"}`:                              true,
			`"StringEquals":{"aws:ResourceTag/env":"prod"}`:                             false,
			`"StringEquals":{"aws:username":"alice","aws:PrincipalType":"User"}`:        true,
			`"Bool":{"aws:SecureTransport":"true"}`:                                     false,
			`"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}`:              true,
			`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:user/someone"}`: false,
		} {
			putInline(t, s, "p", statement("Allow", "ecr:DescribeImages", "*", condition))
			_, err := c.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: new("app")})
			if want && err != nil {
				t.Errorf("%s: %v", condition, err)
			} else if !want {
				wantDenied(t, err, "ecr:DescribeImages", lacking("ecr:DescribeImages"))
			}
		}
		putInline(t, s, "p", statement("Allow", "ecr:*", "*", `"StringEquals":{"aws:RequestTag/env":"dev"}`))
		create := func(name string, tags ...types.Tag) error {
			_, err := c.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &name, Tags: tags})
			return err
		}
		if err := create("bb", types.Tag{Key: new("env"), Value: new("dev")}); err != nil {
			t.Error(err)
		}
		if err := create("cc"); servertest.ErrorCode(err) != "AccessDeniedException" {
			t.Errorf("CreateRepository without the tag: %v", err)
		}
	})
}

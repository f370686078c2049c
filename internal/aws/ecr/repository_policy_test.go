package ecr_test

import (
	"net/http"

	"strings"
	"testing"

	"berth/internal/aws/ecr"
	"berth/internal/registry"
	"berth/internal/servertest"

	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

const other = "111122223333"

// share is a repository policy of one statement.
func share(effect, principal, action string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"` + action + `"}}`
}

func setPolicy(t *testing.T, c *awsecr.Client, repository, text string, force bool) error {
	t.Helper()
	_, err := c.SetRepositoryPolicy(t.Context(), &awsecr.SetRepositoryPolicyInput{RepositoryName: &repository, PolicyText: &text, Force: force})
	return err
}

func TestRepositoryPolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.ECR(), t.Context()
		createRepository(t, c, "app")
		text := "\n" + share("Allow", `{"AWS":"`+other+`"}`, "ecr:BatchGetImage")
		out := must(c.SetRepositoryPolicy(ctx, &awsecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &text}))(t)
		wantEqual(t, "SetRepositoryPolicy", []string{*out.RegistryId, *out.RepositoryName, *out.PolicyText}, []string{"123456789012", "app", text})
		get := func() string {
			t.Helper()
			out := must(c.GetRepositoryPolicy(ctx, &awsecr.GetRepositoryPolicyInput{RepositoryName: new("app")}))(t)
			return *out.RegistryId + *out.RepositoryName + *out.PolicyText
		}
		wantEqual(t, "GetRepositoryPolicy", get(), "123456789012app"+text)
		const invalid = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
		for _, bad := range []string{
			"", "{}", "[]", "x", "{", `{"Statement":[]}`, share("Allow", `"*"`, "ecr:NoSuchAction"), share("Allow", `"*"`, "s3:GetObject"),
			share("Allow", `{"AWS":"12345"}`, "ecr:*"), share("allow", `"*"`, "ecr:*"), share("Allow", `"*"`, "ecr:\u0000"),
			`{"Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"*"}}`,
			share("Allow", `"*"`, "ecr:*") + strings.Repeat("\u00a0", 10), strings.Repeat(" ", 10_240-10) + share("Allow", `"*"`, "ecr:*"),
		} {
			if err := setPolicy(t, c, "app", bad, true); servertest.ErrorCode(err) != "InvalidParameterException" ||
				len(bad) <= 10_240 && servertest.ErrorMessage(err) != invalid {
				t.Errorf("SetRepositoryPolicy(%.80q) = %v", bad, err)
			}
		}
		wantError(t, setPolicy(t, c, "absent", text, false), "RepositoryNotFoundException", noRepository)
		wantEqual(t, "GetRepositoryPolicy after bad ones", get(), "123456789012app"+text)

		must(c.DeleteRepository(ctx, &awsecr.DeleteRepositoryInput{RepositoryName: new("app")}))(t)
		must(s.Server().Registry().RestoreRepository(ctx, root, registry.RestoreRepositoryInput{Ref: app}))(t)
		s.Restart(t)
		wantEqual(t, "GetRepositoryPolicy of a restored repository", get(), "123456789012app"+text)

		gone := must(c.DeleteRepositoryPolicy(ctx, &awsecr.DeleteRepositoryPolicyInput{RepositoryName: new("app")}))(t)
		wantEqual(t, "DeleteRepositoryPolicy", []string{*gone.RegistryId, *gone.RepositoryName, *gone.PolicyText}, []string{"123456789012", "app", text})
		_, err := c.GetRepositoryPolicy(ctx, &awsecr.GetRepositoryPolicyInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryPolicyNotFoundException", "Repository policy does not exist for the repository with name 'app' in the registry with id '123456789012'")
	})
}

func TestAPolicyThatLocksItsAuthorOutMustBeForced(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.ECR(), t.Context()
		createRepository(t, c, "app")
		deny := share("Deny", `"*"`, "ecr:*")
		wantError(t, setPolicy(t, c, "app", deny, false), "InvalidParameterException",
			"Invalid parameter at 'PolicyText' failed to satisfy constraint: 'This repository policy would prevent you from setting another one'")
		if err := setPolicy(t, c, "app", deny, true); err != nil {
			t.Fatal(err)
		}
		_, err := c.ListImages(ctx, &awsecr.ListImagesInput{RepositoryName: new("app")})
		wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:ListImages on resource: "+
			appARN+" with an explicit deny in a resource-based policy")
		s.Login(t).Do(t, http.MethodGet, "/v2/app/tags/list", nil).Want(t, 403)
		user := awsecr.NewFromConfig(s.CreateUserOf(t, s.AWS(), "alice", *statement("Allow", "ecr:*", "*", "")))
		wantDenied(t, setPolicy(t, user, "app", share("Allow", `"*"`, "ecr:*"), true), "ecr:SetRepositoryPolicy", " with an explicit deny in a resource-based policy")
		// The root of the account can repair it.
		if err := setPolicy(t, c, "app", share("Allow", `"*"`, "ecr:ListImages"), false); err != nil {
			t.Error(err)
		}
		must(c.ListImages(ctx, &awsecr.ListImagesInput{RepositoryName: new("app")}))(t)
	})
}

func TestPullsAcrossAccountsNeedBothPolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		createRepository(t, s.ECR(), "app")
		s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 100))
		away := s.CreateAccount(t, other)
		with := awsecr.NewFromConfig(s.CreateUserOf(t, away, "with", *statement("Allow", "ecr:*", "*", "")))
		without := awsecr.NewFromConfig(s.CreateUserOf(t, away, "without", ""))
		pull := func(c *awsecr.Client, account string) error {
			_, err := c.BatchGetImage(ctx, &awsecr.BatchGetImageInput{RegistryId: &account, RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1")}})
			return err
		}
		denied := func(who string, err error, because string) {
			t.Helper()
			wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::"+other+":user/"+who+" is not authorized to perform: ecr:BatchGetImage on resource: "+
				appARN+" because no "+because+" policy allows the ecr:BatchGetImage action")
		}
		denied("with", pull(with, "123456789012"), "resource-based")
		if err := setPolicy(t, s.ECR(), "app", share("Allow", `{"AWS":"`+other+`"}`, "ecr:BatchGetImage"), false); err != nil {
			t.Fatal(err)
		}
		if err := pull(with, "123456789012"); err != nil {
			t.Error(err)
		}
		if err := pull(awsecr.NewFromConfig(away), "123456789012"); err != nil {
			t.Errorf("the other account's root: %v", err)
		}
		denied("without", pull(without, "123456789012"), "identity-based")
		must(iam.NewFromConfig(away).DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("with"), PolicyName: new("with")}))(t)
		denied("with", pull(with, "123456789012"), "identity-based")
		must(s.ECR().DeleteRepositoryPolicy(ctx, &awsecr.DeleteRepositoryPolicyInput{RepositoryName: new("app")}))(t)
		denied("with", pull(with, "123456789012"), "resource-based")
	})
}

func TestATemplatesPolicyIsThatOfItsRepositories(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		text := share("Allow", `{"AWS":"`+other+`"}`, "ecr:BatchGetImage")
		createTemplate(t, c, &awsecr.CreateRepositoryCreationTemplateInput{Prefix: new("team"), RepositoryPolicy: &text})
		s.Login(t).Push(t, "team/app", "v1", servertest.NewImage(1, 10))
		got := must(c.GetRepositoryPolicy(t.Context(), &awsecr.GetRepositoryPolicyInput{RepositoryName: new("team/app")}))(t)
		wantEqual(t, "GetRepositoryPolicy", *got.PolicyText, text)

		deny := share("Deny", `"*"`, "ecr:InitiateLayerUpload")
		createTemplate(t, c, &awsecr.CreateRepositoryCreationTemplateInput{Prefix: new("shut"), RepositoryPolicy: &deny})
		s.Login(t).Do(t, http.MethodPost, "/v2/shut/app/blobs/uploads/", nil).Want(t, 403)
		_, err := c.DescribeRepositories(t.Context(), &awsecr.DescribeRepositoriesInput{RepositoryNames: []string{"shut/app"}})
		wantEqual(t, "DescribeRepositories", servertest.ErrorCode(err), "RepositoryNotFoundException")
	})
}

// What a policy may name is what Berth can be asked for.
func TestPoliciesKnowEveryAction(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	createRepository(t, s.ECR(), "app")
	service := must(ecr.New(ecr.Options{}).Service())(t)
	for _, op := range service.Operations {
		err := setPolicy(t, s.ECR(), "app", share("Allow", `"*"`, "ecr:"+op.Name), false)
		if (err == nil) != (op.Name != "ListImageReferrers") {
			t.Errorf("a policy about ecr:%s: %v", op.Name, err)
		}
	}
}

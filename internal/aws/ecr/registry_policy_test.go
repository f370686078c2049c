package ecr_test

import (
	"net/http"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// overAll is a registry policy of one statement.
func overAll(effect, principal, action string) *string {
	return new(`{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"` + action + `","Resource":"*"}}`)
}

func TestRegistryPolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx, text := s.ECR(), t.Context(), overAll("Allow", `{"AWS":"`+other+`"}`, "ecr:ReplicateImage")
		out := must(c.PutRegistryPolicy(ctx, &ecr.PutRegistryPolicyInput{PolicyText: text}))(t)
		wantEqual(t, "PutRegistryPolicy", []string{*out.RegistryId, *out.PolicyText}, []string{"123456789012", *text})
		s.Restart(t)
		for _, bad := range []string{"", "{}", "x", share("Allow", `"*"`, "ecr:*"), *overAll("Allow", `"*"`, "ecr:NoSuchAction")} {
			_, err := c.PutRegistryPolicy(ctx, &ecr.PutRegistryPolicyInput{PolicyText: &bad})
			wantError(t, err, "InvalidParameterException", "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'")
		}
		got := must(c.GetRegistryPolicy(ctx, &ecr.GetRegistryPolicyInput{}))(t)
		wantEqual(t, "GetRegistryPolicy", []string{*got.RegistryId, *got.PolicyText}, []string{"123456789012", *text})
		_, err := s.ECRIn("eu-west-1").GetRegistryPolicy(ctx, &ecr.GetRegistryPolicyInput{})
		wantEqual(t, "GetRegistryPolicy of another region", servertest.ErrorCode(err), "RegistryPolicyNotFoundException")
		gone := must(c.DeleteRegistryPolicy(ctx, &ecr.DeleteRegistryPolicyInput{}))(t)
		wantEqual(t, "DeleteRegistryPolicy", []string{*gone.RegistryId, *gone.PolicyText}, []string{"123456789012", *text})
		_, err = c.GetRegistryPolicy(ctx, &ecr.GetRegistryPolicyInput{})
		wantError(t, err, "RegistryPolicyNotFoundException", "Registry policy does not exist in the registry with id '123456789012'")
	})
}

func TestARegistryPolicyHasASayInEveryCall(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx, docker := s.ECR(), t.Context(), s.Login(t)
		createRepository(t, c, "app")
		img := servertest.NewImage(1, 100)
		docker.Push(t, "app", "v1", img)
		away := ecr.NewFromConfig(s.CreateUserOf(t, s.CreateAccount(t, other), "bob", *statement("Allow", "ecr:*", "*", "")))
		put := func(text *string) {
			t.Helper()
			must(c.PutRegistryPolicy(ctx, &ecr.PutRegistryPolicyInput{PolicyText: text}))(t)
		}
		pull := func() string {
			_, err := away.BatchGetImage(ctx, &ecr.BatchGetImageInput{
				RegistryId: new("123456789012"), RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1")},
			})
			return servertest.ErrorCode(err)
		}
		wantEqual(t, "a pull from another account", pull(), "AccessDeniedException")
		put(overAll("Allow", `{"AWS":"`+other+`"}`, "ecr:BatchGetImage"))
		wantEqual(t, "a pull from another account with the policy", pull(), "")

		docker.Do(t, http.MethodGet, "/v2/app/manifests/v1", nil).Want(t, 200)
		put(overAll("Deny", `"*"`, "ecr:*"))
		docker.Do(t, http.MethodGet, "/v2/app/manifests/v1", nil).Want(t, 403)
		docker.Do(t, http.MethodPost, "/v2/app/blobs/uploads/", nil).Want(t, 403)
		_, err := c.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: new("new")})
		wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:CreateRepository on resource: "+
			"arn:aws:ecr:us-east-1:123456789012:repository/new with an explicit deny in a resource-based policy")
		_, err = c.DescribeRegistry(ctx, &ecr.DescribeRegistryInput{})
		wantEqual(t, "DescribeRegistry", servertest.ErrorCode(err), "AccessDeniedException")
		// The root of the account can take it away.
		must(c.DeleteRegistryPolicy(ctx, &ecr.DeleteRegistryPolicyInput{}))(t)
		docker.Do(t, http.MethodGet, "/v2/app/manifests/v1", nil).Want(t, 200)
		docker.Push(t, "app", "v2", servertest.NewImage(2, 100))
	})
}

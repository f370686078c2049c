package ecr_test

import (
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

func TestThereAreNoPolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		const none = "Repository policy does not exist for the repository with name 'app' in the registry with id '123456789012'"
		_, err := c.GetRepositoryPolicy(t.Context(), &ecr.GetRepositoryPolicyInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryPolicyNotFoundException", none)
		_, err = c.DeleteRepositoryPolicy(t.Context(), &ecr.DeleteRepositoryPolicyInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryPolicyNotFoundException", none)
		_, err = c.GetRepositoryPolicy(t.Context(), &ecr.GetRepositoryPolicyInput{RepositoryName: new("absent")})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		_, err = c.DeleteRepositoryPolicy(t.Context(), &ecr.DeleteRepositoryPolicyInput{RepositoryName: new("absent")})
		wantError(t, err, "RepositoryNotFoundException", noRepository)

		const noRegistryPolicy = "Registry policy does not exist in the registry with id '123456789012'"
		_, err = c.GetRegistryPolicy(t.Context(), &ecr.GetRegistryPolicyInput{})
		wantError(t, err, "RegistryPolicyNotFoundException", noRegistryPolicy)
		_, err = c.DeleteRegistryPolicy(t.Context(), &ecr.DeleteRegistryPolicyInput{})
		wantError(t, err, "RegistryPolicyNotFoundException", noRegistryPolicy)
	})
}

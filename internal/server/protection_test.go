package server_test

import (
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"
)

func TestAProtectedRepositoryIsNotDeleted(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		s.CreateRepository(t, "other")
		c := s.Login(t)
		c.Push(t, "app", "v1", servertest.NewImage(1))
		protection := func(body string, want bool) {
			t.Helper()
			if got := mustAsk[server.ProtectionResponse](t, s, server.ProtectionPath, body); got.Name != "app" || got.Enabled != want {
				t.Errorf("POST %s = %+v, want %t", body, got, want)
			}
		}
		protection(`{"repositoryName":"app"}`, false)
		protection(`{"repositoryName":"app","enabled":true}`, true)
		s.Restart(t)
		protection(`{"repositoryName":"app"}`, true)
		const text = "The repository with name 'app' in the registry with id '123456789012' is protected against deletion. " +
			"Remove the protection with 'berth repository unprotect app' first."
		for _, force := range []string{"true", "false"} {
			status, got := call(t, s, "DeleteRepository", `{"repositoryName":"app","force":`+force+`}`)
			if status != 400 || !strings.Contains(got, text) || !strings.Contains(got, "InvalidParameterException") {
				t.Errorf("DeleteRepository with force %s = %d %s", force, status, got)
			}
		}
		// Other changes leave it on; images can be deleted.
		call(t, s, "PutImageTagMutability", `{"repositoryName":"app","imageTagMutability":"IMMUTABLE"}`)
		c.Do(t, "DELETE", manifestPath("app", "v1"), nil).Want(t, 202)
		protection(`{"repositoryName":"app"}`, true)
		deleteRepository(t, s, "other")
		protection(`{"repositoryName":"app","enabled":false}`, false)
		deleteRepository(t, s, "app")
		refused(t, s, server.ProtectionPath, `{"repositoryName":"app","enabled":true}`, "RepositoryNotFoundException", "")
		refused(t, s, server.ProtectionPath, `{"repositoryName":"app","registryId":"210987654321","enabled":true}`, "AccessDeniedException", "ecr:DeleteRepository")
		refused(t, s, server.ProtectionPath, `{"repositoryName":"app","enabled":1}`, "SerializationException", "")
		refused(t, s, server.ProtectionPath, `{"enabled":true}`, "InvalidParameterException", "repositoryName")
	})
}

// What the operations of ours ask the authorizer.
func TestRestoringAsksAsCreatingDoes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		img := servertest.NewImage(1)
		c := s.Login(t)
		c.Push(t, "app", "v1", img)
		c.Do(t, "DELETE", manifestPath("app", "v1"), nil).Want(t, 202)
		call(t, s, "TagResource", `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/app","tags":[{"Key":"team","Value":"a"}]}`)
		for _, tt := range []struct{ path, body, action, resource string }{
			{server.DeletedImagesPath, `{"repositoryName":"app"}`, "DescribeImages", "repository/app"},
			{server.RestoreImagePath, `{"repositoryName":"app","imageDigest":"` + img.Digest.String() + `"}`, "PutImage", "repository/app"},
			{server.ProtectionPath, `{"repositoryName":"app"}`, "DescribeRepositories", "repository/app"},
			{server.ProtectionPath, `{"repositoryName":"app","enabled":false}`, "DeleteRepository", "repository/app"},
			{server.DeletedRepositoriesPath, `{}`, "DescribeRepositories", "repository/*"},
			{server.DeletedImagesPath, `{"repositoryName":"gone"}`, "DescribeImages", "repository/gone"},
			{server.RestoreRepositoryPath, `{"repositoryName":"gone"}`, "CreateRepository", "repository/gone"},
		} {
			if strings.Contains(tt.body, "gone") && tt.path == server.DeletedImagesPath {
				s.CreateRepository(t, "gone")
				call(t, s, "TagResource", `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/gone","tags":[{"Key":"team","Value":"a"}]}`)
				deleteRepository(t, s, "gone")
			}
			s.Decisions()
			mustAsk[any](t, s, tt.path, tt.body)
			d := s.Decisions()
			if len(d) != 1 || d[0].Action != "ecr:"+tt.action || d[0].Resource != "arn:aws:ecr:us-east-1:123456789012:"+tt.resource {
				t.Errorf("%s %s asked about %v, want %s", tt.path, tt.body, d, tt.action)
				continue
			}
			if tags := d[0].Context["aws:ResourceTag/team"]; (len(tags) == 1) == (tt.resource == "repository/*") {
				t.Errorf("%s %s has resource tags %v", tt.path, tt.body, tags)
			}
			if tags := d[0].Context["aws:RequestTag/team"]; (len(tags) == 1) != (tt.action == "CreateRepository") {
				t.Errorf("%s %s has request tags %v", tt.path, tt.body, tags)
			}
			foreign := strings.Replace(tt.body, "{", `{"registryId":"210987654321",`, 1)
			foreign = strings.Replace(foreign, ",}", "}", 1)
			refused(t, s, tt.path, foreign, "AccessDeniedException", "is not authorized to perform: ecr:"+tt.action)
		}
	})
}

package server_test

import (
	"encoding/json"
	"errors"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// createAccount asks for an account and returns the answer and the exception.
func createAccount(t *testing.T, s *servertest.Server, as awssdk.Config, body string) (out server.AccountResponse, exception string) {
	t.Helper()
	_, text := s.PostAs(t, as, server.AccountPath, body)
	var refused struct {
		Type string `json:"__type"`
	}
	if err := errors.Join(json.Unmarshal([]byte(text), &out), json.Unmarshal([]byte(text), &refused)); err != nil {
		t.Fatal(err)
	}
	return out, refused.Type
}

func TestAnAccountHasItsOwnRegistriesAndUsers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		s.CreateRepository(t, "app")
		made, exception := createAccount(t, s, s.AWS(), `{"accountId":"111122223333"}`)
		if exception != "" || made.AccountID != "111122223333" {
			t.Fatalf("account = %+v, %s", made, exception)
		}
		other := s.As(made.AccessKeyID, made.SecretAccessKey)
		repo, err := ecr.NewFromConfig(other).CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: new("app")})
		if err != nil || *repo.Repository.RepositoryArn != "arn:aws:ecr:us-east-1:111122223333:repository/app" {
			t.Fatalf("CreateRepository = %v, want one in the new account", err)
		}
		_, err = ecr.NewFromConfig(other).ListImages(ctx, &ecr.ListImagesInput{RegistryId: new(servertest.Account), RepositoryName: new("app")})
		if servertest.ErrorCode(err) != "AccessDeniedException" {
			t.Errorf("ListImages in the first account = %v, want AccessDeniedException", err)
		}
		_, err = s.ECR().ListImages(ctx, &ecr.ListImagesInput{RegistryId: new("111122223333"), RepositoryName: new("app")})
		if servertest.ErrorCode(err) != "AccessDeniedException" {
			t.Errorf("ListImages in the new account by the first root = %v, want AccessDeniedException", err)
		}
		user, err := iam.NewFromConfig(other).CreateUser(ctx, &iam.CreateUserInput{UserName: new("u")})
		if err != nil || *user.User.Arn != "arn:aws:iam::111122223333:user/u" {
			t.Errorf("CreateUser = %v, want one in the new account", err)
		}
		for what, tt := range map[string]struct {
			as         awssdk.Config
			body, want string
		}{
			"again":           {s.AWS(), `{"accountId":"111122223333"}`, "EntityAlreadyExists"},
			"of no id":        {s.AWS(), `{"accountId":"1"}`, "InvalidInput"},
			"by another root": {other, `{}`, "AccessDeniedException"},
			"by a user":       {s.CreateUser(t, "alice"), `{}`, "AccessDeniedException"},
		} {
			if _, exception := createAccount(t, s, tt.as, tt.body); exception != tt.want {
				t.Errorf("an account %s = %s, want %s", what, exception, tt.want)
			}
		}
		s.Restart(t)
		if _, err := ecr.NewFromConfig(other).DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{}); err != nil {
			t.Errorf("DescribeRepositories after a restart = %v", err)
		}
	})
}

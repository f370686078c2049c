package servertest

import (
	"encoding/json"
	"testing"

	"berth/internal/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// CreateAccount makes an account and returns the configuration of a client that
// signs with its root's key.
func (s *Server) CreateAccount(t testing.TB, id string) aws.Config {
	t.Helper()
	status, text := s.PostAs(t, s.AWS(), server.AccountPath, `{"accountId":"`+id+`"}`)
	var out server.AccountResponse
	if err := json.Unmarshal([]byte(text), &out); err != nil || status != 200 {
		t.Fatalf("create account %s: %d %s", id, status, text)
	}
	return s.As(out.AccessKeyID, out.SecretAccessKey)
}

// CreateUserOf makes a user with an access key in the account of a root, with a
// policy unless it is "".
func (s *Server) CreateUserOf(t testing.TB, root aws.Config, name, policy string) aws.Config {
	t.Helper()
	c := iam.NewFromConfig(root)
	if _, err := c.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	if policy != "" {
		if _, err := c.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: &name, PolicyDocument: &policy}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := c.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return s.As(*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey)
}

// CreateRole makes a role in the account of a root, with a trust policy's
// statements and a policy unless it is "", and returns its ARN.
func (s *Server) CreateRole(t testing.TB, root aws.Config, name, trust, policy string) string {
	t.Helper()
	c := iam.NewFromConfig(root)
	trust = `{"Version":"2012-10-17","Statement":[` + trust + `]}`
	out, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		t.Fatal(err)
	}
	if policy != "" {
		if _, err := c.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &name, PolicyDocument: &policy}); err != nil {
			t.Fatal(err)
		}
	}
	return *out.Role.Arn
}

// AsSession returns the SDK's configuration of a client that signs with temporary
// credentials.
func (s *Server) AsSession(c *types.Credentials) aws.Config {
	config := s.AWS()
	config.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return config
}

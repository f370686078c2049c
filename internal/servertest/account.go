package servertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// CreateAccount makes an account and returns the configuration of a client that
// signs with its root's key.
func (s *Server) CreateAccount(t testing.TB, id string) aws.Config {
	t.Helper()
	body := `{"accountId":"` + id + `"}`
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+server.AccountPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: s.Config.RootAccessKeyID, SecretAccessKey: s.Config.RootSecretAccessKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), "ecr", Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := s.httpClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out server.AccountResponse
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != 200 {
		t.Fatalf("create account %s: status %d, %v", id, res.StatusCode, err)
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

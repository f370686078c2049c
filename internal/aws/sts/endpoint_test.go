package sts_test

import (
	"os"
	"path/filepath"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Who has nothing but a token comes through an endpoint as everybody else does.
func TestThePolicyOfAnEndpointBindsTokensToo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.json")
	text := `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*","Resource":"*"}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	servertest.Each(t, servertest.Options{Tokens: verifier{}, Configure: func(c *config.Config) {
		c.Endpoints = []config.Endpoint{
			{ID: "vpce-01234567", VPC: "vpc-01234567", Listen: "127.0.0.1:0", Policy: file},
			{ID: "vpce-89abcdef", VPC: "vpc-01234567", Listen: "127.0.0.1:0"},
		}
	}}, func(t *testing.T, s *servertest.Server) {
		role := webIdentity(t, s, "ci", `"StringEquals":{"aws:SourceVpce":["vpce-01234567","vpce-89abcdef"]}`)
		for url, want := range map[string]string{
			s.URL: "AccessDenied", "http://" + s.Config.Endpoints[0].Listen: "AccessDenied", "http://" + s.Config.Endpoints[1].Listen: "",
		} {
			as := stranger(s)
			as.BaseEndpoint = &url
			_, err := sts.NewFromConfig(as).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: &role, RoleSessionName: new("job-1"), WebIdentityToken: new(token(good, "good")),
			})
			if servertest.ErrorCode(err) != want {
				t.Errorf("AssumeRoleWithWebIdentity at %s = %v, want %q", url, err, want)
			}
		}
	})
}

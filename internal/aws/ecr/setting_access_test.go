package ecr_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
)

func TestAnAccountSettingCanBeAllowedAlone(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := awsecr.NewFromConfig(s.CreateUserOf(t, s.AWS(), "alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
			"Action":["ecr:PutAccountSetting","ecr:GetAccountSetting"],"Resource":"*","Condition":{"StringEquals":{"ecr:AccountSetting":"BLOB_MOUNTING"}}}]}`))
		for name, allowed := range map[string]bool{"BLOB_MOUNTING": true, "REGISTRY_POLICY_SCOPE": false} {
			value := map[string]string{"BLOB_MOUNTING": "DISABLED", "REGISTRY_POLICY_SCOPE": "V2"}[name]
			_, put := c.PutAccountSetting(t.Context(), &awsecr.PutAccountSettingInput{Name: &name, Value: &value})
			_, get := c.GetAccountSetting(t.Context(), &awsecr.GetAccountSettingInput{Name: &name})
			for action, err := range map[string]error{"PutAccountSetting": put, "GetAccountSetting": get} {
				refused := servertest.ErrorCode(err) == "AccessDeniedException" &&
					strings.HasSuffix(servertest.ErrorMessage(err), "because no identity-based policy allows the ecr:"+action+" action")
				if allowed && err != nil || !allowed && !refused {
					t.Errorf("%s of %s = %v, want it allowed: %t", action, name, err, allowed)
				}
			}
		}
	})
}

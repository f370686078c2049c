package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Whatever is asked, the answer is a refusal of STS's or an answer.
func TestNastyInputIsNoFaultOfSTS(t *testing.T) {
	t.Parallel()
	if raced {
		t.Skip("thousands of requests, one after the other, find no races: they are made without the detector")
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRole(t, s.AWS(), "r", trustHome, "")
		alice := s.CreateUserOf(t, s.AWS(), "alice", anything)
		role := string(servertest.JSON("arn:aws:iam::" + servertest.Account + ":role/r"))
		for operation, text := range map[string]string{
			"AssumeRole":                `{"RoleArn":` + role + `,"RoleSessionName":"build","Policy":"x","ExternalId":"e-1","SourceIdentity":"me","SerialNumber":"123456789","TokenCode":"1"}`,
			"AssumeRoleWithWebIdentity": `{"RoleArn":` + role + `,"RoleSessionName":"build","Policy":"x","WebIdentityToken":"x","ProviderId":"x"}`,
			"AssumeRoleWithSAML":        `{"RoleArn":` + role + `,"PrincipalArn":` + role + `,"SAMLAssertion":"PHNhbWw+","Policy":"x"}`,
			"GetFederationToken":        `{"Name":"guest","Policy":"x"}`,
			"GetAccessKeyInfo":          `{"AccessKeyId":"AKIAAAAAAAAAAAAAAAAA"}`,
			"GetSessionToken":           `{"SerialNumber":"123456789","TokenCode":"1"}`,
		} {
			members := map[string]json.RawMessage{}
			if err := json.Unmarshal([]byte(text), &members); err != nil {
				t.Fatal(err)
			}
			for name, good := range members {
				for _, value := range append(nasty, "arn:aws:iam::123456789012:role/", "arn:aws:iam::123456789012:role/\x00", "e30.e30.x", "e30.eyJpc3MiOiJodHRwczovL2EifQ.x",
					"e30.eyJpc3MiOiJodHRwczovL1x1MDAwMCJ9.x") {
					members[name] = servertest.JSON(value)
					only := map[string]json.RawMessage{name: members[name]}
					for _, needed := range []string{"RoleArn", "RoleSessionName", "WebIdentityToken", "PrincipalArn", "SAMLAssertion", "Name", "AccessKeyId"} {
						if v, there := members[needed]; there {
							only[needed] = v
						}
					}
					_, err := invoke(t.Context(), sts.NewFromConfig(alice), operation, string(servertest.JSON(only)))
					code := servertest.ErrorCode(err)
					switch {
					case code == "", strings.Contains(code, "missing required field"):
					case code == "ValidationError", code == "MalformedPolicyDocument", code == "AccessDenied", code == "MalformedInput",
						code == "InvalidIdentityToken", code == "PackedPolicyTooLarge":
					default:
						t.Errorf("%s%s = %v", operation, servertest.JSON(only), err)
					}
				}
				members[name] = good
			}
		}
		if _, err := s.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil {
			t.Error(err)
		}
	})
}

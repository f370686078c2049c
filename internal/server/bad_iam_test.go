package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// nasty are values that no member is made for.
var nasty = []string{
	"", " ", "\x00", "a\x00b", "a\x7fb", "\ufffe", "é", "İ", "%", "*", "/", "//", "../x", "a/b", "v0", "v99999999999999999999", ":::::", "{}", "null", "[]",
	`{"a":1}x`, "\"", "https://", "https://a/%", "arn:aws:iam::aws:policy/", "arn:aws:iam::aws:policy/x", "arn:aws:iam::123456789012:policy/",
	"arn:aws:iam::123456789012:policy/a\x00", "arn:aws:iam:us-east-1:123456789012:policy/t/p", "arn:aws:iam:::policy/t/p", "arn:aws:iam::123456789012:oidc-provider/",
	"arn:aws:iam::123456789012:oidc-provider/\x00", "task/aws-service-role/replication.ecr.amazonaws.com/AWSServiceRoleForECRReplication/",
	strings.Repeat("a", 3000), strings.Repeat("/", 600), strings.Repeat("[", 5000),
}

// Whatever is asked, the answer is a refusal of IAM's or an answer: never a fault
// of ours, which the server would log.
func TestNastyInputIsNoFaultOfIAM(t *testing.T) {
	t.Parallel()
	if raced {
		t.Skip("thousands of requests, one after the other, find no races: they are made without the detector")
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		client, cases := s.IAM(), 0
		try := func(operation string, members map[string]json.RawMessage) {
			_, err := invoke(t.Context(), client, operation, string(servertest.JSON(members)))
			code := servertest.ErrorCode(err)
			if strings.Contains(code, "missing required field") {
				return // the SDK has not sent it
			}
			switch code {
			case "", "NoSuchEntity", "EntityAlreadyExists", "DeleteConflict", "LimitExceeded", "MalformedPolicyDocument", "ValidationError", "InvalidInput",
				"UnmodifiableEntity", "AccessDenied", "MalformedInput":
			default:
				t.Errorf("%s%s = %v", operation, servertest.JSON(members), err)
			}
			cases++
		}
		fillAccount(t, s)
		there := filler("arn:aws:iam::" + servertest.Account + ":")
		names := []string{}
		for operation := range iamOperations {
			names = append(names, operation)
		}
		for _, operation := range names {
			members := map[string]json.RawMessage{}
			if err := json.Unmarshal([]byte(there.Replace(iamOperations[operation].input)), &members); err != nil {
				t.Fatal(err)
			}
			for name, good := range members {
				if good[0] != '"' {
					continue
				}
				for _, value := range nasty {
					members[name] = servertest.JSON(value)
					try(operation, members)
				}
				members[name] = good
			}
			for _, marker := range []string{"Marker", "PathPrefix"} {
				if field := strings.HasPrefix(operation, "List") && operation != "ListAccountAliases"; field {
					for _, value := range nasty {
						members[marker] = servertest.JSON(value)
						try(operation, members)
					}
					delete(members, marker)
				}
			}
		}
		if _, err := client.ListUsers(t.Context(), &iam.ListUsersInput{}); err != nil {
			t.Error(err)
		}
		t.Logf("%d cases", cases)
	})
}

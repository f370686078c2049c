package server_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	awskms "berth/internal/aws/kms"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// kmsAsks says what an operation of KMS asks the authorizer about.
type kmsAsks struct {
	input  string // JSON with KEY, OTHER, BLOB and GRANT for what there is
	action string // "" for the operation
	// What is asked about: "key" for the key's ARN, an alias, or "*".
	resource string
}

// kmsOperations are those of KMS that Berth has. A new one must be added here.
var kmsOperations = map[string]kmsAsks{
	"CancelKeyDeletion":               {`{"KeyId":"KEY"}`, "", "key"},
	"CreateAlias":                     {`{"AliasName":"alias/new","TargetKeyId":"KEY"}`, "", "alias/new"},
	"CreateGrant":                     {`{"KeyId":"KEY","GranteePrincipal":"arn:aws:iam::123456789012:root","Operations":["Decrypt"],"Name":"g"}`, "", "key"},
	"CreateKey":                       {`{"Description":"d"}`, "", "*"},
	"Decrypt":                         {`{"KeyId":"KEY","CiphertextBlob":"BLOB"}`, "", "key"},
	"DeleteAlias":                     {`{"AliasName":"alias/there"}`, "", "alias/there"},
	"DescribeKey":                     {`{"KeyId":"KEY"}`, "", "key"},
	"DisableKey":                      {`{"KeyId":"KEY"}`, "", "key"},
	"DisableKeyRotation":              {`{"KeyId":"KEY"}`, "", "key"},
	"EnableKey":                       {`{"KeyId":"KEY"}`, "", "key"},
	"EnableKeyRotation":               {`{"KeyId":"KEY","RotationPeriodInDays":90}`, "", "key"},
	"Encrypt":                         {`{"KeyId":"KEY","Plaintext":"YQ=="}`, "", "key"},
	"GenerateDataKey":                 {`{"KeyId":"KEY","KeySpec":"AES_256"}`, "", "key"},
	"GenerateDataKeyWithoutPlaintext": {`{"KeyId":"KEY","KeySpec":"AES_256"}`, "", "key"},
	"GenerateRandom":                  {`{"NumberOfBytes":8}`, "", "*"},
	"GetKeyPolicy":                    {`{"KeyId":"KEY","PolicyName":"default"}`, "", "key"},
	"GetKeyRotationStatus":            {`{"KeyId":"KEY"}`, "", "key"},
	"ListAliases":                     {`{"KeyId":"KEY"}`, "", "*"},
	"ListGrants":                      {`{"KeyId":"KEY","GrantId":"GRANT","GranteePrincipal":"x"}`, "", "key"},
	"ListKeyPolicies":                 {`{"KeyId":"KEY"}`, "", "key"},
	"ListKeyRotations":                {`{"KeyId":"KEY"}`, "", "key"},
	"ListKeys":                        {`{}`, "", "*"},
	"ListResourceTags":                {`{"KeyId":"KEY"}`, "", "key"},
	"ListRetirableGrants":             {`{"RetiringPrincipal":"arn:aws:iam::123456789012:root"}`, "", "*"},
	"PutKeyPolicy":                    {`{"KeyId":"KEY","PolicyName":"default","Policy":"{}"}`, "", "key"},
	"ReEncrypt":                       {`{"SourceKeyId":"KEY","DestinationKeyId":"KEY","CiphertextBlob":"BLOB"}`, "ReEncryptFrom", "key"},
	"RetireGrant":                     {`{"KeyId":"KEY","GrantId":"GRANT"}`, "", "key"},
	"RevokeGrant":                     {`{"KeyId":"KEY","GrantId":"GRANT"}`, "", "key"},
	"RotateKeyOnDemand":               {`{"KeyId":"KEY"}`, "", "key"},
	"ScheduleKeyDeletion":             {`{"KeyId":"KEY","PendingWindowInDays":7}`, "", "key"},
	"TagResource":                     {`{"KeyId":"KEY","Tags":[{"TagKey":"a","TagValue":"b"}]}`, "", "key"},
	"UntagResource":                   {`{"KeyId":"KEY","TagKeys":["a"]}`, "", "key"},
	"UpdateAlias":                     {`{"AliasName":"alias/there","TargetKeyId":"KEY"}`, "", "alias/there"},
	"UpdateKeyDescription":            {`{"KeyId":"KEY","Description":"d"}`, "", "key"},
}

// fillKeys makes what the inputs of the table are about and returns the key's ARN and
// what fills the inputs.
func fillKeys(t *testing.T, s *servertest.Server) (string, *strings.Replacer) {
	t.Helper()
	c, ctx := s.KMS(), t.Context()
	key, err := c.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	arn := key.KeyMetadata.Arn
	if _, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/there"), TargetKeyId: arn}); err != nil {
		t.Fatal(err)
	}
	g, err := c.CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: arn, GranteePrincipal: new("arn:aws:iam::" + servertest.Account + ":root"), Operations: []types.GrantOperation{"Decrypt"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: arn, Plaintext: []byte("a")})
	if err != nil {
		t.Fatal(err)
	}
	return *arn, strings.NewReplacer(`"KEY"`, quotes(*arn), `"GRANT"`, quotes(*g.GrantId), `"BLOB"`, quotes(base64.StdEncoding.EncodeToString(e.CiphertextBlob)))
}

func quotes(s string) string { return `"` + s + `"` }

// A user is refused every operation, before anything else is said, and so is who asks
// about keys that there are not and keys of other accounts.
func TestEveryOperationOfKMSAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	service, err := awskms.New(nil).Service()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range service.Operations {
		if _, listed := kmsOperations[op.Name]; !listed && op.Refused == "" {
			t.Errorf("%s is not in this test's table", op.Name)
		}
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		stranger := kms.NewFromConfig(s.CreateUser(t, "stranger"))
		foreign := kms.NewFromConfig(s.CreateAccount(t, "111122223333"))
		key, there := fillKeys(t, s)
		const none = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
		for operation, want := range kmsOperations {
			action, resource := "kms:"+operation, "arn:aws:kms:us-east-1:123456789012:"+want.resource
			if want.action != "" {
				action = "kms:" + want.action
			}
			switch want.resource {
			case "key":
				resource = key
			case "*":
				resource = "*"
			}
			s.Decisions()
			_, err := invoke(t.Context(), stranger, operation, there.Replace(want.input))
			message := servertest.ErrorMessage(err)
			if servertest.ErrorCode(err) != "AccessDeniedException" ||
				!strings.HasPrefix(message, "User: arn:aws:iam::123456789012:user/stranger is not authorized to perform: "+action+" on resource: "+resource+" because no identity-based policy") {
				t.Errorf("%s by a user = %v", operation, err)
			}
			if d := s.Decisions(); len(d) != 1 || d[0].Action != action || d[0].Resource != resource || d[0].Account != servertest.Account {
				t.Errorf("%s asked about %v, want %s", operation, d, resource)
			}
			_, err = invoke(t.Context(), stranger, operation, strings.NewReplacer(`"KEY"`, quotes(none), `"GRANT"`, quotes("g"), `"BLOB"`, quotes("YQ==")).Replace(want.input))
			if got := servertest.ErrorMessage(err); got != strings.Replace(message, key, none, 1) {
				t.Errorf("%s about what there is not = %s\nwant %s", operation, got, strings.Replace(message, key, none, 1))
			}
			if want.resource != "key" {
				continue
			}
			told := map[string]string{}
			const aliases = "arn:aws:kms:us-east-1:123456789012:alias/"
			for _, arn := range []string{key, none, aliases + "there", aliases + "none"} {
				_, err = invoke(t.Context(), foreign, operation, there.Replace(strings.ReplaceAll(want.input, `"KEY"`, quotes(arn))))
				why := "because no resource-based policy allows the " + action
				if strings.Contains(arn, "alias") {
					why = "because no " // for operations that take no alias nobody's policy does
				}
				if servertest.ErrorCode(err) != "AccessDeniedException" || !strings.Contains(servertest.ErrorMessage(err), why) {
					t.Errorf("%s by another account = %v", operation, err)
				}
				told[arn] = strings.ReplaceAll(servertest.ErrorMessage(err), arn, "ARN")
			}
			if told[key] != told[none] || told[aliases+"there"] != told[aliases+"none"] {
				t.Errorf("%s tells another account what there is: %q", operation, told)
			}
		}
	})
}

// Whatever is asked, the answer is a refusal or an answer: never a fault of ours,
// which the server would log.
func TestNastyInputIsNoFaultOfKMS(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		key, there := fillKeys(t, s)
		client, cases := s.KMS(), 0
		worse := append([]string{
			"alias/", "alias/aws/ecr", "alias/aws/s3", "alias/none", key + "x", strings.Replace(key, "us-east-1", "us-west-2", 1), "arn:aws:kms:us-east-1:123456789012:alias/none",
			strings.TrimPrefix(key, "arn:"), strings.Replace(key, "123456789012", "", 1), "AAAA", "AQ==", base64.StdEncoding.EncodeToString(make([]byte, 200)),
			base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 200)...)),
		}, nasty...)
		for operation, asks := range kmsOperations {
			members := map[string]json.RawMessage{}
			if err := json.Unmarshal([]byte(there.Replace(asks.input)), &members); err != nil {
				t.Fatal(err)
			}
			for name, good := range members {
				if good[0] != '"' {
					continue
				}
				for _, value := range worse {
					members[name] = servertest.JSON(value)
					status, body := s.Call(t, "kms", "TrentService."+operation, string(servertest.JSON(members)))
					if status >= 500 {
						t.Errorf("%s%s = %d %s", operation, servertest.JSON(members), status, body)
					}
					cases++
				}
				members[name] = good
			}
			if strings.HasPrefix(operation, "List") {
				members["Marker"] = servertest.JSON("\u00ff" + strings.Repeat("a", 1000))
				if status, body := s.Call(t, "kms", "TrentService."+operation, string(servertest.JSON(members))); status != 400 || !strings.Contains(body, "InvalidMarkerException") {
					t.Errorf("%s with a marker of nobody = %d %s", operation, status, body)
				}
			}
		}
		for _, body := range []string{
			`{"KeyId":"alias/there","Plaintext":"YQ==","EncryptionContext":{"\u0000":"\u0000"}}`, `{"KeyId":"alias/there","Plaintext":"YQ==","EncryptionContext":{"a":"1","A":"2"}}`,
			`{"KeyId":"alias/there","Plaintext":"YQ==","EncryptionContext":{"":"x"}}`, `{"KeyId":"alias/there","Plaintext":"YQ==","EncryptionContext":{"a":null}}`,
			`{"KeyId":"alias/there","Plaintext":"YQ==","GrantTokens":["x"]}`, `{"KeyId":"alias/there","Plaintext":"YQ==","EncryptionContext":{"a":"` + strings.Repeat("x", 9000) + `"}}`,
		} {
			if status, answer := s.Call(t, "kms", "TrentService.Encrypt", body); status >= 500 {
				t.Errorf("Encrypt%.100s = %d %s", body, status, answer)
			}
		}
		for _, target := range []string{"ListGrants", "CreateGrant", "ListRetirableGrants"} {
			body := `{"KeyId":"` + key + `","GranteeServicePrincipal":"a\u0000","RetiringServicePrincipal":"a\u0000","Operations":["Decrypt"]}`
			if status, answer := s.Call(t, "kms", "TrentService."+target, body); status != 400 {
				t.Errorf("%s = %d %s", target, status, answer)
			}
		}
		if _, err := client.ListKeys(t.Context(), &kms.ListKeysInput{}); err != nil {
			t.Error(err)
		}
		t.Logf("%d cases", cases)
	})
}

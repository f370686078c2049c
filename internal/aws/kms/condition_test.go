package kms_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const denied = "AccessDeniedException"

// conditional allows a user an action under a condition.
func conditional(user, actions, condition string) *string {
	return policyFor(`{"Effect":"Allow","Principal":{"AWS":"` + user + `"},"Action":[` + actions + `],"Resource":"*","Condition":` + condition + `}`)
}

func TestConditionsOfCalls(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		key, other := create(t, c), create(t, c)
		user := kms.NewFromConfig(s.CreateUser(t, "alice"))
		put := func(p *string) {
			t.Helper()
			for _, k := range []*string{key, other} {
				must[*kms.PutKeyPolicyOutput](t)(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: k, Policy: p}))
			}
		}

		blob := ok[*kms.EncryptOutput](t)(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})).CiphertextBlob
		put(conditional(alice, `"kms:ReEncrypt*"`, `{"Bool":{"kms:ReEncryptOnSameKey":"true"}}`))
		again := func(to *string) string {
			return servertest.ErrorCode(failure(user.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: to})))
		}
		equal(t, "ReEncrypt on the same key, another", []string{again(key), again(other)}, []string{"", denied})

		put(conditional(alice, `"kms:Encrypt","kms:GenerateDataKey"`, `{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`))
		_, err := user.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
		equal(t, "Encrypt with the algorithm", servertest.ErrorCode(err), "")

		put(conditional(alice, `"kms:CreateGrant"`, `{"StringEquals":{"kms:EncryptionContext:app":"a"}}`))
		grant := func(constraints *types.GrantConstraints) string {
			return servertest.ErrorCode(failure(user.CreateGrant(ctx, &kms.CreateGrantInput{
				KeyId: key, GranteePrincipal: new(alice), Operations: []types.GrantOperation{"Decrypt"}, Constraints: constraints,
			})))
		}
		equal(t, "CreateGrant with constraints", []string{
			grant(nil), grant(&types.GrantConstraints{EncryptionContextSubset: map[string]string{"app": "b"}}),
			grant(&types.GrantConstraints{EncryptionContextSubset: map[string]string{"app": "a"}}),
			grant(&types.GrantConstraints{EncryptionContextEquals: map[string]string{"app": "a"}}),
		}, []string{denied, denied, "", ""})

		huge := map[string]string{"app": strings.Repeat("x", 9000)}
		_, err = c.CreateGrant(ctx, &kms.CreateGrantInput{
			KeyId: key, GranteePrincipal: new(alice), Operations: []types.GrantOperation{"Decrypt"}, Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"app": strings.Repeat("x", 384)}},
		})
		equal(t, "CreateGrant by the root, who may not", servertest.ErrorCode(err), denied)
		_, err = user.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x"), EncryptionContext: huge})
		equal(t, "a huge context of who may not", servertest.ErrorCode(err), denied)
		for _, record := range s.AuditRecords(t) {
			if strings.Contains(record, strings.Repeat("x", 9000)) {
				t.Error("an audit record has a huge encryption context")
			}
		}
	})
}

// Who may make keys needs no right to their policies.
func TestWhoMayOnlyCreateKeys(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		user := kms.NewFromConfig(s.CreateUserOf(t, s.AWS(), "alice", servertest.Allow("kms:CreateKey")))
		must[*kms.CreateKeyOutput](t)(user.CreateKey(t.Context(), &kms.CreateKeyInput{}))
		_, err := user.CreateKey(t.Context(), &kms.CreateKeyInput{Policy: policyFor(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"kms:*","Resource":"*"}`)})
		refused(t, "CreateKey with a policy", err, "MalformedPolicyDocumentException", "")
	})
}

// A grantee whose right is a grant gives no more than that whatever a policy says about
// calls that are not this one.
func TestGranteesGiveNoMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		key := create(t, c)
		must[*kms.CreateAliasOutput](t)(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/prod"), TargetKeyId: key}))
		user := kms.NewFromConfig(s.CreateUser(t, "alice"))
		must[*kms.CreateGrantOutput](t)(c.CreateGrant(ctx, &kms.CreateGrantInput{
			KeyId: key, GranteePrincipal: new(alice), Operations: []types.GrantOperation{"CreateGrant", "Decrypt"},
		}))
		more := func() string {
			return servertest.ErrorCode(failure(user.CreateGrant(ctx, &kms.CreateGrantInput{
				KeyId: key, GranteePrincipal: new(alice), Operations: []types.GrantOperation{"Encrypt"},
			})))
		}
		put := func(p *string) {
			t.Helper()
			must[*kms.PutKeyPolicyOutput](t)(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, Policy: p}))
		}
		for _, condition := range []string{
			`{"StringNotEquals":{"kms:ResourceAliases":"alias/prod"}}`, `{"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`, `{"Null":{"aws:UserAgent":"true"}}`,
		} {
			put(conditional(alice, `"kms:CreateGrant"`, condition))
			equal(t, "a policy for others, "+condition, more(), "ValidationException")
		}
		for _, condition := range []string{`{"StringEquals":{"kms:ResourceAliases":"alias/prod"}}`, `{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`} {
			put(conditional(alice, `"kms:CreateGrant"`, condition))
			equal(t, "a policy for this call, "+condition, more(), "")
		}
	})
}

func TestAPrincipalHasSoManyGrantsOnAKey(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c, ctx := s.KMS(), t.Context()
	key := create(t, c)
	s.CreateUser(t, "alice")
	in := &kms.CreateGrantInput{KeyId: key, GranteePrincipal: new(alice), Operations: []types.GrantOperation{"Decrypt"}}
	for range 500 {
		must[*kms.CreateGrantOutput](t)(c.CreateGrant(ctx, in))
	}
	_, err := c.CreateGrant(ctx, in)
	refused(t, "the 501st", err, "LimitExceededException", "")
	in.GranteePrincipal = new(fmt.Sprintf("arn:aws:iam::%s:root", account))
	must[*kms.CreateGrantOutput](t)(c.CreateGrant(ctx, in))
}

// An alias of a key that has as many as it may can be put where it is.
func TestAnAliasOfManyIsUpdated(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c, ctx := s.KMS(), t.Context()
	key := create(t, c)
	for i := range 50 {
		must[*kms.CreateAliasOutput](t)(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new(fmt.Sprint("alias/", i)), TargetKeyId: key}))
	}
	must[*kms.UpdateAliasOutput](t)(c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: new("alias/7"), TargetKeyId: key}))
	_, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/50"), TargetKeyId: key})
	refused(t, "the 51st", err, "LimitExceededException", "")
}

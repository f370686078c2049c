package kms_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const (
	account = servertest.Account
	prefix  = "arn:aws:kms:" + servertest.Region + ":" + account + ":"
)

// ok fails the test if a call that must work does not.
func ok[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// must is ok for calls whose answer says nothing.
func must[T any](t *testing.T) func(T, error) {
	return func(_ T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// refused fails the test unless a call ends with a code and a text; "" is any text.
func refused(t *testing.T, what string, err error, code, text string) {
	t.Helper()
	if got, message := servertest.ErrorCode(err), servertest.ErrorMessage(err); got != code || text != "" && message != text {
		t.Errorf("%s = %s: %s\nwant %s: %s", what, got, message, code, text)
	}
}

// equal fails the test unless two things are printed alike.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s = %s, want %s", what, g, w)
	}
}

// create makes a key and returns its ARN.
func create(t *testing.T, c *kms.Client) *string {
	t.Helper()
	return ok[*kms.CreateKeyOutput](t)(c.CreateKey(t.Context(), &kms.CreateKeyInput{})).KeyMetadata.Arn
}

// runDue lets the server do what is due.
func runDue(t *testing.T, s *servertest.Server) {
	t.Helper()
	if err := s.Server().Keys().RunDue(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		k := ok[*kms.CreateKeyOutput](t)(c.CreateKey(ctx, &kms.CreateKeyInput{
			Description: new("for images"), Tags: []types.Tag{{TagKey: new("b"), TagValue: new("")}, {TagKey: new("a"), TagValue: new("1")}},
		})).KeyMetadata
		equal(t, "CreateKey", []any{*k.Arn == prefix+"key/"+*k.KeyId, *k.AWSAccountId, k.Enabled, *k.Description, k.KeyState, k.KeyUsage, k.KeySpec, k.Origin, k.KeyManager, *k.MultiRegion,
			k.EncryptionAlgorithms, k.CreationDate.Equal(s.Clock.Now()), len(*k.CurrentKeyMaterialId), k.DeletionDate},
			[]any{true, account, true, "for images", "Enabled", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "AWS_KMS", "CUSTOMER", false, "[SYMMETRIC_DEFAULT]", true, 64, "<nil>"})
		describe := func() *types.KeyMetadata {
			t.Helper()
			return ok[*kms.DescribeKeyOutput](t)(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: k.Arn})).KeyMetadata
		}
		equal(t, "DescribeKey", *describe().CurrentKeyMaterialId, *k.CurrentKeyMaterialId)
		must[*kms.UpdateKeyDescriptionOutput](t)(c.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: k.KeyId, Description: new("other")}))
		equal(t, "description", *describe().Description, "other")
		_, err := c.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: k.KeyId, Description: new("a\x00b")})
		refused(t, "a NUL", err, "ValidationException", "")

		for what, in := range map[string]kms.CreateKeyInput{
			"RSA":          {KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify},
			"HMAC":         {KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeGenerateVerifyMac},
			"EXTERNAL":     {Origin: types.OriginTypeExternal},
			"multi-Region": {MultiRegion: new(true)},
			"a key store":  {CustomKeyStoreId: new("cks-1")},
		} {
			_, err := c.CreateKey(ctx, &in)
			refused(t, what, err, "UnsupportedOperationException", "")
		}
		for what, id := range map[string]string{
			"Key '" + prefix + "key/00000000-0000-0000-0000-000000000000' does not exist": "00000000-0000-0000-0000-000000000000",
			"Invalid keyId 'x'": "x", "Alias " + prefix + "alias/none is not found.": "alias/none",
			"Invalid arn eu-west-1": "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000",
		} {
			_, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
			refused(t, id, err, "NotFoundException", what)
		}
		_, err = c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: new("arn:aws:s3:::bucket")})
		refused(t, "another ARN", err, "InvalidArnException", "Invalid arn arn:aws:s3:::bucket")
		_, err = c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: new("alias/x")})
		refused(t, "an alias where none is taken", err, "NotFoundException", "Invalid keyId 'alias/x'")

		for range 4 {
			create(t, c)
		}
		ids := map[string]bool{}
		for p := kms.NewListKeysPaginator(c, &kms.ListKeysInput{Limit: new(int32(2))}); p.HasMorePages(); {
			page := ok[*kms.ListKeysOutput](t)(p.NextPage(ctx))
			for _, e := range page.Keys {
				ids[*e.KeyId] = *e.KeyArn == prefix+"key/"+*e.KeyId
			}
		}
		if len(ids) != 5 || !ids[*k.KeyId] {
			t.Errorf("ListKeys = %v", ids)
		}
		_, err = c.ListKeys(ctx, &kms.ListKeysInput{Marker: new("x")})
		refused(t, "a marker", err, "InvalidMarkerException", "")
		status, body := s.Call(t, "kms", "TrentService.ListKeys", "{}")
		if status != 200 || !strings.Contains(body, `"Truncated":false`) {
			t.Errorf("ListKeys = %d %s, want Truncated in it", status, body)
		}
		status, body = s.Call(t, "kms", "TrentService.GetPublicKey", `{"KeyId":"x"}`)
		if status != 400 || !strings.Contains(body, "UnsupportedCommandException") {
			t.Errorf("GetPublicKey = %d %s", status, body)
		}
	})
}

func TestAKeyIsDisabledAndDestroyed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		key := create(t, c)
		must[*kms.CreateAliasOutput](t)(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/a"), TargetKeyId: key}))
		blob := ok[*kms.EncryptOutput](t)(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret")})).CiphertextBlob
		decrypt := func() error {
			out, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})
			if err == nil && string(out.Plaintext) != "secret" {
				t.Errorf("Decrypt = %q", out.Plaintext)
			}
			return err
		}
		equal(t, "Decrypt", decrypt(), "<nil>")
		must[*kms.DisableKeyOutput](t)(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key}))
		refused(t, "Decrypt", decrypt(), "DisabledException", *key+" is disabled.")
		_, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("a")})
		refused(t, "Encrypt", err, "DisabledException", "")
		_, err = c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key})
		refused(t, "EnableKeyRotation", err, "DisabledException", "")
		must[*kms.EnableKeyOutput](t)(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key}))
		equal(t, "Decrypt", decrypt(), "<nil>")

		_, err = c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: key})
		refused(t, "CancelKeyDeletion", err, "KMSInvalidStateException", *key+" is not pending deletion.")
		_, err = c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: new(int32(6))})
		refused(t, "6 days", err, "ValidationException", "")
		out := ok[*kms.ScheduleKeyDeletionOutput](t)(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key}))
		equal(t, "ScheduleKeyDeletion", []any{*out.KeyId, out.KeyState, *out.PendingWindowInDays, out.DeletionDate.Equal(s.Clock.Now().Add(30 * 24 * time.Hour))},
			[]any{*key, "PendingDeletion", 30, true})
		for what, err := range map[string]error{
			"Decrypt":             decrypt(),
			"EnableKey":           failure(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key})),
			"DisableKey":          failure(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key})),
			"ScheduleKeyDeletion": failure(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key})),
			"CreateAlias":         failure(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/b"), TargetKeyId: key})),
			"TagResource":         failure(c.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: new("a"), TagValue: new("")}}})),
			"CreateGrant": failure(c.CreateGrant(ctx, &kms.CreateGrantInput{
				KeyId: key, GranteePrincipal: new("arn:aws:iam::" + account + ":root"), Operations: []types.GrantOperation{"Decrypt"},
			})),
			"RotateKeyOnDemand": failure(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key})),
		} {
			refused(t, what, err, "KMSInvalidStateException", *key+" is pending deletion.")
		}
		s.Clock.Advance(30*24*time.Hour - time.Second)
		runDue(t, s)
		must[*kms.CancelKeyDeletionOutput](t)(c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: key}))
		d := ok[*kms.DescribeKeyOutput](t)(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: new("alias/a")})).KeyMetadata
		equal(t, "after CancelKeyDeletion", []any{d.KeyState, d.Enabled, d.DeletionDate}, []any{"Disabled", false, "<nil>"})
		must[*kms.EnableKeyOutput](t)(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key}))
		equal(t, "Decrypt", decrypt(), "<nil>")

		must[*kms.ScheduleKeyDeletionOutput](t)(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: new(int32(7))}))
		s.Clock.Advance(7 * 24 * time.Hour)
		runDue(t, s)
		refused(t, "Decrypt after the end", decrypt(), "InvalidCiphertextException", "")
		_, err = c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key})
		refused(t, "DescribeKey after the end", err, "NotFoundException", "Key '"+*key+"' does not exist")
		_, err = c.Decrypt(ctx, &kms.DecryptInput{KeyId: key, CiphertextBlob: blob})
		refused(t, "Decrypt after the end", err, "NotFoundException", "")
		equal(t, "aliases after the end", len(ok[*kms.ListAliasesOutput](t)(c.ListAliases(ctx, &kms.ListAliasesInput{})).Aliases), 0)
		s.Restart(t)
		refused(t, "Decrypt after a restart", decrypt(), "InvalidCiphertextException", "")
	})
}

// failure returns the error of a call.
func failure[T any](_ T, err error) error { return err }

func TestEncryptionIsBoundToItsContext(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		one, two := create(t, c), create(t, c)
		using := map[string]string{"a": "1", "b": "2", "aws:ecr:arn": "x"}
		e := ok[*kms.EncryptOutput](t)(c.Encrypt(ctx, &kms.EncryptInput{KeyId: one, Plaintext: []byte("secret"), EncryptionContext: using}))
		equal(t, "Encrypt", []any{*e.KeyId, e.EncryptionAlgorithm, bytes.Contains(e.CiphertextBlob, []byte("secret"))}, []any{*one, "SYMMETRIC_DEFAULT", false})
		s.Restart(t)
		d := ok[*kms.DecryptOutput](t)(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: e.CiphertextBlob, EncryptionContext: using}))
		equal(t, "Decrypt", []any{string(d.Plaintext), *d.KeyId}, []any{"secret", *one})
		for what, in := range map[string]*kms.DecryptInput{
			"without":  {},
			"part":     {EncryptionContext: map[string]string{"a": "1", "b": "2"}},
			"shifted":  {EncryptionContext: map[string]string{"a": "1b", "": "2", "aws:ecr:arn": "x"}},
			"in case":  {EncryptionContext: map[string]string{"A": "1", "b": "2", "aws:ecr:arn": "x"}},
			"swapped":  {EncryptionContext: map[string]string{"a": "2", "b": "1", "aws:ecr:arn": "x"}},
			"with key": {KeyId: one},
		} {
			in.CiphertextBlob = e.CiphertextBlob
			_, err := c.Decrypt(ctx, in)
			if code := servertest.ErrorCode(err); code != "InvalidCiphertextException" && !(what == "shifted" && code == "ValidationException") {
				t.Errorf("%s: %v", what, err)
			}
		}
		for i := range e.CiphertextBlob {
			altered := bytes.Clone(e.CiphertextBlob)
			altered[i] ^= 1
			_, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: altered, EncryptionContext: using})
			refused(t, fmt.Sprintf("byte %d altered", i), err, "InvalidCiphertextException", "")
		}
		_, err := c.Decrypt(ctx, &kms.DecryptInput{KeyId: two, CiphertextBlob: e.CiphertextBlob, EncryptionContext: using})
		refused(t, "another key", err, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")

		r := ok[*kms.ReEncryptOutput](t)(c.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: e.CiphertextBlob, SourceEncryptionContext: using, DestinationKeyId: two}))
		equal(t, "ReEncrypt", []string{*r.SourceKeyId, *r.KeyId}, []string{*one, *two})
		d = ok[*kms.DecryptOutput](t)(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: r.CiphertextBlob}))
		equal(t, "Decrypt", []any{string(d.Plaintext), *d.KeyId}, []any{"secret", *two})
		_, err = c.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: e.CiphertextBlob, DestinationKeyId: two})
		refused(t, "ReEncrypt without the context", err, "InvalidCiphertextException", "")

		g := ok[*kms.GenerateDataKeyOutput](t)(c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: one, KeySpec: types.DataKeySpecAes256, EncryptionContext: using}))
		d = ok[*kms.DecryptOutput](t)(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: g.CiphertextBlob, EncryptionContext: using}))
		equal(t, "GenerateDataKey", []any{len(g.Plaintext), bytes.Equal(g.Plaintext, d.Plaintext)}, []any{32, true})
		w := ok[*kms.GenerateDataKeyWithoutPlaintextOutput](t)(c.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: one, NumberOfBytes: new(int32(1024))}))
		d = ok[*kms.DecryptOutput](t)(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: w.CiphertextBlob}))
		equal(t, "GenerateDataKeyWithoutPlaintext", len(d.Plaintext), 1024)
		_, err = c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: one})
		refused(t, "no size", err, "ValidationException", "Please specify either number of bytes or key spec.")
		equal(t, "GenerateRandom", len(ok[*kms.GenerateRandomOutput](t)(c.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: new(int32(7))})).Plaintext), 7)

		most := bytes.Repeat([]byte("x"), 4096)
		blob := ok[*kms.EncryptOutput](t)(c.Encrypt(ctx, &kms.EncryptInput{KeyId: one, Plaintext: most})).CiphertextBlob
		d = ok[*kms.DecryptOutput](t)(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}))
		equal(t, "4096 bytes", bytes.Equal(d.Plaintext, most), true)
		_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: one, Plaintext: append(most, 'x')})
		refused(t, "4097 bytes", err, "ValidationException", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096")
		_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: one, Plaintext: []byte("a"), EncryptionAlgorithm: "RSAES_OAEP_SHA_1"})
		refused(t, "an algorithm", err, "InvalidKeyUsageException", "")
		_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: one, Plaintext: []byte("a"), DryRun: new(true)})
		refused(t, "a dry run", err, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
		_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: one, Plaintext: []byte("a"), GrantTokens: []string{"x"}})
		refused(t, "a token", err, "InvalidGrantTokenException", "")
		other := kms.NewFromConfig(s.AWS(), func(o *kms.Options) { o.Region = "eu-west-1" })
		_, err = other.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: e.CiphertextBlob, EncryptionContext: using})
		refused(t, "another region", err, "InvalidCiphertextException", "")
	})
}

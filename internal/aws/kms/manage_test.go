package kms_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const day = 24 * time.Hour

func TestAliases(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		one, two := create(t, c), create(t, c)
		named := func(name string) string {
			t.Helper()
			return *ok[*kms.DescribeKeyOutput](t)(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})).KeyMetadata.Arn
		}
		must[*kms.CreateAliasOutput](t)(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/a/b"), TargetKeyId: one}))
		equal(t, "by name", named("alias/a/b"), *one)
		equal(t, "by ARN", named(prefix+"alias/a/b"), *one)
		_, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/a/b"), TargetKeyId: two})
		refused(t, "again", err, "AlreadyExistsException", "An alias with the name "+prefix+"alias/a/b already exists")
		for name, code := range map[string]string{"a/b": "ValidationException", "alias/aws/mine": "InvalidAliasNameException", "alias/a:b": "InvalidAliasNameException", "alias/": "InvalidAliasNameException"} {
			_, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: one})
			refused(t, name, err, code, "")
		}
		blob := ok[*kms.EncryptOutput](t)(c.Encrypt(ctx, &kms.EncryptInput{KeyId: new("alias/a/b"), Plaintext: []byte("x")})).CiphertextBlob
		must[*kms.UpdateAliasOutput](t)(c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: new("alias/a/b"), TargetKeyId: two}))
		equal(t, "after UpdateAlias", named("alias/a/b"), *two)
		equal(t, "what the former key has encrypted", *ok[*kms.DecryptOutput](t)(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})).KeyId, *one)
		_, err = c.Decrypt(ctx, &kms.DecryptInput{KeyId: new("alias/a/b"), CiphertextBlob: blob})
		refused(t, "Decrypt by the alias", err, "IncorrectKeyException", "")

		for i := range 49 {
			must[*kms.CreateAliasOutput](t)(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/n" + strings.Repeat("x", i)), TargetKeyId: two}))
		}
		_, err = c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/more"), TargetKeyId: two})
		refused(t, "the 51st", err, "LimitExceededException", "")
		for what, key := range map[string]*string{"all": nil, "of a key": two} {
			names := map[string]bool{}
			for p := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{KeyId: key, Limit: new(int32(7))}); p.HasMorePages(); {
				for _, a := range ok[*kms.ListAliasesOutput](t)(p.NextPage(ctx)).Aliases {
					names[*a.AliasName] = *a.AliasArn == prefix+*a.AliasName && *a.TargetKeyId == strings.TrimPrefix(*two, prefix+"key/")
				}
			}
			if len(names) != 50 || !names["alias/a/b"] {
				t.Errorf("ListAliases %s = %v", what, names)
			}
		}
		must[*kms.DeleteAliasOutput](t)(c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: new("alias/a/b")}))
		_, err = c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: new("alias/a/b")})
		refused(t, "DeleteAlias again", err, "NotFoundException", "Alias "+prefix+"alias/a/b is not found.")
	})
}

func TestTags(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		key := create(t, c)
		tag := func(k, v string) types.Tag { return types.Tag{TagKey: &k, TagValue: &v} }
		must[*kms.TagResourceOutput](t)(c.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{tag("b", "1"), tag("B", "2"), tag("a", "")}}))
		must[*kms.TagResourceOutput](t)(c.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{tag("b", "3")}}))
		must[*kms.UntagResourceOutput](t)(c.UntagResource(ctx, &kms.UntagResourceInput{KeyId: key, TagKeys: []string{"a", "none"}}))
		var got []string
		for p := kms.NewListResourceTagsPaginator(c, &kms.ListResourceTagsInput{KeyId: key, Limit: new(int32(1))}); p.HasMorePages(); {
			for _, t := range ok[*kms.ListResourceTagsOutput](t)(p.NextPage(ctx)).Tags {
				got = append(got, *t.TagKey+"="+*t.TagValue)
			}
		}
		equal(t, "tags", got, []string{"B=2", "b=3"})
		for what, tags := range map[string][]types.Tag{"twice": {tag("x", ""), tag("x", "")}, "reserved": {tag("aws:x", "")}, "NUL": {tag("x", "\x00")}} {
			_, err := c.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: tags})
			refused(t, what, err, "TagException", "")
		}
		var many []types.Tag
		for i := range 49 {
			many = append(many, tag("k"+strings.Repeat("x", i), ""))
		}
		_, err := c.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: many})
		refused(t, "51 tags", err, "LimitExceededException", "")
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		key := create(t, c)
		status := func() *kms.GetKeyRotationStatusOutput {
			t.Helper()
			return ok[*kms.GetKeyRotationStatusOutput](t)(c.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: key}))
		}
		encrypt := func() []byte {
			t.Helper()
			return ok[*kms.EncryptOutput](t)(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})).CiphertextBlob
		}
		current := func() string {
			t.Helper()
			return *ok[*kms.DescribeKeyOutput](t)(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key})).KeyMetadata.CurrentKeyMaterialId
		}
		equal(t, "at first", status().KeyRotationEnabled, false)
		code, body := s.Call(t, "kms", "TrentService.GetKeyRotationStatus", `{"KeyId":"`+*key+`"}`)
		if code != 200 || !strings.Contains(body, `"KeyRotationEnabled":false`) {
			t.Errorf("GetKeyRotationStatus = %d %s", code, body)
		}
		must[*kms.EnableKeyRotationOutput](t)(c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key, RotationPeriodInDays: new(int32(90))}))
		got := status()
		equal(t, "enabled", []any{got.KeyRotationEnabled, *got.RotationPeriodInDays, got.NextRotationDate.Equal(s.Clock.Now().Add(90 * day))}, []any{true, 90, true})
		first, before := current(), encrypt()
		s.Clock.Advance(90*day - time.Second)
		runDue(t, s)
		equal(t, "too early", current(), first)
		s.Clock.Advance(time.Second)
		runDue(t, s)
		second := current()
		if second == first {
			t.Error("the key was not rotated")
		}
		runDue(t, s)
		equal(t, "once", current(), second)
		equal(t, "next", status().NextRotationDate.Equal(s.Clock.Now().Add(90*day)), true)
		out := ok[*kms.RotateKeyOnDemandOutput](t)(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key}))
		equal(t, "RotateKeyOnDemand", *out.KeyId, *key)
		for what, blob := range map[string][]byte{"before": before, "after": encrypt()} {
			d := ok[*kms.DecryptOutput](t)(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}))
			equal(t, what, string(d.Plaintext), "x")
			equal(t, what, *d.KeyMaterialId == first, what == "before")
		}
		var kinds []string
		for p := kms.NewListKeyRotationsPaginator(c, &kms.ListKeyRotationsInput{KeyId: key, Limit: new(int32(1)), IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial}); p.HasMorePages(); {
			for _, r := range ok[*kms.ListKeyRotationsOutput](t)(p.NextPage(ctx)).Rotations {
				kinds = append(kinds, string(r.RotationType)+" "+string(r.KeyMaterialState))
			}
		}
		equal(t, "ListKeyRotations", strings.Join(kinds, ", "), "ON_DEMAND CURRENT, AUTOMATIC NON_CURRENT,  NON_CURRENT")
		equal(t, "rotations only", len(ok[*kms.ListKeyRotationsOutput](t)(c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: key})).Rotations), 2)
		for range 24 {
			must[*kms.RotateKeyOnDemandOutput](t)(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key}))
		}
		_, err := c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key})
		refused(t, "the 26th", err, "LimitExceededException", "")
		must[*kms.DisableKeyRotationOutput](t)(c.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: key}))
		equal(t, "disabled", status().KeyRotationEnabled, false)
		_, err = c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key, RotationPeriodInDays: new(int32(89))})
		refused(t, "89 days", err, "ValidationException", "")

		// A disabled key does not rotate, and does once it is enabled again.
		must[*kms.EnableKeyRotationOutput](t)(c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key}))
		must[*kms.DisableKeyOutput](t)(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key}))
		last := current()
		s.Clock.Advance(800 * day)
		runDue(t, s)
		equal(t, "disabled", current(), last)
		must[*kms.EnableKeyOutput](t)(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key}))
		runDue(t, s)
		if current() == last {
			t.Error("the key was not rotated when it was enabled")
		}
		equal(t, "next", status().NextRotationDate.After(s.Clock.Now()), true)
	})
}

const (
	alice = "arn:aws:iam::" + account + ":user/alice"
	// A policy of users that leaves all to key policies.
	all = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
)

// policyFor is a key policy with a statement besides one for the account's root.
func policyFor(statement string) *string {
	return new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":["kms:PutKeyPolicy","kms:GetKeyPolicy"],"Resource":"*"},` + statement + `]}`)
}

func TestKeyPoliciesDecide(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		key := create(t, c)
		plain := kms.NewFromConfig(s.CreateUser(t, "alice"))
		power := kms.NewFromConfig(s.CreateUserOf(t, s.AWS(), "bob", all))
		foreign := kms.NewFromConfig(s.CreateUserOf(t, s.CreateAccount(t, "111122223333"), "carol", all))
		get := ok[*kms.GetKeyPolicyOutput](t)(c.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: key}))
		if !strings.Contains(*get.Policy, "Enable IAM User Permissions") || *get.PolicyName != "default" {
			t.Errorf("GetKeyPolicy = %s, %s", *get.PolicyName, *get.Policy)
		}
		equal(t, "ListKeyPolicies", ok[*kms.ListKeyPoliciesOutput](t)(c.ListKeyPolicies(ctx, &kms.ListKeyPoliciesInput{KeyId: key})).PolicyNames, "[default]")
		encrypt := func(c *kms.Client, using map[string]string) string {
			_, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x"), EncryptionContext: using})
			return servertest.ErrorCode(err)
		}
		want := func(what, root, alice, bob, carol string) {
			t.Helper()
			equal(t, what, []string{encrypt(c, nil), encrypt(plain, nil), encrypt(power, nil), encrypt(foreign, nil)}, []string{root, alice, bob, carol})
		}
		put := func(p *string) {
			t.Helper()
			must[*kms.PutKeyPolicyOutput](t)(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, Policy: p}))
		}
		want("the default", "", denied, "", denied)
		put(policyFor(`{"Effect":"Allow","Principal":{"AWS":"` + alice + `"},"Action":"kms:Encrypt","Resource":"*"}`))
		want("for a user", denied, "", denied, denied)
		_, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
		refused(t, "the root", err, denied, "User: arn:aws:iam::"+account+":root is not authorized to perform: kms:Encrypt on resource: "+*key+
			" because no resource-based policy allows the kms:Encrypt action")
		put(policyFor(`{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:Encrypt","Resource":"*"}`))
		want("for another account", denied, denied, denied, "")
		put(policyFor(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*"},{"Effect":"Deny","Principal":{"AWS":"` + alice + `"},"Action":"kms:Encrypt","Resource":"*"}`))
		want("a deny", "", denied, "", "")
		put(policyFor(`{"Effect":"Allow","Principal":{"AWS":"` + alice + `"},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:app":"a"}}}`))
		equal(t, "a context", []string{encrypt(plain, nil), encrypt(plain, map[string]string{"app": "b"}), encrypt(plain, map[string]string{"app": "a"})}, []string{denied, denied, ""})

		for what, p := range map[string]string{
			"no JSON":    "x",
			"no one":     `{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`,
			"no user":    *policyFor(`{"Effect":"Allow","Principal":{"AWS":"` + alice + `2"},"Action":"kms:*","Resource":"*"}`),
			"locked out": `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + alice + `"},"Action":"kms:*","Resource":"*"}}`,
			"too long":   `{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}` + strings.Repeat(" ", 32768),
		} {
			_, err := c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, Policy: &p})
			refused(t, what, err, "MalformedPolicyDocumentException", "")
			_, err = c.CreateKey(ctx, &kms.CreateKeyInput{Policy: &p})
			refused(t, what, err, "MalformedPolicyDocumentException", "")
		}
		_, err = c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, PolicyName: new("other"), Policy: policyFor(`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`)})
		refused(t, "another name", err, "NotFoundException", "No such policy exists")
		lock := `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + alice + `"},"Action":"kms:*","Resource":"*"}}`
		must[*kms.PutKeyPolicyOutput](t)(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, Policy: &lock, BypassPolicyLockoutSafetyCheck: true}))
		_, err = c.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: key})
		refused(t, "the root that is locked out", err, denied, "")
		equal(t, "alice's", *ok[*kms.GetKeyPolicyOutput](t)(plain.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: key})).Policy, lock)
	})
}

func TestGrantsDecide(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.KMS(), t.Context()
		key := create(t, c)
		user := kms.NewFromConfig(s.CreateUser(t, "alice"))
		other := kms.NewFromConfig(s.CreateUser(t, "bob"))
		encrypt := func(using map[string]string) ([]byte, string) {
			out, err := user.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x"), EncryptionContext: using})
			if err != nil {
				return nil, servertest.ErrorCode(err)
			}
			return out.CiphertextBlob, ""
		}
		_, code := encrypt(nil)
		equal(t, "without a grant", code, "AccessDeniedException")
		in := &kms.CreateGrantInput{
			KeyId: key, GranteePrincipal: new(alice), RetiringPrincipal: new(strings.Replace(alice, "alice", "bob", 1)), Name: new("n"),
			Operations:  []types.GrantOperation{"Encrypt", "Decrypt", "CreateGrant"},
			Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"app": "a"}},
		}
		g := ok[*kms.CreateGrantOutput](t)(c.CreateGrant(ctx, in))
		again := ok[*kms.CreateGrantOutput](t)(c.CreateGrant(ctx, in))
		equal(t, "CreateGrant again", *again.GrantId, *g.GrantId)
		for what, using := range map[string]map[string]string{"none": nil, "other": {"app": "b"}, "case": {"App": "a"}} {
			if _, code := encrypt(using); code != "AccessDeniedException" {
				t.Errorf("with the context %s: %q", what, code)
			}
		}
		using := map[string]string{"app": "a", "more": "b"}
		blob, code := encrypt(using)
		equal(t, "with the context", code, "")
		d := ok[*kms.DecryptOutput](t)(user.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: using, GrantTokens: []string{*g.GrantToken}}))
		equal(t, "Decrypt", bytes.Equal(d.Plaintext, []byte("x")), true)
		_, err := user.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key})
		refused(t, "what was not granted", err, "AccessDeniedException", "")

		// A grantee gives no more than it has.
		child := func(subset map[string]string, operations ...types.GrantOperation) error {
			var constraints *types.GrantConstraints
			if subset != nil {
				constraints = &types.GrantConstraints{EncryptionContextSubset: subset}
			}
			_, err := user.CreateGrant(ctx, &kms.CreateGrantInput{
				KeyId: key, GranteePrincipal: new(strings.Replace(alice, "alice", "bob", 1)), Operations: operations, Constraints: constraints,
			})
			return err
		}
		refused(t, "without the constraint", child(nil, "Encrypt"), "ValidationException", "")
		refused(t, "more operations", child(using, "Encrypt", "ReEncryptTo"), "ValidationException", "")
		equal(t, "less", child(using, "Encrypt"), "<nil>")

		// A deny in the key's policy wins over grants.
		deny := policyFor(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"kms:*","Resource":"*"},{"Effect":"Deny","Principal":{"AWS":"` + alice + `"},"Action":"kms:Encrypt","Resource":"*"}`)
		must[*kms.PutKeyPolicyOutput](t)(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, Policy: deny}))
		_, code = encrypt(using)
		equal(t, "denied", code, "AccessDeniedException")

		list := ok[*kms.ListGrantsOutput](t)(c.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key, GrantId: g.GrantId})).Grants
		equal(t, "ListGrants", []any{len(list), *list[0].KeyId, *list[0].Name, *list[0].GranteePrincipal, *list[0].IssuingAccount, list[0].Operations, list[0].Constraints.EncryptionContextSubset},
			[]any{1, *key, "n", alice, "arn:aws:iam::" + account + ":root", "[CreateGrant Decrypt Encrypt]", "map[app:a]"})
		count := 0
		for p := kms.NewListGrantsPaginator(c, &kms.ListGrantsInput{KeyId: key, Limit: new(int32(1))}); p.HasMorePages(); {
			count += len(ok[*kms.ListGrantsOutput](t)(p.NextPage(ctx)).Grants)
		}
		equal(t, "all grants", count, 2)
		retirable := ok[*kms.ListRetirableGrantsOutput](t)(c.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringPrincipal: in.RetiringPrincipal})).Grants
		equal(t, "ListRetirableGrants", []any{len(retirable), *retirable[0].GrantId}, []any{1, *g.GrantId})

		_, err = user.RetireGrant(ctx, &kms.RetireGrantInput{KeyId: key, GrantId: g.GrantId})
		refused(t, "RetireGrant by who must not", err, "AccessDeniedException", "")
		_, err = other.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: g.GrantToken, DryRun: new(true)})
		refused(t, "RetireGrant, dry", err, "DryRunOperationException", "")
		must[*kms.RetireGrantOutput](t)(other.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: g.GrantToken}))
		_, err = c.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: key, GrantId: g.GrantId})
		refused(t, "RevokeGrant of none", err, "NotFoundException", "Grant ID "+*g.GrantId+" not found")
		_, err = c.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: key, GrantId: new("x")})
		refused(t, "RevokeGrant of no id", err, "InvalidGrantIdException", "")
		_, err = c.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: new("x")})
		refused(t, "RetireGrant with no token", err, "InvalidGrantTokenException", "")
		for what, change := range map[string]func(*kms.CreateGrantInput){
			"InvalidArnException": func(in *kms.CreateGrantInput) { in.GranteePrincipal = new(alice + "2") },
			"ValidationException": func(in *kms.CreateGrantInput) { in.Operations = []types.GrantOperation{"Sign"} },
			"UnsupportedOperationException": func(in *kms.CreateGrantInput) {
				in.Constraints = &types.GrantConstraints{SourceArn: new("arn:aws:s3:::b")}
			},
			"DryRunOperationException": func(in *kms.CreateGrantInput) { in.DryRun = new(true) },
		} {
			bad := *in
			change(&bad)
			_, err := c.CreateGrant(ctx, &bad)
			refused(t, "CreateGrant", err, what, "")
		}
	})
}

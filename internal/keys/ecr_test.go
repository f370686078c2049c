package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const (
	account    = servertest.Account
	repository = "arn:aws:ecr:us-east-1:" + account + ":repository/app"
)

var root = access.Call{Region: servertest.Region, Caller: access.Caller{
	Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account, Type: access.Root,
}}

// userWith is a call of a user who has a policy, or none if it is "".
func userWith(t *testing.T, document string) access.Call {
	t.Helper()
	c := access.Call{Region: servertest.Region, Caller: access.Caller{
		Account: account, ARN: "arn:aws:iam::" + account + ":user/u", ID: "AIDAU", Type: access.User, Policies: &access.Policies{},
	}}
	if document != "" {
		p, err := policy.Parse(document, policy.Options{Kind: policy.Identity})
		if err != nil {
			t.Fatal(err)
		}
		c.Policies.Identity = []policy.Attached{{Policy: p}}
	}
	return c
}

// createKey makes a key and returns its ARN.
func createKey(t *testing.T, s *servertest.Server) string {
	t.Helper()
	out, err := s.KMS().CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn
}

// want fails the test unless an error has a code; "" is no error.
func want(t *testing.T, what string, err error, code string) {
	t.Helper()
	if got := fault.CodeOf(err); got != code {
		t.Errorf("%s = %v, want %q", what, err, code)
	}
}

func TestECRWrapsDataKeys(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ring, ctx, c := s.Server().Keys(), t.Context(), s.KMS()
		key, data := createKey(t, s), bytes.Repeat([]byte{7}, 32)
		want(t, "MayUse without a grant", ring.MayUse(ctx, key, repository), "AccessDeniedException")
		arn, given, err := ring.AllowRepository(ctx, root, key, repository, "uid")
		if err != nil || arn != key || len(given) != 2 {
			t.Fatalf("AllowRepository = %s, %v, %v", arn, given, err)
		}
		grants, err := c.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key})
		if err != nil || len(grants.Grants) != 2 {
			t.Fatalf("ListGrants = %v, %v", grants, err)
		}
		for _, g := range grants.Grants {
			if got := fmt.Sprint(*g.GranteePrincipal, g.Operations, g.Constraints.EncryptionContextSubset); got != "ecr.us-east-1.amazonaws.com[Decrypt GenerateDataKey] map[aws:ecr:arn:"+repository+"]" {
				t.Errorf("grant = %s", got)
			}
		}
		wrapped, err := ring.Wrap(ctx, key, data, "about")
		if err != nil || bytes.Contains(wrapped, data) {
			t.Fatalf("Wrap = %x, %v", wrapped, err)
		}
		unwrap := func() error {
			t.Helper()
			got, err := ring.Unwrap(ctx, key, wrapped, "about")
			if err == nil && !bytes.Equal(got, data) {
				t.Errorf("Unwrap = %x", got)
			}
			return err
		}
		want(t, "Unwrap", unwrap(), "")
		want(t, "MayUse", ring.MayUse(ctx, key, repository), "")
		want(t, "MayUse for another", ring.MayUse(ctx, key, repository+"2"), "AccessDeniedException")
		_, err = ring.Unwrap(ctx, key, wrapped, "about2")
		want(t, "Unwrap about something else", err, "InvalidCiphertextException")
		_, err = c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: wrapped})
		if servertest.ErrorCode(err) != "InvalidCiphertextException" {
			t.Errorf("Decrypt of a wrapped key = %v", err)
		}
		other := createKey(t, s)
		_, err = ring.Unwrap(ctx, other, wrapped, "about")
		want(t, "Unwrap with another key", err, "InvalidCiphertextException")
		for i := range wrapped {
			altered := bytes.Clone(wrapped)
			altered[i] ^= 1
			_, err := ring.Unwrap(ctx, key, altered, "about")
			want(t, "Unwrap of what was altered", err, "InvalidCiphertextException")
		}

		// What a call changes counts at once.
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(second(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})))
		want(t, "disabled", unwrap(), "DisabledException")
		want(t, "MayUse of a disabled key", ring.MayUse(ctx, key, repository), "DisabledException")
		_, _, err = ring.AllowRepository(ctx, root, key, repository+"3", "uid")
		want(t, "AllowRepository with a disabled key", err, "DisabledException")
		must(second(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key})))
		want(t, "enabled", unwrap(), "")
		before := *policyOf(t, c, key)
		deny := strings.Replace(before, `"Statement" : [`, `"Statement" : [{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"},`, 1)
		must(second(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: &deny})))
		want(t, "denied", ring.MayUse(ctx, key, repository), "AccessDeniedException")
		must(second(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: &before})))
		want(t, "no longer denied", ring.MayUse(ctx, key, repository), "")

		// Rotation: what was wrapped before is read, and is not current.
		must(second(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &key})))
		want(t, "rotated", unwrap(), "")
		if current, err := ring.Current(ctx, key, wrapped); err != nil || current {
			t.Errorf("Current of what was wrapped before = %t, %v", current, err)
		}
		if wrapped, err = ring.Wrap(ctx, key, data, "about"); err != nil {
			t.Fatal(err)
		}
		if current, err := ring.Current(ctx, key, wrapped); err != nil || !current {
			t.Errorf("Current = %t, %v", current, err)
		}
		s.Restart(t)
		ring, c = s.Server().Keys(), s.KMS()
		want(t, "after a restart", unwrap(), "")

		// Each call's grants are its own.
		_, others, err := ring.AllowRepository(ctx, root, key, repository, "uid2")
		want(t, "AllowRepository", err, "")
		must(ring.ReleaseGrants(ctx, key, others))
		must(ring.ReleaseGrants(ctx, key, others))
		want(t, "another call's grants released", ring.MayUse(ctx, key, repository), "")
		must(ring.ReleaseGrants(ctx, key, given))
		want(t, "released", ring.MayUse(ctx, key, repository), "AccessDeniedException")
		must(second(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: new(int32(7))})))
		want(t, "pending", unwrap(), "KMSInvalidStateException")
		s.Clock.Advance(7 * 24 * time.Hour)
		must(ring.RunDue(ctx))
		want(t, "destroyed", unwrap(), "NotFoundException")
		must(ring.ReleaseGrants(ctx, key, given))
		_, err = ring.Unwrap(ctx, "alias/x", wrapped, "about")
		want(t, "no ARN", err, "NotFoundException")
	})
}

func second[T any](_ T, err error) error { return err }

func policyOf(t *testing.T, c *kms.Client, key string) *string {
	t.Helper()
	out, err := c.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: &key})
	if err != nil {
		t.Fatal(err)
	}
	return out.Policy
}

// Who creates a repository must be allowed to look at its key and to grant its use;
// for AWS's own key nothing is needed.
func TestWhoMayGiveRepositoriesKeys(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ring, ctx := s.Server().Keys(), t.Context()
		key := createKey(t, s)
		allow := func(actions string) string {
			return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[` + actions + `],"Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"ecr.us-east-1.amazonaws.com"}}}}`
		}
		for document, code := range map[string]string{
			"": "AccessDeniedException", allow(`"kms:DescribeKey"`): "AccessDeniedException", allow(`"kms:CreateGrant"`): "AccessDeniedException",
			allow(`"kms:DescribeKey","kms:CreateGrant"`): "",
		} {
			_, _, err := ring.AllowRepository(ctx, userWith(t, document), key, repository, "uid")
			want(t, "AllowRepository with "+document, err, code)
		}
		_, _, err := ring.AllowRepository(ctx, root, "alias/none", repository, "uid")
		want(t, "an alias of nothing", err, "NotFoundException")
		arn, _, err := ring.AllowRepository(ctx, userWith(t, ""), "", repository, "uid")
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := ring.AllowRepository(ctx, userWith(t, ""), "alias/aws/ecr", repository+"2", "uid2")
		if err != nil || again != arn {
			t.Errorf("AllowRepository = %s, %v, want %s", again, err, arn)
		}
		c := s.KMS()
		d, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: new("alias/aws/ecr")})
		if err != nil || *d.KeyMetadata.Arn != arn || d.KeyMetadata.KeyManager != "AWS" {
			t.Errorf("DescribeKey = %v, %v", d, err)
		}
		for what, err := range map[string]error{
			"Encrypt":             second(c.Encrypt(ctx, &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")})),
			"DisableKey":          second(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &arn})),
			"ScheduleKeyDeletion": second(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &arn})),
			"PutKeyPolicy":        second(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &arn, Policy: policyOf(t, c, arn)})),
			"CreateAlias":         second(c.CreateAlias(ctx, &kms.CreateAliasInput{TargetKeyId: &arn, AliasName: new("alias/mine")})),
		} {
			if servertest.ErrorCode(err) != "AccessDeniedException" {
				t.Errorf("%s of AWS's own key = %v", what, err)
			}
		}
	})
}

// Who may use a key by a grant alone gives ECR no more than that. The record of what
// was refused is that of the grant, not of the look at the key before.
func TestAGranteeGivesECRNoMoreThanItHas(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ring, ctx := s.Server().Keys(), t.Context()
		key := createKey(t, s)
		s.CreateUser(t, "u")
		grant := func(using map[string]string) {
			t.Helper()
			_, err := s.KMS().CreateGrant(ctx, &kms.CreateGrantInput{
				KeyId: &key, GranteePrincipal: new("arn:aws:iam::" + account + ":user/u"), Constraints: &types.GrantConstraints{EncryptionContextSubset: using},
				Operations: []types.GrantOperation{"CreateGrant", "DescribeKey", "Decrypt", "GenerateDataKey"},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		grant(map[string]string{"app": "a"})
		_, _, err := ring.AllowRepository(ctx, userWith(t, ""), key, repository, "uid")
		want(t, "AllowRepository", err, "ValidationException")
		want(t, "MayUse", ring.MayUse(ctx, key, repository), "AccessDeniedException")
		grant(map[string]string{"aws:ecr:arn": repository})
		_, _, err = ring.AllowRepository(ctx, userWith(t, ""), key, repository, "uid")
		want(t, "AllowRepository of what was granted", err, "")
		want(t, "MayUse", ring.MayUse(ctx, key, repository), "")
		refused := 0
		for _, record := range s.AuditRecords(t) {
			if strings.Contains(record, `"errorCode":"ValidationException"`) {
				refused++
				if !strings.Contains(record, `"eventName":"CreateGrant"`) || !strings.Contains(record, repository) {
					t.Errorf("the record of the refusal is %s", record)
				}
			}
		}
		if refused != 1 {
			t.Errorf("%d records of refusals", refused)
		}
	})
}

// A key that is made for ECR at the same time is one key.
func TestTheManagedKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ring, ctx := s.Server().Keys(), t.Context()
		const n = 8
		arns, errs := make(chan string, n), make(chan error, n)
		for i := range n {
			go func() {
				arn, _, err := ring.AllowRepository(ctx, root, "", fmt.Sprint(repository, i), "uid")
				arns <- arn
				errs <- err
			}()
		}
		first := <-arns
		err := <-errs
		for range n - 1 {
			if arn := <-arns; arn != first {
				t.Errorf("AllowRepository = %s and %s", first, arn)
			}
			err = errors.Join(err, <-errs)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkUnwrap(b *testing.B) {
	s := servertest.Start(b, servertest.Options{})
	ring, ctx := s.Server().Keys(), b.Context()
	arn, _, err := ring.AllowRepository(ctx, root, "", repository, "uid")
	if err != nil {
		b.Fatal(err)
	}
	wrapped, err := ring.Wrap(ctx, arn, make([]byte, 32), "about")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ring.Unwrap(ctx, arn, wrapped, "about"); err != nil {
			b.Fatal(err)
		}
	}
}

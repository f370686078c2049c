package iam_test

import (
	"sync"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestAUserSignsWithItsKeyAndMayDoNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx, alice := t.Context(), s.CreateUser(t, "alice")
		check := func() {
			t.Helper()
			who := ok[*sts.GetCallerIdentityOutput](t)(sts.NewFromConfig(alice).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
			equal(t, "GetCallerIdentity", []string{*who.Arn, *who.Account, (*who.UserId)[:4]}, []string{arn + "user/alice", account, "AIDA"})
			_, err := ecr.NewFromConfig(alice).CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: new("app")})
			refused(t, "CreateRepository", err, "AccessDeniedException", "User: "+arn+"user/alice is not authorized to perform: ecr:CreateRepository "+
				"on resource: arn:aws:ecr:us-east-1:123456789012:repository/app because no identity-based policy allows the ecr:CreateRepository action")
			_, err = ecr.NewFromConfig(alice).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
			equal(t, "GetAuthorizationToken", servertest.ErrorCode(err), "AccessDeniedException")
			_, err = iam.NewFromConfig(alice).CreateUser(ctx, &iam.CreateUserInput{UserName: new("mallory")})
			refused(t, "CreateUser", err, "AccessDenied", "User: "+arn+"user/alice is not authorized to perform: iam:CreateUser "+
				"on resource: "+arn+"user/mallory because no identity-based policy allows the iam:CreateUser action")
		}
		check()
		s.Restart(t)
		check()
		key := ok[aws.Credentials](t)(alice.Credentials.Retrieve(ctx))
		_, err := sts.NewFromConfig(s.As(key.AccessKeyID, key.SecretAccessKey+"x")).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		equal(t, "GetCallerIdentity with another secret", servertest.ErrorCode(err), "SignatureDoesNotMatch")
		must(t, second(s.IAM().DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("alice"), AccessKeyId: &key.AccessKeyID})))
		_, err = sts.NewFromConfig(alice).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		refused(t, "GetCallerIdentity with a deleted key", err, "InvalidClientTokenId", "The security token included in the request is invalid.")
	})
}

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("alice")})))
		var ids []string
		for range 2 {
			k := ok[*iam.CreateAccessKeyOutput](t)(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("alice")})).AccessKey
			equal(t, "CreateAccessKey", []any{*k.UserName, k.Status, len(*k.AccessKeyId), len(*k.SecretAccessKey)}, "[alice Active 20 40]")
			ids = append(ids, *k.AccessKeyId)
		}
		_, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("alice")})
		refused(t, "CreateAccessKey of a third", err, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
		_, err = c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("none")})
		refused(t, "CreateAccessKey of nobody", err, "NoSuchEntity", "The user with name none cannot be found.")
		_, err = c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("alice"), AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA"), Status: "Inactive"})
		refused(t, "UpdateAccessKey of none", err, "NoSuchEntity", "The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found.")
		_, err = c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("alice")})
		refused(t, "DeleteUser", err, "DeleteConflict", "Cannot delete entity, must delete access keys first.")
		must(t, second(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("alice"), AccessKeyId: &ids[0], Status: types.StatusTypeInactive})))
		var listed []string
		for p := iam.NewListAccessKeysPaginator(c, &iam.ListAccessKeysInput{UserName: new("alice"), MaxItems: new(int32(1))}); p.HasMorePages(); {
			for _, k := range ok[*iam.ListAccessKeysOutput](t)(p.NextPage(ctx)).AccessKeyMetadata {
				listed = append(listed, *k.AccessKeyId)
				if (k.Status == types.StatusTypeActive) != (*k.AccessKeyId == ids[1]) {
					t.Errorf("%s is %s", *k.AccessKeyId, k.Status)
				}
			}
		}
		if len(listed) != 2 || listed[0] >= listed[1] {
			t.Errorf("ListAccessKeys = %v, want %v in order", listed, ids)
		}
		for _, id := range ids {
			must(t, second(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("alice"), AccessKeyId: &id})))
		}
		must(t, second(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("alice")})))
	})
}

func TestTheKeyOfTheConfigurationStays(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.RootAccessKeyID = "AKIAROOTROOTROOTROOT" }})
	c, ctx := s.IAM(), t.Context()
	_, err := c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: new("AKIAROOTROOTROOTROOT")})
	refused(t, "DeleteAccessKey", err, "UnmodifiableEntity", "The Access Key with id AKIAROOTROOTROOTROOT comes from the configuration of the server.")
	k := ok[*iam.CreateAccessKeyOutput](t)(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{})).AccessKey
	who := ok[*sts.GetCallerIdentityOutput](t)(sts.NewFromConfig(s.As(*k.AccessKeyId, *k.SecretAccessKey)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
	equal(t, "GetCallerIdentity", *who.Arn, arn+"root")
	equal(t, "keys", len(ok[*iam.ListAccessKeysOutput](t)(c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{})).AccessKeyMetadata), 2)
	_, err = c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{})
	refused(t, "CreateAccessKey of a third", err, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
	must(t, second(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: k.AccessKeyId})))
}

func TestWhenAKeyWasUsedLast(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx, alice := s.IAM(), t.Context(), s.CreateUser(t, "alice")
		key := ok[aws.Credentials](t)(alice.Credentials.Retrieve(ctx)).AccessKeyID
		last := func() []any {
			t.Helper()
			out := ok[*iam.GetAccessKeyLastUsedOutput](t)(c.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &key}))
			var at time.Time
			if out.AccessKeyLastUsed.LastUsedDate != nil {
				at = *out.AccessKeyLastUsed.LastUsedDate
			}
			return []any{*out.UserName, at.UTC(), *out.AccessKeyLastUsed.Region, *out.AccessKeyLastUsed.ServiceName}
		}
		equal(t, "GetAccessKeyLastUsed", last(), []any{"alice", time.Time{}, "N/A", "N/A"})
		s.Clock.Advance(time.Hour)
		used := s.Clock.Now()
		_, _ = ecr.NewFromConfig(alice, func(o *ecr.Options) { o.Region = "eu-west-1" }).DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})
		equal(t, "GetAccessKeyLastUsed", last(), []any{"alice", used, "eu-west-1", "ecr"})
		s.Restart(t)
		equal(t, "GetAccessKeyLastUsed", last(), []any{"alice", used, "eu-west-1", "ecr"})
		_, err := c.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")})
		refused(t, "GetAccessKeyLastUsed of none", err, "NoSuchEntity", "The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found.")
	})
}

// outcomes makes calls at once and counts how they end.
func outcomes(n int, do func(i int) error) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]int{}
	for i := range n {
		wg.Go(func() {
			code := servertest.ErrorCode(do(i))
			mu.Lock()
			defer mu.Unlock()
			out[code]++
		})
	}
	wg.Wait()
	return out
}

func TestRaces(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		equal(t, "CreateUser at once", outcomes(8, func(int) error {
			return second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("alice")}))
		}), "map[:1 EntityAlreadyExists:7]")
		equal(t, "CreateAccessKey at once", outcomes(8, func(int) error {
			return second(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("alice")}))
		}), "map[:2 LimitExceeded:6]")
		made := ok[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(some)}))
		equal(t, "CreatePolicyVersion at once", outcomes(8, func(int) error {
			return second(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: made.Policy.Arn, PolicyDocument: new(some)}))
		}), "map[:4 LimitExceeded:4]")
		// Either the policy is attached and stays, or it is gone and cannot be attached.
		must(t, second(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("q"), PolicyDocument: new(some)})))
		got := outcomes(2, func(i int) error {
			if i == 0 {
				return second(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("alice"), PolicyArn: new(arn + "policy/q")}))
			}
			return second(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: new(arn + "policy/q")}))
		})
		if got[""] != 1 || got["DeleteConflict"]+got["NoSuchEntity"] != 1 {
			t.Errorf("AttachUserPolicy and DeletePolicy at once = %v, want one of them", got)
		}
	})
}

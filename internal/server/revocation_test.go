package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// What is taken from a user counts for its next request, by both fronts, whatever
// way it is taken and though it has logged in before.
func TestWhatIsTakenAwayIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 10))
		c, ctx := s.IAM(), t.Context()
		fatal := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		done := func(_ any, err error) { t.Helper(); fatal(err) }
		managed, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("all"), PolicyDocument: new(anything)})
		fatal(err)
		none, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("none"), PolicyDocument: new(servertest.Allow("iam:GetUser"))})
		fatal(err)
		for how, take := range map[string]func(name string, key *string){
			"group": func(name string, _ *string) {
				done(c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: &name, UserName: &name}))
			},
			"group-policy": func(name string, _ *string) {
				done(c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: &name, PolicyName: &name}))
			},
			"group-attached": func(name string, _ *string) {
				done(c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: &name, PolicyArn: managed.Policy.Arn}))
			},
			"boundary": func(name string, _ *string) {
				done(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: &name, PermissionsBoundary: none.Policy.Arn}))
			},
			"deny": func(name string, _ *string) {
				done(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: &name, PolicyDocument: new(strings.Replace(anything, "Allow", "Deny", 1))}))
			},
			"inactive": func(name string, key *string) {
				done(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &name, AccessKeyId: key, Status: types.StatusTypeInactive}))
			},
			"key": func(name string, key *string) {
				done(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: key}))
			},
		} {
			as := s.CreateUser(t, how)
			done(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &how}))
			if how == "group-attached" {
				done(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: &how, PolicyArn: managed.Policy.Arn}))
			} else {
				done(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: &how, PolicyName: &how, PolicyDocument: new(anything)}))
			}
			done(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: &how, UserName: &how}))
			docker := s.LoginAs(t, as)
			see := func() (code string, status int) {
				_, err := ecr.NewFromConfig(as).ListImages(ctx, &ecr.ListImagesInput{RepositoryName: new("app")})
				return servertest.ErrorCode(err), docker.Do(t, "GET", manifestPath("app", "v1"), nil).Status
			}
			if code, status := see(); code != "" || status != 200 {
				t.Errorf("%s before: %s, %d", how, code, status)
			}
			key, err := as.Credentials.Retrieve(ctx)
			fatal(err)
			take(how, &key.AccessKeyID)
			wantCode, wantStatus := "AccessDeniedException", 403
			if how == "inactive" || how == "key" {
				wantCode, wantStatus = "UnrecognizedClientException", 401
			}
			if code, status := see(); code != wantCode || status != wantStatus {
				t.Errorf("%s afterwards: %s, %d, want %s, %d", how, code, status, wantCode, wantStatus)
			}
		}
		// Nothing of it comes back with a restart.
		s.Restart(t)
		users, err := c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: new("key")})
		fatal(err)
		if len(users.AccessKeyMetadata) != 0 {
			t.Errorf("keys after a restart = %v, want none", users.AccessKeyMetadata)
		}
	})
}

// Members that say what only the server has to say are not listened to.
func TestNobodyGivesItselfMoreThanItAsksFor(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		abroad := s.CreateAccount(t, "210987654321")
		const more = `"repositoryArn":"arn:aws:ecr:us-east-1:210987654321:repository/app","repositoryUri":"evil.example/app","createdAt":1,"account":"210987654321",` +
			`"Account":"210987654321","region":"eu-west-1","owner":"root","isAdmin":true,"caller":{"account":"210987654321","type":"Root"},"uid":"x","UID":"x","deletedAt":0`
		as, _ := withPolicy(t, s, "maker", servertest.Allow("ecr:CreateRepository", "ecr:DescribeRepositories", "ecr:GetAuthorizationToken"))
		r := askAs(t, s, as, "/", "ecr", ecrTarget+"CreateRepository", `{"repositoryName":"app",`+more+`}`)
		var out struct {
			Repository struct {
				RepositoryArn, RepositoryURI, RegistryID string
				CreatedAt                                float64
			}
		}
		if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.status != 200 {
			t.Fatalf("CreateRepository = %d %s, %v", r.status, r.body, err)
		}
		if got := out.Repository; got.RepositoryArn != "arn:aws:ecr:us-east-1:123456789012:repository/app" || got.RegistryID != servertest.Account ||
			got.RepositoryURI != s.Host+"/app" || int64(got.CreatedAt) != s.Clock.Now().Unix() || strings.Contains(r.body, "210987654321") || strings.Contains(r.body, "evil") {
			t.Errorf("CreateRepository = %s", r.body)
		}
		if out, err := ecr.NewFromConfig(abroad).DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{}); err != nil || len(out.Repositories) != 0 {
			t.Errorf("the other account has %v, %v", out, err)
		}
		r = askAs(t, s, as, "/", "ecr", ecrTarget+"CreateRepository", `{"registryId":"210987654321","repositoryName":"app2"}`)
		if r.status != 400 || !strings.Contains(r.body, "AccessDenied") {
			t.Errorf("CreateRepository in another account = %d %s", r.status, r.body)
		}
		body := "Action=CreateUser&Version=2010-05-08&UserName=bob&Arn=arn:aws:iam::210987654321:root&UserId=AIDAROOT&AccountId=210987654321&Type=Root&Boundary=x&IsAdmin=true&CreateDate=2001-01-01T00:00:00Z"
		r = askAs(t, s, s.AWS(), "/", "iam", "", body)
		if r.status == 200 && (!strings.Contains(r.body, "arn:aws:iam::123456789012:user/bob") || strings.Contains(r.body, "AIDAROOT") || strings.Contains(r.body, "2001")) || r.status >= 500 {
			t.Errorf("CreateUser = %d %s", r.status, r.body)
		}
		// Our own operations refuse what they do not know.
		for path, a := range extensions {
			body := strings.NewReplacer("ACCOUNT", servertest.Account, "NAME", "app").Replace(a.body)
			body = strings.TrimSuffix(strings.TrimSpace(body), "}")
			if strings.TrimSpace(body) != "{" {
				body += ","
			}
			if status, text := s.PostAs(t, s.AWS(), path, body+`"isAdmin":true}`); status != 400 || !strings.Contains(text, "SerializationException") {
				t.Errorf("%s with a member that it has not = %d %s, want it refused", path, status, text)
			}
		}
	})
}

// The root of another account is one more somebody: whatever it names by an id or
// a token that it has got from somewhere, it gets no further than one who made it up.
func TestIDsOfAnotherAccountOpenNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		abroad := s.CreateAccount(t, "210987654321")
		ctx := t.Context()
		if _, err := ecr.NewFromConfig(abroad).CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: new("app")}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"app", "bb"} {
			s.CreateRepository(t, name)
		}
		start, err := s.ECR().InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.ECR().DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{MaxResults: new(int32(1))})
		if err != nil {
			t.Fatal(err)
		}
		user := s.CreateUser(t, "alice")
		key, err := user.Credentials.Retrieve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := s.IAM().CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(anything)})
		if err != nil {
			t.Fatal(err)
		}
		e, i := ecr.NewFromConfig(abroad), iam.NewFromConfig(abroad)
		if _, err := i.CreateUser(ctx, &iam.CreateUserInput{UserName: new("alice")}); err != nil {
			t.Fatal(err)
		}
		sameAs := func(what string, try func(id string) error, id, never string) {
			t.Helper()
			there, none := try(id), try(never)
			text := func(err error, id string) string {
				return servertest.ErrorCode(err) + ": " + strings.ReplaceAll(servertest.ErrorMessage(err), id, "ID")
			}
			if there == nil || text(there, id) != text(none, never) {
				t.Errorf("%s of another account = %v, one that is made up = %v", what, there, none)
			}
		}
		sameAs("an upload", func(id string) error {
			_, err := e.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: new("app"), UploadId: &id, LayerDigests: []string{"sha256:" + strings.Repeat("a", 64)}})
			return err
		}, *start.UploadId, "a2e1a0d9-75b5-4d6e-835f-d2bca0ba0444")
		sameAs("a page token", func(id string) error {
			_, err := e.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{NextToken: &id})
			return err
		}, *page.NextToken, strings.Repeat("A", len(*page.NextToken)))
		sameAs("a key", func(id string) error {
			_, err := i.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
			return err
		}, key.AccessKeyID, "AKIAAAAAAAAAAAAAAAAA")
		sameAs("a key to delete", func(id string) error {
			_, err := i.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: &id, UserName: new("alice")})
			return err
		}, key.AccessKeyID, "AKIAAAAAAAAAAAAAAAAA")
		sameAs("a policy to attach", func(id string) error {
			_, err := i.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("alice"), PolicyArn: &id})
			return err
		}, *policy.Policy.Arn, *policy.Policy.Arn+"x")
		if !calls(t, user) {
			t.Error("the user's key is gone")
		}
	})
}

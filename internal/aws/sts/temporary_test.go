package sts_test

import (
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

func whoIs(t *testing.T, as aws.Config) string {
	t.Helper()
	out, err := sts.NewFromConfig(as).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Arn
}

func TestGetSessionToken(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		s.CreateRepository(t, "app")
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("ecr:ListImages", "sts:*", "iam:*"))
		role := s.CreateRole(t, s.AWS(), "r", trustAll, policy("ecr:*"))
		for what, tt := range map[string]struct {
			as      aws.Config
			seconds *int32
			life    time.Duration
			arn     string
		}{
			"a user":             {alice, nil, 12 * time.Hour, "user/alice"},
			"a user, for long":   {alice, new(int32(129600)), 36 * time.Hour, "user/alice"},
			"the root":           {s.AWS(), nil, time.Hour, "root"},
			"the root, shortly":  {s.AWS(), new(int32(900)), 15 * time.Minute, "root"},
			"the root, for long": {s.AWS(), new(int32(7200)), time.Hour, "root"},
		} {
			out, err := sts.NewFromConfig(tt.as).GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: tt.seconds})
			if err != nil || !out.Credentials.Expiration.Equal(s.Clock.Now().Add(tt.life)) {
				t.Fatalf("GetSessionToken of %s = %v, %v, want a session for %v", what, out, err, tt.life)
			}
			session := s.AsSession(out.Credentials)
			if got := whoIs(t, session); got != "arn:aws:iam::"+home+":"+tt.arn {
				t.Errorf("%s is %s", what, got)
			}
			if err := listImages(t, session); err != nil {
				t.Errorf("ListImages of %s = %v", what, err)
			}
			_, err = iam.NewFromConfig(session).ListUsers(ctx, &iam.ListUsersInput{})
			wantError(t, "ListUsers of "+what, err, "InvalidClientTokenId", "The security token included in the request is invalid.")
			_, err = sts.NewFromConfig(session).GetSessionToken(ctx, &sts.GetSessionTokenInput{})
			wantError(t, "GetSessionToken of "+what, err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
		}
		_, err := sts.NewFromConfig(alice).GetSessionToken(ctx, &sts.GetSessionTokenInput{SerialNumber: new("GAHT12345678"), TokenCode: new("123456")})
		wantError(t, "GetSessionToken with a code", err, "AccessDenied", "MultiFactorAuthentication failed")
		out, err := sts.NewFromConfig(alice).GetSessionToken(ctx, &sts.GetSessionTokenInput{})
		if err != nil {
			t.Fatal(err)
		}
		assumed, _ := assume(t, s, s.AsSession(out.Credentials), &sts.AssumeRoleInput{RoleArn: &role})
		if err := listImages(t, assumed); err != nil {
			t.Errorf("ListImages by a role that a session has assumed = %v", err)
		}
		_, err = sts.NewFromConfig(assumed).GetSessionToken(ctx, &sts.GetSessionTokenInput{})
		wantError(t, "GetSessionToken of a role", err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	})
}

func TestGetFederationToken(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		s.CreateRepository(t, "app")
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("ecr:ListImages", "sts:GetFederationToken"))
		role := s.CreateRole(t, s.AWS(), "r", trustAll, "")
		for what, tt := range map[string]struct {
			as     aws.Config
			policy *string
			list   bool
		}{
			"a user's":                   {alice, new(policy("ecr:*")), true},
			"a user's without a policy":  {alice, nil, false},
			"a user's for nothing":       {alice, new(policy("ecr:PutImage")), false},
			"the root's":                 {s.AWS(), new(policy("ecr:ListImages")), true},
			"the root's without policy":  {s.AWS(), nil, false},
			"the root's for other calls": {s.AWS(), new(policy("ecr:PutImage")), false},
		} {
			out, err := sts.NewFromConfig(tt.as).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("guest"), Policy: tt.policy})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			session := s.AsSession(out.Credentials)
			if who := whoIs(t, session); who != "arn:aws:sts::"+home+":federated-user/guest" || who != *out.FederatedUser.Arn || *out.FederatedUser.FederatedUserId != home+":guest" {
				t.Errorf("%s is %s", what, who)
			}
			if err := listImages(t, session); (err == nil) != tt.list {
				t.Errorf("ListImages of %s = %v, want allowed: %v", what, err, tt.list)
			}
			_, err = iam.NewFromConfig(session).ListUsers(ctx, &iam.ListUsersInput{})
			wantError(t, "ListUsers", err, "InvalidClientTokenId", "")
			_, err = sts.NewFromConfig(session).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("build")})
			wantError(t, "AssumeRole", err, "AccessDenied", "Cannot call AssumeRole with federated user credentials")
		}
		bob := s.CreateUserOf(t, s.AWS(), "bob", "")
		_, err := sts.NewFromConfig(bob).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("guest")})
		wantError(t, "GetFederationToken", err, "AccessDenied", "is not authorized to perform: sts:GetFederationToken on resource: arn:aws:sts::"+home+":federated-user/guest")
		_, err = sts.NewFromConfig(alice).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("guest"), Tags: []types.Tag{{Key: new("a"), Value: new("b")}}})
		wantError(t, "GetFederationToken with tags", err, "AccessDenied", "sts:TagSession")
	})
}

func TestGetAccessKeyInfo(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		foreign := s.CreateAccount(t, "111122223333")
		bob := s.CreateUserOf(t, s.AWS(), "bob", "")
		key, err := foreign.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		session, err := s.STS().GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]string{key.AccessKeyID: "111122223333", *session.Credentials.AccessKeyId: home} {
			out, err := s.STS().GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: &id})
			if err != nil || *out.Account != want {
				t.Errorf("GetAccessKeyInfo(%s) = %v, %v, want %s", id, out, err, want)
			}
		}
		_, err = s.STS().GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")})
		wantError(t, "GetAccessKeyInfo of none", err, "ValidationError", "Invalid access key ID.")
		_, err = sts.NewFromConfig(bob).GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: &key.AccessKeyID})
		wantError(t, "GetAccessKeyInfo by a user", err, "AccessDenied", "sts:GetAccessKeyInfo")
		_, err = s.STS().DecodeAuthorizationMessage(t.Context(), &sts.DecodeAuthorizationMessageInput{EncodedMessage: new("x")})
		wantError(t, "DecodeAuthorizationMessage", err, "UnsupportedCommandException", "not supported by Berth")
	})
}

func TestATokenForThePublicRegistryNamesTheService(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	for service, want := range map[string]bool{"ecr-public.amazonaws.com": true, "codeartifact.amazonaws.com": false} {
		user := s.CreateUserOf(t, s.AWS(), service, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr-public:*","Resource":"*"},`+
			`{"Effect":"Allow","Action":"sts:GetServiceBearerToken","Resource":"*","Condition":{"StringEquals":{"sts:AWSServiceName":"`+service+`"}}}]}`)
		_, err := ecrpublic.NewFromConfig(user).GetAuthorizationToken(t.Context(), &ecrpublic.GetAuthorizationTokenInput{})
		if (err == nil) != want {
			t.Errorf("GetAuthorizationToken if bearer tokens are for %s = %v, want allowed: %v", service, err, want)
		}
	}
}

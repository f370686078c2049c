package oci_test

import (
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// withKey returns a client that logs in with an access key.
func withKey(t testing.TB, s *servertest.Server, c aws.Config) (*servertest.Client, string) {
	t.Helper()
	key, err := c.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	login := s.Login(t)
	login.User, login.Pass = key.AccessKeyID, key.SecretAccessKey
	return login, key.AccessKeyID
}

const (
	mayPull   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"*"}]}`
	noLogin   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"*"}]}`
	accessKey = "access-key"
)

func TestAnAccessKeyIsALoginWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.PasswordLogin = accessKey }}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		img := servertest.NewImage(1, 10)
		s.Login(t).Push(t, "app", "v1", img)
		alice, id := withKey(t, s, s.CreateUserOf(t, s.AWS(), "alice", mayPull))
		alice.Do(t, "GET", "/v2/", nil).Want(t, 200)
		r := alice.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)
		if w := r.Header.Get("Warning"); w != "" {
			t.Errorf("Warning = %q, want none: a key does not expire", w)
		}
		checkError(t, "a push without the rights", alice.Do(t, "POST", "/v2/app/blobs/uploads/", nil), 403, "DENIED")
		root, _ := withKey(t, s, s.AWS())
		root.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)

		// Who may not get a password may not log in without one.
		bob, _ := withKey(t, s, s.CreateUserOf(t, s.AWS(), "bob", noLogin))
		r = bob.Do(t, "GET", "/v2/app/manifests/v1", nil)
		checkError(t, "somebody who may not log in", r, 403, "DENIED")
		const want = "User: arn:aws:iam::123456789012:user/bob is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action"
		if got := r.Message(); got != want {
			t.Errorf("the message is %q, want %q", got, want)
		}

		// A login is a use of the key, and ends with it.
		used, err := s.IAM().GetAccessKeyLastUsed(t.Context(), &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
		if err != nil || *used.AccessKeyLastUsed.ServiceName != "ecr" {
			t.Errorf("GetAccessKeyLastUsed = %+v, %v, want ecr", used, err)
		}
		_, err = s.IAM().UpdateAccessKey(t.Context(), &iam.UpdateAccessKeyInput{AccessKeyId: &id, UserName: aws.String("alice"), Status: types.StatusTypeInactive})
		if err != nil {
			t.Fatal(err)
		}
		checkError(t, "an inactive key", alice.Do(t, "GET", "/v2/", nil), 401, "UNAUTHORIZED")

		// The public registries want a token.
		public := *root
		public.Host = s.PublicHost()
		checkError(t, "the public host", public.Do(t, "GET", "/token/", nil), 401, "UNAUTHORIZED")
	})
}

func TestGuessesOfSecretsAreThrottled(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.PasswordLogin = accessKey }})
	c, _ := withKey(t, s, s.AWS())
	secret := c.Pass
	for range 6 {
		c.Pass = "a guess"
		r := c.Do(t, "GET", "/v2/", nil)
		checkError(t, "a guess", r, 401, "UNAUTHORIZED")
		if r.Header.Get("WWW-Authenticate") == "" {
			t.Error("a guess is not challenged")
		}
	}
	c.Pass = secret
	r := c.Do(t, "GET", "/v2/", nil)
	checkError(t, "the secret after guesses", r, 429, "TOOMANYREQUESTS")
	checkHeaders(t, "the secret after guesses", r, "Retry-After", "1")
	s.Login(t).Do(t, "GET", "/v2/", nil).Want(t, 200) // passwords go on working
	s.Clock.Advance(time.Second)
	c.Do(t, "GET", "/v2/", nil).Want(t, 200)
}

func TestAnAccessKeyIsNoLoginOtherwise(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c, _ := withKey(t, s, s.AWS())
	for range 30 { // they are not counted either
		checkError(t, "an access key", c.Do(t, "GET", "/v2/", nil), 401, "UNAUTHORIZED")
	}
}

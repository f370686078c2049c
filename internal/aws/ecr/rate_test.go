package ecr_test

import (
	"errors"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

func TestRequestRates(t *testing.T) {
	t.Parallel()
	o := servertest.Options{Configure: func(c *config.Config) {
		c.RequestRates, c.Quotas = "ecr", []string{"rate-InitiateLayerUpload=3", "rate-GetAuthorizationToken=2"}
	}}
	servertest.Each(t, o, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		initiate := func() error {
			_, err := c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
			return err
		}
		client := s.Login(t) // one token
		startUpload(t, c, "app")
		startUpload(t, c, "app")
		// Both APIs take from the same bucket.
		client.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202)
		wantError(t, initiate(), "ThrottlingException", "Rate exceeded")
		r := client.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 429)
		if r.Code() != "TOOMANYREQUESTS" || r.Message() != "Rate exceeded" || r.Header.Get("Retry-After") != "1" {
			t.Errorf("POST = %s: %s, Retry-After %q, want TOOMANYREQUESTS: Rate exceeded and 1", r.Code(), r.Message(), r.Header.Get("Retry-After"))
		}
		wantEqual(t, "uploads", rows(t, s, "SELECT COUNT(*) FROM uploads"), []string{"3"})
		// Other operations have their own; another region is no way out.
		createRepository(t, c, "other")
		createRepository(t, s.ECRIn("eu-west-1"), "app")
		_, err := s.ECRIn("eu-west-1").InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
		wantError(t, err, "ThrottlingException", "Rate exceeded")
		s.Password(t)
		_, err = c.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
		wantError(t, err, "ThrottlingException", "Rate exceeded")

		s.Clock.Advance(400 * time.Millisecond)
		startUpload(t, c, "app")
		wantError(t, initiate(), "ThrottlingException", "Rate exceeded")
		increase(t, s, "L-95B28F8D", 10)
		s.Clock.Advance(time.Second)
		for range 10 {
			startUpload(t, c, "app")
		}
		wantError(t, initiate(), "ThrottlingException", "Rate exceeded")
	})
}

// A blob that comes in one request counts as all the calls that it stands for,
// once each.
func TestRequestRatesCountEachCallOnce(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		c.RequestRates, c.Quotas = "ecr", []string{"rate-CompleteLayerUpload=2", "rate-UploadLayerPart=2", "rate-PutImage=1", "rate-BatchGetImage=1"}
	}})
	c := s.ECR()
	createRepository(t, c, "app")
	img := servertest.NewImage(1, 10)
	client := s.Login(t)
	client.Push(t, "app", "v1", img)
	wantError(t, tryLayer(t, c, "app", []byte("x")), "ThrottlingException", "Rate exceeded")
	wantError(t, tryImage(t, c, "app", img.Manifest, "v2"), "ThrottlingException", "Rate exceeded")
	client.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)
	client.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 429)
}

// A push that comes too soon is refused, and recorded, before its manifest is
// read.
func TestAPushThatComesTooSoonIsNotRead(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		c.RequestRates, c.Quotas = "ecr", []string{"rate-PutImage=1"}
	}})
	createRepository(t, s.ECR(), "app")
	client := s.Login(t)
	client.Push(t, "app", "v1", servertest.NewImage(1, 10))
	body := iotest.ErrReader(errors.New("the body was read"))
	r := httptest.NewRequest("PUT", "/v2/app/manifests/v2", body)
	r.ContentLength = -1
	r.SetBasicAuth(client.User, client.Pass)
	w := httptest.NewRecorder()
	s.Server().Handler().ServeHTTP(w, r)
	if w.Code != 429 {
		t.Errorf("PUT too soon = %d %s, want 429", w.Code, w.Body)
	}
	var ends []string
	for _, r := range auditRecords(t, s) {
		if r.EventName == "PutImage" {
			ends = append(ends, r.ErrorCode)
		}
	}
	if want := []string{"", "ThrottlingException"}; !slices.Equal(ends, want) {
		t.Errorf("the records of PutImage end with %q, want %q", ends, want)
	}
}

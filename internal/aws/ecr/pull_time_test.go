package ecr_test

import (
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// pulledAt returns the time of an image's last pull as it is recorded by now.
func pulledAt(t *testing.T, s *servertest.Server, id types.ImageIdentifier) time.Time {
	t.Helper()
	if err := s.Server().Registry().FlushUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := describe(t, s.ECR(), id).LastRecordedPullTime; at != nil {
		return *at
	}
	return time.Time{}
}

func TestPullsAreRecorded(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, oci := s.ECR(), s.Login(t)
		createRepository(t, c, "app")
		img, other := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", img, "v1", "v2")
		pushImage(t, c, "app", other, "other")
		oci.Do(t, "HEAD", "/v2/app/manifests/v1", nil).Want(t, 200)
		if at := pulledAt(t, s, byTag("v1")); !at.IsZero() {
			t.Errorf("after a HEAD the last pull was at %v, want none", at)
		}
		for _, pull := range []func(){
			func() { oci.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200) },
			func() { oci.Do(t, "GET", "/v2/app/manifests/"+img.Digest.String(), nil).Want(t, 200) },
			func() {
				must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v2")}}))(t)
			},
		} {
			s.Clock.Advance(time.Hour)
			pull()
			now := s.Clock.Now()
			if at := pulledAt(t, s, byTag("v1")); !at.Equal(now) {
				t.Errorf("the last pull was at %v, want %v", at, now)
			}
			s.Clock.Advance(30 * time.Second)
			pull()
			if at := pulledAt(t, s, byTag("v1")); !at.Equal(now) {
				t.Errorf("a pull 30 s later was recorded at %v, want %v still", at, now)
			}
		}
		if at := pulledAt(t, s, byTag("other")); !at.IsZero() {
			t.Errorf("the other image was pulled at %v, want never", at)
		}
		last := pulledAt(t, s, byTag("v1"))
		s.Restart(t)
		if at := pulledAt(t, s, byTag("v1")); !at.Equal(last) {
			t.Errorf("after a restart the last pull was at %v, want %v", at, last)
		}
	})
}

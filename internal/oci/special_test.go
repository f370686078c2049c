package oci_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// No tag is special: where tags are immutable, or a policy allows some only, latest
// is as any other, by both fronts.
func TestNoTagIsSpecial(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createWith(t, s, "fixed", types.ImageTagMutabilityImmutable)
		createWith(t, s, "some", types.ImageTagMutabilityImmutableWithExclusion, "dev-*")
		c := begin(t, s, "free")
		first, second := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		as := s.CreateUserOf(t, s.AWS(), "dev", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["ecr:GetAuthorizationToken","ecr:*Layer*"]},
			{"Effect":"Allow","Resource":"*","Action":"ecr:PutImage","Condition":{"StringLike":{"ecr:ImageTag":"dev-*"}}}]}`)
		dev := s.LoginAs(t, as)
		dev.PushBlobs(t, "free", second)
		for _, tag := range []string{"latest", "LATEST", "Latest", "main", "master", "stable", "v1", "_", "0", strings.Repeat("a", 128)} {
			for _, name := range []string{"fixed", "some"} {
				c.Push(t, name, tag, first)
				c.PushBlobs(t, name, second)
				checkError(t, "PUT of "+tag+" again", c.PushManifest(t, name, tag, typeManifest, second.Manifest), 400, "TAG_INVALID")
				_, err := s.ECR().PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &name, ImageTag: &tag, ImageManifest: new(string(second.Manifest)), ImageManifestMediaType: new(typeManifest)})
				if servertest.ErrorCode(err) != "ImageTagAlreadyExistsException" {
					t.Errorf("PutImage of %s again = %v, want ImageTagAlreadyExistsException", tag, err)
				}
				checkManifest(t, c, name, tag, typeManifest, first.Manifest)
			}
			checkError(t, "PUT of "+tag+" by one who may push others", dev.PushManifest(t, "free", tag, typeManifest, second.Manifest), 403, "DENIED")
			_, err := ecr.NewFromConfig(as).PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("free"), ImageTag: &tag, ImageManifest: new(string(second.Manifest)), ImageManifestMediaType: new(typeManifest)})
			if servertest.ErrorCode(err) != "AccessDeniedException" {
				t.Errorf("PutImage of %s by one who may push others = %v, want AccessDeniedException", tag, err)
			}
			check(t, "GET "+tag, c.Do(t, "GET", manifestPath("free", tag), nil), 404)
		}
		check(t, "PUT of dev-1", dev.PushManifest(t, "free", "dev-1", typeManifest, second.Manifest), 201)
	})
}

package ecr_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/opencontainers/go-digest"
)

// withQuotas is a server whose quotas have other values than ECR's.
func withQuotas(quotas ...string) servertest.Options {
	return servertest.Options{Configure: func(c *config.Config) { c.Quotas = quotas }}
}

// increase asks Service Quotas, as the root, for more.
func increase(t *testing.T, s *servertest.Server, code string, value float64) {
	t.Helper()
	must(s.ServiceQuotas().RequestServiceQuotaIncrease(t.Context(), &servicequotas.RequestServiceQuotaIncreaseInput{
		ServiceCode: new("ecr"), QuotaCode: &code, DesiredValue: &value,
	}))(t)
}

func tryImage(t *testing.T, c *ecr.Client, repository string, manifest []byte, tag string) error {
	t.Helper()
	in := &ecr.PutImageInput{RepositoryName: &repository, ImageManifest: new(string(manifest))}
	if tag != "" {
		in.ImageTag = &tag
	}
	_, err := c.PutImage(t.Context(), in)
	return err
}

func TestARegistryHasABoundedNumberOfRepositories(t *testing.T) {
	t.Parallel()
	const full = "The maximum number of repositories has been reached: the quota 'Registered repositories' (L-CFEB8E8D) is "
	servertest.Each(t, withQuotas("repositories=2"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "aa")
		createRepository(t, c, "bb")
		_, err := c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("cc")})
		wantError(t, err, "LimitExceededException", full+"2")
		_, err = c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("aa")})
		if servertest.ErrorCode(err) != "RepositoryAlreadyExistsException" {
			t.Errorf("CreateRepository of a name that is taken = %v, want RepositoryAlreadyExistsException", err)
		}
		// Another region is another registry.
		createRepository(t, s.ECRIn("eu-west-1"), "cc")

		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("aa")}))(t)
		createRepository(t, c, "cc")
		increase(t, s, "L-CFEB8E8D", 3)
		s.Restart(t)
		createRepository(t, c, "dd")
		_, err = c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("ee")})
		wantError(t, err, "LimitExceededException", full+"3")
		wantEqual(t, "repositories", repositoryNames(t, c), []string{"bb", "cc", "dd"})
	})
}

func TestARepositoryHasABoundedNumberOfImages(t *testing.T) {
	t.Parallel()
	const full = "The maximum number of images per repository has been reached: the quota 'Images per repository' (L-03A36CE1) is "
	servertest.Each(t, withQuotas("images-per-repository=2"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		var images []servertest.Image
		for i := range 3 {
			images = append(images, servertest.NewImage(uint64(i)))
			pushLayer(t, c, "app", images[i].Config)
		}
		putImage(t, c, "app", images[0].Manifest, "v0")
		putImage(t, c, "app", images[1].Manifest, "v1")
		err := tryImage(t, c, "app", images[2].Manifest, "v1")
		wantError(t, err, "LimitExceededException", full+"2")
		wantEqual(t, "images", len(describeImages(t, c, "app")), 2)
		if got := *describeImages(t, c, "app", byTag("v1"))[0].ImageDigest; got != images[1].Digest.String() {
			t.Errorf("the tag is on %s after a push that failed, want %s", got, images[1].Digest)
		}
		// There is no room for what would end as an image, and room for tags.
		_, err = c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
		wantError(t, err, "LimitExceededException", full+"2")
		wantEqual(t, "uploads", rows(t, s, "SELECT id FROM uploads"), []string{})
		putImage(t, c, "app", images[1].Manifest, "again")

		must(c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{
			RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v0")},
		}))(t)
		putImage(t, c, "app", images[2].Manifest, "v2")
		wantError(t, tryImage(t, c, "app", images[0].Manifest, "v0"), "LimitExceededException", full+"2")
		increase(t, s, "L-03A36CE1", 3)
		putImage(t, c, "app", images[0].Manifest, "v0")
	})
}

// A thousand images, and one more.
func TestTheImageAfterTheLastIsRefusedUntilOneIsDeleted(t *testing.T) {
	t.Parallel()
	const most = 1000
	servertest.Each(t, withQuotas(fmt.Sprint("images-per-repository=", most)), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushLayer(t, c, "app", img.Config)
		// Blanks make another image of it.
		manifest := func(i int) []byte { return append([]byte(strings.Repeat(" ", i)), img.Manifest...) }
		for i := range most {
			putImage(t, c, "app", manifest(i), fmt.Sprint("v", i))
		}
		if err := tryImage(t, c, "app", manifest(most), "last"); servertest.ErrorCode(err) != "LimitExceededException" {
			t.Errorf("PutImage of one too many = %v, want LimitExceededException", err)
		}
		must(c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{
			RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v7")},
		}))(t)
		putImage(t, c, "app", manifest(most), "last")
	})
}

func TestAnImageHasABoundedNumberOfTags(t *testing.T) {
	t.Parallel()
	const full = "The maximum number of tags per image has been reached: the quota 'Tags per image' (L-BE000004) is 2"
	servertest.Each(t, withQuotas("tags-per-image=2"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		a, b := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", a, "a1", "a2")
		pushImage(t, c, "app", b, "b1")
		wantError(t, tryImage(t, c, "app", a.Manifest, "a3"), "LimitExceededException", full)
		wantError(t, tryImage(t, c, "app", a.Manifest, "b1"), "LimitExceededException", full)
		wantEqual(t, "tags of b", describeImages(t, c, "app", byDigest(b.Digest))[0].ImageTags, []string{"b1"})
		putImage(t, c, "app", b.Manifest, "a1") // moves it
		putImage(t, c, "app", a.Manifest, "a3")
		wantEqual(t, "tags of a", describeImages(t, c, "app", byDigest(a.Digest))[0].ImageTags, []string{"a2", "a3"})
		wantError(t, tryImage(t, c, "app", b.Manifest, "b2"), "LimitExceededException", full)
	})
}

func TestLayersAndManifestsHaveABoundedSize(t *testing.T) {
	t.Parallel()
	servertest.Each(t, withQuotas("layer-size=6", "layer-parts=2", "manifest-size=1"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		content := servertest.Bytes(1, 6*mib+1)
		id := startUpload(t, c, "app")
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, content[:5*mib])))(t)
		_, err := c.UploadLayerPart(t.Context(), part("app", id, 5*mib, content[5*mib:]))
		wantError(t, err, "LimitExceededException", "The layer exceeds the maximum layer size: the quota 'Maximum layer size' (L-BE000002) is 6 MiB")
		s.CheckData(t)
		pushLayer(t, c, "app", content[:6*mib])

		id = startUpload(t, c, "app")
		for i := range 2 {
			must(c.UploadLayerPart(t.Context(), part("app", id, int64(i), []byte("a"))))(t)
		}
		_, err = c.UploadLayerPart(t.Context(), part("app", id, 2, []byte("a")))
		wantError(t, err, "LimitExceededException", "The maximum number of layer parts has been reached: the quota 'Layer parts' (L-BE000001) is 2")

		manifest := servertest.NewImage(1).Manifest
		manifest = append(manifest, strings.Repeat(" ", mib+1-len(manifest))...)
		err = tryImage(t, c, "app", manifest, "v1")
		wantError(t, err, "LimitExceededException", "The image manifest exceeds the maximum manifest size: the quota 'Maximum manifest size' (L-BE000003) is 1 MiB")
	})
}

// Whoever comes at once: no quota is passed, and what is left of it is used.
func TestQuotasHoldWhenManyPushAtOnce(t *testing.T) {
	t.Parallel()
	const pushers = 32
	o := withQuotas("images-per-repository=10", "repositories=5")
	configure := o.Configure
	o.Configure = func(c *config.Config) {
		configure(c)
		c.StorageQuotas = []string{servertest.Account + "/team=700000"}
	}
	servertest.Each(t, o, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "team/layers")
		images := make([]servertest.Image, pushers)
		for i := range images {
			images[i] = servertest.NewImage(uint64(i))
			pushLayer(t, c, "app", images[i].Config)
		}
		var mu sync.Mutex
		results := map[string]int{} // guarded by mu
		add := func(what string, err error) {
			mu.Lock()
			defer mu.Unlock()
			results[what+" "+servertest.ErrorCode(err)]++
		}
		var wg sync.WaitGroup
		for i, img := range images {
			wg.Go(func() { add("image", tryImage(t, c, "app", img.Manifest, fmt.Sprint("v", i))) })
			wg.Go(func() {
				_, err := c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new(fmt.Sprint("repository", i))})
				add("repository", err)
			})
			wg.Go(func() { add("layer", tryLayer(t, c, "team/layers", servertest.Bytes(uint64(i), 100_000))) })
		}
		wg.Wait()
		wantEqual(t, "results", results, map[string]int{
			"image ": 10, "image LimitExceededException": pushers - 10,
			"repository ": 3, "repository LimitExceededException": pushers - 3,
			"layer ": 7, "layer LimitExceededException": pushers - 7,
		})
		wantEqual(t, "images", len(describeImages(t, c, "app")), 10)
		wantEqual(t, "uploads that are left", rows(t, s, "SELECT id FROM uploads"), []string{})
		wantEqual(t, "layers", rows(t, s, "SELECT COUNT(*) FROM layers l JOIN repositories r ON r.uid = l.repository WHERE r.name = 'team/layers'"), []string{"7"})
		s.CheckData(t)
	})
}

func tryLayer(t *testing.T, c *ecr.Client, repository string, content []byte) error {
	t.Helper()
	out, err := c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &repository})
	if err != nil {
		return err
	}
	if _, err := c.UploadLayerPart(t.Context(), part(repository, *out.UploadId, 0, content)); err != nil {
		return err
	}
	_, err = c.CompleteLayerUpload(t.Context(), completion(repository, *out.UploadId, digest.FromBytes(content)))
	return err
}

func TestArchivedImagesComeBackWithinTheQuota(t *testing.T) {
	t.Parallel()
	servertest.Each(t, withQuotas("images-per-repository=2"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		move := func(tag string, to types.TargetStorageClass) error {
			t.Helper()
			_, err := c.UpdateImageStorageClass(t.Context(), &ecr.UpdateImageStorageClassInput{
				RepositoryName: new("app"), ImageId: &types.ImageIdentifier{ImageTag: &tag}, TargetStorageClass: to,
			})
			return err
		}
		var images []servertest.Image
		for i, tag := range []string{"a", "b", "c", "d"} {
			images = append(images, servertest.NewImage(uint64(i)))
			pushImage(t, c, "app", images[i], tag)
			if i < 2 {
				must(0, move(tag, types.TargetStorageClassArchive))(t)
			}
		}
		if err := move("a", types.TargetStorageClassStandard); servertest.ErrorCode(err) != "LimitExceededException" {
			t.Errorf("restoring a third image = %v, want LimitExceededException", err)
		}
		if err := tryImage(t, c, "app", images[0].Manifest, "again"); servertest.ErrorCode(err) != "LimitExceededException" {
			t.Errorf("pushing a third image that is archived = %v, want LimitExceededException", err)
		}
		must(0, move("c", types.TargetStorageClassArchive))(t)
		must(0, move("a", types.TargetStorageClassStandard))(t)
		if err := tryImage(t, c, "app", images[1].Manifest, "again"); servertest.ErrorCode(err) != "LimitExceededException" {
			t.Errorf("pushing an archived image beside one that is being restored = %v, want LimitExceededException", err)
		}
	})
}

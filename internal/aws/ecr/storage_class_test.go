package ecr_test

import (
	"slices"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// setClass archives or restores an image and returns its status.
func setClass(t *testing.T, c *ecr.Client, id types.ImageIdentifier, target types.TargetStorageClass) types.ImageStatus {
	t.Helper()
	out := must(c.UpdateImageStorageClass(t.Context(), classInput(id, target)))(t)
	return out.ImageStatus
}

func classInput(id types.ImageIdentifier, target types.TargetStorageClass) *ecr.UpdateImageStorageClassInput {
	return &ecr.UpdateImageStorageClassInput{RepositoryName: new("app"), ImageId: &id, TargetStorageClass: target}
}

// activate ends restorations, as the server does every second.
func activate(t *testing.T, s *servertest.Server) {
	t.Helper()
	if err := s.Server().Registry().ActivateImages(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// listed returns the ids of images with a status.
func listed(t *testing.T, c *ecr.Client, status types.ImageStatusFilter) []string {
	t.Helper()
	in := &ecr.ListImagesInput{RepositoryName: new("app")}
	if status != "" {
		in.Filter = &types.ListImagesFilter{ImageStatus: status}
	}
	return texts(must(c.ListImages(t.Context(), in))(t).ImageIds)
}

func describe(t *testing.T, c *ecr.Client, id types.ImageIdentifier) types.ImageDetail {
	t.Helper()
	out := must(c.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{id}}))(t)
	return out.ImageDetails[0]
}

func TestAnArchivedImageIsOutOfTheWay(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, oci := s.ECR(), s.Login(t)
		createRepository(t, c, "app")
		img, other := servertest.NewImage(1, 100, 200), servertest.NewImage(2, 10)
		pushImage(t, c, "app", img, "v1")
		pushImage(t, c, "app", other, "v2")
		s.Clock.Advance(time.Hour)
		out := must(c.UpdateImageStorageClass(t.Context(), classInput(byTag("v1"), types.TargetStorageClassArchive)))(t)
		wantEqual(t, "UpdateImageStorageClass", out, &ecr.UpdateImageStorageClassOutput{
			RegistryId: new(servertest.Account), RepositoryName: new("app"), ImageStatus: types.ImageStatusArchived,
			ImageId: new(byBoth(img.Digest, "v1")),
		})

		v1, v2 := img.Digest.String()+"@v1", other.Digest.String()+"@v2"
		all := []string{v1, v2}
		slices.Sort(all)
		wantEqual(t, "images", listed(t, c, ""), []string{v2})
		wantEqual(t, "active images", listed(t, c, types.ImageStatusFilterActive), []string{v2})
		wantEqual(t, "archived images", listed(t, c, types.ImageStatusFilterArchived), []string{v1})
		wantEqual(t, "activating images", listed(t, c, types.ImageStatusFilterActivating), nil)
		wantEqual(t, "images of any status", listed(t, c, types.ImageStatusFilterAny), all)
		detail := describe(t, c, byTag("v1"))
		if detail.ImageStatus != types.ImageStatusArchived || !detail.LastArchivedAt.Equal(s.Clock.Now()) || detail.LastActivatedAt != nil {
			t.Errorf("the archived image is %s since %v, activated %v", detail.ImageStatus, detail.LastArchivedAt, detail.LastActivatedAt)
		}

		got := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1"), byTag("v2")}}))(t)
		if len(got.Images) != 1 || len(got.Failures) != 1 || got.Failures[0].FailureCode != types.ImageFailureCodeImageInaccessible {
			t.Errorf("BatchGetImage = %d images, failures %q, want the archived one refused", len(got.Images), failures(got.Failures))
		}
		for _, path := range []string{"manifests/v1", "manifests/" + img.Digest.String(), "blobs/" + digest.FromBytes(img.Layers[0]).String()} {
			for _, method := range []string{"GET", "HEAD"} {
				if r := oci.Do(t, method, "/v2/app/"+path, nil); r.Status != 404 {
					t.Errorf("%s %s = %d, want 404", method, path, r.Status)
				}
			}
		}
		if tags := string(oci.Do(t, "GET", "/v2/app/tags/list", nil).Want(t, 200).Body); tags != `{"name":"app","tags":["v2"]}` {
			t.Errorf("tags = %s, want v2 alone", tags)
		}
		layers := must(c.BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{
			RepositoryName: new("app"), LayerDigests: []string{digest.FromBytes(img.Layers[0]).String()},
		}))(t).Layers
		if layers[0].LayerAvailability != types.LayerAvailabilityArchived || *layers[0].LayerSize != 100 {
			t.Errorf("the layer is %s, want ARCHIVED", layers[0].LayerAvailability)
		}
		_, err := c.GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: new("app"), LayerDigest: layers[0].LayerDigest})
		if code := servertest.ErrorCode(err); code != "LayersNotFoundException" {
			t.Errorf("GetDownloadUrlForLayer = %v, want LayersNotFoundException", err)
		}
	})
}

func TestARestoredImageIsBack(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, oci := s.ECR(), s.Login(t)
		createRepository(t, c, "app")
		img := servertest.NewImage(1, 100)
		pushImage(t, c, "app", img, "v1")
		setClass(t, c, byTag("v1"), types.TargetStorageClassArchive)
		s.Clock.Advance(time.Hour)
		// The server activates images by itself, so that it may have done so already.
		if got := setClass(t, c, byTag("v1"), types.TargetStorageClassStandard); got != types.ImageStatusActivating {
			t.Errorf("status = %s, want ACTIVATING", got)
		}
		activate(t, s)
		activate(t, s) // changes nothing more
		detail := describe(t, c, byTag("v1"))
		if detail.ImageStatus != types.ImageStatusActive || !detail.LastActivatedAt.Equal(s.Clock.Now()) {
			t.Errorf("the image is %s since %v", detail.ImageStatus, detail.LastActivatedAt)
		}
		oci.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)
		oci.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil).Want(t, 200)
		d := img.Digest.String()
		wantEqual(t, "events", events(t, s)[2:], []string{"image.archived app " + d, "image.restored app " + d})
	})
}

func TestAPushRestoresAnArchivedImage(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, oci := s.ECR(), s.Login(t)
		createRepository(t, c, "app")
		img := servertest.NewImage(1, 100)
		pushImage(t, c, "app", img, "v1")
		setClass(t, c, byTag("v1"), types.TargetStorageClassArchive)
		oci.Push(t, "app", "v1", img)
		if got := describe(t, c, byTag("v1")); got.ImageStatus != types.ImageStatusActive || got.LastActivatedAt == nil {
			t.Errorf("after a push the image is %s", got.ImageStatus)
		}
		oci.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil).Want(t, 200)

		// With ECR's own API as well, from the first layer on.
		setClass(t, c, byTag("v1"), types.TargetStorageClassArchive)
		pushImage(t, c, "app", img, "v1")
		if got := describe(t, c, byTag("v1")); got.ImageStatus != types.ImageStatusActive {
			t.Errorf("after PutImage the image is %s", got.ImageStatus)
		}
	})
}

func TestStorageClassesThatCannotBe(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		const unsupported = "ImageStorageClassUpdateNotSupportedException"
		refused := func(what string, in *ecr.UpdateImageStorageClassInput, code string) {
			t.Helper()
			_, err := c.UpdateImageStorageClass(t.Context(), in)
			if got := servertest.ErrorCode(err); got != code {
				t.Errorf("%s = %v, want %s", what, err, code)
			}
		}
		refused("restoring an active image", classInput(byTag("v1"), types.TargetStorageClassStandard), unsupported)
		refused("an unknown image", classInput(byTag("v2"), types.TargetStorageClassArchive), "ImageNotFoundException")
		refused("no image", classInput(types.ImageIdentifier{}, types.TargetStorageClassArchive), "InvalidParameterException")
		refused("an unknown class", classInput(byTag("v1"), "GLACIER"), "ValidationException")
		in := classInput(byTag("v1"), types.TargetStorageClassArchive)
		in.RepositoryName = new("absent")
		refused("an unknown repository", in, "RepositoryNotFoundException")
		setClass(t, c, byTag("v1"), types.TargetStorageClassArchive)
		refused("archiving an archived image", classInput(byTag("v1"), types.TargetStorageClassArchive), unsupported)
	})
}

func TestAnIndexAndItsImagesAreArchivedInOrder(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, oci := s.ECR(), s.Login(t)
		createRepository(t, c, "app")
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", one)
		pushImage(t, c, "app", two)
		index := servertest.Index(one, two)
		putImage(t, c, "app", index, "v1")
		_, err := c.UpdateImageStorageClass(t.Context(), classInput(byDigest(one.Digest), types.TargetStorageClassArchive))
		if code := servertest.ErrorCode(err); code != "ImageStorageClassUpdateNotSupportedException" {
			t.Errorf("archiving a child of an active index = %v", err)
		}
		setClass(t, c, byTag("v1"), types.TargetStorageClassArchive)
		setClass(t, c, byDigest(one.Digest), types.TargetStorageClassArchive)
		oci.Do(t, "GET", "/v2/app/manifests/"+two.Digest.String(), nil).Want(t, 200)

		// An index comes back with the images that it lists.
		setClass(t, c, byTag("v1"), types.TargetStorageClassStandard)
		activate(t, s)
		for _, id := range []string{"v1", one.Digest.String(), two.Digest.String()} {
			oci.Do(t, "GET", "/v2/app/manifests/"+id, nil).Want(t, 200)
		}

		// A new index cannot refer to an image in the archive.
		deleteImages(t, c, "app", byTag("v1"))
		setClass(t, c, byDigest(one.Digest), types.TargetStorageClassArchive)
		_, err = c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(index))})
		if code := servertest.ErrorCode(err); code != "ReferencedImagesNotFoundException" {
			t.Errorf("an index of an archived image = %v", err)
		}
	})
}

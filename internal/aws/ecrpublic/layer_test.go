package ecrpublic_test

import (
	"errors"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
	"github.com/opencontainers/go-digest"
)

const (
	mib          = 1 << 20
	absentUpload = "01234567-89ab-cdef-0123-456789abcdef"
	noUpload     = "The upload with id '" + absentUpload + "' does not exist in the repository with name 'app' in the registry with id '123456789012'"
)

func TestALayerIsUploadedInParts(t *testing.T) {
	t.Parallel()
	layer := servertest.Bytes(1, 7*mib)
	d := digest.FromBytes(layer)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		alias := aliasOf(create(t, s, "app"))
		begun := must(c.InitiateLayerUpload(t.Context(), &ecrpublic.InitiateLayerUploadInput{RegistryId: &alias, RepositoryName: new("app")}))(t)
		if *begun.PartSize != 20*mib {
			t.Errorf("partSize = %d, want 20 MiB", *begun.PartSize)
		}
		for _, p := range []struct{ first, last int64 }{{0, 5*mib - 1}, {5 * mib, 7*mib - 1}} {
			in := part("app", *begun.UploadId, p.first, layer[p.first:p.last+1])
			in.RegistryId = &alias
			wantEqual(t, "UploadLayerPart", must(c.UploadLayerPart(t.Context(), in))(t), &ecrpublic.UploadLayerPartOutput{
				RegistryId: new(account), RepositoryName: new("app"), UploadId: begun.UploadId, LastByteReceived: &p.last,
			})
		}
		done := completion("app", *begun.UploadId, d)
		done.RegistryId = &alias
		wantEqual(t, "CompleteLayerUpload", must(c.CompleteLayerUpload(t.Context(), done))(t), &ecrpublic.CompleteLayerUploadOutput{
			RegistryId: new(account), RepositoryName: new("app"), UploadId: begun.UploadId, LayerDigest: new(d.String()),
		})
		out := must(c.BatchCheckLayerAvailability(t.Context(), &ecrpublic.BatchCheckLayerAvailabilityInput{
			RegistryId: &alias, RepositoryName: new("app"), LayerDigests: []string{d.String(), unknownDigest, "x", ""},
		}))(t)
		wantEqual(t, "layers", out.Layers, []types.Layer{
			{LayerDigest: new(d.String()), LayerAvailability: types.LayerAvailabilityAvailable, LayerSize: new(int64(7 * mib))},
			{LayerDigest: new(unknownDigest), LayerAvailability: types.LayerAvailabilityUnavailable},
		})
		if len(out.Failures) != 2 || out.Failures[0].FailureCode != types.LayerFailureCodeInvalidLayerDigest || out.Failures[1].FailureCode != types.LayerFailureCodeMissingLayerDigest {
			t.Errorf("failures = %v", out.Failures)
		}
	})
}

func TestUploadsAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		create(t, s, "app")
		pushLayer(t, c, "app", []byte("layer"))
		there := digest.FromString("layer")

		_, err := c.CompleteLayerUpload(t.Context(), completion("app", startUpload(t, c, "app"), there))
		if servertest.ErrorCode(err) != "EmptyUploadException" {
			t.Errorf("completing an upload without parts: %v, want EmptyUploadException", err)
		}
		_, err = c.CompleteLayerUpload(t.Context(), completion("app", absentUpload, there))
		wantError(t, err, "UploadNotFoundException", noUpload)
		_, err = c.UploadLayerPart(t.Context(), part("app", absentUpload, 0, []byte("x")))
		wantError(t, err, "UploadNotFoundException", noUpload)

		id := startUpload(t, c, "app")
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, []byte("layer"))))(t)
		_, err = c.CompleteLayerUpload(t.Context(), completion("app", id, there))
		wantError(t, err, "LayerAlreadyExistsException",
			"The layer with digest '"+there.String()+"' already exists in the repository with name 'app' in the registry with id '123456789012'")
		_, err = c.UploadLayerPart(t.Context(), part("app", id, 9, []byte("x")))
		var gap *types.InvalidLayerPartException
		if !errors.As(err, &gap) || *gap.LastValidByteReceived != 4 || *gap.UploadId != id || *gap.RegistryId != account || *gap.RepositoryName != "app" {
			t.Errorf("a part that does not follow: %v, want InvalidLayerPartException", err)
		}
		must(c.UploadLayerPart(t.Context(), part("app", id, 5, []byte("more"))))(t)
		_, err = c.CompleteLayerUpload(t.Context(), completion("app", id, digest.FromString("layermore")))
		wantError(t, err, "LayerPartTooSmallException", "Layer parts must be at least 5 MiB in size")

		id = startUpload(t, c, "app")
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, []byte("another"))))(t)
		_, err = c.CompleteLayerUpload(t.Context(), completion("app", id, unknownDigest))
		wantError(t, err, "InvalidLayerException", "The digest of the uploaded layer does not match the digest that was given: '"+unknownDigest+"'")

		for _, repository := range []struct{ id, name, code, message string }{
			{account, "absent", "RepositoryNotFoundException", noRepository}, {"nobody", "app", "RegistryNotFoundException", noAlias},
		} {
			_, err = c.InitiateLayerUpload(t.Context(), &ecrpublic.InitiateLayerUploadInput{RegistryId: &repository.id, RepositoryName: &repository.name})
			wantError(t, err, repository.code, repository.message)
			p := part(repository.name, absentUpload, 0, []byte("x"))
			p.RegistryId = &repository.id
			_, err = c.UploadLayerPart(t.Context(), p)
			wantError(t, err, repository.code, repository.message)
			done := completion(repository.name, absentUpload, there)
			done.RegistryId = &repository.id
			_, err = c.CompleteLayerUpload(t.Context(), done)
			wantError(t, err, repository.code, repository.message)
			_, err = c.BatchCheckLayerAvailability(t.Context(), &ecrpublic.BatchCheckLayerAvailabilityInput{
				RegistryId: &repository.id, RepositoryName: &repository.name, LayerDigests: []string{string(there)},
			})
			wantError(t, err, repository.code, repository.message)
		}
		_, err = c.InitiateLayerUpload(t.Context(), &ecrpublic.InitiateLayerUploadInput{RegistryId: new(stranger), RepositoryName: new("app")})
		wantDenied(t, err, "InitiateLayerUpload", "arn:aws:ecr-public::210987654321:repository/app")
	})
}

func TestALayerHasABoundedNumberOfPartsAndBytes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		create(t, s, "app")
		id := startUpload(t, c, "app")
		texts(t, s, "UPDATE uploads SET parts = 999 WHERE id = $1 RETURNING id", id)
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, []byte("a"))))(t)
		_, err := c.UploadLayerPart(t.Context(), part("app", id, 1, []byte("b")))
		wantError(t, err, "LimitExceededException", "The maximum number of layer parts has been reached: the quota 'Layer parts' (L-BE000001) is 1000")

		const most = 10_000 * mib
		id = startUpload(t, c, "app")
		texts(t, s, "UPDATE uploads SET size = $2 WHERE id = $1 RETURNING id", id, most-2)
		_, err = c.UploadLayerPart(t.Context(), part("app", id, most-2, []byte("abc")))
		wantError(t, err, "LimitExceededException", "The layer exceeds the maximum layer size: the quota 'Maximum layer size' (L-BE000002) is 10000 MiB")
	})
}

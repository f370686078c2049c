package ecr_test

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

const mib = 1 << 20

const absentUpload = "01234567-89ab-cdef-0123-456789abcdef"

func noUpload(id string) string {
	return "The upload with id '" + id + "' does not exist in the repository with name 'app' in the registry with id '123456789012'"
}

func TestALayerIsUploadedInParts(t *testing.T) {
	t.Parallel()
	layer := servertest.Bytes(1, 12*mib)
	d := digest.FromBytes(layer)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		begun := must(c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app"), RegistryId: new("123456789012")}))(t)
		if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(*begun.UploadId) || *begun.PartSize != 20*mib {
			t.Errorf("InitiateLayerUpload = %s, %d, want a UUID and 20 MiB", *begun.UploadId, *begun.PartSize)
		}
		for _, p := range []struct{ first, last int64 }{{0, 5*mib - 1}, {5 * mib, 10*mib - 1}, {10 * mib, 12*mib - 1}} {
			out := must(c.UploadLayerPart(t.Context(), part("app", *begun.UploadId, p.first, layer[p.first:p.last+1])))(t)
			wantEqual(t, "UploadLayerPart", out, &ecr.UploadLayerPartOutput{
				RegistryId: new("123456789012"), RepositoryName: new("app"), UploadId: begun.UploadId, LastByteReceived: &p.last,
			})
			wantEqual(t, "before the end", availability(t, c, "app", d), []string{"UNAVAILABLE"})
		}
		out := must(c.CompleteLayerUpload(t.Context(), completion("app", *begun.UploadId, d)))(t)
		wantEqual(t, "CompleteLayerUpload", out, &ecr.CompleteLayerUploadOutput{
			RegistryId: new("123456789012"), RepositoryName: new("app"), UploadId: begun.UploadId, LayerDigest: new(d.String()),
		})
		wantEqual(t, "after it", availability(t, c, "app", d), []string{"AVAILABLE"})
		got := s.Login(t).Do(t, "GET", "/v2/app/blobs/"+d.String(), nil).Want(t, 200)
		if !bytes.Equal(got.Body, layer) {
			t.Error("the layer was changed")
		}
		_, err := c.CompleteLayerUpload(t.Context(), completion("app", *begun.UploadId, d))
		wantError(t, err, "UploadNotFoundException", noUpload(*begun.UploadId))
	})
}

func TestAnUploadGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	layer := servertest.Bytes(1, 6*mib)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		id := startUpload(t, s.ECR(), "app")
		must(s.ECR().UploadLayerPart(t.Context(), part("app", id, 0, layer[:5*mib])))(t)
		s.Restart(t)
		must(s.ECR().UploadLayerPart(t.Context(), part("app", id, 5*mib, layer[5*mib:])))(t)
		must(s.ECR().CompleteLayerUpload(t.Context(), completion("app", id, digest.FromBytes(layer))))(t)
	})
}

func TestTheLargestPartIs20MiB(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		id := startUpload(t, c, "app")
		layer := make([]byte, 20*mib+1)
		_, err := c.UploadLayerPart(t.Context(), part("app", id, 0, layer))
		wantError(t, err, "InvalidParameterException",
			"Invalid parameter at 'layerPartBlob' failed to satisfy constraint: 'Member must have length less than or equal to 20971520'")
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, layer[1:])))(t)
		must(c.CompleteLayerUpload(t.Context(), completion("app", id, digest.FromBytes(layer[1:]))))(t)
	})
}

func TestAPartThatDoesNotFollowIsRefusedWithWhatHasCome(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		id := startUpload(t, c, "app")
		refused := func(in *ecr.UploadLayerPartInput, last int64, message string) {
			t.Helper()
			_, err := c.UploadLayerPart(t.Context(), in)
			var got *types.InvalidLayerPartException
			if !errors.As(err, &got) {
				t.Errorf("UploadLayerPart(%d-%d): %v, want InvalidLayerPartException", *in.PartFirstByte, *in.PartLastByte, err)
				return
			}
			wantEqual(t, "exception", got, &types.InvalidLayerPartException{
				Message: &message, RegistryId: new("123456789012"), RepositoryName: new("app"), UploadId: &id, LastValidByteReceived: &last,
			})
		}
		refused(part("app", id, 1, []byte("abc")), 0, "The layer part's first byte is 1 but the upload holds 0 bytes")
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, []byte("0123456789"))))(t)
		refused(part("app", id, 0, []byte("0123456789")), 9, "The layer part's first byte is 0 but the upload holds 10 bytes")
		refused(part("app", id, 9, []byte("9")), 9, "The layer part's first byte is 9 but the upload holds 10 bytes")
		refused(part("app", id, 11, []byte("b")), 9, "The layer part's first byte is 11 but the upload holds 10 bytes")
		short := part("app", id, 10, []byte("ab"))
		short.PartLastByte = new(int64(12))
		refused(short, 9, "The layer part holds 2 bytes but bytes 10 to 12 were announced")
		short.PartLastByte = new(int64(10))
		refused(short, 9, "The layer part holds 2 bytes but bytes 10 to 10 were announced")
		short.PartLastByte = new(int64(0))
		refused(short, 9, "The layer part holds 2 bytes but bytes 10 to 0 were announced")
		short.PartLastByte = new(int64(math.MaxInt64))
		refused(short, 9, "The layer part holds 2 bytes but bytes 10 to 9223372036854775807 were announced")
		short.PartFirstByte, short.PartLastByte = new(int64(math.MaxInt64)), new(int64(math.MaxInt64))
		refused(short, 9, "The layer part's first byte is 9223372036854775807 but the upload holds 10 bytes")
		must(c.UploadLayerPart(t.Context(), part("app", id, 10, []byte("ab"))))(t)
	})
}

func TestAPartThatIsNotTheLastMustHave5MiB(t *testing.T) {
	t.Parallel()
	layer := servertest.Bytes(1, 6*mib)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		for _, cut := range []int{100, 5*mib - 1} {
			id := startUpload(t, c, "app")
			must(c.UploadLayerPart(t.Context(), part("app", id, 0, layer[:cut])))(t)
			must(c.UploadLayerPart(t.Context(), part("app", id, int64(cut), layer[cut:])))(t)
			_, err := c.CompleteLayerUpload(t.Context(), completion("app", id, digest.FromBytes(layer)))
			wantError(t, err, "LayerPartTooSmallException", "Layer parts must be at least 5 MiB in size")
		}
		id := startUpload(t, c, "app")
		for _, p := range [][]byte{layer[:100], layer[100:200], layer[200:]} {
			first := int64(len(layer) - cap(p))
			must(c.UploadLayerPart(t.Context(), part("app", id, first, p)))(t)
		}
		_, err := c.CompleteLayerUpload(t.Context(), completion("app", id, digest.FromBytes(layer)))
		wantError(t, err, "LayerPartTooSmallException", "Layer parts must be at least 5 MiB in size")
	})
}

func TestCompleteLayerUploadRefuses(t *testing.T) {
	t.Parallel()
	content := []byte("content")
	d := digest.FromBytes(content)
	const badDigest = "'must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+''"
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "other")
		begin := func(content []byte) string {
			id := startUpload(t, c, "app")
			if len(content) > 0 {
				must(c.UploadLayerPart(t.Context(), part("app", id, 0, content)))(t)
			}
			return id
		}
		complete := func(in *ecr.CompleteLayerUploadInput) error {
			_, err := c.CompleteLayerUpload(t.Context(), in)
			return err
		}

		id := begin(nil)
		wantError(t, complete(completion("app", id, d)), "EmptyUploadException",
			"The upload with id '"+id+"' in the repository with name 'app' in the registry with id '123456789012' has no layer parts")
		wantError(t, complete(completion("app", absentUpload, d)), "UploadNotFoundException", noUpload(absentUpload))
		wantError(t, complete(completion("absent", absentUpload, d)), "RepositoryNotFoundException", noRepository)

		id = begin(content)
		wantError(t, complete(completion("other", id, d)), "UploadNotFoundException", strings.ReplaceAll(noUpload(id), "app", "other"))
		wantError(t, complete(completion("app", strings.ToUpper(id), d)), "UploadNotFoundException", noUpload(strings.ToUpper(id)))
		wantError(t, complete(completion("app", "none", d)), "InvalidParameterException",
			"Invalid parameter at 'uploadId' failed to satisfy constraint: 'must satisfy regular expression "+
				"'[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}''")
		wantError(t, complete(completion("app", id, "sha256:0")), "InvalidParameterException",
			"Invalid parameter at 'layerDigests' failed to satisfy constraint: "+badDigest)
		wantError(t, complete(completion("app", id, "latest")), "InvalidParameterException",
			"Invalid parameter at 'layerDigests.1.member' failed to satisfy constraint: "+badDigest)
		two := completion("app", id, d)
		two.LayerDigests = append(two.LayerDigests, d.String())
		wantError(t, complete(two), "InvalidParameterException",
			"Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must have one digest'")
		if err := complete(completion("app", id, d)); err != nil {
			t.Errorf("CompleteLayerUpload after it was refused: %v", err)
		}

		id = begin(content)
		wantError(t, complete(completion("app", id, d)), "LayerAlreadyExistsException",
			"The layer with digest '"+d.String()+"' already exists in the repository with name 'app' in the registry with id '123456789012'")
	})
}

func TestALayerWithAnotherDigestIsNotKept(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		for _, size := range []int{10, 100_000} { // kept in the database, and in the bucket
			for _, claim := range []digest.Digest{unknownDigest, digest.SHA512.FromString("another")} {
				id := startUpload(t, c, "app")
				content := servertest.Bytes(1, size)
				must(c.UploadLayerPart(t.Context(), part("app", id, 0, content)))(t)
				_, err := c.CompleteLayerUpload(t.Context(), completion("app", id, claim))
				wantError(t, err, "InvalidLayerException", "The digest of the uploaded layer does not match the digest that was given: '"+claim.String()+"'")
				wantEqual(t, "availability", availability(t, c, "app", claim, digest.FromBytes(content)), []string{"UNAVAILABLE", "UNAVAILABLE"})
				_, err = c.CompleteLayerUpload(t.Context(), completion("app", id, digest.FromBytes(content)))
				wantError(t, err, "UploadNotFoundException", noUpload(id))
			}
		}
		wantEqual(t, "objects", rows(t, s, "SELECT count(*) FROM objects"), []string{"0"})
	})
}

func TestALayerMayHaveADigestOfSHA512(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		for _, size := range []int{10, 100_000} {
			content := servertest.Bytes(1, size)
			d := digest.SHA512.FromBytes(content)
			id := startUpload(t, c, "app")
			must(c.UploadLayerPart(t.Context(), part("app", id, 0, content)))(t)
			must(c.CompleteLayerUpload(t.Context(), completion("app", id, d)))(t)
			wantEqual(t, "availability", availability(t, c, "app", d), []string{"AVAILABLE"})
		}
	})
}

func TestUploadsEndAfterADay(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		id := startUpload(t, c, "app")
		s.Clock.Advance(24 * time.Hour)
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, []byte("a"))))(t)
		s.Clock.Advance(time.Second)
		_, err := c.UploadLayerPart(t.Context(), part("app", id, 1, []byte("b")))
		wantError(t, err, "UploadNotFoundException", noUpload(id))
		_, err = c.CompleteLayerUpload(t.Context(), completion("app", id, digest.FromString("a")))
		wantError(t, err, "UploadNotFoundException", noUpload(id))
	})
}

func TestUploadsOfUnknownRepositoriesAndPartsOfUnknownUploadsAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "other")
		_, err := c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("absent")})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		_, err = c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app"), RegistryId: new("999999999999")})
		wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:InitiateLayerUpload "+
			"on resource: arn:aws:ecr:us-east-1:999999999999:repository/app because no resource-based policy allows the ecr:InitiateLayerUpload action")
		_, err = c.UploadLayerPart(t.Context(), part("app", absentUpload, 0, []byte("a")))
		wantError(t, err, "UploadNotFoundException", noUpload(absentUpload))
		_, err = c.UploadLayerPart(t.Context(), part("absent", absentUpload, 0, []byte("a")))
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		_, err = c.UploadLayerPart(t.Context(), part("app", startUpload(t, c, "other"), 0, []byte("a")))
		if servertest.ErrorCode(err) != "UploadNotFoundException" {
			t.Errorf("a part of another repository's upload: %v, want UploadNotFoundException", err)
		}
		_, err = c.UploadLayerPart(t.Context(), part("app", startUpload(t, c, "app"), -1, []byte("a")))
		wantError(t, err, "InvalidParameterException",
			"Invalid parameter at 'partFirstByte' failed to satisfy constraint: 'Member must have value greater than or equal to 0'")
	})
}

func TestALayerHasABoundedNumberOfPartsAndBytes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		id := startUpload(t, c, "app")
		rows(t, s, "UPDATE uploads SET parts = 4199 WHERE id = $1 RETURNING id", id)
		must(c.UploadLayerPart(t.Context(), part("app", id, 0, []byte("a"))))(t)
		_, err := c.UploadLayerPart(t.Context(), part("app", id, 1, []byte("b")))
		wantError(t, err, "LimitExceededException", "The maximum number of layer parts has been reached: the quota 'Layer parts' (L-BE000001) is 4200")

		const most = 52_000 * mib
		id = startUpload(t, c, "app")
		rows(t, s, "UPDATE uploads SET size = $2 WHERE id = $1 RETURNING id", id, most-2)
		_, err = c.UploadLayerPart(t.Context(), part("app", id, most-2, []byte("abc")))
		wantError(t, err, "LimitExceededException", "The layer exceeds the maximum layer size: the quota 'Maximum layer size' (L-BE000002) is 52000 MiB")
	})
}

package ecrpublic_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const (
	account  = "123456789012"
	stranger = "210987654321" // an account that is not the caller's

	// Parts of the texts of errors.
	noRepository = "The repository with name 'absent' does not exist in the registry with id '123456789012'"
	noAlias      = "The registry with alias 'nobody' does not exist"
	badToken     = "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"
)

// unknownDigest is a digest that nothing in these tests has.
const unknownDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// sdk makes cmp compare what the SDK's types hold of an answer.
var sdk = cmp.FilterPath(func(p cmp.Path) bool {
	return strings.HasSuffix(p.String(), "noSmithyDocumentSerde") || strings.HasSuffix(p.String(), "ResultMetadata")
}, cmp.Ignore())

// wantError fails the test unless err is that exception with exactly that
// message.
func wantError(t *testing.T, err error, code, message string) {
	t.Helper()
	if c, m := servertest.ErrorCode(err), servertest.ErrorMessage(err); c != code || m != message {
		t.Errorf("error = %s: %s\nwant    %s: %s", c, m, code, message)
	}
}

// wantDenied fails the test unless err is the refusal of an action on a
// repository of another account.
func wantDenied(t *testing.T, err error, action, resource string) {
	t.Helper()
	wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr-public:"+action+
		" on resource: "+resource+" because no resource-based policy allows the ecr-public:"+action+" action")
}

// wantEqual fails the test if got is not want.
func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, sdk); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// must returns v, or fails the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func create(t *testing.T, s *servertest.Server, name string) *types.Repository {
	t.Helper()
	return must(s.ECRPublic().CreateRepository(t.Context(), &ecrpublic.CreateRepositoryInput{RepositoryName: &name}))(t).Repository
}

// aliasOf returns the alias in a repository's URI.
func aliasOf(r *types.Repository) string { return strings.Split(*r.RepositoryUri, "/")[1] }

// pushLayer uploads content as one part.
func pushLayer(t *testing.T, c *ecrpublic.Client, repository string, content []byte) {
	t.Helper()
	id := startUpload(t, c, repository)
	must(c.UploadLayerPart(t.Context(), part(repository, id, 0, content)))(t)
	must(c.CompleteLayerUpload(t.Context(), completion(repository, id, digest.FromBytes(content))))(t)
}

func startUpload(t *testing.T, c *ecrpublic.Client, repository string) string {
	t.Helper()
	return *must(c.InitiateLayerUpload(t.Context(), &ecrpublic.InitiateLayerUploadInput{RepositoryName: &repository}))(t).UploadId
}

// part is the part of an upload that begins at first.
func part(repository, id string, first int64, content []byte) *ecrpublic.UploadLayerPartInput {
	return &ecrpublic.UploadLayerPartInput{
		RepositoryName: &repository, UploadId: &id, PartFirstByte: &first, PartLastByte: new(first + int64(len(content)) - 1),
		LayerPartBlob: content,
	}
}

func completion(repository, id string, d digest.Digest) *ecrpublic.CompleteLayerUploadInput {
	return &ecrpublic.CompleteLayerUploadInput{RepositoryName: &repository, UploadId: &id, LayerDigests: []string{string(d)}}
}

// pushImage uploads what an image refers to, and then the image under the tags.
func pushImage(t *testing.T, c *ecrpublic.Client, repository string, img servertest.Image, tags ...string) {
	t.Helper()
	for _, layer := range append([][]byte{img.Config}, img.Layers...) {
		pushLayer(t, c, repository, layer)
	}
	for _, tag := range tags {
		must(c.PutImage(t.Context(), &ecrpublic.PutImageInput{
			RepositoryName: &repository, ImageManifest: new(string(img.Manifest)), ImageTag: &tag,
		}))(t)
	}
}

func byTag(tag string) types.ImageIdentifier { return types.ImageIdentifier{ImageTag: &tag} }

func byDigest[T ~string](d T) types.ImageIdentifier {
	return types.ImageIdentifier{ImageDigest: new(string(d))}
}

// texts returns the one column that the server's database answers to a query.
func texts(t *testing.T, s *servertest.Server, query string, args ...any) []string {
	t.Helper()
	driver, name := "sqlite", filepath.Join(s.Config.Data, "berth.db")
	if s.Config.Database != "" {
		driver, name = "pgx", s.Config.Database
	}
	db := must(sql.Open(driver, name))(t)
	defer db.Close()
	found := must(db.QueryContext(t.Context(), query, args...))(t)
	defer found.Close()
	out := []string{}
	for found.Next() {
		var text string
		if err := found.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

package ecr_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// unknownDigest is a digest that nothing in these tests has.
const unknownDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// Parts of the texts of errors.
const (
	noRepository = "The repository with name 'absent' does not exist in the registry with id '123456789012'"
	nameRegexp   = `Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*''`
)

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

func createRepository(t *testing.T, c *ecr.Client, name string) *types.Repository {
	t.Helper()
	return must(c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}))(t).Repository
}

// pushLayer uploads content as one part.
func pushLayer(t *testing.T, c *ecr.Client, repository string, content []byte) {
	t.Helper()
	id := startUpload(t, c, repository)
	if len(content) > 0 {
		must(c.UploadLayerPart(t.Context(), part(repository, id, 0, content)))(t)
	}
	must(c.CompleteLayerUpload(t.Context(), completion(repository, id, digest.FromBytes(content))))(t)
}

func startUpload(t *testing.T, c *ecr.Client, repository string) string {
	t.Helper()
	return *must(c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &repository}))(t).UploadId
}

// part is the part of an upload that begins at first.
func part(repository, id string, first int64, content []byte) *ecr.UploadLayerPartInput {
	return &ecr.UploadLayerPartInput{
		RepositoryName: &repository, UploadId: &id, PartFirstByte: &first, PartLastByte: new(first + int64(len(content)) - 1),
		LayerPartBlob: content,
	}
}

func completion(repository, id string, d digest.Digest) *ecr.CompleteLayerUploadInput {
	return &ecr.CompleteLayerUploadInput{RepositoryName: &repository, UploadId: &id, LayerDigests: []string{string(d)}}
}

// pushImage uploads what an image refers to, and then the image under the tags,
// or untagged if there are none.
func pushImage(t *testing.T, c *ecr.Client, repository string, img servertest.Image, tags ...string) {
	t.Helper()
	for _, layer := range append([][]byte{img.Config}, img.Layers...) {
		pushLayer(t, c, repository, layer)
	}
	putImage(t, c, repository, img.Manifest, tags...)
}

// putImage puts a manifest under the tags, or untagged if there are none.
func putImage(t *testing.T, c *ecr.Client, repository string, manifest []byte, tags ...string) {
	t.Helper()
	in := ecr.PutImageInput{RepositoryName: &repository, ImageManifest: new(string(manifest))}
	if len(tags) == 0 {
		must(c.PutImage(t.Context(), &in))(t)
	}
	for _, tag := range tags {
		in.ImageTag = &tag
		must(c.PutImage(t.Context(), &in))(t)
	}
}

func byTag(tag string) types.ImageIdentifier { return types.ImageIdentifier{ImageTag: &tag} }

func byDigest[T ~string](d T) types.ImageIdentifier {
	return types.ImageIdentifier{ImageDigest: new(string(d))}
}

func byBoth[T ~string](d T, tag string) types.ImageIdentifier {
	return types.ImageIdentifier{ImageDigest: new(string(d)), ImageTag: &tag}
}

// text writes an image id as digest@tag, with the first characters of the
// digest.
func text(id types.ImageIdentifier) string {
	s := ""
	if id.ImageDigest != nil {
		s = *id.ImageDigest
	}
	if id.ImageTag != nil {
		s += "@" + *id.ImageTag
	}
	return s
}

func texts(ids []types.ImageIdentifier) []string {
	var out []string
	for _, id := range ids {
		out = append(out, text(id))
	}
	return out
}

// failures writes what went wrong in a batch as id, code and reason.
func failures(fs []types.ImageFailure) []string {
	var out []string
	for _, f := range fs {
		out = append(out, text(*f.ImageId)+" "+string(f.FailureCode)+": "+*f.FailureReason)
	}
	return out
}

// rows returns what the server's database answers to a query, columns joined by
// spaces.
func rows(t *testing.T, s *servertest.Server, query string, args ...any) []string {
	t.Helper()
	driver, name := "sqlite", filepath.Join(s.Config.Data, "berth.db")+"?_pragma=busy_timeout(10000)"
	if s.Config.Database != "" {
		driver, name = "pgx", s.Config.Database
	}
	db := must(sql.Open(driver, name))(t)
	defer db.Close()
	found := must(db.QueryContext(t.Context(), query, args...))(t)
	defer found.Close()
	columns := must(found.Columns())(t)
	out := []string{}
	for found.Next() {
		values, into := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(values, " "))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

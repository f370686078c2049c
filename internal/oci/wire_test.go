package oci_test

import (
	"net/url"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types that these tests push most.
const (
	typeManifest   = ocispec.MediaTypeImageManifest
	typeIndex      = ocispec.MediaTypeImageIndex
	typeLayer      = ocispec.MediaTypeImageLayerGzip
	typeDocker     = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// begin returns a client of a server that has these repositories.
func begin(t testing.TB, s *servertest.Server, repositories ...string) *servertest.Client {
	t.Helper()
	for _, name := range repositories {
		s.CreateRepository(t, name)
	}
	return s.Login(t)
}

// restart starts the server anew. The client's idle connections end with the old
// one.
func restart(t testing.TB, s *servertest.Server, c *servertest.Client) {
	t.Helper()
	c.HTTP.CloseIdleConnections()
	s.Restart(t)
}

// createWith makes a repository with a mode of tag mutability.
func createWith(t testing.TB, s *servertest.Server, name string, mode types.ImageTagMutability, exclusions ...string) {
	t.Helper()
	in := &ecr.CreateRepositoryInput{RepositoryName: &name, ImageTagMutability: mode}
	for _, e := range exclusions {
		in.ImageTagMutabilityExclusionFilters = append(in.ImageTagMutabilityExclusionFilters,
			types.ImageTagMutabilityExclusionFilter{Filter: &e, FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard})
	}
	if _, err := s.ECR().CreateRepository(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func manifestPath(repository, reference string) string {
	return "/v2/" + repository + "/manifests/" + reference
}

func blobPath(repository string, d digest.Digest) string {
	return "/v2/" + repository + "/blobs/" + d.String()
}

func referrersPath(repository string, d digest.Digest) string {
	return "/v2/" + repository + "/referrers/" + d.String()
}

// check reports a response that has not the status wanted.
func check(t testing.TB, what string, r *servertest.Response, status int) {
	t.Helper()
	if r.Status != status {
		t.Errorf("%s = %d, want %d; body: %.300s", what, r.Status, status, r.Body)
	}
}

// checkError reports a response that is not the error wanted.
func checkError(t testing.TB, what string, r *servertest.Response, status int, code string) {
	t.Helper()
	if r.Status != status || r.Code() != code {
		t.Errorf("%s = %d %s, want %d %s; body: %.300s", what, r.Status, r.Code(), status, code, r.Body)
	}
}

// checkHeaders reports headers, given in pairs of name and value, that are not
// as wanted. A header that is wanted to be "" must not be there.
func checkHeaders(t testing.TB, what string, r *servertest.Response, want ...string) {
	t.Helper()
	for i := 0; i+1 < len(want); i += 2 {
		if got := strings.Join(r.Header.Values(want[i]), ", "); got != want[i+1] {
			t.Errorf("%s: %s = %q, want %q", what, want[i], got, want[i+1])
		}
	}
}

// checkBlob reports a blob that is not there or has another content.
func checkBlob(t testing.TB, c *servertest.Client, repository string, d digest.Digest, content []byte) {
	t.Helper()
	got := c.Do(t, "GET", blobPath(repository, d), nil)
	if got.Status != 200 || string(got.Body) != string(content) {
		t.Errorf("GET blob %s = %d with %d bytes, want 200 with the %d bytes pushed", d, got.Status, len(got.Body), len(content))
	}
	checkHeaders(t, "GET blob "+d.String(), got, "Docker-Content-Digest", d.String())
}

// checkNoBlob reports a blob that is there.
func checkNoBlob(t testing.TB, c *servertest.Client, repository string, d digest.Digest) {
	t.Helper()
	check(t, "HEAD blob "+d.String(), c.Do(t, "HEAD", blobPath(repository, d), nil), 404)
	checkError(t, "GET blob "+d.String(), c.Do(t, "GET", blobPath(repository, d), nil), 404, "BLOB_UNKNOWN")
}

// checkManifest reports a manifest that is not there as it was pushed.
func checkManifest(t testing.TB, c *servertest.Client, repository, reference, mediaType string, manifest []byte) {
	t.Helper()
	what := "GET manifest " + reference
	got := c.Do(t, "GET", manifestPath(repository, reference), nil)
	check(t, what, got, 200)
	if string(got.Body) != string(manifest) {
		t.Errorf("%s: the bytes are not those pushed: %.200s", what, got.Body)
	}
	checkHeaders(t, what, got, "Content-Type", mediaType)
}

// upload is a blob on its way into a repository. It goes where the server's
// answers say.
type upload struct {
	client   *servertest.Client
	location string
}

// startUpload starts an upload. The query may be "".
func startUpload(t testing.TB, c *servertest.Client, repository, query string) *upload {
	t.Helper()
	r := c.Do(t, "POST", "/v2/"+repository+"/blobs/uploads/"+query, nil).Want(t, 202)
	return &upload{c, r.Header.Get("Location")}
}

// patch sends a chunk.
func (u *upload) patch(t testing.TB, chunk []byte, header ...string) *servertest.Response {
	t.Helper()
	r := u.client.Do(t, "PATCH", u.location, chunk, header...)
	if l := r.Header.Get("Location"); l != "" {
		u.location = l
	}
	return r
}

// status asks how far the upload has come.
func (u *upload) status(t testing.TB) *servertest.Response {
	t.Helper()
	return u.client.Do(t, "GET", u.location, nil)
}

// put ends the upload, with a last chunk if it is not nil.
func (u *upload) put(t testing.TB, d digest.Digest, chunk []byte, header ...string) *servertest.Response {
	t.Helper()
	return u.client.Do(t, "PUT", u.location+"?digest="+url.QueryEscape(d.String()), chunk, header...)
}

// artifact returns a manifest without layers, the configuration of which is the
// empty document. Whatever change does to it makes it different from others.
func artifact(change func(*ocispec.Manifest)) []byte {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: typeManifest,
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{},
	}
	m.Config.Data = nil
	change(&m)
	return servertest.JSON(m)
}

// digestOf returns the digest of a manifest.
func digestOf(manifest []byte) string { return digest.FromBytes(manifest).String() }

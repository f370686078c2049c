package oci_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth/internal/servertest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// referrers reads the answer to a referrers request.
func referrers(t testing.TB, r *servertest.Response) []ocispec.Descriptor {
	t.Helper()
	var index ocispec.Index
	if err := json.Unmarshal(r.Want(t, 200).Body, &index); err != nil {
		t.Fatal(err)
	}
	if index.SchemaVersion != 2 || index.MediaType != typeIndex || index.Manifests == nil {
		t.Errorf("the answer is no index with a list: %.300s", r.Body)
	}
	checkHeaders(t, "referrers", r, "Content-Type", typeIndex)
	return index.Manifests
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "other")
		c.PushBlob(t, "app", []byte("{}"))
		c.PushBlob(t, "other", []byte("{}"))
		subject := servertest.NewImage(1, 10)
		of := servertest.Descriptor(typeManifest, subject.Manifest)
		notes := map[string]string{"org.example.a": "1", "org.example.<b>": "\"2\" é\u2028"}
		config := pushed(t, c, "application/vnd.example.config.v1+json", `{"a":1}`)
		c.PushBlob(t, "other", []byte(`{"a":1}`))

		sbom := artifact(func(m *ocispec.Manifest) {
			m.ArtifactType, m.Subject, m.Annotations = "application/vnd.example.sbom", &of, notes
		})
		signature := artifact(func(m *ocispec.Manifest) { m.ArtifactType, m.Subject = "application/vnd.example.signature", &of })
		byConfig := artifact(func(m *ocispec.Manifest) { m.Config, m.Subject = config, &of })
		index := servertest.JSON(ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: typeIndex, Manifests: []ocispec.Descriptor{},
			Subject: &of, Annotations: notes,
		})
		typedIndex := servertest.JSON(ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: typeIndex, Manifests: []ocispec.Descriptor{},
			Subject: &of, ArtifactType: "application/vnd.example.sbom",
		})
		want := map[string]ocispec.Descriptor{}
		for _, a := range []struct {
			mediaType, artifactType string
			manifest                []byte
			annotations             map[string]string
		}{
			{typeManifest, "application/vnd.example.sbom", sbom, notes},
			{typeManifest, "application/vnd.example.signature", signature, nil},
			{typeManifest, config.MediaType, byConfig, nil},
			{typeIndex, "", index, notes},
			{typeIndex, "application/vnd.example.sbom", typedIndex, nil},
		} {
			// The subject is not there yet: referrers may come first.
			r := c.PushManifest(t, "app", digestOf(a.manifest), a.mediaType, a.manifest)
			check(t, "PUT", r, 201)
			checkHeaders(t, "PUT", r, "OCI-Subject", subject.Digest.String())
			d := servertest.Descriptor(a.mediaType, a.manifest)
			d.ArtifactType, d.Annotations = a.artifactType, a.annotations
			want[d.Digest.String()] = d
		}
		check(t, "GET of the subject", c.Do(t, "GET", manifestPath("app", subject.Digest.String()), nil), 404)
		c.PushManifest(t, "other", "sbom", typeManifest, sbom).Want(t, 201)

		compare := func(query string, want map[string]ocispec.Descriptor, filters string) {
			t.Helper()
			r := c.Do(t, "GET", referrersPath("app", subject.Digest)+query, nil)
			list := referrers(t, r)
			got := map[string]ocispec.Descriptor{}
			for _, d := range list {
				got[d.Digest.String()] = d
			}
			if diff := cmp.Diff(want, got); diff != "" || len(list) != len(want) {
				t.Errorf("referrers%s (-want +got):\n%s", query, diff)
			}
			checkHeaders(t, "referrers"+query, r, "OCI-Filters-Applied", filters, "Link", "")
			if !slices.IsSortedFunc(list, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) }) {
				t.Errorf("referrers%s are not in the order of their digests", query)
			}
		}
		of2 := func(kind string) map[string]ocispec.Descriptor {
			out := map[string]ocispec.Descriptor{}
			for k, d := range want {
				if d.ArtifactType == kind {
					out[k] = d
				}
			}
			return out
		}
		compare("", want, "")
		compare("?artifactType=", want, "")
		for _, kind := range []string{"application/vnd.example.sbom", "application/vnd.example.signature", config.MediaType, "application/none"} {
			compare("?artifactType="+url.QueryEscape(kind), of2(kind), "artifactType")
		}
		c.Push(t, "app", "v1", subject)
		compare("", want, "")
		check(t, "HEAD", c.Do(t, "HEAD", referrersPath("app", subject.Digest), nil), 200)

		// The list follows its images.
		c.Do(t, "DELETE", manifestPath("app", digestOf(signature)), nil).Want(t, 202)
		delete(want, digestOf(signature))
		compare("", want, "")
		// They outlive their subject.
		c.Do(t, "DELETE", manifestPath("app", subject.Digest.String()), nil).Want(t, 202)
		compare("", want, "")
	})
}

func TestReferrersOfNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for _, d := range []digest.Digest{digest.FromString("nothing"), digest.SHA512.FromString("nothing")} {
			r := c.Do(t, "GET", referrersPath("app", d), nil)
			if got := referrers(t, r); len(got) != 0 {
				t.Errorf("referrers of nothing = %v", got)
			}
			if want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`; string(r.Body) != want {
				t.Errorf("body = %s, want %s", r.Body, want)
			}
		}
		for _, reference := range []string{"latest", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + strings.Repeat("A", 64)} {
			checkError(t, "GET referrers of "+reference, c.Do(t, "GET", "/v2/app/referrers/"+reference, nil), 400, "DIGEST_INVALID")
		}
		checkError(t, "GET of a page after no digest", c.Do(t, "GET", referrersPath("app", digest.FromString("x"))+"?last=abc", nil), 400, "DIGEST_INVALID")
	})
}

func TestReferrersOfASHA512Subject(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		c.PushBlob(t, "app", []byte("{}"))
		subject := ocispec.Descriptor{MediaType: typeManifest, Digest: digest.SHA512.FromString("subject"), Size: 7}
		m := artifact(func(m *ocispec.Manifest) { m.ArtifactType, m.Subject = "a/b", &subject })
		r := c.PushManifest(t, "app", "referrer", typeManifest, m).Want(t, 201)
		checkHeaders(t, "PUT", r, "OCI-Subject", subject.Digest.String())
		got := referrers(t, c.Do(t, "GET", referrersPath("app", subject.Digest), nil))
		if len(got) != 1 || got[0].Digest.String() != digestOf(m) {
			t.Errorf("referrers = %v, want the one pushed", got)
		}
	})
}

// A thousand referrers fit into an answer; more are linked to.
func TestManyReferrers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		c.PushBlob(t, "app", []byte("{}"))
		subject := ocispec.Descriptor{MediaType: typeManifest, Digest: digest.FromString("subject"), Size: 7}
		const count = 1002
		digests := make([]string, count)
		var pushes sync.WaitGroup
		for worker := range 8 {
			pushes.Go(func() {
				for i := worker; i < count; i += 8 {
					m := artifact(func(m *ocispec.Manifest) {
						m.ArtifactType, m.Subject = "application/vnd.example.even", &subject
						m.Annotations = map[string]string{"number": fmt.Sprint(i)}
						if i == 0 {
							m.ArtifactType = "application/vnd.example.zero"
						}
					})
					digests[i] = digestOf(m)
					if r := c.PushManifest(t, "app", digests[i], typeManifest, m); r.Status != 201 {
						t.Errorf("PUT = %d %s", r.Status, r.Body)
					}
				}
			})
		}
		pushes.Wait()
		slices.Sort(digests)
		for query, want := range map[string]int{"": count, "?artifactType=application%2Fvnd.example.even": count - 1} {
			var got []string
			pages := 0
			for path := referrersPath("app", subject.Digest) + query; path != ""; pages++ {
				r := c.Do(t, "GET", path, nil)
				for _, d := range referrers(t, r) {
					got = append(got, d.Digest.String())
				}
				if path = next(t, r); path != "" && len(got) != 1000 {
					t.Errorf("a first page of %d, want 1000", len(got))
				}
				if query != "" {
					checkHeaders(t, "a page", r, "OCI-Filters-Applied", "artifactType")
				}
			}
			if len(got) != want || pages != 2 || !slices.IsSorted(got) || want == count && !slices.Equal(got, digests) {
				t.Errorf("referrers%s = %d on %d pages, want %d on 2, in order", query, len(got), pages, want)
			}
		}
	})
}

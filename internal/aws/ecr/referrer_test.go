package ecr_test

import (
	"fmt"
	"slices"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// referrers lists all referrers of a digest, page by page.
func referrers(t *testing.T, c *ecr.Client, subject digest.Digest, f *types.ListImageReferrersFilter, page int32) []types.ImageReferrer {
	t.Helper()
	in := &ecr.ListImageReferrersInput{RepositoryName: new("app"), SubjectId: &types.SubjectIdentifier{ImageDigest: new(string(subject))}, Filter: f}
	if page > 0 {
		in.MaxResults = &page
	}
	var all []types.ImageReferrer
	for {
		out := must(c.ListImageReferrers(t.Context(), in))(t)
		if most := max(page, 20); out.Referrers == nil || len(out.Referrers) > int(most) {
			t.Errorf("a page has %d referrers, want at most %d", len(out.Referrers), most)
		}
		all = append(all, out.Referrers...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return all
		}
	}
}

func referrerDigests(all []types.ImageReferrer) []string {
	out := []string{}
	for _, r := range all {
		out = append(out, *r.Digest)
	}
	return out
}

func TestListImageReferrers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1, 10)
		pushImage(t, c, "app", img, "v1")
		pushLayer(t, c, "app", []byte("{}"))
		var signatures, all []string
		for i := range 23 {
			kind := "application/vnd.example.sbom"
			if i%2 == 0 {
				kind = "application/vnd.example.signature"
			}
			m := servertest.Referrer(img, kind, fmt.Sprint(i))
			putImage(t, c, "app", m)
			all = append(all, digest.FromBytes(m).String())
			if i%2 == 0 {
				signatures = append(signatures, digest.FromBytes(m).String())
			}
		}
		slices.Sort(all)
		slices.Sort(signatures)
		for _, page := range []int32{0, 1, 7, 50} {
			wantEqual(t, fmt.Sprintf("pages of %d", page), referrerDigests(referrers(t, c, img.Digest, nil, page)), all)
		}
		one := &types.ListImageReferrersFilter{ArtifactTypes: []string{"application/vnd.example.signature"}}
		both := &types.ListImageReferrersFilter{ArtifactTypes: []string{"application/vnd.example.signature", "application/vnd.example.sbom", "x"}}
		wantEqual(t, "signatures", referrerDigests(referrers(t, c, img.Digest, one, 5)), signatures)
		wantEqual(t, "both types", referrerDigests(referrers(t, c, img.Digest, both, 0)), all)
		wantEqual(t, "of another digest", referrers(t, c, unknownDigest, nil, 0), nil)

		first := referrers(t, c, img.Digest, one, 1)[0]
		if *first.MediaType != "application/vnd.oci.image.manifest.v1+json" || *first.ArtifactType != "application/vnd.example.signature" ||
			*first.Size == 0 || first.Annotations["n"] == "" || first.ArtifactStatus != types.ArtifactStatusActive {
			t.Errorf("a referrer = %+v", first)
		}

		// Those in the archive are listed if they are asked for.
		setClass(t, c, byDigest(all[0]), types.TargetStorageClassArchive)
		archived := &types.ListImageReferrersFilter{ArtifactStatus: types.ArtifactStatusFilterArchived}
		wantEqual(t, "active", referrerDigests(referrers(t, c, img.Digest, nil, 0)), all[1:])
		wantEqual(t, "archived", referrerDigests(referrers(t, c, img.Digest, archived, 0)), all[:1])
		wantEqual(t, "any", referrerDigests(referrers(t, c, img.Digest, &types.ListImageReferrersFilter{ArtifactStatus: types.ArtifactStatusFilterAny}, 0)), all)
	})
}

func TestListImageReferrersRefuses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "other")
		subject := &types.SubjectIdentifier{ImageDigest: new(unknownDigest)}
		for name, test := range map[string]struct {
			in   ecr.ListImageReferrersInput
			code string
		}{
			"an unknown repository": {ecr.ListImageReferrersInput{RepositoryName: new("absent"), SubjectId: subject}, "RepositoryNotFoundException"},
			"no digest":             {ecr.ListImageReferrersInput{RepositoryName: new("app"), SubjectId: &types.SubjectIdentifier{ImageDigest: new("v1")}}, "InvalidParameterException"},
			"too many results":      {ecr.ListImageReferrersInput{RepositoryName: new("app"), SubjectId: subject, MaxResults: new(int32(51))}, "ValidationException"},
			"too many types": {ecr.ListImageReferrersInput{RepositoryName: new("app"), SubjectId: subject,
				Filter: &types.ListImageReferrersFilter{ArtifactTypes: []string{"a", "b", "c", "d", "e", "f"}}}, "ValidationException"},
			"an unknown status": {ecr.ListImageReferrersInput{RepositoryName: new("app"), SubjectId: subject,
				Filter: &types.ListImageReferrersFilter{ArtifactStatus: "GONE"}}, "ValidationException"},
			"a token of nobody": {ecr.ListImageReferrersInput{RepositoryName: new("app"), SubjectId: subject, NextToken: new("x")}, "InvalidParameterException"},
		} {
			if _, err := c.ListImageReferrers(t.Context(), &test.in); servertest.ErrorCode(err) != test.code {
				t.Errorf("%s = %v, want %s", name, err, test.code)
			}
		}
	})
}

package ecr_test

import (
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// events returns what the outbox holds, oldest first, as kind, repository and
// image.
func events(t *testing.T, s *servertest.Server) []string {
	t.Helper()
	out := []string{}
	for _, row := range rows(t, s, "SELECT kind, repository, payload FROM outbox ORDER BY id") {
		columns := strings.SplitN(row, " ", 3)
		var payload struct{ Digest, Tag, Detail string }
		if err := json.Unmarshal([]byte(columns[2]), &payload); err != nil {
			t.Fatal(err)
		}
		event := columns[0] + " " + columns[1] + " " + payload.Digest + payload.Detail
		if payload.Tag != "" {
			event += "@" + payload.Tag
		}
		out = append(out, strings.TrimSpace(event))
	}
	return out
}

func TestEveryChangeHasItsEvents(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		var want []string
		expect := func(what string, more ...string) {
			t.Helper()
			want = append(want, more...)
			wantEqual(t, "events after "+what, events(t, s), want)
		}
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		d1, d2 := one.Digest.String(), two.Digest.String()

		createRepository(t, c, "app")
		expect("CreateRepository", "repository.created app")
		pushLayer(t, c, "app", one.Config)
		pushLayer(t, c, "app", two.Config)
		expect("the upload of layers")
		putImage(t, c, "app", one.Manifest, "v1")
		expect("a push", "image.pushed app "+d1+"@v1")
		putImage(t, c, "app", two.Manifest)
		expect("a push without a tag", "image.pushed app "+d2)
		putImage(t, c, "app", one.Manifest, "v2")
		expect("another tag", "image.pushed app "+d1+"@v2")
		putImage(t, c, "app", two.Manifest, "v1")
		expect("a tag that moves", "image.pushed app "+d2+"@v1")
		client := s.Login(t)
		client.PushManifest(t, "app", d1+"?tag=b&tag=a&tag=v2&tag=a", ocispec.MediaTypeImageManifest, one.Manifest).Want(t, 201)
		expect("a push of several tags", "image.pushed app "+d1+"@a", "image.pushed app "+d1+"@b")
		client.PushManifest(t, "app", "a", ocispec.MediaTypeImageManifest, one.Manifest).Want(t, 201)
		expect("a push that changes nothing")
		putMutability(t, c, types.ImageTagMutabilityMutable)
		expect("PutImageTagMutability", "repository.changed app")
		must(0, tagResource(t, c, appARN, "k", "v"))(t)
		expect("TagResource", "repository.changed app")
		must(c.UntagResource(t.Context(), &ecr.UntagResourceInput{ResourceArn: new(appARN), TagKeys: []string{"k"}}))(t)
		expect("UntagResource", "repository.changed app")
		must(c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: new("BLOB_MOUNTING"), Value: new("ENABLED")}))(t)
		expect("PutAccountSetting", "setting.changed  BLOB_MOUNTING")
		putPolicy(t, c, "app", keepOne)
		expect("PutLifecyclePolicy", "repository.changed app")
		must(c.StartLifecyclePolicyPreview(t.Context(), &ecr.StartLifecyclePolicyPreviewInput{RepositoryName: new("app")}))(t)
		expect("StartLifecyclePolicyPreview")
		must(c.DeleteLifecyclePolicy(t.Context(), &ecr.DeleteLifecyclePolicyInput{RepositoryName: new("app")}))(t)
		expect("DeleteLifecyclePolicy", "repository.changed app")
		deleteImages(t, c, "app", byTag("a"), byTag("x"))
		expect("the deletion of a tag", "image.deleted app "+d1+"@a")
		deleteImages(t, c, "app", byDigest(one.Digest))
		expect("the deletion of an image", "image.deleted app "+d1+"@b", "image.deleted app "+d1+"@v2")
		client.Do(t, "DELETE", "/v2/app/manifests/v1", nil).Want(t, 202)
		expect("a deletion by the distribution API", "image.deleted app "+d2+"@v1")
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app")}))(t)
		expect("DeleteRepository", "repository.deleted app")
		s.Restart(t)
		expect("a restart")
	})
}

func TestTheEventOfAPushTellsWhatWasPushed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		pushLayer(t, s.ECR(), "app", []byte("{}"))
		text := manifest(func(m map[string]any) {
			m["artifactType"] = "application/vnd.example"
			m["subject"] = map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": unknownDigest, "size": 1}
		})
		putImage(t, s.ECR(), "app", []byte(text), "v1")
		got := rows(t, s, "SELECT payload FROM outbox WHERE kind = 'image.pushed'")
		wantEqual(t, "payloads", len(got), 1)
		wantEqual(t, "payload", answer{body: got[0]}.document(t), map[string]any{
			"digest": digest.FromString(text).String(), "tag": "v1", "mediaType": ocispec.MediaTypeImageManifest,
			"artifactType": "application/vnd.example", "subject": unknownDigest, "principal": "arn:aws:iam::123456789012:root",
		})
	})
}

func TestACallThatFailsHasNoEvents(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		putMutability(t, c, types.ImageTagMutabilityImmutable)
		before := events(t, s)
		fails := func(_ any, err error) {
			t.Helper()
			if err == nil {
				t.Error("a call that should fail succeeded")
			}
		}
		fails(c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("app")}))
		fails(c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("new"), RegistryId: new("999999999999")}))
		fails(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app")}))
		fails(c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageTag: new("v1")}))
		fails(c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(servertest.NewImage(2).Manifest))}))
		fails(c.PutImageTagMutability(t.Context(), &ecr.PutImageTagMutabilityInput{
			RepositoryName: new("app"), ImageTagMutability: types.ImageTagMutabilityMutableWithExclusion,
		}))
		fails(0, tagResource(t, c, appARN, "aws:k", "v"))
		fails(c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: new("BLOB_MOUNTING"), Value: new("x")}))
		s.Login(t).Do(t, "PUT", "/v2/app/manifests/v1", servertest.NewImage(2).Manifest, "Content-Type", ocispec.MediaTypeImageManifest).Want(t, 404)
		deleteImages(t, c, "app", byTag("x"), byBoth(unknownDigest, "v1"))
		wantEqual(t, "events", events(t, s), before)
	})
}

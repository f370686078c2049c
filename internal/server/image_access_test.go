package server_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// devOnly is the policy of a developer who has the tags dev-* and no others.
const devOnly = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Resource":"*","Action":["ecr:GetAuthorizationToken","ecr:InitiateLayerUpload","ecr:UploadLayerPart","ecr:CompleteLayerUpload",
		"ecr:BatchCheckLayerAvailability","ecr:GetDownloadUrlForLayer"]},
	{"Effect":"Allow","Resource":"*","Action":["ecr:PutImage","ecr:BatchGetImage","ecr:BatchDeleteImage","ecr:UpdateImageStorageClass"],
		"Condition":{"StringLike":{"ecr:ImageTag":"dev-*"}}}]}`

// withPolicy returns a user with a policy.
func withPolicy(t *testing.T, s *servertest.Server, name, policy string) (awssdk.Config, *servertest.Client) {
	t.Helper()
	c := s.CreateUserOf(t, s.AWS(), name, policy)
	return c, s.LoginAs(t, c)
}

// answers fails the test unless both fronts answer as they should: 403 and
// AccessDeniedException about an action, or the status and no error.
func answers(t *testing.T, what string, r *servertest.Response, status int, action string) {
	t.Helper()
	denied := "is not authorized to perform: ecr:" + action + " on resource: arn:aws:ecr:us-east-1:123456789012:repository/"
	if r.Status != status || status == 403 && (r.Code() != "DENIED" || !strings.Contains(r.Message(), denied)) {
		t.Errorf("%s = %d %s, want %d %s", what, r.Status, r.Body, status, action)
	}
}

func TestADeveloperPushesOwnTagsOnly(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		as, c := withPolicy(t, s, "dev", devOnly)
		img := servertest.NewImage(1, 10)
		c.PushBlobs(t, "app", img)
		put := func(reference string) *servertest.Response {
			t.Helper()
			return c.PushManifest(t, "app", reference, manifestType, img.Manifest)
		}
		at := img.Digest.String()
		answers(t, "push of dev-1", put("dev-1"), 201, "")
		answers(t, "push of v1", put("v1"), 403, "PutImage")
		answers(t, "push of dev-1 to no repository", c.PushManifest(t, "none", "v1", manifestType, img.Manifest), 403, "PutImage")
		answers(t, "push without a tag", put(at), 403, "PutImage")
		answers(t, "push of two tags", put(at+"?tag=dev-2&tag=dev-3"), 201, "")
		answers(t, "push of another's tag too", put(at+"?tag=dev-4&tag=v1"), 403, "PutImage")
		answers(t, "head of a tag that is to be pushed", c.Do(t, "HEAD", manifestPath("app", "dev-9"), nil), 404, "")

		push := func(tag string) error {
			_, err := ecr.NewFromConfig(as).PutImage(t.Context(), &ecr.PutImageInput{
				RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageManifestMediaType: new(manifestType), ImageTag: &tag,
			})
			return err
		}
		if err := push("dev-5"); err != nil {
			t.Errorf("PutImage of dev-5 = %v", err)
		}
		if err := push("v1"); servertest.ErrorCode(err) != "AccessDeniedException" || !strings.Contains(servertest.ErrorMessage(err), "ecr:PutImage") {
			t.Errorf("PutImage of v1 = %v, want AccessDeniedException", err)
		}
		if tags := tagsOf(t, s); tags != "dev-1 dev-2 dev-3 dev-5" {
			t.Errorf("tags = %s, want those that were allowed", tags)
		}

		root := s.Login(t)
		second := servertest.NewImage(2, 10)
		root.Push(t, "app", "dev-1", second)
		root.Push(t, "app", "v1", img)
		root.Push(t, "app", "v1", second)
		for tag, status := range map[string]int{"dev-1": 200, "v1": 400, "v-none": 400} {
			if got, text := s.PostAs(t, as, server.TagRollbackPath, `{"repositoryName":"app","imageTag":"`+tag+`"}`); got != status || status == 400 && !strings.Contains(text, "ecr:PutImage") {
				t.Errorf("rollback of %s = %d %s, want %d", tag, got, text, status)
			}
		}
	})
}

// tagsOf returns the tags of the repository app.
func tagsOf(t *testing.T, s *servertest.Server) string {
	t.Helper()
	out, err := s.ECR().ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("app"), Filter: &types.ListImagesFilter{TagStatus: types.TagStatusTagged}})
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, id := range out.ImageIds {
		tags = append(tags, *id.ImageTag)
	}
	return strings.Join(sorted(tags), " ")
}

func TestADeveloperDeletesOwnTagsOnly(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		root := s.Login(t)
		as, c := withPolicy(t, s, "dev", devOnly)
		own, shared, plain := servertest.NewImage(1, 10), servertest.NewImage(2, 10), servertest.NewImage(3, 10)
		for _, tag := range []string{"dev-1", "dev-2"} {
			root.Push(t, "app", tag, own)
		}
		for _, tag := range []string{"dev-3", "dev-4", "v1"} {
			root.Push(t, "app", tag, shared)
		}
		root.Push(t, "app", plain.Digest.String(), plain)
		remove := func(ids ...types.ImageIdentifier) (*ecr.BatchDeleteImageOutput, error) {
			return ecr.NewFromConfig(as).BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: new("app"), ImageIds: ids})
		}
		tag := func(name string) types.ImageIdentifier { return types.ImageIdentifier{ImageTag: &name} }
		by := func(d digest.Digest) types.ImageIdentifier {
			return types.ImageIdentifier{ImageDigest: new(string(d))}
		}
		const refusal = "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: ecr:BatchDeleteImage on resource: " +
			"arn:aws:ecr:us-east-1:123456789012:repository/app because no identity-based policy allows the ecr:BatchDeleteImage action"
		for what, ids := range map[string][]types.ImageIdentifier{
			"another's tag": {tag("v1")}, "a tag that is not there": {tag("v9")}, "an image that has another's tag": {by(shared.Digest)},
			"an image without tags": {by(plain.Digest)}, "no image": {by(digest.FromString("none"))}, "a batch with another's tag": {tag("dev-1"), tag("v1")},
			"nothing": {{}}, "another's tag by both": {{ImageTag: new("v1"), ImageDigest: new(string(shared.Digest))}},
			"one's tag on no such image, and another's": {{ImageTag: new("dev-1"), ImageDigest: new(string(shared.Digest))}, tag("v1")},
		} {
			if _, err := remove(ids...); servertest.ErrorCode(err) != "AccessDeniedException" || servertest.ErrorMessage(err) != refusal {
				t.Errorf("deletion of %s = %v, want AccessDeniedException", what, err)
			}
		}
		answers(t, "DELETE of v1", c.Do(t, "DELETE", manifestPath("app", "v1"), nil), 403, "BatchDeleteImage")
		answers(t, "DELETE of the image", c.Do(t, "DELETE", manifestPath("app", shared.Digest.String()), nil), 403, "BatchDeleteImage")
		if tags := tagsOf(t, s); tags != "dev-1 dev-2 dev-3 dev-4 v1" {
			t.Fatalf("tags = %s, want all", tags)
		}
		answers(t, "DELETE of dev-3", c.Do(t, "DELETE", manifestPath("app", "dev-3"), nil), 202, "")
		if out, err := remove(tag("dev-4"), by(own.Digest), tag("dev-9")); err != nil || len(out.ImageIds) != 3 || len(out.Failures) != 1 {
			t.Errorf("deletion of one's own = %+v, %v", out, err)
		}
		if tags := tagsOf(t, s); tags != "v1" {
			t.Errorf("tags = %s, want v1", tags)
		}

		// What was deleted comes back with its tags, and so is asked for with them.
		restore := func(d digest.Digest, tags string) (int, string) {
			t.Helper()
			return s.PostAs(t, as, server.RestoreImagePath, fmt.Sprintf(`{"repositoryName":"app","imageDigest":"%s"%s}`, d, tags))
		}
		root.Do(t, "DELETE", manifestPath("app", shared.Digest.String()), nil).Want(t, 202)
		for _, tt := range []struct {
			d      digest.Digest
			tags   string
			status int
		}{
			{shared.Digest, "", 400}, {shared.Digest, `,"imageTags":["dev-3","v1"]`, 400}, {shared.Digest, `,"imageTags":[]`, 400},
			{own.Digest, `,"imageTags":["v2"]`, 400}, {digest.FromString("none"), "", 400}, {own.Digest, "", 200}, {shared.Digest, `,"imageTags":["dev-3"]`, 200},
		} {
			if status, text := restore(tt.d, tt.tags); status != tt.status || status == 400 && !strings.Contains(text, "ecr:PutImage") {
				t.Errorf("restoration of %s %s = %d %s, want %d", tt.d, tt.tags, status, text, tt.status)
			}
		}
		root.Push(t, "app", "v1", shared)
		archive := func(id types.ImageIdentifier) error {
			_, err := ecr.NewFromConfig(as).UpdateImageStorageClass(t.Context(), &ecr.UpdateImageStorageClassInput{
				RepositoryName: new("app"), ImageId: &id, TargetStorageClass: types.TargetStorageClassArchive,
			})
			return err
		}
		for _, id := range []types.ImageIdentifier{tag("dev-3"), by(shared.Digest), tag("none")} {
			if err := archive(id); servertest.ErrorCode(err) != "AccessDeniedException" {
				t.Errorf("archiving what has another's tag = %v, want AccessDeniedException", err)
			}
		}
		if err := archive(tag("dev-1")); err != nil {
			t.Errorf("archiving one's own = %v", err)
		}
	})
}

func TestADeveloperPullsWhatOwnTagsLeadTo(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		root := s.Login(t)
		as, c := withPolicy(t, s, "dev", devOnly)
		own, other, arm, amd := servertest.NewImage(1, 10), servertest.NewImage(2, 10), servertest.NewImage(3, 10), servertest.NewImage(4, 10)
		root.Push(t, "app", "dev-1", own)
		root.Push(t, "app", "latest", own)
		root.Push(t, "app", "v1", other)
		for _, child := range []servertest.Image{arm, amd} {
			root.Push(t, "app", child.Digest.String(), child)
		}
		index := servertest.Index(arm)
		root.PushManifest(t, "app", "dev-all", "application/vnd.oci.image.index.v1+json", index).Want(t, 201)
		root.PushManifest(t, "app", "v1-all", "application/vnd.oci.image.index.v1+json", servertest.Index(amd)).Want(t, 201)
		signed, unsigned := servertest.Referrer(arm, "application/vnd.example", "1"), servertest.Referrer(other, "application/vnd.example", "2")
		for _, referrer := range [][]byte{signed, unsigned} {
			root.PushBlob(t, "app", []byte("{}"))
			root.PushManifest(t, "app", digest.FromBytes(referrer).String(), manifestType, referrer).Want(t, 201)
		}
		for _, tt := range []struct {
			what, reference string
			status          int
		}{
			{"one's tag", "dev-1", 200}, {"another tag of the image", "latest", 200}, {"the image", own.Digest.String(), 200},
			{"an index", "dev-all", 200}, {"the index by digest", digest.FromBytes(index).String(), 200}, {"what it lists", arm.Digest.String(), 200},
			{"what refers to that", digest.FromBytes(signed).String(), 200}, {"a tag that is not there", "dev-9", 404},
			{"another's tag", "v1", 403}, {"its image", other.Digest.String(), 403}, {"another's index", "v1-all", 403}, {"what that lists", amd.Digest.String(), 403},
			{"what refers to another's", digest.FromBytes(unsigned).String(), 403}, {"another's tag that is not there", "v9", 403},
			{"an image that is not there", digest.FromString("none").String(), 403},
		} {
			answers(t, "GET of "+tt.what, c.Do(t, "GET", manifestPath("app", tt.reference), nil), tt.status, "BatchGetImage")
			if r := c.Do(t, "HEAD", manifestPath("app", tt.reference), nil); r.Status != tt.status {
				t.Errorf("HEAD of %s = %d, want %d", tt.what, r.Status, tt.status)
			}
			id := types.ImageIdentifier{ImageTag: &tt.reference}
			if strings.Contains(tt.reference, ":") {
				id = types.ImageIdentifier{ImageDigest: &tt.reference}
			}
			out, err := ecr.NewFromConfig(as).BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
				RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{{ImageTag: new("dev-1")}, id},
			})
			if refused := servertest.ErrorCode(err) == "AccessDeniedException"; refused != (tt.status == 403) || !refused && (err != nil || len(out.Images)+len(out.Failures) < 1) {
				t.Errorf("BatchGetImage of %s = %v, want the same as %d", tt.what, err, tt.status)
			}
		}
		for d, status := range map[digest.Digest]int{arm.Digest: 200, other.Digest: 403, digest.FromString("none"): 403} {
			answers(t, "referrers of "+d.String(), c.Do(t, "GET", "/v2/app/referrers/"+d.String(), nil), status, "BatchGetImage")
			_, err := ecr.NewFromConfig(as).ListImageReferrers(t.Context(), &ecr.ListImageReferrersInput{
				RepositoryName: new("app"), SubjectId: &types.SubjectIdentifier{ImageDigest: new(string(d))},
			})
			if (err == nil) != (status == 200) {
				t.Errorf("ListImageReferrers of %s = %v, want the same as %d", d, err, status)
			}
		}
		// A tag that goes elsewhere takes the right to pull with it.
		root.Push(t, "app", "dev-1", servertest.NewImage(5, 10))
		answers(t, "GET of an image that one's tag has left", c.Do(t, "GET", manifestPath("app", own.Digest.String()), nil), 403, "BatchGetImage")
	})
}

// What each kind of condition does is the table of docs/compatibility.md.
func TestConditionsOnImages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		root := s.Login(t)
		img, plain := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		root.Push(t, "app", plain.Digest.String(), plain)
		artifact := servertest.Referrer(img, "application/vnd.example", "1")
		root.PushBlob(t, "app", []byte("{}"))
		const config = "application/vnd.oci.image.config.v1+json"
		const allow = `{"Effect":"Allow","Resource":"*","Action":"ecr:*"}`
		rule := func(effect, action, condition string) string {
			return `{"Effect":"` + effect + `","Resource":"*","Action":"ecr:` + action + `","Condition":{` + condition + `}}`
		}
		deny := func(action, condition string) string { return allow + "," + rule("Deny", action, condition) }
		only := func(action, condition string) string {
			return `{"Effect":"Allow","Resource":"*","NotAction":"ecr:` + action + `"},` + rule("Allow", action, condition)
		}
		const get, put, del = "BatchGetImage", "PutImage", "BatchDeleteImage"
		for i, tt := range []struct {
			statements string
			want       string // statuses of GET a, b, by digest, without a tag; PUT a, b, without a tag, an artifact; DELETE without a tag, by digest, a
		}{
			{allow, "200 200 200 200 201 201 201 201 202 202 404"},
			{only(get, `"StringLike":{"ecr:ImageTag":"a"}`), "200 200 200 403 201 201 201 201 202 202 404"},
			{only(get, `"ForAllValues:StringLike":{"ecr:ImageTag":"a"}`), "403 403 403 200 201 201 201 201 202 202 404"},
			{only(get, `"StringLikeIfExists":{"ecr:ImageTag":"a"}`), "200 200 200 200 201 201 201 201 202 202 404"},
			{only(get, `"StringLike":{"aws:PrincipalArn":"*:user/${ecr:ImageTag, 'x'}"}`), "403 403 403 403 201 201 201 201 202 202 404"},
			{deny(get, `"ForAnyValue:StringLike":{"ecr:ImageTag":"a"}`), "403 403 403 200 201 201 201 201 202 202 404"},
			{deny(get, `"StringNotLike":{"ecr:ImageTag":"a"}`), "200 200 200 403 201 201 201 201 202 202 404"},
			{deny(get, `"Null":{"ecr:ImageTag":"true"}`), "200 200 200 403 201 201 201 201 202 202 404"},
			{deny(get, `"StringEquals":{"ecr:ImageDigest":"`+img.Digest.String()+`"}`), "403 403 403 200 201 201 201 201 202 202 404"},
			{only(get, `"StringEquals":{"ecr:ArtifactType":"`+config+`"}`), "200 200 200 200 201 201 201 201 202 202 404"},
			{only(put, `"StringLike":{"ecr:ImageTag":"a"}`), "200 200 200 200 201 403 403 201 202 202 404"},
			{only(put, `"StringLikeIfExists":{"ecr:ImageTag":"a"}`), "200 200 200 200 201 403 201 201 202 202 404"},
			{only(put, `"ForAllValues:StringLike":{"ecr:ImageTag":"a"}`), "200 200 200 200 201 403 201 201 202 202 404"},
			{deny(put, `"StringNotEquals":{"ecr:ArtifactType":"`+config+`"}`), "200 200 200 200 201 201 201 403 202 202 404"},
			{only(put, `"StringEquals":{"ecr:ArtifactType":"application/vnd.example"}`), "200 200 200 200 403 403 403 201 202 202 404"},
			{only(put, `"StringEquals":{"ecr:ImageDigest":"`+img.Digest.String()+`"}`), "200 200 200 200 201 201 403 403 202 202 404"},
			{deny(del, `"ForAnyValue:StringLike":{"ecr:ImageTag":"b"}`), "200 200 200 200 201 201 201 201 202 403 202"},
			{deny(del, `"StringLike":{"ecr:ImageTag":"b"}`), "200 200 200 200 201 201 201 201 202 403 202"},
			{only(del, `"StringLike":{"ecr:ImageTag":"a"}`), "200 200 200 200 201 201 201 201 403 403 202"},
			{only(del, `"ForAnyValue:StringLike":{"ecr:ImageTag":"a"}`), "200 200 200 200 201 201 201 201 403 403 202"},
			{deny(del, `"Null":{"ecr:ImageTag":"true"}`), "200 200 200 200 201 201 201 201 403 202 404"},
			{deny(del, `"StringEquals":{"ecr:ImageTag":"b","ecr:ImageDigest":"sha256:0"}`), "200 200 200 200 201 201 201 201 202 202 404"},
		} {
			_, c := withPolicy(t, s, fmt.Sprint("u", i), `{"Version":"2012-10-17","Statement":[`+tt.statements+`]}`)
			root.Push(t, "app", "a", img)
			root.Push(t, "app", "b", img)
			root.Push(t, "app", plain.Digest.String(), plain)
			var got []string
			do := func(r *servertest.Response) { got = append(got, fmt.Sprint(r.Status)) }
			for _, reference := range []string{"a", "b", img.Digest.String(), plain.Digest.String()} {
				do(c.Do(t, "GET", manifestPath("app", reference), nil))
			}
			for _, reference := range []string{"a", "b"} {
				do(c.PushManifest(t, "app", reference, manifestType, img.Manifest))
			}
			do(c.PushManifest(t, "app", plain.Digest.String(), manifestType, plain.Manifest))
			do(c.PushManifest(t, "app", "a", manifestType, artifact))
			root.Push(t, "app", "a", img)
			do(c.Do(t, "DELETE", manifestPath("app", plain.Digest.String()), nil))
			do(c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil))
			do(c.Do(t, "DELETE", manifestPath("app", "a"), nil))
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.statements, got, tt.want)
			}
		}
	})
}

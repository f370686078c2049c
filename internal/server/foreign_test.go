package server_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ownOnly is the policy of one to whom one repository belongs.
const ownOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
	{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:us-east-1:123456789012:repository/mine"}]}`

// varying is what no two answers have in common: ids, and the digest asked for.
var varying = regexp.MustCompile(`sha256:[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f-]{27}|\b[a-z2-7]{20}\b`)

// alike prints an answer without that.
func alike(r *servertest.Response) string {
	header := r.Header.Clone()
	header.Del(decisionHeader)
	return varying.ReplaceAllString(rendered(r.Status, header, string(r.Body)), "ID")
}

// A digest is the same everywhere, who may read what has it is not: by both fronts
// a layer or an image of somebody else's repository is answered as one that nobody
// has, and never comes along into one's own.
func TestWhatOthersHaveIsAnsweredAsIfNobodyHadIt(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range []string{"mine", "theirs"} {
			s.CreateRepository(t, name)
		}
		root := s.Login(t)
		theirs, nobodys, own := servertest.NewImage(1, 100), servertest.NewImage(2, 100), servertest.NewImage(3, 100)
		root.Push(t, "theirs", "v1", theirs)
		as, c := withPolicy(t, s, "owner", ownOnly)
		c.PushBlobs(t, "mine", own)
		for what, ask := range map[string]func(img servertest.Image) *servertest.Response{
			"HEAD blob": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "HEAD", "/v2/mine/blobs/"+layerOf(i), nil)
			},
			"GET blob": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "GET", "/v2/mine/blobs/"+layerOf(i), nil)
			},
			"DELETE blob": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "DELETE", "/v2/mine/blobs/"+layerOf(i), nil)
			},
			"HEAD manifest": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "HEAD", manifestPath("mine", string(i.Digest)), nil)
			},
			"GET manifest": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "GET", manifestPath("mine", string(i.Digest)), nil)
			},
			"referrers": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "GET", "/v2/mine/referrers/"+string(i.Digest), nil)
			},
			"mount": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "POST", "/v2/mine/blobs/uploads/?mount="+layerOf(i), nil).Want(t, 202)
			},
			"mount from there": func(i servertest.Image) *servertest.Response {
				return c.Do(t, "POST", "/v2/mine/blobs/uploads/?from=theirs&mount="+layerOf(i), nil).Want(t, 202)
			},
			"an upload without bytes": func(i servertest.Image) *servertest.Response {
				upload := c.Do(t, "POST", "/v2/mine/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
				return c.Do(t, "PUT", upload+"?digest="+layerOf(i), nil).Want(t, 400)
			},
			"a manifest of the layers": func(i servertest.Image) *servertest.Response {
				return c.PushManifest(t, "mine", "v1", manifestType, i.Manifest).Want(t, 404)
			},
			"an index of the image": func(i servertest.Image) *servertest.Response {
				return c.PushManifest(t, "mine", "v1", ocispec.MediaTypeImageIndex, servertest.Index(i)).Want(t, 404)
			},
		} {
			if there, none := alike(ask(theirs)), alike(ask(nobodys)); there != none {
				t.Errorf("%s: what others have is answered with\n%s\nand what nobody has with\n%s", what, there, none)
			}
		}
		for operation, body := range map[string]string{
			"BatchCheckLayerAvailability": `{"repositoryName":"mine","layerDigests":["LAYER"]}`,
			"GetDownloadUrlForLayer":      `{"repositoryName":"mine","layerDigest":"LAYER"}`,
			"BatchGetImage":               `{"repositoryName":"mine","imageIds":[{"imageDigest":"DIGEST"}]}`,
			"DescribeImages":              `{"repositoryName":"mine","imageIds":[{"imageDigest":"DIGEST"}]}`,
			"BatchDeleteImage":            `{"repositoryName":"mine","imageIds":[{"imageDigest":"DIGEST"}]}`,
			"ListImageReferrers":          `{"repositoryName":"mine","subjectId":{"imageDigest":"DIGEST"}}`,
			"PutImage":                    `{"repositoryName":"mine","imageTag":"v1","imageManifest":MANIFEST}`,
		} {
			var texts [2]string
			for n, i := range []servertest.Image{theirs, nobodys} {
				body := strings.NewReplacer("LAYER", layerOf(i), "DIGEST", string(i.Digest), "MANIFEST", string(servertest.JSON(string(i.Manifest)))).Replace(body)
				r := askAs(t, s, as, "/", "ecr", ecrTarget+operation, body)
				texts[n] = alike(&servertest.Response{Status: r.status, Header: r.header, Body: []byte(r.body)})
			}
			if texts[0] != texts[1] {
				t.Errorf("%s: what others have is answered with\n%s\nand what nobody has with\n%s", operation, texts[0], texts[1])
			}
		}
		for _, d := range []string{layerOf(theirs), digest.FromBytes(theirs.Config).String()} {
			c.Do(t, "HEAD", "/v2/mine/blobs/"+d, nil).Want(t, 404)
			root.Do(t, "GET", "/v2/theirs/blobs/"+d, nil).Want(t, 200)
		}
	})
}

func layerOf(i servertest.Image) string { return digest.FromBytes(i.Layers[0]).String() }

// What is deleted in one repository is gone there, on every server and with all
// that servers remember, though another repository has it still.
func TestADeletedLayerIsNotReadThroughAnotherRepository(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Postgres: true})
	second := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.Database = s.Config.Database }})
	for _, name := range []string{"aa", "bb"} {
		s.CreateRepository(t, name)
	}
	one, two := s.Login(t), second.Login(t)
	layer := servertest.Bytes(1, 1000)
	path := "/blobs/" + digest.FromBytes(layer).String()
	see := func(when string, a, b int) {
		t.Helper()
		for n, c := range []*servertest.Client{one, two, one, two} {
			for name, want := range map[string]int{"bb": b, "aa": a} {
				if got := c.Do(t, "HEAD", "/v2/"+name+path, nil).Status; got != want {
					t.Errorf("%s: HEAD in %s at server %d = %d, want %d", when, name, n%2+1, got, want)
				}
			}
		}
		if a == 404 {
			one.Do(t, "GET", "/v2/aa"+path, nil).Want(t, 404)
			two.Do(t, "GET", "/v2/aa"+path, nil).Want(t, 404)
		}
	}
	see("before", 404, 404)
	one.PushBlob(t, "aa", layer)
	one.PushBlob(t, "bb", layer)
	see("pushed", 200, 200)
	one.Do(t, "DELETE", "/v2/aa"+path, nil).Want(t, 202)
	see("deleted in one", 404, 200)
	one.PushBlob(t, "aa", layer)
	see("pushed again", 200, 200)
	two.Do(t, "DELETE", "/v2/aa"+path, nil).Want(t, 202)
	see("deleted at the other server", 404, 200)
	two.Do(t, "DELETE", "/v2/bb"+path, nil).Want(t, 202)
	see("deleted in both", 404, 404)
}

// Somebody else's upload is none, however much one may do to the repository, by
// both fronts; and its owner goes on with it.
func TestAnUploadIsNobodyElses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "mine")
		_, alice := withPolicy(t, s, "alice", ownOnly)
		bobSigns, bob := withPolicy(t, s, "bob", ownOnly)
		layer := []byte("content")
		d := digest.FromBytes(layer)
		location := alice.Do(t, "POST", "/v2/mine/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		if strings.ContainsAny(location, "?#=") {
			t.Errorf("the upload is at %s: what has come is no client's to say", location)
		}
		alice.Do(t, "PATCH", location, layer[:3]).Want(t, 202)
		id := location[strings.LastIndexByte(location, '/')+1:]
		never := "0197f3f5-0000-7000-8000-000000000000"
		for _, c := range []*servertest.Client{bob, s.Login(t)} {
			for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
				ask := func(id string) *servertest.Response {
					return c.Do(t, method, "/v2/mine/blobs/uploads/"+id+"?digest="+d.String(), layer[3:])
				}
				r := ask(id).Want(t, http.StatusNotFound)
				if other, none := alike(r), alike(ask(never)); other != none {
					t.Errorf("%s of another's upload is\n%s\nand of none\n%s", method, other, none)
				}
			}
		}
		for operation, body := range map[string]string{
			"UploadLayerPart":     fmt.Sprintf(`{"repositoryName":"mine","uploadId":"ID","partFirstByte":3,"partLastByte":6,"layerPartBlob":"%s"}`, base64.StdEncoding.EncodeToString(layer[3:])),
			"CompleteLayerUpload": `{"repositoryName":"mine","uploadId":"ID","layerDigests":["` + d.String() + `"]}`,
		} {
			r := askAs(t, s, bobSigns, "/", "ecr", ecrTarget+operation, strings.ReplaceAll(body, "ID", id))
			if r.status != 400 || !strings.Contains(r.body, "UploadNotFoundException") {
				t.Errorf("%s = %d %s, want UploadNotFoundException", operation, r.status, r.body)
			}
		}
		// What a client claims about the state of an upload counts for nothing.
		for _, query := range []string{"_state=AAAA", "offset=7", "state=" + d.String()} {
			r := alice.Do(t, "GET", location+"?"+query, nil).Want(t, 204)
			if got := r.Header.Get("Range"); got != "0-2" {
				t.Errorf("with %s the upload has %s, want 0-2", query, got)
			}
		}
		alice.Do(t, "PUT", location+"?_state=AAAA&digest="+d.String(), layer[3:]).Want(t, 201)
	})
}

// The id of what another account has leads nowhere: neither to a deleted repository
// of the same name nor to a request for a quota.
func TestIdsOfAnotherAccountLeadNowhere(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		const never = "0197f3f5-0000-7000-8000-000000000000"
		other := s.CreateAccount(t, "210987654321")
		s.CreateRepository(t, "app")
		deleteRepository(t, s, "app")
		uid, asked := deletedRepositories(t, s)[0].UID, *requestImages(t, s.AWS(), 200_000).Id
		for what, ask := range map[string]func(id string) answered{
			"the images of a deleted repository": func(id string) answered {
				return askAs(t, s, other, server.DeletedImagesPath, "ecr", "", `{"repositoryName":"app","repositoryUid":"`+id+`"}`)
			},
			"to restore it": func(id string) answered {
				return askAs(t, s, other, server.RestoreRepositoryPath, "ecr", "", `{"repositoryName":"app","repositoryUid":"`+id+`"}`)
			},
			"a request for a quota": func(id string) answered {
				if id == uid {
					id = asked
				}
				return askAs(t, s, other, "/", "servicequotas", "ServiceQuotasV20190624.GetRequestedServiceQuotaChange", `{"RequestId":"`+id+`"}`)
			},
		} {
			theirs, none := ask(uid), ask(never)
			if got, want := alike(&servertest.Response{Status: theirs.status, Header: theirs.header, Body: []byte(strings.ReplaceAll(theirs.body, asked, "ID"))}),
				alike(&servertest.Response{Status: none.status, Header: none.header, Body: []byte(none.body)}); got != want || theirs.status/100 != 4 {
				t.Errorf("%s of another account is answered\n%s\nof nobody\n%s", what, got, want)
			}
		}
	})
}

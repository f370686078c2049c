package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"berth/internal/access"
	"berth/internal/aws/ecrpublic"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// publicOperations are those of ECR Public that Berth has. A new one must be
// added here.
var publicOperations = map[string]asks{
	"BatchCheckLayerAvailability": {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","layerDigests":["LAYER"]}`},
	"BatchDeleteImage":            {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageIds":[{"imageTag":"v1"}]}`},
	"CompleteLayerUpload":         {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","uploadId":"UPLOAD","layerDigests":["NEW"]}`},
	"CreateRepository": {body: `{"repositoryName":"new/NAME","tags":[{"Key":"a","Value":"b"}]}`,
		resource: "repository/new/NAME", also: []string{"ecr-public:TagResource"}, own: true},
	"DeleteRepository":         {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","force":true}`},
	"DeleteRepositoryPolicy":   {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, fails: "RepositoryPolicyNotFoundException"},
	"DescribeImageTags":        {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`},
	"DescribeImages":           {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`},
	"DescribeRegistries":       {body: `{}`, resource: "registry/123456789012", own: true},
	"DescribeRepositories":     {body: `{"registryId":"ACCOUNT"}`, resource: "repository/*"},
	"GetAuthorizationToken":    {body: `{}`, resource: "*", also: []string{"sts:GetServiceBearerToken"}, own: true},
	"GetRegistryCatalogData":   {body: `{}`, resource: "registry/123456789012", own: true},
	"GetRepositoryCatalogData": {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, fails: "RepositoryCatalogDataNotFoundException"},
	"GetRepositoryPolicy":      {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, fails: "RepositoryPolicyNotFoundException"},
	"InitiateLayerUpload":      {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`},
	"ListTagsForResource":      {body: `{"resourceArn":"arn:aws:ecr-public::ACCOUNT:repository/NAME"}`},
	"PutImage":                 {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageManifest":MANIFEST,"imageTag":"v2"}`},
	"PutRegistryCatalogData":   {body: `{"displayName":"x"}`, resource: "registry/123456789012", own: true},
	"PutRepositoryCatalogData": {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","catalogData":{}}`},
	"SetRepositoryPolicy":      {body: `{"registryId":"ACCOUNT","repositoryName":"NAME",` + publicPolicy + `}`},
	"TagResource":              {body: `{"resourceArn":"arn:aws:ecr-public::ACCOUNT:repository/NAME","tags":[{"Key":"a","Value":"b"}]}`},
	"UntagResource":            {body: `{"resourceArn":"arn:aws:ecr-public::ACCOUNT:repository/NAME","tagKeys":["a"]}`},
	"UploadLayerPart": {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","uploadId":"UPLOAD","partFirstByte":3,"partLastByte":5,"layerPartBlob":"` +
		base64.StdEncoding.EncodeToString([]byte("def")) + `"}`},
}

// publicPolicy is a policy in the input of SetRepositoryPolicy.
const publicPolicy = `"policyText":"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"ecr-public:PutImage\"}}"`

// forEverybody may be called by anybody known about any public repository: it is
// part of a pull.
const forEverybody = "BatchCheckLayerAvailability"

// callPublic is call for ECR Public.
func callPublic(t testing.TB, s *servertest.Server, operation, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "SpencerFrontendService."+operation)
	if err := sign(r, "ecr-public", []byte(body)); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestEveryPublicOperationAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	service, err := ecrpublic.New(ecrpublic.Options{}).Service()
	if err != nil {
		t.Fatal(err)
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.LoginPublic(t)
		img := servertest.NewImage(1, 10)
		manifest, err := json.Marshal(string(img.Manifest))
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, op := range service.Operations {
			want, listed := publicOperations[op.Name]
			if listed != (op.Refused == "") {
				t.Errorf("%s is refused (%q) or is not in this test's table", op.Name, op.Refused)
			}
			if !listed {
				if status, text := callPublic(t, s, op.Name, `{}`); status != 400 || !strings.Contains(text, "UnsupportedCommandException") {
					t.Errorf("%s = %d %s, want UnsupportedCommandException", op.Name, status, text)
				}
				continue
			}
			seen++
			name := "team/" + strings.ToLower(op.Name)
			at := s.CreatePublicRepository(t, name)
			c.Push(t, at, "v1", img)
			upload := c.Do(t, "POST", "/v2/"+at+"/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
			c.Do(t, "PATCH", upload, []byte("abc")).Want(t, 202)
			fill := func(text, account string) string {
				return strings.NewReplacer("ACCOUNT", account, "NAME", name, "UPLOAD", path.Base(upload), "MANIFEST", string(manifest),
					"LAYER", digest.FromBytes(img.Layers[0]).String(), "NEW", digest.FromString("abc").String()).Replace(text)
			}
			action := "ecr-public:" + op.Name

			s.Decisions()
			if !want.own {
				checkElsewhere(t, s, op.Name, fill(want.body, "210987654321"))
			}
			status, text := callPublic(t, s, op.Name, fill(want.body, servertest.Account))
			if (status == 200) != (want.fails == "") || !strings.Contains(text, want.fails) {
				t.Errorf("%s = %d %s, want the answer or %q", op.Name, status, text, want.fails)
			}
			resource := want.resource
			if resource == "" {
				resource = "repository/NAME"
			}
			if resource != "*" {
				resource = "arn:aws:ecr-public::" + servertest.Account + ":" + fill(resource, "")
			}
			var got []string
			for _, d := range s.Decisions() {
				got = append(got, d.Action)
				if d.Resource != resource || d.Account != servertest.Account || d.Caller.ARN != "arn:aws:iam::123456789012:root" {
					t.Errorf("%s asked about %s in %s for %s, want %s", op.Name, d.Resource, d.Account, d.Caller.ARN, resource)
				}
			}
			if got = slices.Compact(got); !slices.Equal(got, append([]string{action}, want.also...)) {
				t.Errorf("%s asked about %q, want %s", op.Name, got, action)
			}
		}
		if seen != len(publicOperations) {
			t.Errorf("%d operations are in the service, %d in this test's table", seen, len(publicOperations))
		}
	})
}

// checkElsewhere makes a call about another account, in which the root of one is
// nobody.
func checkElsewhere(t *testing.T, s *servertest.Server, operation, body string) {
	t.Helper()
	action := "ecr-public:" + operation
	status, text := callPublic(t, s, operation, body)
	if operation == forEverybody {
		if !strings.Contains(text, "RepositoryNotFoundException") {
			t.Errorf("%s in another account = %d %s, want RepositoryNotFoundException", operation, status, text)
		}
	} else if status != 400 || !strings.Contains(text, "AccessDeniedException") || !strings.Contains(text, "is not authorized to perform: "+action) {
		t.Errorf("%s in another account = %d %s, want AccessDeniedException", operation, status, text)
	}
	if d := s.Decisions(); len(d) != 1 || d[0].Action != action || d[0].Account != "210987654321" {
		t.Errorf("%s in another account asked about %v, want %s only", operation, d, action)
	}
}

// What cannot be asked for another registry is asked by others than the root
// here, through the domain.
func TestOperationsOnTheOwnPublicRegistryRefuseStrangers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	r, id := s.Server().Registry(), registry.ID{Account: servertest.Account, Region: registry.PublicRegion}
	for who, c := range map[string]access.Caller{
		"nobody":                 {},
		"nobody of the account":  {Account: servertest.Account, ARN: "arn:aws:iam::123456789012:root"},
		"another account's root": {Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", ID: "210987654321", Type: access.Root},
		"a user":                 {Account: servertest.Account, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: "IAMUser"},
	} {
		_, create := r.CreateRepository(t.Context(), c, registry.CreateRepositoryInput{Ref: registry.Ref{ID: id, Name: "app"}})
		_, describe := r.DescribeRegistries(t.Context(), c, registry.DescribeRegistriesInput{ID: id})
		_, get := r.GetRegistryCatalogData(t.Context(), c, id)
		put := r.PutRegistryCatalogData(t.Context(), c, registry.PutRegistryCatalogDataInput{ID: id, DisplayName: "x"})
		_, token := r.GetAuthorizationToken(t.Context(), c, registry.PublicRegion, nil)
		for operation, err := range map[string]error{
			"CreateRepository": create, "DescribeRegistries": describe, "GetRegistryCatalogData": get, "PutRegistryCatalogData": put,
			"GetAuthorizationToken": token,
		} {
			if fault.CodeOf(err) != "AccessDeniedException" {
				t.Errorf("%s by %s = %v, want AccessDeniedException", operation, who, err)
			}
		}
	}
}

package ecr_test

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

// auditRecord is what these tests read of a record.
type auditRecord struct {
	EventName, EventSource, RequestID, ErrorCode, ErrorMessage, AWSRegion string
	ReadOnly                                                              bool
	RequestParameters                                                     map[string]any
	Resources                                                             []struct{ ARN string }
	UserIdentity                                                          struct{ ARN, Type, AccessKeyID string }

	change bool // it was written with a change
	text   string
}

// auditRecords ends the server and returns all records that it has left.
func auditRecords(t *testing.T, s *servertest.Server) []auditRecord {
	t.Helper()
	s.Stop(t)
	var out []auditRecord
	add := func(text string, change bool) {
		r := auditRecord{change: change, text: text}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("record %q: %v", text, err)
		}
		out = append(out, r)
	}
	for _, text := range rows(t, s, "SELECT record FROM audit_records ORDER BY id") {
		add(text, true)
	}
	for _, content := range rows(t, s, "SELECT content FROM audit_batches ORDER BY id") {
		lines := bufio.NewScanner(must(gzip.NewReader(strings.NewReader(content)))(t))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			add(lines.Text(), false)
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestEveryCallLeavesOneAuditRecord(t *testing.T) {
	t.Parallel()
	img := servertest.NewImage(1, 10)
	layer := digest.FromBytes(img.Layers[0]).String()
	quoted := string(servertest.JSON(string(img.Manifest)))
	const app = `{"repositoryName":"app"}`
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		type outcome struct {
			event, code string
			change      bool
		}
		want := map[string]outcome{} // by request id
		call := func(operation, body, code string, change bool) answer {
			t.Helper()
			got := rawCall{target: operation, body: body}.do(t, s)
			if got.header.Get("X-Amzn-Errortype") != code {
				t.Errorf("%s %s: %s, want error %q", operation, body, got.body, code)
			}
			want[got.header.Get("X-Amzn-Requestid")] = outcome{operation, code, change}
			return got
		}
		upload := func(content []byte) {
			t.Helper()
			id := call("InitiateLayerUpload", app, "", true).document(t)["uploadId"].(string)
			call("UploadLayerPart", `{"repositoryName":"app","uploadId":"`+id+`","partFirstByte":0,"partLastByte":`+fmt.Sprint(len(content)-1)+
				`,"layerPartBlob":"`+base64.StdEncoding.EncodeToString(content)+`"}`, "", true)
			call("UploadLayerPart", `{"repositoryName":"app","uploadId":"`+id+`","partFirstByte":9999,"partLastByte":9999,"layerPartBlob":"QQ=="}`,
				"InvalidLayerPartException", false)
			call("CompleteLayerUpload", `{"repositoryName":"app","uploadId":"`+id+`","layerDigests":["`+digest.FromBytes(content).String()+`"]}`, "", true)
		}
		call("CreateRepository", app, "", true)
		call("CreateRepository", app, "RepositoryAlreadyExistsException", false)
		call("CreateRepository", `{"repositoryName":"app","registryId":"999999999999"}`, "AccessDeniedException", false)
		call("CreateRepository", `{"repositoryName":"No Name"}`, "InvalidParameterException", false)
		call("CreateRepository", `{"repositoryName":7}`, "SerializationException", false)
		call("DescribeRepositories", `{}`, "", false)
		call("DescribeRepositories", `{"repositoryNames":["app"]}`, "", false)
		call("DescribeRepositories", `{"repositoryNames":["app","absent"]}`, "RepositoryNotFoundException", false)
		upload(img.Config)
		upload(img.Layers[0])
		call("CompleteLayerUpload", `{"repositoryName":"app","uploadId":"`+absentUpload+`","layerDigests":["`+layer+`"]}`, "UploadNotFoundException", false)
		call("BatchCheckLayerAvailability", `{"repositoryName":"app","layerDigests":["`+layer+`"]}`, "", false)
		call("PutImage", `{"repositoryName":"app","imageManifest":`+quoted+`,"imageTag":"v1"}`, "", true)
		call("PutImage", `{"repositoryName":"app","imageManifest":`+quoted+`,"imageTag":"v1"}`, "ImageAlreadyExistsException", false)
		call("PutImage", `{"repositoryName":"app","imageManifest":"{}"}`, "InvalidParameterException", false)
		call("GetDownloadUrlForLayer", `{"repositoryName":"app","layerDigest":"`+layer+`"}`, "", false)
		call("GetDownloadUrlForLayer", `{"repositoryName":"app","layerDigest":"`+unknownDigest+`"}`, "LayersNotFoundException", false)
		call("BatchGetImage", `{"repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`, "", false)
		call("ListImages", app, "", false)
		call("ListImageReferrers", `{"repositoryName":"app","subjectId":{"imageDigest":"`+img.Digest.String()+`"}}`, "", false)
		call("DescribeImages", app, "", false)
		call("DescribeImages", `{"repositoryName":"app","imageIds":[{"imageTag":"v9"}]}`, "ImageNotFoundException", false)
		call("PutImageTagMutability", `{"repositoryName":"app","imageTagMutability":"IMMUTABLE"}`, "", true)
		call("TagResource", `{"resourceArn":"`+appARN+`","tags":[{"Key":"k","Value":"v"}]}`, "", true)
		call("TagResource", `{"resourceArn":"`+appARN+`","tags":[{"Key":"aws:k","Value":"v"}]}`, "InvalidTagParameterException", false)
		call("ListTagsForResource", `{"resourceArn":"`+appARN+`"}`, "", false)
		call("UntagResource", `{"resourceArn":"`+appARN+`","tagKeys":["k"]}`, "", true)
		call("PutAccountSetting", `{"name":"BLOB_MOUNTING","value":"DISABLED"}`, "", true)
		call("GetAccountSetting", `{"name":"BLOB_MOUNTING"}`, "", false)
		call("GetAccountSetting", `{"name":"OTHER"}`, "InvalidParameterException", false)
		call("GetAuthorizationToken", `{}`, "", false)
		policy := `{"repositoryName":"app","lifecyclePolicyText":` + string(servertest.JSON(keepOne)) + `}`
		call("GetLifecyclePolicy", app, "LifecyclePolicyNotFoundException", false)
		call("GetLifecyclePolicyPreview", app, "LifecyclePolicyPreviewNotFoundException", false)
		call("PutLifecyclePolicy", policy, "", true)
		call("GetLifecyclePolicy", app, "", false)
		call("StartLifecyclePolicyPreview", policy, "", true)
		call("GetLifecyclePolicyPreview", app, "", false)
		call("DeleteLifecyclePolicy", app, "", true)
		text := string(servertest.JSON(share("Allow", `"*"`, "ecr:BatchGetImage")))
		call("SetRepositoryPolicy", `{"repositoryName":"app","policyText":`+text+`}`, "", true)
		call("SetRepositoryPolicy", `{"repositoryName":"app","policyText":"{}"}`, "InvalidParameterException", false)
		call("GetRepositoryPolicy", app, "", false)
		call("DeleteRepositoryPolicy", app, "", true)
		all := string(servertest.JSON(*overAll("Allow", `"*"`, "ecr:BatchGetImage")))
		call("PutRegistryPolicy", `{"policyText":`+all+`}`, "", true)
		call("GetRegistryPolicy", `{}`, "", false)
		call("DeleteRegistryPolicy", `{}`, "", true)
		call("UpdateImageStorageClass", `{"repositoryName":"app","imageId":{"imageTag":"v1"},"targetStorageClass":"ARCHIVE"}`, "", true)
		for _, c := range configurations {
			call(c.operation, c.body, c.code, c.code == "")
		}
		for _, q := range questions {
			call(q.operation, q.body, q.code, false)
		}
		call("PutImageScanningConfiguration", `{"repositoryName":"app","imageScanningConfiguration":{}}`, "", true)
		call("BatchDeleteImage", `{"repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`, "", true)
		call("DeleteRepository", app, "", true)
		call("DeleteRepository", app, "RepositoryNotFoundException", false)

		seen := map[string]int{}
		for _, r := range auditRecords(t, s) {
			seen[r.RequestID]++
			got := outcome{r.EventName, r.ErrorCode, r.change}
			if want[r.RequestID] != got || r.EventSource != "ecr.amazonaws.com" || r.AWSRegion != "us-east-1" {
				t.Errorf("record = %s, want one of %+v", r.text, want[r.RequestID])
			}
			if r.UserIdentity.ARN != "arn:aws:iam::123456789012:root" || r.UserIdentity.Type != "Root" || r.UserIdentity.AccessKeyID != "AKIAROOT" {
				t.Errorf("record of %+v, want the root", r.UserIdentity)
			}
		}
		for id, o := range want {
			if seen[id] != 1 {
				t.Errorf("%d records of %+v, want 1", seen[id], o)
			}
		}
		called := map[string]bool{}
		for _, o := range want {
			called[o.event] = true
		}
		for _, operation := range implemented() {
			if !called[operation] {
				t.Errorf("%s was not called", operation)
			}
		}
	})
}

func TestAuditRecordsTellWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "team/app")
		pushImage(t, s.ECR(), "team/app", servertest.NewImage(1), "v1")
		_, err := s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RegistryId: new("999999999999")})
		if err == nil {
			t.Error("DescribeRepositories of another account succeeded")
		}
		var put, refused []auditRecord
		for _, r := range auditRecords(t, s) {
			switch r.EventName {
			case "PutImage":
				put = append(put, r)
			case "DescribeRepositories":
				refused = append(refused, r)
			}
		}
		if len(put) != 1 || len(refused) != 1 {
			t.Fatalf("%d records of PutImage, %d of the refusal, want one each", len(put), len(refused))
		}
		wantEqual(t, "parameters", put[0].RequestParameters, map[string]any{
			"registryId": "123456789012", "repositoryName": "team/app", "imageTags": []any{"v1"},
		})
		wantEqual(t, "resource", put[0].Resources[0].ARN, "arn:aws:ecr:us-east-1:123456789012:repository/team/app")
		wantEqual(t, "readOnly of PutImage", put[0].ReadOnly, false)
		wantEqual(t, "readOnly of DescribeRepositories", refused[0].ReadOnly, true)
		wantEqual(t, "error", refused[0].ErrorCode, "AccessDeniedException")
		wantEqual(t, "message", refused[0].ErrorMessage, "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:DescribeRepositories "+
			"on resource: arn:aws:ecr:us-east-1:999999999999:repository/* because no resource-based policy allows the ecr:DescribeRepositories action")
	})
}

func TestAuditRecordsOfConfigurationsHoldWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		var want []map[string]any
		for _, c := range []struct{ operation, body string }{
			{"CreateRepositoryCreationTemplate", `{"prefix":"team/","appliedFor":["CREATE_ON_PUSH"]}`},
			{"UpdateRepositoryCreationTemplate", `{"prefix":"team/","resourceTags":{}}`},
			{"UpdateRepositoryCreationTemplate", `{"prefix":"team/"}`},
			{"DeleteRepositoryCreationTemplate", `{"prefix":"team/"}`},
			{"CreatePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay","upstreamRegistryUrl":"quay.io"}`},
			{"DeletePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay"}`},
		} {
			parameters := answer{body: c.body}.document(t)
			rawCall{target: c.operation, body: strings.Replace(c.body, "{}", "[]", 1)}.do(t, s).document(t)
			if strings.HasSuffix(c.operation, "CacheRule") || strings.HasPrefix(c.operation, "Delete") {
				parameters["registryId"] = "123456789012"
			}
			want = append(want, parameters)
		}
		var got []map[string]any
		for _, r := range auditRecords(t, s) {
			got = append(got, r.RequestParameters)
		}
		wantEqual(t, "parameters", got, want)
	})
}

// A repository that a push makes is recorded as if it had been asked for.
func TestACreationOnPushLeavesARecordOfItsOwn(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createTemplate(t, s.ECR(), &ecr.CreateRepositoryCreationTemplateInput{Prefix: new("team"), ResourceTags: resourceTags("k", "v")})
		for range 2 {
			startUpload(t, s.ECR(), "team/app")
		}
		var created []auditRecord
		for _, r := range auditRecords(t, s) {
			if r.EventName == "CreateRepository" {
				created = append(created, r)
			}
		}
		if len(created) != 1 {
			t.Fatalf("%d records of CreateRepository, want 1", len(created))
		}
		r := created[0]
		wantEqual(t, "resource", r.Resources[0].ARN, "arn:aws:ecr:us-east-1:123456789012:repository/team/app")
		wantEqual(t, "who", r.UserIdentity.ARN, "arn:aws:iam::123456789012:root")
		wantEqual[any](t, "name", r.RequestParameters["repositoryName"], "team/app")
		wantEqual[any](t, "tags", r.RequestParameters["tags"], map[string]any{"k": "v"})
	})
}

func TestAuditRecordsHoldNoSecretsAndNoPayloads(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "aa")
		createRepository(t, c, "bb")
		img := servertest.NewImage(1, 100, 70_000)
		pushImage(t, c, "aa", img, "v1", "v2")
		client := s.Login(t)
		client.Do(t, "GET", "/v2/aa/manifests/v1", nil).Want(t, 200)
		u := downloadURL(t, c, "aa", digest.FromBytes(img.Layers[0]))
		fetch(t, s, u)
		page := must(c.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{MaxResults: new(int32(1))}))(t).NextToken
		must(c.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: page}))(t)
		secrets := map[string]string{
			"the root's secret": s.Config.RootSecretAccessKey, "a password": client.Pass, "a page token": *page,
			"the signature of a URL": u[strings.Index(u, "signature=")+len("signature="):],
			"a manifest":             "schemaVersion", "a layer": base64.StdEncoding.EncodeToString(img.Layers[0])[:40],
			"a configuration": `architecture`,
		}
		records := auditRecords(t, s)
		if len(records) < 10 {
			t.Errorf("%d records, want those of all calls", len(records))
		}
		for _, r := range records {
			for what, secret := range secrets {
				if strings.Contains(r.text, secret) {
					t.Errorf("a record of %s holds %s: %s", r.EventName, what, r.text)
				}
			}
		}
	})
}

// A login with an access key is one that somebody may look for.
func TestTheFirstLoginWithAnAccessKeyLeavesARecord(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.PasswordLogin = "access-key" }})
	key := must(s.AWS().Credentials.Retrieve(t.Context()))(t)
	c := s.Login(t) // leaves one, too
	c.User, c.Pass = key.AccessKeyID, key.SecretAccessKey
	for range 3 {
		c.Do(t, "GET", "/v2/", nil).Want(t, 200)
	}
	records := auditRecords(t, s)
	if len(records) != 2 || records[1].EventName != "GetAuthorizationToken" || records[1].UserIdentity.AccessKeyID != key.AccessKeyID || records[1].ErrorCode != "" {
		t.Errorf("records = %+v, want two of GetAuthorizationToken", records)
	}
}

package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

var update = flag.Bool("update", false, "write docs/operations.md")

const operationsFile = "../../docs/operations.md"

// sdkCall is a call through the SDK.
type sdkCall struct {
	operation string
	input     string // JSON with ACCOUNT, UPLOAD, LAYER, PART, MANIFEST and IMAGE for what there is
	fails     string // the exception that it ends with
	differs   string // in what it differs from ECR, in a few words
}

const (
	notScanned    = "configuration only: nothing is scanned yet"
	notReplicated = "configuration only: nothing is replicated yet"
	notFetched    = "configuration only: nothing is fetched yet"
	noBackfills   = "no backfill can be started yet, so there is none"
)

// privateCalls are calls of every operation of ECR, in an order in which they work.
var privateCalls = []sdkCall{
	{operation: "CreateRepository", input: `{"repositoryName":"app"}`, differs: "the KMS key is not looked up: a key that derives from the master key for its name seals"},
	{operation: "DescribeRepositories", input: `{}`},
	{operation: "InitiateLayerUpload", input: `{"repositoryName":"app"}`},
	{operation: "UploadLayerPart", input: `{"repositoryName":"app","uploadId":"UPLOAD","partFirstByte":0,"partLastByte":1,"layerPartBlob":"PART"}`},
	{operation: "CompleteLayerUpload", input: `{"repositoryName":"app","uploadId":"UPLOAD","layerDigests":["LAYER"]}`},
	{operation: "BatchCheckLayerAvailability", input: `{"repositoryName":"app","layerDigests":["LAYER"]}`},
	{operation: "PutImage", input: `{"repositoryName":"app","imageTag":"v1","imageManifest":"MANIFEST"}`},
	{operation: "GetDownloadUrlForLayer", input: `{"repositoryName":"app","layerDigest":"LAYER"}`},
	{operation: "BatchGetImage", input: `{"repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`},
	{operation: "DescribeImages", input: `{"repositoryName":"app"}`},
	{operation: "ListImages", input: `{"repositoryName":"app"}`},
	{operation: "ListImageReferrers", input: `{"repositoryName":"app","subjectId":{"imageDigest":"IMAGE"}}`},
	{operation: "UpdateImageStorageClass", input: `{"repositoryName":"app","imageId":{"imageTag":"v1"},"targetStorageClass":"ARCHIVE"}`,
		differs: "archived images cannot be pulled and do not count; their layers come into another storage class only with `--s3-archive-class`"},
	{operation: "PutImageTagMutability", input: `{"repositoryName":"app","imageTagMutability":"IMMUTABLE"}`},
	{operation: "TagResource", input: `{"resourceArn":"arn:aws:ecr:us-east-1:ACCOUNT:repository/app","tags":[{"Key":"a","Value":"b"}]}`},
	{operation: "ListTagsForResource", input: `{"resourceArn":"arn:aws:ecr:us-east-1:ACCOUNT:repository/app"}`},
	{operation: "UntagResource", input: `{"resourceArn":"arn:aws:ecr:us-east-1:ACCOUNT:repository/app","tagKeys":["a"]}`},
	{operation: "GetAuthorizationToken", input: `{}`},
	{operation: "PutAccountSetting", input: `{"name":"BLOB_MOUNTING","value":"DISABLED"}`,
		differs: "`BASIC_SCAN_TYPE_VERSION` can only be `AWS_NATIVE`, `REGISTRY_POLICY_SCOPE` only `V2`"},
	{operation: "GetAccountSetting", input: `{"name":"BLOB_MOUNTING"}`},

	{operation: "PutLifecyclePolicy", input: `{"repositoryName":"app","lifecyclePolicyText":"RULES"}`},
	{operation: "GetLifecyclePolicy", input: `{"repositoryName":"app"}`},
	{operation: "StartLifecyclePolicyPreview", input: `{"repositoryName":"app"}`},
	{operation: "GetLifecyclePolicyPreview", input: `{"repositoryName":"app"}`},
	{operation: "DeleteLifecyclePolicy", input: `{"repositoryName":"app"}`},

	{operation: "CreateRepositoryCreationTemplate", input: `{"prefix":"team","appliedFor":["CREATE_ON_PUSH"]}`},
	{operation: "UpdateRepositoryCreationTemplate", input: `{"prefix":"team","description":"d"}`},
	{operation: "DescribeRepositoryCreationTemplates", input: `{}`},
	{operation: "DeleteRepositoryCreationTemplate", input: `{"prefix":"team"}`},
	{operation: "RegisterPullTimeUpdateExclusion", input: `{"principalArn":"arn:aws:iam::ACCOUNT:role/scanner"}`},
	{operation: "ListPullTimeUpdateExclusions", input: `{}`},
	{operation: "DeregisterPullTimeUpdateExclusion", input: `{"principalArn":"arn:aws:iam::ACCOUNT:role/scanner"}`},

	{operation: "CreatePullThroughCacheRule", input: `{"ecrRepositoryPrefix":"quay","upstreamRegistryUrl":"quay.io"}`,
		differs: notFetched + "; upstreams that want credentials are `SecretNotFoundException`"},
	{operation: "UpdatePullThroughCacheRule", input: `{"ecrRepositoryPrefix":"quay"}`, differs: notFetched},
	{operation: "DescribePullThroughCacheRules", input: `{}`},
	{operation: "ValidatePullThroughCacheRule", input: `{"ecrRepositoryPrefix":"quay"}`, fails: "UnsupportedCommandException"},
	{operation: "DeletePullThroughCacheRule", input: `{"ecrRepositoryPrefix":"quay"}`},

	{operation: "DescribeRegistry", input: `{}`},
	{operation: "PutReplicationConfiguration", input: `{"replicationConfiguration":{"rules":[]}}`, differs: notReplicated},
	{operation: "DescribeImageReplicationStatus", input: `{"repositoryName":"app","imageId":{"imageTag":"v1"}}`, differs: "always empty: nothing is replicated yet"},
	{operation: "StartReplicationBackfill", input: `{"destination":{"region":"eu-west-1","registryId":"ACCOUNT"}}`, fails: "UnsupportedCommandException"},
	{operation: "StopReplicationBackfill", input: `{"replicationBackfillId":"b"}`, fails: "ReplicationBackfillNotFoundException", differs: noBackfills},
	{operation: "ListReplicationBackfills", input: `{}`, differs: noBackfills},
	{operation: "DescribeReplicationBackfillResults", input: `{"replicationBackfillId":"b"}`, fails: "ReplicationBackfillNotFoundException", differs: noBackfills},

	{operation: "PutRegistryScanningConfiguration", input: `{"scanType":"BASIC","rules":[]}`, differs: notScanned},
	{operation: "GetRegistryScanningConfiguration", input: `{}`},
	{operation: "PutImageScanningConfiguration", input: `{"repositoryName":"app","imageScanningConfiguration":{"scanOnPush":true}}`, differs: notScanned},
	{operation: "BatchGetRepositoryScanningConfiguration", input: `{"repositoryNames":["app"]}`},
	{operation: "StartImageScan", input: `{"repositoryName":"app","imageId":{"imageTag":"v1"}}`, fails: "UnsupportedCommandException"},
	{operation: "DescribeImageScanFindings", input: `{"repositoryName":"app","imageId":{"imageTag":"v1"}}`, fails: "ScanNotFoundException",
		differs: "no image is scanned yet, so there are none"},

	{operation: "PutSigningConfiguration", input: `{"signingConfiguration":{"rules":[]}}`, differs: "configuration only: nothing is signed yet"},
	{operation: "GetSigningConfiguration", input: `{}`},
	{operation: "DeleteSigningConfiguration", input: `{}`},
	{operation: "DescribeImageSigningStatus", input: `{"repositoryName":"app","imageId":{"imageTag":"v1"}}`, differs: "always empty: nothing is signed yet"},

	{operation: "SetRepositoryPolicy", input: `{"repositoryName":"app",` + repositoryPolicy + `}`, differs: "principals of accounts that are not here are not checked"},
	{operation: "GetRepositoryPolicy", input: `{"repositoryName":"app"}`, differs: "the text as it was put"},
	{operation: "DeleteRepositoryPolicy", input: `{"repositoryName":"app"}`, differs: "the text as it was put"},
	{operation: "PutRegistryPolicy", input: `{` + registryPolicy + `}`, differs: "principals of accounts that are not here are not checked"},
	{operation: "GetRegistryPolicy", input: `{}`, differs: "the text as it was put"},
	{operation: "DeleteRegistryPolicy", input: `{}`, differs: "the text as it was put"},

	{operation: "BatchDeleteImage", input: `{"repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`},
	{operation: "DeleteRepository", input: `{"repositoryName":"app"}`},
}

// publicCalls are calls of every operation of ECR Public.
var publicCalls = []sdkCall{
	{operation: "CreateRepository", input: `{"repositoryName":"app","catalogData":{"description":"d"}}`},
	{operation: "DescribeRepositories", input: `{}`},
	{operation: "DescribeRegistries", input: `{}`, differs: "the alias is random for good"},
	{operation: "GetAuthorizationToken", input: `{}`},
	{operation: "InitiateLayerUpload", input: `{"repositoryName":"app"}`},
	{operation: "UploadLayerPart", input: `{"repositoryName":"app","uploadId":"UPLOAD","partFirstByte":0,"partLastByte":1,"layerPartBlob":"PART"}`},
	{operation: "CompleteLayerUpload", input: `{"repositoryName":"app","uploadId":"UPLOAD","layerDigests":["LAYER"]}`},
	{operation: "BatchCheckLayerAvailability", input: `{"repositoryName":"app","layerDigests":["LAYER"]}`},
	{operation: "PutImage", input: `{"repositoryName":"app","imageTag":"v1","imageManifest":"MANIFEST"}`},
	{operation: "DescribeImages", input: `{"repositoryName":"app"}`},
	{operation: "DescribeImageTags", input: `{"repositoryName":"app"}`},
	{operation: "PutRegistryCatalogData", input: `{"displayName":"n"}`},
	{operation: "GetRegistryCatalogData", input: `{}`},
	{operation: "PutRepositoryCatalogData", input: `{"repositoryName":"app","catalogData":{"aboutText":"a"}}`, differs: "a logo is served at once, without a review"},
	{operation: "GetRepositoryCatalogData", input: `{"repositoryName":"app"}`},
	{operation: "TagResource", input: `{"resourceArn":"arn:aws:ecr-public::ACCOUNT:repository/app","tags":[{"Key":"a","Value":"b"}]}`},
	{operation: "ListTagsForResource", input: `{"resourceArn":"arn:aws:ecr-public::ACCOUNT:repository/app"}`},
	{operation: "UntagResource", input: `{"resourceArn":"arn:aws:ecr-public::ACCOUNT:repository/app","tagKeys":["a"]}`},
	{operation: "SetRepositoryPolicy", input: `{"repositoryName":"app",` + publicPolicy + `}`, differs: "principals of accounts that are not here are not checked"},
	{operation: "GetRepositoryPolicy", input: `{"repositoryName":"app"}`},
	{operation: "DeleteRepositoryPolicy", input: `{"repositoryName":"app"}`},
	{operation: "BatchDeleteImage", input: `{"repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`},
	{operation: "DeleteRepository", input: `{"repositoryName":"app"}`},
}

// TestTheTableOfOperations calls every operation that the SDK has and holds what
// they answer against docs/operations.md.
func TestTheTableOfOperations(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		var doc strings.Builder
		doc.WriteString("# Operations\n\nEvery operation of the SDK's clients of ECR and ECR Public, and what becomes of a call\n" +
			"to Berth. [Compatibility](compatibility.md) has the differences in full. A test calls\nthem all and writes this file.\n")
		writeOperations(t, &doc, "ECR", s.ECR(), privateCalls)
		writeOperations(t, &doc, "ECR Public", s.ECRPublic(), publicCalls)
		if *update {
			if err := os.WriteFile(operationsFile, []byte(doc.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		there, err := os.ReadFile(operationsFile)
		if err != nil {
			t.Fatal(err)
		}
		if string(there) != doc.String() {
			t.Errorf("docs/operations.md is not what the operations answer; write it with: go test ./internal/server -run %s -update", t.Name())
		}
	})
}

// writeOperations makes the calls and writes a table of what became of them.
func writeOperations(t *testing.T, doc *strings.Builder, service string, client any, calls []sdkCall) {
	t.Helper()
	config := []byte("{}")
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":2},"layers":[]}`, digest.FromBytes(config))
	known := map[string]string{
		"ACCOUNT": servertest.Account, "LAYER": digest.FromBytes(config).String(), "PART": base64.StdEncoding.EncodeToString(config),
		"MANIFEST": quoted(string(manifest)), "IMAGE": digest.FromBytes(manifest).String(), "RULES": quoted(`{"rules":[{"rulePriority":1,` +
			`"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`),
	}
	results := map[string]string{}
	for _, c := range calls {
		input := c.input
		for name, v := range known {
			input = strings.ReplaceAll(input, name, v)
		}
		out, err := invoke(t.Context(), client, c.operation, input)
		if got := servertest.ErrorCode(err); got != c.fails || err != nil && got == "" {
			t.Errorf("%s: %s = %v, want %q", service, c.operation, err, c.fails)
		}
		results[c.operation] = outcome(c, err)
		if err == nil && c.operation == "InitiateLayerUpload" {
			known["UPLOAD"] = out.Elem().FieldByName("UploadId").Elem().String()
		}
	}
	names := operationsOf(client)
	fmt.Fprintf(doc, "\n## %s\n\n| operation | works | difference |\n|---|---|---|\n", service)
	for _, name := range names {
		if results[name] == "" {
			t.Errorf("%s: %s is not called", service, name)
		}
		fmt.Fprintf(doc, "| %s | %s |\n", name, results[name])
	}
	fmt.Fprintf(doc, "\n%d operations.\n", len(names))
}

// outcome returns the cells of a call's row that say what became of it.
func outcome(c sdkCall, err error) string {
	switch {
	case c.fails == "UnsupportedCommandException":
		_, reason, _ := strings.Cut(servertest.ErrorMessage(err), "by Berth: ")
		return "refused | " + reason
	case c.fails != "":
		return "with a difference | `" + c.fails + "`: " + c.differs
	case c.differs != "":
		return "with a difference | " + c.differs
	}
	return "yes |"
}

// quoted returns a text as it stands between the quotes of a JSON string.
func quoted(s string) string { return strings.Trim(string(servertest.JSON(s)), `"`) }

// operationsOf returns the names of the operations that a client of the SDK has:
// its methods that take an input of their name.
func operationsOf(client any) []string {
	var names []string
	for m := range reflect.TypeOf(client).Methods() {
		if m.Type.NumIn() == 4 && m.Type.In(2).Elem().Name() == m.Name+"Input" {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// invoke calls an operation of a client of the SDK with an input in JSON.
func invoke(ctx context.Context, client any, operation, input string) (reflect.Value, error) {
	method := reflect.ValueOf(client).MethodByName(operation)
	in := reflect.New(method.Type().In(1).Elem())
	if err := json.Unmarshal([]byte(input), in.Interface()); err != nil {
		return reflect.Value{}, err
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(ctx), in})
	err, _ := out[1].Interface().(error)
	return out[0], err
}

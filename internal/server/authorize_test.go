package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"berth/internal/access"
	"berth/internal/aws/ecr"
	"berth/internal/aws/sts"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/servertest"

	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/opencontainers/go-digest"
)

// asks says what an operation asks the authorizer.
type asks struct {
	body     string   // a valid request; ACCOUNT, NAME, UPLOAD, LAYER, NEW and MANIFEST stand for what there is
	resource string   // "repository/NAME" unless set
	action   string   // that of the operation's name unless set
	also     []string // further actions
	own      bool     // about the caller's own registry only: there is no way to name another
	fails    string   // the exception that it ends with here, once it is allowed
	before   string   // the operation without which there is nothing to answer with
}

const lifecyclePolicy = `"lifecyclePolicyText":"{\"rules\":[{\"rulePriority\":1,\"selection\":{\"tagStatus\":\"untagged\",` +
	`\"countType\":\"imageCountMoreThan\",\"countNumber\":1},\"action\":{\"type\":\"expire\"}}]}"`

const repositoryPolicy = `"policyText":"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"ecr:BatchGetImage\"}}"`

const registryPolicy = `"policyText":"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"ecr:BatchGetImage\",\"Resource\":\"*\"}}"`

// operations are those of ECR that Berth has. A new one must be added here.
var operations = map[string]asks{
	"BatchCheckLayerAvailability": {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","layerDigests":["LAYER"]}`},
	"BatchDeleteImage":            {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageIds":[{"imageTag":"v1"}]}`},
	"BatchGetImage":               {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageIds":[{"imageTag":"v1"}]}`},
	"CompleteLayerUpload":         {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","uploadId":"UPLOAD","layerDigests":["NEW"]}`},
	"CreateRepository": {body: `{"registryId":"ACCOUNT","repositoryName":"new/NAME","tags":[{"Key":"a","Value":"b"}]}`,
		resource: "repository/new/NAME", also: []string{"ecr:TagResource"}},
	"DeleteRepository":        {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","force":true}`},
	"DescribeImages":          {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`},
	"DescribeRepositories":    {body: `{"registryId":"ACCOUNT"}`, resource: "repository/*"},
	"GetAccountSetting":       {body: `{"name":"BLOB_MOUNTING"}`, resource: "*", own: true},
	"GetAuthorizationToken":   {body: `{}`, resource: "*", own: true},
	"GetDownloadUrlForLayer":  {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","layerDigest":"LAYER"}`},
	"InitiateLayerUpload":     {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`},
	"ListImages":              {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`},
	"ListImageReferrers":      {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","subjectId":{"imageDigest":"LAYER"}}`, action: "ecr:BatchGetImage"},
	"ListTagsForResource":     {body: `{"resourceArn":"arn:aws:ecr:us-east-1:ACCOUNT:repository/NAME"}`},
	"PutAccountSetting":       {body: `{"name":"BLOB_MOUNTING","value":"ENABLED"}`, resource: "*", own: true},
	"PutImage":                {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageManifest":MANIFEST,"imageTag":"v2"}`},
	"PutImageTagMutability":   {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageTagMutability":"IMMUTABLE"}`},
	"TagResource":             {body: `{"resourceArn":"arn:aws:ecr:us-east-1:ACCOUNT:repository/NAME","tags":[{"Key":"a","Value":"b"}]}`},
	"UntagResource":           {body: `{"resourceArn":"arn:aws:ecr:us-east-1:ACCOUNT:repository/NAME","tagKeys":["a"]}`},
	"UpdateImageStorageClass": {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageId":{"imageTag":"v1"},"targetStorageClass":"ARCHIVE"}`},
	"UploadLayerPart": {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","uploadId":"UPLOAD","partFirstByte":3,"partLastByte":5,"layerPartBlob":"` +
		base64.StdEncoding.EncodeToString([]byte("def")) + `"}`},

	// What is configured for a registry.
	"CreatePullThroughCacheRule":              {body: `{"registryId":"ACCOUNT","ecrRepositoryPrefix":"quay","upstreamRegistryUrl":"quay.io"}`, resource: "*"},
	"CreateRepositoryCreationTemplate":        {body: `{"prefix":"a","appliedFor":["REPLICATION"],"resourceTags":[{"Key":"a","Value":"b"}]}`, resource: "*", own: true, also: []string{"ecr:CreateRepository", "ecr:TagResource"}},
	"DeletePullThroughCacheRule":              {body: `{"registryId":"ACCOUNT","ecrRepositoryPrefix":"quay"}`, resource: "*"},
	"DeleteRegistryPolicy":                    {body: `{}`, resource: "*", own: true, before: "PutRegistryPolicy"},
	"DeleteRepositoryCreationTemplate":        {body: `{"prefix":"a"}`, resource: "*", own: true},
	"DeleteRepositoryPolicy":                  {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, before: "SetRepositoryPolicy"},
	"DeleteSigningConfiguration":              {body: `{}`, resource: "*", own: true, fails: "SigningConfigurationNotFoundException"},
	"DeregisterPullTimeUpdateExclusion":       {body: `{"principalArn":"arn:aws:iam::123456789012:role/r"}`, resource: "*", own: true, fails: "ExclusionNotFoundException"},
	"DescribeImageReplicationStatus":          {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageId":{"imageTag":"v1"}}`},
	"DescribeImageScanFindings":               {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageId":{"imageTag":"v1"}}`, fails: "ScanNotFoundException"},
	"DescribeImageSigningStatus":              {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageId":{"imageTag":"v1"}}`},
	"DescribePullThroughCacheRules":           {body: `{"registryId":"ACCOUNT"}`, resource: "*"},
	"DescribeRegistry":                        {body: `{}`, resource: "*", own: true},
	"DescribeReplicationBackfillResults":      {body: `{"registryId":"ACCOUNT","replicationBackfillId":"b"}`, resource: "*", fails: "ReplicationBackfillNotFoundException"},
	"DescribeRepositoryCreationTemplates":     {body: `{}`, resource: "*", own: true},
	"GetRegistryPolicy":                       {body: `{}`, resource: "*", own: true, before: "PutRegistryPolicy"},
	"GetRegistryScanningConfiguration":        {body: `{}`, resource: "*", own: true},
	"GetRepositoryPolicy":                     {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, before: "SetRepositoryPolicy"},
	"GetSigningConfiguration":                 {body: `{}`, resource: "*", own: true, fails: "SigningConfigurationNotFoundException"},
	"ListPullTimeUpdateExclusions":            {body: `{}`, resource: "*", own: true},
	"ListReplicationBackfills":                {body: `{"registryId":"ACCOUNT"}`, resource: "*"},
	"PutImageScanningConfiguration":           {body: `{"registryId":"ACCOUNT","repositoryName":"NAME","imageScanningConfiguration":{}}`},
	"PutRegistryPolicy":                       {body: `{` + registryPolicy + `}`, resource: "*", own: true},
	"PutRegistryScanningConfiguration":        {body: `{"scanType":"BASIC","rules":[]}`, resource: "*", own: true},
	"PutReplicationConfiguration":             {body: `{"replicationConfiguration":{"rules":[]}}`, resource: "*", own: true},
	"PutSigningConfiguration":                 {body: `{"signingConfiguration":{"rules":[]}}`, resource: "*", own: true},
	"RegisterPullTimeUpdateExclusion":         {body: `{"principalArn":"arn:aws:iam::123456789012:role/r"}`, resource: "*", own: true},
	"StopReplicationBackfill":                 {body: `{"registryId":"ACCOUNT","replicationBackfillId":"b"}`, resource: "*", fails: "ReplicationBackfillNotFoundException"},
	"UpdatePullThroughCacheRule":              {body: `{"registryId":"ACCOUNT","ecrRepositoryPrefix":"quay"}`, resource: "*", fails: "PullThroughCacheRuleNotFoundException"},
	"UpdateRepositoryCreationTemplate":        {body: `{"prefix":"a","resourceTags":[{"Key":"a","Value":"b"}]}`, resource: "*", own: true, fails: "TemplateNotFoundException", also: []string{"ecr:CreateRepository", "ecr:TagResource"}},
	"BatchGetRepositoryScanningConfiguration": {body: `{"repositoryNames":["NAME"]}`, own: true},
	"DeleteLifecyclePolicy":                   {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, before: "PutLifecyclePolicy"},
	"GetLifecyclePolicy":                      {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, before: "PutLifecyclePolicy"},
	"GetLifecyclePolicyPreview":               {body: `{"registryId":"ACCOUNT","repositoryName":"NAME"}`, before: "StartLifecyclePolicyPreview"},
	"PutLifecyclePolicy":                      {body: `{"registryId":"ACCOUNT","repositoryName":"NAME",` + lifecyclePolicy + `}`},
	"SetRepositoryPolicy":                     {body: `{"registryId":"ACCOUNT","repositoryName":"NAME",` + repositoryPolicy + `}`},
	"StartLifecyclePolicyPreview":             {body: `{"registryId":"ACCOUNT","repositoryName":"NAME",` + lifecyclePolicy + `}`},
}

// stsAsks are the operations of STS that ask the authorizer, and what about: a
// valid request of a user, who may nothing, and the resource.
var stsAsks = map[string]struct{ input, resource string }{
	"AssumeRole":         {`{"RoleArn":"ARNrole/r","RoleSessionName":"build"}`, "ARNrole/r"},
	"GetAccessKeyInfo":   {`{"AccessKeyId":"AKIAAAAAAAAAAAAAAAAA"}`, "*"},
	"GetFederationToken": {`{"Name":"build"}`, "arn:aws:sts::" + servertest.Account + ":federated-user/build"},
}

// byToken are operations that ask about whom a token stands for: see the tests of
// package sts. SAML is refused whatever the token says.
var byToken = []string{"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}

// anybody may ask, if the request is signed.
var anybody = []string{"GetCallerIdentity", "GetSessionToken"}

func TestEveryOperationAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	service, err := ecr.New(ecr.Options{}).Service()
	if err != nil {
		t.Fatal(err)
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.Login(t)
		img := servertest.NewImage(1, 10)
		manifest, err := json.Marshal(string(img.Manifest))
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, op := range service.Operations {
			want, listed := operations[op.Name]
			if listed != (op.Refused == "") {
				t.Errorf("%s is refused (%q) or is not in this test's table", op.Name, op.Refused)
			}
			if !listed {
				if status, text := call(t, s, op.Name, `{}`); status != 400 || !strings.Contains(text, "UnsupportedCommandException") || len(s.Decisions()) > 0 {
					t.Errorf("%s = %d %s, want UnsupportedCommandException", op.Name, status, text)
				}
				continue
			}
			seen++
			name := "team/" + strings.ToLower(op.Name)
			s.CreateRepository(t, name)
			c.Push(t, name, "v1", img)
			upload := c.Do(t, "POST", "/v2/"+name+"/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
			c.Do(t, "PATCH", upload, []byte("abc")).Want(t, 202)
			fill := func(text, account string) string {
				return strings.NewReplacer("ACCOUNT", account, "NAME", name, "UPLOAD", path.Base(upload), "MANIFEST", string(manifest),
					"LAYER", digest.FromBytes(img.Layers[0]).String(), "NEW", digest.FromString("abc").String()).Replace(text)
			}
			action := "ecr:" + op.Name
			if want.before != "" {
				if status, text := call(t, s, want.before, fill(operations[want.before].body, servertest.Account)); status != 200 {
					t.Errorf("%s = %d %s", want.before, status, text)
				}
			}
			if want.action != "" {
				action = want.action
			}

			// The root of one account is nobody in another.
			s.Decisions()
			if !want.own {
				status, text := call(t, s, op.Name, fill(want.body, "210987654321"))
				if status != 400 || !strings.Contains(text, "AccessDeniedException") || !strings.Contains(text, "is not authorized to perform: "+action) {
					t.Errorf("%s in another account = %d %s, want AccessDeniedException", op.Name, status, text)
				}
				if d := s.Decisions(); len(d) != 1 || d[0].Action != action || d[0].Account != "210987654321" {
					t.Errorf("%s in another account asked about %v, want %s only", op.Name, d, action)
				}
			}
			status, text := call(t, s, op.Name, fill(want.body, servertest.Account))
			if status != 200 && want.fails == "" || want.fails != "" && !strings.Contains(text, want.fails) {
				t.Errorf("%s = %d %s, want %q", op.Name, status, text, want.fails)
			}
			resource := want.resource
			if resource == "" {
				resource = "repository/NAME"
			}
			if resource != "*" {
				resource = "arn:aws:ecr:us-east-1:" + servertest.Account + ":" + fill(resource, "")
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
		if seen != len(operations) {
			t.Errorf("%d operations are in the service, %d in this test's table", seen, len(operations))
		}
	})
}

// What cannot be asked for another registry is asked by others than the root
// here, through the domain.
func TestOperationsOnTheOwnRegistryRefuseStrangers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	r, id := s.Server().Registry(), registry.ID{Account: servertest.Account, Region: servertest.Region}
	for who, c := range map[string]access.Caller{
		"nobody":                 {},
		"nobody of the account":  {Account: servertest.Account, ARN: "arn:aws:iam::123456789012:root"},
		"another account's root": {Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", ID: "210987654321", Type: access.Root},
		"a user":                 {Account: servertest.Account, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: "IAMUser"},
	} {
		_, get := r.GetAccountSetting(t.Context(), c, id, "BLOB_MOUNTING")
		put := r.PutAccountSetting(t.Context(), c, registry.Setting{ID: id, Name: "BLOB_MOUNTING", Value: "DISABLED"})
		_, token := r.GetAuthorizationToken(t.Context(), c, servertest.Region, nil)
		for operation, err := range map[string]error{"GetAccountSetting": get, "PutAccountSetting": put, "GetAuthorizationToken": token} {
			if fault.CodeOf(err) != "AccessDeniedException" {
				t.Errorf("%s by %s = %v, want AccessDeniedException", operation, who, err)
			}
		}
	}
	root := access.Caller{Account: servertest.Account, ID: servertest.Account, Type: access.Root}
	if got, err := r.GetAccountSetting(t.Context(), root, id, "BLOB_MOUNTING"); err != nil || got.Value != "ENABLED" {
		t.Errorf("GetAccountSetting = %v, %v, want what it was", got, err)
	}
}

func TestEveryOperationOfSTSAsksOrIsForAnybody(t *testing.T) {
	t.Parallel()
	service, err := sts.New(nil).Service()
	if err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, servertest.Options{})
	const arn = "arn:aws:iam::" + servertest.Account + ":"
	if _, err := invoke(t.Context(), s.IAM(), "CreateRole", filler(arn).Replace(`{"RoleName":"r","AssumeRolePolicyDocument":"TRUST"}`)); err != nil {
		t.Fatal(err)
	}
	user := awssts.NewFromConfig(s.CreateUser(t, "stranger"))
	for _, op := range service.Operations {
		want, asks := stsAsks[op.Name]
		switch {
		case asks:
			s.Decisions()
			_, err := invoke(t.Context(), user, op.Name, filler(arn).Replace(want.input))
			if servertest.ErrorCode(err) != "AccessDenied" {
				t.Errorf("%s by a user = %v, want AccessDenied", op.Name, err)
			}
			if d := s.Decisions(); len(d) != 1 || d[0].Action != "sts:"+op.Name || d[0].Resource != filler(arn).Replace(want.resource) {
				t.Errorf("%s asked about %v, want %s", op.Name, d, want.resource)
			}
		case op.Refused == "" && !slices.Contains(anybody, op.Name) && !slices.Contains(byToken, op.Name):
			t.Errorf("%s is in no table of this test", op.Name)
		}
	}
}

// A page has as many items as ECR allows, whatever is asked for.
func TestMaxResults(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		for operation, body := range map[string]string{
			"DescribeRepositories": `{"maxResults":%s}`,
			"ListImages":           `{"repositoryName":"app","maxResults":%s}`,
			"DescribeImages":       `{"repositoryName":"app","maxResults":%s}`,

			"DescribeRepositoryCreationTemplates": `{"maxResults":%s}`,
			"DescribePullThroughCacheRules":       `{"maxResults":%s}`,
			"ListPullTimeUpdateExclusions":        `{"maxResults":%s}`,
		} {
			for n, want := range map[string]int{"1": 200, "1000": 200, "0": 400, "-1": 400, "1001": 400, "1000000000": 400, "1e9": 400,
				"9223372036854775808": 400, "1.5": 400, `"x"`: 400, `"1"`: 400, "[1]": 400, "{}": 400, "true": 400} {
				if status, text := call(t, s, operation, fmt.Sprintf(body, n)); status != want {
					t.Errorf("%s with maxResults %s = %d %s, want %d", operation, n, status, text, want)
				}
			}
		}
	})
}

package ecrpublic_test

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"berth/internal/aws/ecrpublic"
	"berth/internal/servertest"

	awspublic "github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
)

const (
	appARN     = "arn:aws:ecr-public::123456789012:repository/app"
	invalidARN = "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'"
)

func TestGetAuthorizationTokenReturnsOneToken(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		out := must(s.ECRPublic().GetAuthorizationToken(t.Context(), &awspublic.GetAuthorizationTokenInput{}))(t).AuthorizationData
		if want := s.Clock.Now().Add(12 * time.Hour); !out.ExpiresAt.Equal(want) {
			t.Errorf("expiresAt = %v, want %v", out.ExpiresAt, want)
		}
		text := string(must(base64.StdEncoding.DecodeString(*out.AuthorizationToken))(t))
		if !strings.HasPrefix(text, "AWS:") || len(text) < 50 {
			t.Errorf("authorizationToken holds %q, want AWS and a password", text)
		}
		var asked []string
		for _, d := range s.Decisions() {
			asked = append(asked, d.Action+" on "+d.Resource)
		}
		wantEqual(t, "asked", asked, []string{"ecr-public:GetAuthorizationToken on *", "sts:GetServiceBearerToken on *"})
	})
}

func TestResourceTags(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		list := func() []types.Tag {
			return must(c.ListTagsForResource(t.Context(), &awspublic.ListTagsForResourceInput{ResourceArn: new(appARN)}))(t).Tags
		}
		tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
		must(c.CreateRepository(t.Context(), &awspublic.CreateRepositoryInput{RepositoryName: new("app"), Tags: []types.Tag{tag("b", "2")}}))(t)
		wantEqual(t, "tags", list(), []types.Tag{tag("b", "2")})
		must(c.TagResource(t.Context(), &awspublic.TagResourceInput{ResourceArn: new(appARN), Tags: []types.Tag{tag("a", "1"), tag("b", "3")}}))(t)
		wantEqual(t, "merged tags", list(), []types.Tag{tag("a", "1"), tag("b", "3")})
		must(c.UntagResource(t.Context(), &awspublic.UntagResourceInput{ResourceArn: new(appARN), TagKeys: []string{"b", "absent"}}))(t)
		s.Restart(t)
		wantEqual(t, "tags left", list(), []types.Tag{tag("a", "1")})

		var many []types.Tag
		for i := range 50 {
			many = append(many, tag(strings.Repeat("x", i+1), ""))
		}
		put := func(arn string, tags ...types.Tag) error {
			_, err := c.TagResource(t.Context(), &awspublic.TagResourceInput{ResourceArn: &arn, Tags: tags})
			return err
		}
		wantError(t, put(appARN, many...), "TooManyTagsException", "A resource can have at most 50 tags.")
		wantError(t, put(appARN, tag("aws:x", "")), "InvalidTagParameterException", "The tag key 'aws:x' is invalid: keys that begin with 'aws:' are reserved.")
		wantError(t, put(appARN, tag("x", ""), tag("x", "")), "InvalidTagParameterException", "The tag key 'x' is given more than once.")
		wantError(t, put(appARN[:len(appARN)-3]+"absent", tag("x", "")), "RepositoryNotFoundException", noRepository)
		wantDenied(t, put(strings.Replace(appARN, account, stranger, 1), tag("x", "")), "TagResource", "arn:aws:ecr-public::210987654321:repository/app")
		for _, arn := range []string{
			"app", "arn:aws:ecr-public:us-east-1:123456789012:repository/app", "arn:aws:ecr-public:public:123456789012:repository/app",
			"arn:aws:ecr:public:123456789012:repository/app", "arn:aws:ecr::123456789012:repository/app", "arn:aws:ecr:us-east-1:123456789012:repository/app",
			"arn:aws:ecr-public::123456789012:repository/App", "arn:aws:ecr-public::123456789012:registry/123456789012", "arn:aws:ecr-public::alias:repository/app",
		} {
			wantError(t, put(arn, tag("x", "")), "InvalidParameterException", invalidARN)
			_, err := c.UntagResource(t.Context(), &awspublic.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"x"}})
			wantError(t, err, "InvalidParameterException", invalidARN)
			_, err = c.ListTagsForResource(t.Context(), &awspublic.ListTagsForResourceInput{ResourceArn: &arn})
			wantError(t, err, "InvalidParameterException", invalidARN)
		}
		wantEqual(t, "tags afterwards", list(), []types.Tag{tag("a", "1")})
	})
}

func TestOtherRegionsDoNotHaveTheAPI(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	for _, region := range []string{"us-west-2", "eu-west-1"} {
		c := awspublic.NewFromConfig(s.AWS(), func(o *awspublic.Options) { o.Region = region })
		_, err := c.DescribeRegistries(t.Context(), &awspublic.DescribeRegistriesInput{})
		wantError(t, err, "UnsupportedCommandException", "The action isn't supported in this Region")
		_, err = c.CreateRepository(t.Context(), &awspublic.CreateRepositoryInput{RepositoryName: new("app")})
		wantError(t, err, "UnsupportedCommandException", "The action isn't supported in this Region")
		_, err = c.GetAuthorizationToken(t.Context(), &awspublic.GetAuthorizationTokenInput{})
		wantError(t, err, "UnsupportedCommandException", "The action isn't supported in this Region")
	}
	wantEqual(t, "repositories", repositoryNames(t, s, 0), []string{})
	if asked := s.Decisions(); len(asked) != 1 {
		t.Errorf("asked about %v, want nothing but the listing", asked)
	}
}

// The audit log knows public calls by their service.
func TestPublicCallsAreRecordedAsSuch(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		create(t, s, "app")
		records := texts(t, s, "SELECT record FROM audit_records")
		if len(records) != 1 {
			t.Fatalf("%d records, want one", len(records))
		}
		for _, want := range []string{`"eventSource":"ecr-public.amazonaws.com"`, `"eventName":"CreateRepository"`, `"awsRegion":"us-east-1"`,
			`"ARN":"arn:aws:ecr-public::123456789012:repository/app"`} {
			if !strings.Contains(records[0], want) {
				t.Errorf("record = %s, want %s", records[0], want)
			}
		}
		wantEqual(t, "events", texts(t, s, "SELECT kind || ' ' || region || ' ' || repository FROM outbox"), []string{"repository.created public app"})
		wantEqual(t, "key domains", texts(t, s, "SELECT key_domain FROM repositories"), []string{"123456789012/public/AES256/"})
	})
}

// Calls that are refused before they are about anything are recorded as well, and
// what a repository says of itself is not part of any record.
func TestRecordsOfPublicCallsAreWholeAndShort(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := s.ECRPublic()
	create(t, s, "app")
	said := types.RepositoryCatalogDataInput{Description: new("secret words"), UsageText: new(strings.Repeat("secret words", 2000))}
	must(putCatalog(s, t, &said))(t)
	must(c.CreateRepository(t.Context(), &awspublic.CreateRepositoryInput{RepositoryName: new("said"), CatalogData: &said}))(t)
	for _, record := range texts(t, s, "SELECT record FROM audit_records") {
		if strings.Contains(record, "secret words") || len(record) > 2000 {
			t.Errorf("record = %s, want one without the texts", record)
		}
	}
	put := texts(t, s, "SELECT record FROM audit_records WHERE record LIKE '%PutRepositoryCatalogData%'")
	if len(put) != 1 || !strings.Contains(put[0], `"catalogData":{"descriptionLength":12,`) || !strings.Contains(put[0], `"usageTextLength":24000,`) {
		t.Errorf("records = %q, want the lengths", put)
	}

	_, alias := c.InitiateLayerUpload(t.Context(), &awspublic.InitiateLayerUploadInput{RegistryId: new("nobody"), RepositoryName: new("app")})
	wantError(t, alias, "RegistryNotFoundException", noAlias)
	_, logo := putCatalog(s, t, &types.RepositoryCatalogDataInput{LogoImageBlob: []byte("<svg/>")})
	wantError(t, logo, "InvalidParameterException", noLogo)
	_, arn := c.ListTagsForResource(t.Context(), &awspublic.ListTagsForResourceInput{ResourceArn: new("app")})
	wantError(t, arn, "InvalidParameterException", invalidARN)
	s.Stop(t) // which stores the records
	var got []string
	for _, r := range batches(t, s) {
		if r["errorCode"] != nil {
			got = append(got, r["eventName"].(string)+" "+r["errorCode"].(string))
		}
	}
	wantEqual(t, "refusals", got, []string{
		"InitiateLayerUpload RegistryNotFoundException", "PutRepositoryCatalogData InvalidParameterException", "ListTagsForResource InvalidParameterException",
	})
}

// Those without a login leave records of refusals only, with nothing of their own in
// them but the repository.
func TestRecordsOfThoseWithoutALogin(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	create(t, s, "app")
	img := servertest.NewImage(1, 10)
	pushImage(t, s.ECRPublic(), "app", img, "v1")
	alias := aliasOf(create(t, s, "other"))
	anybody, at := s.Anonymous(t), "/v2/"+alias
	for _, path := range []string{"/app/manifests/v1", "/app/manifests/absent", "/absent/manifests/v1", "/app/tags/list", "/app/blobs/" + unknownDigest} {
		anybody.Do(t, "GET", at+path, nil)
	}
	anybody.Do(t, "PUT", at+"/app/manifests/words", nil, "Content-Type", "own/words").Want(t, 403)
	s.Stop(t)
	var got []map[string]any
	for _, r := range batches(t, s) {
		if r["userIdentity"].(map[string]any)["type"] == "Unknown" {
			got = append(got, r)
		}
	}
	if len(got) != 1 || got[0]["eventName"] != "PutImage" || got[0]["errorCode"] != "AccessDeniedException" ||
		!strings.Contains(got[0]["errorMessage"].(string), appARN) {
		t.Fatalf("records = %v, want the refusal only", got)
	}
	wantEqual(t, "parameters", got[0]["requestParameters"], any(map[string]any{"registryId": account, "repositoryName": "app"}))
}

// batches returns the records that are stored many at a time.
func batches(t *testing.T, s *servertest.Server) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, content := range texts(t, s, "SELECT content FROM audit_batches ORDER BY id") {
		lines := json.NewDecoder(must(gzip.NewReader(strings.NewReader(content)))(t))
		for lines.More() {
			var r map[string]any
			if err := lines.Decode(&r); err != nil {
				t.Fatal(err)
			}
			out = append(out, r)
		}
	}
	return out
}

// Without ECR Public there is nothing of it.
func TestECRPublicCanBeOff(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	at := create(t, s, "app")
	put := must(putCatalog(s, t, &types.RepositoryCatalogDataInput{LogoImageBlob: logos(t)["image/png"]}))(t)
	s.Config.Public = "off"
	s.Restart(t)
	_, err := s.ECRPublic().DescribeRegistries(t.Context(), &awspublic.DescribeRegistriesInput{})
	if code := servertest.ErrorCode(err); code != "UnknownOperationException" {
		t.Errorf("DescribeRegistries = %v, want UnknownOperationException", err)
	}
	fetch(t, s, "GET", *put.LogoUrl).Want(t, 404)
	public := "http://" + s.PublicHost()
	fetch(t, s, "GET", public+"/token/").Want(t, 404)
	r := fetch(t, s, "GET", public+"/v2/"+aliasOf(at)+"/app/tags/list").Want(t, 401)
	if h := r.Header.Get("WWW-Authenticate"); !strings.HasPrefix(h, `Basic realm="`) {
		t.Errorf("WWW-Authenticate = %q, want that of the private registry", h)
	}
}

// The table has all operations of the SDK.
func TestEveryOperationIsInTheTable(t *testing.T) {
	service, err := ecrpublic.New(ecrpublic.Options{}).Service()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, op := range service.Operations {
		found[op.Name] = true
	}
	for _, name := range service.Model.Operations() {
		if !found[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
	if len(found) != 23 {
		t.Errorf("%d operations, want 23", len(found))
	}
}

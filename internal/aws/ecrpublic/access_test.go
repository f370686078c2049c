package ecrpublic_test

import (
	"encoding/base64"
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

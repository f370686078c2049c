package ecr_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const appARN = "arn:aws:ecr:us-east-1:123456789012:repository/app"

func resourceTags(kv ...string) []types.Tag {
	tags := []types.Tag{}
	for i := 0; i < len(kv); i += 2 {
		tags = append(tags, types.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return tags
}

func tagResource(t *testing.T, c *ecr.Client, arn string, kv ...string) error {
	t.Helper()
	_, err := c.TagResource(t.Context(), &ecr.TagResourceInput{ResourceArn: &arn, Tags: resourceTags(kv...)})
	return err
}

func listTags(t *testing.T, c *ecr.Client, arn string) []types.Tag {
	t.Helper()
	return must(c.ListTagsForResource(t.Context(), &ecr.ListTagsForResourceInput{ResourceArn: &arn}))(t).Tags
}

func TestResourceTagsAreMergedAndRemoved(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		wantEqual(t, "no tags", listTags(t, c, appARN), []types.Tag{})
		must(0, tagResource(t, c, appARN, "b", "2", "a", "1", "A", "upper"))(t)
		wantEqual(t, "tags", listTags(t, c, appARN), resourceTags("A", "upper", "a", "1", "b", "2"))
		must(0, tagResource(t, c, appARN, "b", "", "c d", "é \u2028 \U0001F600 +-=._:/@"))(t)
		wantEqual(t, "merged tags", listTags(t, c, appARN), resourceTags("A", "upper", "a", "1", "b", "", "c d", "é \u2028 \U0001F600 +-=._:/@"))
		must(0, tagResource(t, c, appARN))(t)
		must(c.UntagResource(t.Context(), &ecr.UntagResourceInput{ResourceArn: new(appARN), TagKeys: []string{"a", "absent", "c d", "B"}}))(t)
		wantEqual(t, "tags left", listTags(t, c, appARN), resourceTags("A", "upper", "b", ""))
		s.Restart(t)
		wantEqual(t, "tags after a restart", listTags(t, c, appARN), resourceTags("A", "upper", "b", ""))
		must(c.UntagResource(t.Context(), &ecr.UntagResourceInput{ResourceArn: new(appARN), TagKeys: []string{"A", "b", "b"}}))(t)
		wantEqual(t, "no tags left", listTags(t, c, appARN), []types.Tag{})
	})
}

func TestAResourceHasAtMost50Tags(t *testing.T) {
	t.Parallel()
	var kv []string
	for i := range 51 {
		kv = append(kv, fmt.Sprintf("key-%02d", i), "v")
	}
	const tooMany = "A resource can have at most 50 tags."
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		_, err := c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("app"), Tags: resourceTags(kv...)})
		wantError(t, err, "TooManyTagsException", tooMany)
		must(c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("app"), Tags: resourceTags(kv[:98]...)}))(t)
		wantError(t, tagResource(t, c, appARN, kv[98:]...), "TooManyTagsException", tooMany)
		must(0, tagResource(t, c, appARN, kv[98:100]...))(t)
		must(0, tagResource(t, c, appARN, kv[0], "another value"))(t)
		wantError(t, tagResource(t, c, appARN, kv[100:]...), "TooManyTagsException", tooMany)
		if got := listTags(t, c, appARN); len(got) != 50 {
			t.Errorf("%d tags, want 50", len(got))
		}
	})
}

func TestTagResourceRefuses(t *testing.T) {
	t.Parallel()
	const reserved = " is invalid: keys that begin with 'aws:' are reserved."
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		must(0, tagResource(t, c, appARN, "a", "1"))(t)
		for name, tt := range map[string]struct {
			kv      []string
			message string // of InvalidTagParameterException
		}{
			"an empty key":              {[]string{"", "v"}, "A tag key must have 1 to 128 characters."},
			"a key of 129 characters":   {[]string{strings.Repeat("é", 129), "v"}, "A tag key must have 1 to 128 characters."},
			"a value of 257 characters": {[]string{"k", strings.Repeat("é", 257)}, "The value of tag 'k' has more than 256 characters."},
			"a reserved key":            {[]string{"aws:k", "v"}, "The tag key 'aws:k'" + reserved},
			"a reserved key in capitals": {
				[]string{"AWS:k", "v"}, "The tag key 'AWS:k'" + reserved,
			},
			"a key twice":           {[]string{"k", "v", "b", "v", "k", "v"}, "The tag key 'k' is given more than once."},
			"a value with a NUL":    {[]string{"k", "a\x00b"}, `The tag "k" has control characters.`},
			"a key with a NUL":      {[]string{"k\x00", "v"}, `The tag "k\x00" has control characters.`},
			"a value of two lines":  {[]string{"k", "a\nb"}, `The tag "k" has control characters.`},
			"a good one, a bad one": {[]string{"b", "2", "aws:k", "v"}, "The tag key 'aws:k'" + reserved},
		} {
			t.Run(name, func(t *testing.T) {
				wantError(t, tagResource(t, c, appARN, tt.kv...), "InvalidTagParameterException", tt.message)
			})
		}
		must(0, tagResource(t, c, appARN, strings.Repeat("é", 128), strings.Repeat("é", 256)))(t)
		wantEqual(t, "tags", listTags(t, c, appARN), resourceTags("a", "1", strings.Repeat("é", 128), strings.Repeat("é", 256)))
	})
}

func TestResourceARNs(t *testing.T) {
	t.Parallel()
	const badARN = "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'"
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, s.ECRIn("eu-west-1"), "app")
		calls := map[string]func(arn string) error{
			"TagResource": func(arn string) error { return tagResource(t, c, arn, "k", "v") },
			"UntagResource": func(arn string) error {
				_, err := c.UntagResource(t.Context(), &ecr.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"k"}})
				return err
			},
			"ListTagsForResource": func(arn string) error {
				_, err := c.ListTagsForResource(t.Context(), &ecr.ListTagsForResourceInput{ResourceArn: &arn})
				return err
			},
		}
		for operation, call := range calls {
			for arn, want := range map[string]struct{ code, message string }{
				"": {"InvalidParameterException", badARN},
				"arn:aws:ecr:us-east-1:123456789012:repository/":         {"InvalidParameterException", badARN},
				"arn:aws:ecr:us-east-1:123456789012:repository/App":      {"InvalidParameterException", badARN},
				"arn:aws:ecr:us-east-1:123456789012:app":                 {"InvalidParameterException", badARN},
				"arn:aws:ecr:us-east-1:12345678901:repository/app":       {"InvalidParameterException", badARN},
				"arn:aws:ecr::123456789012:repository/app":               {"InvalidParameterException", badARN},
				"arn:aws:s3:us-east-1:123456789012:repository/app":       {"InvalidParameterException", badARN},
				"arn:aws:ecr:us-east-1:123456789012:repository/app\x00":  {"InvalidParameterException", badARN},
				"arn:aws:ecr:us-east-1:123456789012:repository/app:v1":   {"InvalidParameterException", badARN},
				"arn:aws:ecr:eu-west-1:123456789012:repository/app":      {"InvalidParameterException", badARN},
				"123456789012.dkr.ecr.us-east-1.amazonaws.com/app":       {"InvalidParameterException", badARN},
				"arn:aws:ecr:us-east-1:123456789012:repository/absent":   {"RepositoryNotFoundException", noRepository},
				"arn:aws:ecr:us-east-1:999999999999:repository/whatever": {"AccessDeniedException", foreign(operation, "whatever")},
			} {
				t.Run(operation+" "+arn, func(t *testing.T) { wantError(t, call(arn), want.code, want.message) })
			}
		}
	})
}

// foreign is the refusal of an operation on a repository of another account.
func foreign(operation, repository string) string {
	return "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:" + operation + " on resource: " +
		"arn:aws:ecr:us-east-1:999999999999:repository/" + repository + " because no resource-based policy allows the ecr:" + operation + " action"
}

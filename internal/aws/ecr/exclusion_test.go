package ecr_test

import (
	"fmt"
	"slices"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

func exclude(t *testing.T, c *ecr.Client, arn string) error {
	t.Helper()
	_, err := c.RegisterPullTimeUpdateExclusion(t.Context(), &ecr.RegisterPullTimeUpdateExclusionInput{PrincipalArn: &arn})
	return err
}

// exclusions lists the principals that are excluded, size to a page; 0 leaves
// the size to the server.
func exclusions(t *testing.T, c *ecr.Client, size int32) []string {
	t.Helper()
	in := &ecr.ListPullTimeUpdateExclusionsInput{}
	if size > 0 {
		in.MaxResults = &size
	}
	out := []string{}
	for {
		page := must(c.ListPullTimeUpdateExclusions(t.Context(), in))(t)
		if size > 0 && len(page.PullTimeUpdateExclusions) > int(size) {
			t.Errorf("a page of at most %d has %d", size, len(page.PullTimeUpdateExclusions))
		}
		out = append(out, page.PullTimeUpdateExclusions...)
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return out
		}
	}
}

func TestPullTimeExclusionsAreKept(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		wantEqual(t, "at first", exclusions(t, c, 0), []string{})
		user, role := "arn:aws:iam::123456789012:user/scanner", "arn:aws:iam::210987654321:role/a/path/scanner"
		out := must(c.RegisterPullTimeUpdateExclusion(t.Context(), &ecr.RegisterPullTimeUpdateExclusionInput{PrincipalArn: &user}))(t)
		wantEqual(t, "registered", *out.PrincipalArn, user)
		wantEqual(t, "since", *out.CreatedAt, s.Clock.Now())
		must(0, exclude(t, c, role))(t)
		wantEqual(t, "in another region", exclusions(t, s.ECRIn("eu-west-1"), 0), []string{})
		s.Restart(t)
		c = s.ECR()
		wantEqual(t, "both", exclusions(t, c, 0), []string{user, role})
		wantError(t, exclude(t, c, user), "ExclusionAlreadyExistsException",
			"The pull time update exclusion for '"+user+"' already exists in the registry with id '123456789012'")
		for range 2 {
			deleted := must(c.DeregisterPullTimeUpdateExclusion(t.Context(), &ecr.DeregisterPullTimeUpdateExclusionInput{PrincipalArn: &user}))(t)
			wantEqual(t, "deregistered", *deleted.PrincipalArn, user)
			wantEqual(t, "the other", exclusions(t, c, 0), []string{role})
			_, err := c.DeregisterPullTimeUpdateExclusion(t.Context(), &ecr.DeregisterPullTimeUpdateExclusionInput{PrincipalArn: &user})
			wantError(t, err, "ExclusionNotFoundException",
				"The pull time update exclusion for '"+user+"' does not exist in the registry with id '123456789012'")
			must(0, exclude(t, c, user))(t)
		}
	})
}

func TestARegistryHasAtMost100PullTimeExclusions(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		var want []string
		for i := range 99 {
			want = append(want, fmt.Sprintf("arn:aws:iam::123456789012:role/r%03d", i))
			must(0, exclude(t, c, want[i]))(t)
		}
		want = append(want, "arn:aws:iam::123456789012:role/r099")
		// Of several that come at once, one has the last place.
		errs := make(chan error)
		for range 4 {
			go func() { errs <- exclude(t, s.ECR(), want[99]) }()
		}
		for i := range 4 {
			go func() { errs <- exclude(t, s.ECR(), fmt.Sprintf("arn:aws:iam::123456789012:role/s%d", i)) }()
		}
		codes := map[string]int{}
		for range 8 {
			codes[servertest.ErrorCode(<-errs)]++
		}
		got := exclusions(t, c, 0)
		wantEqual(t, "exclusions", len(got), 100)
		outcomes := map[string]int{"": 1, "LimitExceededException": 7}
		if slices.Contains(got, want[99]) {
			outcomes = map[string]int{"": 1, "ExclusionAlreadyExistsException": 3, "LimitExceededException": 4}
		}
		wantEqual(t, "outcomes", codes, outcomes)
		for _, size := range []int32{1, 33, 99, 100, 1000} {
			wantEqual(t, fmt.Sprintf("in pages of %d", size), exclusions(t, c, size), got)
		}
		wantError(t, exclude(t, c, "arn:aws:iam::123456789012:role/more"), "LimitExceededException",
			"A registry can have at most 100 pull time update exclusions.")
		must(0, exclude(t, s.ECRIn("eu-west-1"), want[0]))(t)
	})
}

func TestPrincipalsThatCannotBeExcluded(t *testing.T) {
	t.Parallel()
	const pattern = `^arn:aws(-[a-z]+)*:iam::[0-9]{12}:(role|user)/[\w+=,.@-]+(/[\w+=,.@-]+)*$`
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for _, arn := range []string{
			"arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:group/g", "arn:aws:sts::123456789012:assumed-role/r/s",
			"arn:aws:iam::123456789012:role/a b", "arn:aws:iam::123456789012:role/a\x00", "arn:aws:iam::123456789012:role/", "r", "",
		} {
			message := "1 validation error detected: Value '" + arn + "' at 'principalArn' failed to satisfy constraint: " +
				"Member must satisfy regular expression pattern: " + pattern
			wantError(t, exclude(t, c, arn), "ValidationException", message)
			_, err := c.DeregisterPullTimeUpdateExclusion(t.Context(), &ecr.DeregisterPullTimeUpdateExclusionInput{PrincipalArn: &arn})
			wantError(t, err, "ValidationException", message)
		}
		_, err := c.ListPullTimeUpdateExclusions(t.Context(), &ecr.ListPullTimeUpdateExclusionsInput{NextToken: new("x")})
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
		wantEqual(t, "exclusions", exclusions(t, c, 0), []string{})
	})
}

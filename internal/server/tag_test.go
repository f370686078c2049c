package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/registry"
	"berth/internal/server"
	"berth/internal/servertest"
)

// document posts to an operation of ours and reads its answer.
func document[T any](t *testing.T, s *servertest.Server, path, body string) T {
	t.Helper()
	var out T
	status, text := postTo(t, s, path, "ecr", body)
	if err := json.Unmarshal([]byte(text), &out); status != 200 || err != nil {
		t.Fatalf("POST %s %s = %d %s", path, body, status, text)
	}
	return out
}

// wantDecision checks what the one question to the authorizer was.
func wantDecision(t *testing.T, s *servertest.Server, action string) {
	t.Helper()
	d := s.Decisions()
	if len(d) != 1 || d[0].Action != action || d[0].Resource != "arn:aws:ecr:us-east-1:123456789012:repository/app" || d[0].Account != servertest.Account {
		t.Errorf("the authorizer was asked about %v, want %s once", d, action)
	}
}

func TestTheHistoryOfATagOverTheWire(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		c.Push(t, "app", "v1", one)
		first := s.Clock.Now()
		s.Clock.Advance(time.Hour)
		c.Push(t, "app", "v1", two)

		s.Decisions()
		got := document[server.TagHistoryResponse](t, s, server.TagHistoryPath, `{"repositoryName":"app","imageTag":"v1","maxResults":1}`)
		wantDecision(t, s, "ecr:DescribeImages")
		if len(got.Changes) != 1 || got.Changes[0].Digest != two.Digest || got.NextToken == "" {
			t.Errorf("the first page = %+v, want the second image and more", got)
		}
		_, text := postTo(t, s, server.TagHistoryPath, "ecr", fmt.Sprintf(`{"repositoryName":"app","imageTag":"v1","nextToken":"%s","registryId":"123456789012"}`, got.NextToken))
		want := fmt.Sprintf(`{"changes":[{"time":"%s","imageDigest":"%s","principal":"arn:aws:iam::123456789012:root"}]}`, first.Format(time.RFC3339), one.Digest)
		if strings.TrimSpace(text) != want {
			t.Errorf("the second page = %s, want %s", text, want)
		}
		if _, text := postTo(t, s, server.TagHistoryPath, "ecr", `{"repositoryName":"app","imageTag":"v2"}`); strings.TrimSpace(text) != `{"changes":[]}` {
			t.Errorf("the history of no tag = %s", text)
		}

		s.Decisions()
		back := document[registry.Rollback](t, s, server.TagRollbackPath, `{"repositoryName":"app","imageTag":"v1"}`)
		wantDecision(t, s, "ecr:PutImage")
		if back != (registry.Rollback{Tag: "v1", Digest: one.Digest, Previous: two.Digest}) {
			t.Errorf("the rollback = %+v", back)
		}
		if got := c.Do(t, "HEAD", "/v2/app/manifests/v1", nil).Want(t, 200).Header.Get("Docker-Content-Digest"); got != one.Digest.String() {
			t.Errorf("v1 is on %s, want %s", got, one.Digest)
		}
	})
}

func TestABacktestOverTheWire(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		c.Push(t, "app", "v1", one)
		s.Clock.Advance(time.Hour)
		c.Push(t, "app", "v1", two)
		s.Clock.Advance(24 * time.Hour)
		from, to := s.Clock.Now().Add(-90*24*time.Hour), s.Clock.Now()
		s.Decisions()
		status, text := postTo(t, s, server.BacktestPath, "ecr", `{"repositoryName":"app",`+lifecyclePolicy+`}`)
		wantDecision(t, s, "ecr:StartLifecyclePolicyPreview")
		want := fmt.Sprintf(`{"repositoryName":"app","from":"%s","to":"%s","expiringImageTotalCount":0,"transitioningImageTotalCount":0,`+
			`"pulledLaterTotalCount":0,"images":[],"truncated":false}`, from.Format(time.RFC3339), to.Format(time.RFC3339))
		if status != 200 || strings.TrimSpace(text) != want {
			t.Errorf("a policy that does nothing = %d %s, want %s", status, text, want)
		}
		policy := strings.ReplaceAll(lifecyclePolicy, "untagged", "any")
		_, text = postTo(t, s, server.BacktestPath, "ecr", `{"repositoryName":"app","days":1,`+policy+`}`)
		want = fmt.Sprintf(`"images":[{"imageDigest":"%s","imageTags":[],"imagePushedAt":"%s","removedAt":"%s","action":"expire","appliedRulePriority":1,`+
			`"reason":"it is over the limit of the rule","pulledLater":false,"stillThere":true}],"truncated":false}`,
			one.Digest, to.Add(-25*time.Hour).Format(time.RFC3339), to.Format(time.RFC3339))
		if !strings.Contains(text, want) {
			t.Errorf("the last day = %s, want %s", text, want)
		}
	})
}

func TestWhatIsWrongWithRequestsAboutTagsIsSaid(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		for _, tt := range []struct{ path, service, body, want string }{
			{server.TagHistoryPath, "", `{}`, "MissingAuthenticationToken"},
			{server.TagHistoryPath, "ecr", `{"imageTag":"v1"}`, "InvalidParameterException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"app"}`, "InvalidParameterException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"app","imageTag":"\u0000"}`, "InvalidParameterException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"app","imageTag":"v1","maxResults":0}`, "InvalidParameterException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"app","imageTag":"v1","maxResults":1001}`, "InvalidParameterException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"app","imageTag":"v1","maxResults":1.5}`, "SerializationException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"app","imageTag":"v1","nextToken":"x"}`, "InvalidParameterException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"app","imageTag":"v1","registryId":"210987654321"}`, "AccessDeniedException"},
			{server.TagHistoryPath, "ecr", `{"repositoryName":"absent","imageTag":"v1"}`, "RepositoryNotFoundException"},
			{server.TagRollbackPath, "", `{}`, "MissingAuthenticationToken"},
			{server.TagRollbackPath, "sts", `{}`, "InvalidSignatureException"},
			{server.TagRollbackPath, "ecr", `{"repositoryName":"app","imageTag":"v1"}`, "ImageNotFoundException"},
			{server.TagRollbackPath, "ecr", `{"repositoryName":"app","imageTag":"v1","imageDigest":"\u0000"}`, "InvalidParameterException"},
			{server.TagRollbackPath, "ecr", `{"repositoryName":"app","imageTag":"v1","registryId":"210987654321"}`, "AccessDeniedException"},
			{server.TagRollbackPath, "ecr", `{"repositoryName":"app","imageTag":"v1","registryId":"1"}`, "InvalidParameterException"},
			{server.TagRollbackPath, "ecr", `{"repositoryName":"app","imageTag":"v1","imageDigest":""}`, "InvalidParameterException"},
			{server.TagRollbackPath, "ecr", `{"repositoryName":"app","imageTag":"v1","digest":"x"}`, "SerializationException"},
			{server.BacktestPath, "ecr", `{"repositoryName":"app","lifecyclePolicyText":""}`, "InvalidParameterException"},
			{server.BacktestPath, "", `{}`, "MissingAuthenticationToken"},
			{server.BacktestPath, "ecr", `{}`, "InvalidParameterException"},
			{server.BacktestPath, "ecr", `{"repositoryName":"app"}`, "LifecyclePolicyNotFoundException"},
			{server.BacktestPath, "ecr", `{"repositoryName":"app","days":-1}`, "InvalidParameterException"},
			{server.BacktestPath, "ecr", `{"repositoryName":"app","lifecyclePolicyText":"\u0000"}`, "InvalidParameterException"},
			{server.BacktestPath, "ecr", `{"repositoryName":"app","registryId":"210987654321"}`, "AccessDeniedException"},
		} {
			status, text := postTo(t, s, tt.path, tt.service, tt.body)
			if status != 400 || !strings.Contains(text, `"__type":"`+tt.want) {
				t.Errorf("POST %s %s = %d %s, want %s", tt.path, tt.body, status, text, tt.want)
			}
		}
	})
}

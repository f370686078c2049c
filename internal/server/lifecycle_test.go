package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"
)

// post carries out lifecycle policies on demand; see postTo.
func post(t *testing.T, s *servertest.Server, service, body string) (int, string) {
	t.Helper()
	return postTo(t, s, server.LifecyclePath, service, body)
}

// postTo sends a document to an operation that ECR does not have, signed for a
// service, or not at all if that is "".
func postTo(t *testing.T, s *servertest.Server, path, service, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	if service != "" {
		if err := sign(r, service, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestLifecyclePoliciesAreCarriedOutOnDemand(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range []string{"aa", "bb", "cc"} {
			s.CreateRepository(t, name)
			c := s.Login(t)
			img := servertest.NewImage(1)
			c.Push(t, name, "v1", img)
			if name == "cc" {
				continue // without a policy
			}
			body := `{"repositoryName":"` + name + `",` + lifecyclePolicy + `}`
			if status, text := call(t, s, "PutLifecyclePolicy", body); status != 200 {
				t.Fatalf("PutLifecyclePolicy = %d %s", status, text)
			}
		}
		run := func(body string) []string {
			t.Helper()
			s.Decisions()
			status, text := post(t, s, "ecr", body)
			var got server.LifecycleResponse
			if err := json.Unmarshal([]byte(text), &got); status != 200 || err != nil {
				t.Fatalf("POST %s = %d %s", body, status, text)
			}
			var names []string
			for _, r := range got.Runs {
				if r.Expired != 0 || r.Archived != 0 || r.Kept != 1 || !r.EvaluatedAt.Equal(s.Clock.Now()) {
					t.Errorf("run = %+v, want one image kept at this time", r)
				}
				names = append(names, string(r.Name))
			}
			return names
		}
		for body, want := range map[string]string{
			`{"repositoryName":"aa"}`:                             "aa",
			`{"repositoryName":"bb","registryId":"123456789012"}`: "bb",
			`{}`: "aa bb",
		} {
			if got := strings.Join(run(body), " "); got != want {
				t.Errorf("POST %s ran the policies of %s, want %s", body, got, want)
			}
			var asked []string
			for _, d := range s.Decisions() {
				asked = append(asked, strings.TrimPrefix(d.Action+" "+d.Resource, "ecr:PutLifecyclePolicy arn:aws:ecr:us-east-1:123456789012:repository/"))
			}
			if got := strings.Join(asked, " "); got != want {
				t.Errorf("POST %s asked about %s, want %s", body, got, want)
			}
		}
	})
}

func TestAPolicyThatIsNotValidAnyMoreDoesNotKeepOthersFromTheirTurn(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ask := func(operation, body string) {
			t.Helper()
			if status, text := call(t, s, operation, body); status != 200 {
				t.Fatalf("%s = %d %s", operation, status, text)
			}
		}
		set := func(value string) {
			ask("PutAccountSetting", `{"name":"BERTH_LIFECYCLE_EXTENSIONS","value":"`+value+`"}`)
		}
		s.CreateRepository(t, "aa")
		s.CreateRepository(t, "bb")
		set("ENABLED")
		ask("PutLifecyclePolicy", `{"repositoryName":"aa",`+strings.Replace(lifecyclePolicy, "expire", "retain", 1)+`}`)
		ask("PutLifecyclePolicy", `{"repositoryName":"bb",`+lifecyclePolicy+`}`)
		set("DISABLED")
		status, text := post(t, s, "ecr", `{}`)
		var got server.LifecycleResponse
		if err := json.Unmarshal([]byte(text), &got); status != 200 || err != nil || len(got.Runs) != 2 {
			t.Fatalf("POST = %d %s, want two runs", status, text)
		}
		if a, b := got.Runs[0].Error, got.Runs[1].Error; !strings.HasPrefix(a, "InvalidParameterException: ") || b != "" {
			t.Errorf("errors = %q, %q, want that of the first alone", a, b)
		}
	})
}

func TestWhoMayNotCarryOutLifecyclePoliciesIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		for name, tt := range map[string]struct{ service, body, want string }{
			"not signed":               {"", `{}`, "MissingAuthenticationToken"},
			"signed for another":       {"sts", `{}`, "InvalidSignatureException"},
			"another account":          {"ecr", `{"registryId":"210987654321"}`, "AccessDeniedException"},
			"another's repository":     {"ecr", `{"registryId":"210987654321","repositoryName":"app"}`, "AccessDeniedException"},
			"no repository":            {"ecr", `{"repositoryName":"absent"}`, "RepositoryNotFoundException"},
			"no policy":                {"ecr", `{"repositoryName":"app"}`, "LifecyclePolicyNotFoundException"},
			"no name":                  {"ecr", `{"repositoryName":"No Name"}`, "InvalidParameterException"},
			"no account":               {"ecr", `{"registryId":"x"}`, "InvalidParameterException"},
			"no JSON":                  {"ecr", `{`, "SerializationException"},
			"no text":                  {"ecr", ``, "SerializationException"},
			"a member of another type": {"ecr", `{"repositoryName":1}`, "SerializationException"},
			"an unknown member":        {"ecr", `{"repository":"app"}`, "SerializationException"},
			"null":                     {"ecr", `null`, "SerializationException"},
			"a member that is null":    {"ecr", `{"repositoryName":null}`, "SerializationException"},
			"an empty name":            {"ecr", `{"repositoryName":""}`, "InvalidParameterException"},
			"a list":                   {"ecr", `[]`, "SerializationException"},
			"more than a document":     {"ecr", `{"repositoryName":"app"}{}`, "SerializationException"},
			"a great body":             {"ecr", `{"x":"` + strings.Repeat("x", 70_000) + `"}`, "SerializationException"},
		} {
			status, text := post(t, s, tt.service, tt.body)
			if status != 400 || !strings.Contains(text, `"__type":"`+tt.want) {
				t.Errorf("%s: POST = %d %s, want %s", name, status, text, tt.want)
			}
		}
		res, err := http.Get(s.URL + server.LifecyclePath)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 405 || res.Header.Get("Allow") != "POST" {
			t.Errorf("GET = %d, want 405", res.StatusCode)
		}
	})
}

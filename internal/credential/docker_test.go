package credential_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/credential"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// helper is a credential helper of a server's, for somebody with a key.
func helper(s *servertest.Server, dir string, who aws.Config) *credential.Docker {
	c := &config.Client{Registries: []config.ClientRegistry{{Host: s.Host}, {Host: "public.localhost:1", Public: true}}}
	return &credential.Docker{Config: c, Source: &credential.Source{
		Cache: credential.Cache{Dir: dir}, Now: s.Clock.Now,
		Load: func(context.Context, credential.Target) (aws.Config, error) { return who, nil },
	}}
}

const mayLogIn = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"}]}`

// answer is what a helper prints.
type answer struct{ ServerURL, Username, Secret string }

func get(t *testing.T, d *credential.Docker, registry string) answer {
	t.Helper()
	var out bytes.Buffer
	if err := d.Run(t.Context(), "get", strings.NewReader(registry+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatalf("get prints %s: %v", &out, err)
	}
	return a
}

func TestDockerGetsAPasswordThatLogsIn(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	a := get(t, helper(s, t.TempDir(), s.AWS()), s.URL)
	if a.ServerURL != s.URL || a.Username != "AWS" {
		t.Errorf("get = %+v, want the URL that was asked for and AWS", a)
	}
	c := s.Login(t)
	c.Pass = a.Secret
	c.Do(t, "GET", "/v2/", nil).Want(t, 200)
}

func TestPasswordsAreKeptUntilHalfOfTheirLifeIsOver(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	dir := filepath.Join(t.TempDir(), "a/b")
	d := helper(s, dir, s.AWS())
	first := get(t, d, s.Host)
	s.Clock.Advance(5*time.Hour + 59*time.Minute)
	if get(t, d, s.Host) != first {
		t.Error("get before six hours = another password, want the same")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the cache is %v, %v, want it to be the owner's alone", info, err)
	}
	names := files(t, dir)
	if len(names) != 1 {
		t.Fatalf("the cache has %v, want one file", names)
	}
	if info, err := os.Stat(names[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s is %v, %v, want it to be the owner's alone", names[0], info, err)
	}
	if text, err := os.ReadFile(names[0]); err != nil || strings.Contains(string(text)+names[0], s.Config.RootAccessKeyID) {
		t.Errorf("the file holds %s, %v, want no access key", text, err)
	}
	if alice := get(t, helper(s, dir, s.CreateUserOf(t, s.AWS(), "alice", mayLogIn)), s.Host); alice.Secret == first.Secret {
		t.Error("another key gets the same password")
	}
	s.Clock.Advance(2 * time.Minute)
	second := get(t, d, s.Host)
	if second == first {
		t.Error("get after six hours = the same password, want another")
	}
	s.Clock.Advance(13 * time.Hour)
	get(t, d, s.Host)
	if names := files(t, dir); len(names) != 1 {
		t.Errorf("the cache has %v, want nothing that has expired", names)
	}
}

func TestNoPasswordOfTemporaryCredentialsIsKept(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	who := s.AWS()
	key, err := who.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key.CanExpire, key.Expires = true, time.Now().Add(time.Hour)
	who.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return key, nil })
	dir := t.TempDir()
	get(t, helper(s, dir, who), s.Host)
	if names := files(t, dir); len(names) > 0 {
		t.Errorf("the cache has %v, want nothing", names)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAnErasedPasswordIsGone(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	d := helper(s, t.TempDir(), s.AWS())
	first := get(t, d, s.Host)
	for _, registry := range []string{"127.0.0.1:1", "ghcr.io"} {
		if err := d.Run(t.Context(), "erase", strings.NewReader(registry), nil); err != nil {
			t.Errorf("erase %s = %v, want no error", registry, err)
		}
	}
	if get(t, d, s.Host) != first {
		t.Error("erase of other registries erases this one's")
	}
	if err := d.Run(t.Context(), "erase", strings.NewReader(s.URL), nil); err != nil {
		t.Fatal(err)
	}
	if get(t, d, s.Host) == first {
		t.Error("get after erase = the same password")
	}
}

// What others could have written is not believed, and what is broken is replaced.
func TestOnlyWhatIsOursIsRead(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	dir := t.TempDir()
	d := helper(s, dir, s.AWS())
	first := get(t, d, s.Host)
	name := files(t, dir)[0]
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	second := get(t, d, s.Host)
	if second == first {
		t.Error("get reads a file that everybody could read")
	}
	if err := os.WriteFile(name, []byte(`{"endpoint": `), 0o600); err != nil {
		t.Fatal(err)
	}
	third := get(t, d, s.Host)
	if third == second || get(t, d, s.Host) != third {
		t.Error("get after the file was broken does not keep a new one")
	}
	broken := helper(s, "/dev/null/cache", s.AWS())
	if first, second := get(t, broken, s.Host), get(t, broken, s.Host); first == second {
		t.Error("get without a cache = the same password twice")
	}
}

func TestFilesOfOthersStay(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	dir := t.TempDir()
	others := map[string]string{
		"config.json": `{"auths": {}}`, "entry.json": `{"endpoint": "", "user": "AWS", "secret": "s"}`, "0123456789abcdef0123456789abcdef.json": `{}`,
	}
	for name, text := range others {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := helper(s, dir, s.AWS())
	get(t, d, s.Host)
	for _, registry := range []string{s.Host, "123456789012.dkr.ecr.us-east-1.amazonaws.com"} {
		if err := d.Run(t.Context(), "erase", strings.NewReader(registry), nil); err != nil {
			t.Fatal(err)
		}
	}
	for name := range others {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if names := files(t, dir); len(names) != len(others) {
		t.Errorf("the cache has %v, want what was there before", names)
	}
}

func TestManyAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var out bytes.Buffer
			if err := helper(s, dir, s.AWS()).Run(t.Context(), "get", strings.NewReader(s.Host), &out); err != nil || !json.Valid(out.Bytes()) {
				t.Errorf("get = %s, %v", &out, err)
			}
		})
	}
	wg.Wait()
	if names := files(t, dir); len(names) != 1 {
		t.Errorf("the cache has %v, want one file", names)
	}
}

func TestWhatDockerIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	d := helper(s, "", s.As("AKIAUNKNOWN", "a secret"))
	nobody := helper(s, "", aws.Config{})
	for name, tt := range map[string]struct {
		helper         *credential.Docker
		verb, in, want string
	}{
		"a registry that is not ours": {d, "get", "https://index.docker.io/v1/", "credentials not found in native keychain"},
		"one that looks like ours":    {d, "get", "123456789012.dkr.ecr.us-east-1.evil.com", "credentials not found in native keychain"},
		"no registry":                 {d, "get", " \n", "no credentials server URL"},
		"erase of none":               {d, "erase", "", "no credentials server URL"},
		"an unknown key":              {d, "get", s.Host, "UnrecognizedClientException"},
		"store":                       {d, "store", `{"ServerURL":"a","Username":"AWS","Secret":"s"}`, "no login is needed"},
		"another verb":                {d, "destroy", "", `"destroy" is none of [get store erase list version]`},
		"nobody":                      {nobody, "get", s.Host, "no AWS credentials"},
		"nobody, for public images":   {nobody, "get", "http://public.localhost:1", "credentials not found in native keychain"},
	} {
		var out bytes.Buffer
		err := tt.helper.Run(t.Context(), tt.verb, strings.NewReader(tt.in), &out)
		if err == nil || !strings.Contains(err.Error(), tt.want) || out.Len() > 0 {
			t.Errorf("%s: %s = %q, %v, want %q", name, tt.verb, &out, err, tt.want)
		}
		if exact := "credentials not found in native keychain"; tt.want == exact && err != nil && err.Error() != exact {
			t.Errorf("%s: the error is %q, want exactly %q", name, err, exact)
		}
	}
}

func TestDockerListsWhatIsConfigured(t *testing.T) {
	t.Parallel()
	d := &credential.Docker{Config: &config.Client{Registries: []config.ClientRegistry{{Host: "a.example.com"}, {Host: "*.example.com"}, {Host: "b:5000"}}}}
	var out bytes.Buffer
	if err := d.Run(t.Context(), "list", strings.NewReader(""), &out); err != nil || out.String() != `{"a.example.com":"AWS","b:5000":"AWS"}`+"\n" {
		t.Errorf("list = %s, %v", &out, err)
	}
}

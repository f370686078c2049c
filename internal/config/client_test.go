package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/config"

	"github.com/google/go-cmp/cmp"
)

// loadClient reads the text of a file in its usual place, and the environment.
func loadClient(t *testing.T, file string, environ ...string) (*config.Client, error) {
	t.Helper()
	home := t.TempDir()
	if file != "" {
		dir := filepath.Join(home, ".config/berth")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "credential.yaml"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.LoadClient(append([]string{"HOME=" + home}, environ...))
}

func TestLoadClient(t *testing.T) {
	t.Parallel()
	const file = `
registries:
  - host: "*.DKR.ecr.*.example.com"
    endpoint: https://api.example.com/
    region: eu-west-1
    profile: berth
  - host: public.example.com
    public: true
`
	fromFile := []config.ClientRegistry{
		{Host: "*.dkr.ecr.*.example.com", Endpoint: "https://api.example.com", Region: "eu-west-1", Profile: "berth"},
		{Host: "public.example.com", Public: true},
	}
	for name, tt := range map[string]struct {
		file    string
		environ []string
		want    []config.ClientRegistry
	}{
		"nothing": {"", nil, nil},
		"a file":  {file, nil, fromFile},
		"the environment before a file": {
			file, []string{"BERTH_CREDENTIAL_ENDPOINTS=a.example.com:5000=http://10.0.0.1, [::1]:5000"},
			append([]config.ClientRegistry{{Host: "a.example.com:5000", Endpoint: "http://10.0.0.1"}, {Host: "[::1]:5000"}}, fromFile...),
		},
		"what the AWS tools are told, last": {
			file, []string{"AWS_ENDPOINT_URL=https://API.example.com:5000/", "AWS_ENDPOINT_URL_ECR=http://127.0.0.1:5000"},
			append(slices.Clone(fromFile), config.ClientRegistry{Host: "127.0.0.1:5000", Endpoint: "http://127.0.0.1:5000"},
				config.ClientRegistry{Host: "api.example.com:5000", Endpoint: "https://API.example.com:5000"}),
		},
		"what the AWS tools are told, which is no URL": {"", []string{"AWS_ENDPOINT_URL=a", "AWS_ENDPOINT_URL_ECR=https://u@a"}, nil},
		"public registries": {
			"", []string{"BERTH_CREDENTIAL_ENDPOINTS=public.localhost:5000,publicity:5000"},
			[]config.ClientRegistry{{Host: "public.localhost:5000", Public: true}, {Host: "publicity:5000"}},
		},
	} {
		got, err := loadClient(t, tt.file, tt.environ...)
		if err != nil {
			t.Errorf("%s: LoadClient: %v", name, err)
			continue
		}
		if d := cmp.Diff(tt.want, got.Registries); d != "" {
			t.Errorf("%s: LoadClient, -want +got:\n%s", name, d)
		}
	}
}

func TestLoadClientRefuses(t *testing.T) {
	t.Parallel()
	for text, tt := range map[string]struct {
		file    string
		environ []string
	}{
		"unknown field \"hosts\"":                  {"hosts: []\n", nil},
		"read the configuration: ":                 {"", []string{"BERTH_CREDENTIAL_CONFIG=/nowhere/x.yaml"}},
		"host: \"\" is not HOST":                   {"registries: [{endpoint: https://a}]\n", nil},
		"host: \"https://a\" is not HOST":          {"registries: [{host: 'https://a'}]\n", nil},
		"endpoint: \"a:5000\" is not http":         {"", []string{"BERTH_CREDENTIAL_ENDPOINTS=a=a:5000"}},
		"endpoint: \"https://u@a\" is not http":    {"", []string{"BERTH_CREDENTIAL_ENDPOINTS=a=https://u@a"}},
		"region: \"Frankfurt\" is not a region":    {"registries: [{host: a, region: Frankfurt}]\n", nil},
		"credential.yaml: ":                        {"registries: a\n", nil},
		"endpoint: \"https://a?b\" is not http(s)": {"", []string{"BERTH_CREDENTIAL_ENDPOINTS=a=https://a?b"}},
	} {
		if _, err := loadClient(t, tt.file, tt.environ...); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("LoadClient = %v, want %q", err, text)
		}
	}
}

func TestTheCacheIsWhereItIsSaidToBe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file    string
		environ []string
		want    string // its end
	}{
		{"", nil, "/.cache/berth/credential"},
		{"", []string{"XDG_CACHE_HOME=/x"}, "/x/berth/credential"},
		{"", []string{"XDG_CACHE_HOME=not/absolute"}, "/.cache/berth/credential"},
		{"cache: /var/cache/berth\n", nil, "/var/cache/berth"},
		{"cache: /var/cache/berth\n", []string{"BERTH_CREDENTIAL_CACHE=/c"}, "/c"},
	} {
		if c, err := loadClient(t, tt.file, tt.environ...); err != nil || !strings.HasSuffix(c.Cache, tt.want) || !filepath.IsAbs(c.Cache) {
			t.Errorf("LoadClient(%q, %v) = %+v, %v, want the cache at %s", tt.file, tt.environ, c, err, tt.want)
		}
	}
	for _, tt := range []struct {
		file    string
		environ []string
	}{{"cache: off\n", nil}, {"cache: /c\n", []string{"BERTH_CREDENTIAL_CACHE=off"}}} {
		if c, err := loadClient(t, tt.file, tt.environ...); err != nil || c.Cache != "" {
			t.Errorf("LoadClient(%q, %v) = %+v, %v, want no cache", tt.file, tt.environ, c, err)
		}
	}
}

func TestMatchTakesTheFirst(t *testing.T) {
	t.Parallel()
	c, err := loadClient(t, "", "BERTH_CREDENTIAL_ENDPOINTS=a.example.com=https://1,*.example.com=https://2,*.dkr.ecr.*.example.com:5000=https://3,*=https://4,[::1]:*=https://5,[::2]=https://6,any.example.com:*=https://7")
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"a.example.com": "https://1", "b.example.com": "https://2", "c.b.example.com": "", "example.com": "",
		"123456789012.dkr.ecr.eu-west-1.example.com:5000": "https://3", "123456789012.dkr.ecr.eu-west-1.example.com": "",
		"short": "https://4", "short:5000": "", "[::1]:5000": "https://5", "[::1]": "", "[::2]": "https://6", "[::2]:5000": "", "[::3]:5000": "", "1:5000": "",
		"any.example.com:1": "https://7", "any.example.com": "https://2",
	} {
		if r, ok := c.Match(host); r.Endpoint != want || ok != (want != "") {
			t.Errorf("Match(%s) = %+v, %t, want %q", host, r, ok, want)
		}
	}
	if d := cmp.Diff([]string{"a.example.com", "[::2]"}, c.Hosts()); d != "" {
		t.Errorf("Hosts, -want +got:\n%s", d)
	}
}

// A shell may have the variables of both.
func TestAServerTakesNoNoticeOfTheVariablesOfItsClients(t *testing.T) {
	t.Parallel()
	if _, err := load(t, "", []string{"BERTH_CREDENTIAL_ENDPOINTS=a=b", "BERTH_CREDENTIAL_CONFIG=c", "BERTH_CREDENTIAL_CACHE=off"}); err != nil {
		t.Errorf("Load = %v, want no error", err)
	}
}

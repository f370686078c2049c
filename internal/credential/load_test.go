package credential_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/credential"
)

// bare takes all from the environment that says who somebody is, and gives them a
// home with files of the AWS tools.
func bare(t *testing.T, files map[string]string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What Load sets is gone after the test.
	t.Setenv("AWS_ENDPOINT_URL_STS", "")
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, ".aws/config")) // the SDK looks for a home but once
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, ".aws/credentials"))
	for name, text := range files {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever the AWS tools take credentials from is a source, and STS is asked where
// the registry's other APIs are.
func TestLoadFindsCredentialsAsTheAWSToolsDo(t *testing.T) {
	a := newAPI(t, noon.AddDate(100, 0, 0))
	container := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "token" {
			_ = json.NewEncoder(w).Encode(map[string]string{"AccessKeyId": "ASIACONTAINER", "SecretAccessKey": "s", "Token": "t", "Expiration": "2126-01-01T00:00:00Z"})
		}
	}))
	t.Cleanup(container.Close)
	here := credential.Target{Endpoint: a.URL}
	for name, tt := range map[string]struct {
		files  map[string]string
		env    map[string]string
		target credential.Target
		want   string // the access key id
		region string
	}{
		"variables": {nil, map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}, here, "AKIAENV", "us-east-1"},
		"the shared file": {
			map[string]string{".aws/credentials": "[default]\naws_access_key_id=AKIAFILE\naws_secret_access_key=s\n", ".aws/config": "[default]\nregion=eu-west-1\n"},
			nil, here, "AKIAFILE", "eu-west-1",
		},
		"a profile before variables": {
			map[string]string{".aws/credentials": "[me]\naws_access_key_id=AKIAME\naws_secret_access_key=s\n"},
			map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-north-1"},
			credential.Target{Endpoint: a.URL, Profile: "me", Region: "eu-south-2"}, "AKIAME", "eu-south-2",
		},
		"a process": {
			map[string]string{".aws/config": `[default]` + "\n" + `credential_process = echo '{"Version":1,"AccessKeyId":"ASIAPROCESS","SecretAccessKey":"s","SessionToken":"t","Expiration":"2126-01-01T00:00:00Z"}'` + "\n"},
			nil, here, "ASIAPROCESS", "us-east-1",
		},
		"a container": {
			nil, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": container.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token"}, here, "ASIACONTAINER", "us-east-1",
		},
		"a web identity, although STS is said to be elsewhere": {
			map[string]string{"token": "t"},
			map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/pod", "AWS_ROLE_SESSION_NAME": "me", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
			here, "ASIA:pod:me", "us-east-1",
		},
		"a role of a profile": {
			map[string]string{".aws/config": "[profile a]\nrole_arn=arn:aws:iam::123456789012:role/a\nrole_session_name=me\nsource_profile=b\n[profile b]\naws_access_key_id=AKIAB\naws_secret_access_key=s\n"},
			nil, credential.Target{Endpoint: a.URL, Profile: "a"}, "ASIA:a:me", "us-east-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t, tt.files)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			if tt.files["token"] != "" {
				t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(os.Getenv("HOME"), "token"))
			}
			c, err := credential.Load(t.Context(), tt.target)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Credentials.Retrieve(t.Context())
			if err != nil || got.AccessKeyID != tt.want || c.Region != tt.region {
				t.Errorf("Load = %s in %s, %v, want %s in %s", got.AccessKeyID, c.Region, err, tt.want, tt.region)
			}
		})
	}
}

// The role of an EC2 instance is nothing for a registry that is not Amazon's, and
// to look for one takes seconds.
func TestLoadAsksNoMetadata(t *testing.T) {
	bare(t, nil)
	c, err := credential.Load(t.Context(), credential.Target{Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Credentials.Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("Retrieve = %v, want that the metadata are not asked", err)
	}
}

func TestLoadRefusesAProfileThatIsNotThere(t *testing.T) {
	bare(t, nil)
	if _, err := credential.Load(t.Context(), credential.Target{Profile: "nobody"}); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("Load = %v, want an error that names the profile", err)
	}
}

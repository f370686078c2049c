package credential_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/credential"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the responses in testdata/kubelet")

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// node is the provider of a node whose registries are at an API.
func node(a *api) *credential.Kubelet {
	return &credential.Kubelet{
		Config: &config.Client{Registries: []config.ClientRegistry{{Host: "*.dkr.ecr.*.example.com", Endpoint: a.URL}, {Host: "registry.example.com:5000", Endpoint: a.URL, Region: "eu-south-2"}}},
		Source: &credential.Source{
			Now: func() time.Time { return noon },
			Load: func(_ context.Context, t credential.Target) (aws.Config, error) {
				return aws.Config{Region: t.Region, Credentials: credentials.NewStaticCredentialsProvider("AKIANODE", "secret", "")}, nil
			},
		},
	}
}

// jwt is a token with claims that nobody has signed.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2lnbmF0dXJl"
}

// Each file is a request and the response to it, or the error.
func TestKubelet(t *testing.T) {
	// The SDK is told by variables where STS is, so that this cannot be parallel.
	t.Setenv("AWS_ENDPOINT_URL_STS", "")
	t.Setenv("HOME", t.TempDir())
	names, err := filepath.Glob("testdata/kubelet/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no test data", err)
	}
	a := newAPI(t, noon.Add(12*time.Hour))
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			request := strings.ReplaceAll(string(archive.Files[0].Data), "TOKEN", jwt(`{"sub":"system:serviceaccount:shop:web/front"}`))
			k := node(a)
			k.RoleARN = strings.TrimSpace(strings.TrimPrefix(string(archive.Comment), "--role-arn "))
			var out bytes.Buffer
			if err := k.Run(t.Context(), strings.NewReader(request), &out); err != nil {
				if out.Len() > 0 {
					t.Errorf("besides an error there is %s", &out)
				}
				out.WriteString("error: " + strings.ReplaceAll(err.Error(), a.URL, "API") + "\n")
			}
			if *update {
				archive.Files[1].Data = out.Bytes()
				if err := os.WriteFile(name, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(archive.Files[1].Data), out.String()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestAServiceAccountsSession(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_STS", "")
	t.Setenv("HOME", t.TempDir())
	a := newAPI(t, noon.Add(time.Hour))
	for token, want := range map[string]string{
		jwt(`{"sub":"system:serviceaccount:shop:web"}`):   "shop-web",
		jwt(`{"sub":"` + strings.Repeat("é", 100) + `"}`): strings.Repeat("-", 64),
		jwt(`{"sub":"repo:team/app"}`):                    "repo-team-app",
		jwt(`{}`):                                         "kubelet",
		jwt(`{"sub":7}`):                                  "kubelet",
		"no token at all":                                 "kubelet",
		"a." + strings.TrimLeft(jwt(`{"sub":"x"}`), "e30.") + ".b.": "kubelet",
	} {
		k := node(a)
		k.RoleARN, k.Duration = "arn:aws:iam::123456789012:role/pull", 20*time.Minute
		request := string(mustJSON(t, credential.KubeletRequest{
			APIVersion: "credentialprovider.kubelet.k8s.io/v1", Kind: "CredentialProviderRequest",
			Image: "123456789012.dkr.ecr.eu-west-1.example.com/app", ServiceAccountToken: token,
		}))
		if err := k.Run(t.Context(), strings.NewReader(request), new(bytes.Buffer)); err != nil {
			t.Errorf("Run(%s) = %v", token, err)
			continue
		}
		form := a.seen[len(a.seen)-1]
		if got := form["RoleSessionName"]; len(got) != 1 || got[0] != want {
			t.Errorf("RoleSessionName for %s = %v, want %s", token, got, want)
		}
		if form["WebIdentityToken"][0] != token || form["DurationSeconds"][0] != "1200" {
			t.Errorf("STS was sent %v", form)
		}
	}
}

func TestSTSIsWhereAVariableSays(t *testing.T) {
	registry, elsewhere := newAPI(t, noon.Add(time.Hour)), newAPI(t, noon.Add(time.Hour))
	t.Setenv("AWS_ENDPOINT_URL_STS", elsewhere.URL)
	t.Setenv("HOME", t.TempDir())
	k := node(registry)
	k.RoleARN = "arn:aws:iam::123456789012:role/pull"
	request := string(mustJSON(t, credential.KubeletRequest{
		APIVersion: "credentialprovider.kubelet.k8s.io/v1", Kind: "CredentialProviderRequest",
		Image: "123456789012.dkr.ecr.eu-west-1.example.com/app", ServiceAccountToken: jwt(`{"sub":"x"}`),
	}))
	if err := k.Run(t.Context(), strings.NewReader(request), new(bytes.Buffer)); err != nil || len(registry.seen) > 0 || len(elsewhere.seen) != 1 {
		t.Errorf("Run = %v, with %d calls of STS at the registry and %d elsewhere, want one there", err, len(registry.seen), len(elsewhere.seen))
	}
}

// Nothing of a request that cannot be read is told: it can hold a token.
func TestErrorsOfTheKubeletHoldNoTokens(t *testing.T) {
	t.Parallel()
	const canary = "canary-token"
	for _, request := range []string{
		`{"serviceAccountToken": "` + canary + `"`, `{"serviceAccountToken": ["` + canary + `"]}`, canary, `{"serviceAccountToken": "` + canary + `"}`,
		`{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest", "image": "127.0.0.1:1/a", "serviceAccountToken": "` + canary + `"}`,
	} {
		err := node(&api{}).Run(t.Context(), strings.NewReader(request), new(bytes.Buffer))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("Run(%s) = %v, want an error without the token", request, err)
		}
	}
}

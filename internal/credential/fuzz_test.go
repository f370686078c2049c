package credential_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/credential"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// FuzzFind offers texts as registries. Whatever they are, a signed request goes to
// the host that was named, and without TLS to this machine only.
func FuzzFind(f *testing.F) {
	for _, s := range []string{
		"", "127.0.0.1:5000", "https://[::1]:5000/v2/", "localhost", "123456789012.dkr.ecr.us-east-1.example.com", "public.localhost:1",
		"127.0.0.1:80@example.com", "localhost:80:80", "[::1]example.com", "127.0.0.1%00.example.com", "public.ecr.aws", "[::1%25.localhost]:5000", "a://b://c",
		"123456789012.dkr.ecr.us-east-1.example.com:80#.localhost", "[fe80::1%lo]:5000", "localhost.:5000", "\u212aelvin.localhost",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, registry string, named bool) {
		target, ok := credential.Find(new(config.Client), registry, named)
		if !ok || target.Endpoint == "" {
			return
		}
		u, err := url.Parse(target.Endpoint)
		if err != nil {
			return // nothing can be sent there
		}
		if !strings.EqualFold(u.Host, target.Host) || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("Find(%q).Endpoint = %q, which is not its host %q", registry, target.Endpoint, target.Host)
		}
		if _, _, err := net.SplitHostPort(u.Host); err != nil && strings.Count(u.Host, ":") == 1 {
			return
		}
		name := strings.TrimSuffix(u.Hostname(), ".")
		ip, _ := netip.ParseAddr(name)
		if u.Scheme != "https" && name != "localhost" && !strings.HasSuffix(name, ".localhost") && !ip.IsLoopback() {
			t.Errorf("Find(%q).Endpoint = %q, without TLS", registry, target.Endpoint)
		}
	})
}

// FuzzKubelet offers texts as requests. Each has an error or a response, which is
// JSON, and never both.
func FuzzKubelet(f *testing.F) {
	f.Add(`{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest","image":"127.0.0.1:1/a:b"}`)
	f.Add(`{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest","image":"nginx"}`)
	f.Add(`{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest","image":"a.b/c","serviceAccountToken":"x"}`)
	f.Add(`{"image":null}`)
	f.Fuzz(func(t *testing.T, request string) {
		k := node(&api{URL: "http://127.0.0.1:1"})
		k.Source.Load = nobody
		var out bytes.Buffer
		err := k.Run(t.Context(), strings.NewReader(request), &out)
		if (err != nil) == (out.Len() > 0) || err == nil && !json.Valid(out.Bytes()) {
			t.Errorf("Run(%q) = %v and %s", request, err, &out)
		}
	})
}

// nobody has no credentials.
func nobody(context.Context, credential.Target) (aws.Config, error) { return aws.Config{}, nil }

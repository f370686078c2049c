package registry

import (
	"net/url"
	"testing"
)

func hostsAt(t *testing.T, base, domain string) *Hosts {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return &Hosts{Default: ID{"123456789012", "us-east-1"}, URL: u, Domain: domain}
}

func TestHostsNameRegistries(t *testing.T) {
	t.Parallel()
	standard, other, gov := ID{"123456789012", "us-east-1"}, ID{"210987654321", "eu-west-1"}, ID{"210987654321", "us-gov-west-1"}
	for _, tt := range []struct {
		domain, host string
		want         ID
	}{
		// Names of localhost, without a domain.
		{"", "210987654321.dkr.ecr.eu-west-1.localhost", other},
		{"", "210987654321.dkr.ecr.eu-west-1.localhost:5000", other},
		{"", "210987654321.DKR.ECR.EU-WEST-1.LOCALHOST:5000", other},
		{"", "210987654321.dkr.ecr.eu-west-1.localhost.", other},
		{"", "210987654321.dkr.ecr.eu-west-1.localhost.:5000", other},
		{"", "210987654321.dkr.ecr.us-gov-west-1.localhost", gov},
		{"", "123456789012.dkr.ecr.us-east-1.localhost:5000", standard},
		// With a domain.
		{"example.com", "210987654321.dkr.ecr.eu-west-1.example.com", other},
		{"example.com", "210987654321.dkr.ecr.eu-west-1.example.com:8443", other},
		{"example.com", "210987654321.dkr-ecr.eu-west-1.example.com", other},
		{"example.com", "210987654321.dkr.ecr.eu-west-1.localhost", standard},
		{"example.com", "210987654321.dkr.ecr.eu-west-1.sub.example.com", standard},
		{"example.com", "210987654321.dkr.ecr.eu-west-1.example.com.evil.org", standard},
		{"example.com", "210987654321.dkr.ecr.eu-west-1.notexample.com", standard},
		{"example.com", "x.210987654321.dkr.ecr.eu-west-1.example.com", standard},
		{"example.com", "example.com", standard},
		{"", "210987654321.dkr.ecr.eu-west-1.example.com", standard},
		// Amazon's own, for when DNS points here.
		{"", "210987654321.dkr.ecr.eu-west-1.amazonaws.com", other},
		{"example.com", "210987654321.dkr.ecr.eu-west-1.amazonaws.com:443", other},
		{"", "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn", ID{"210987654321", "cn-north-1"}},
		{"", "210987654321.dkr.ecr-fips.eu-west-1.amazonaws.com", other},
		{"", "210987654321.dkr-ecr.eu-west-1.on.aws", other},
		{"", "210987654321.dkr-ecr-fips.us-gov-west-1.on.aws", gov},
		{"", "210987654321.dkr.ecr.eu-west-1.amazonaws.com.evil.org", standard},
		// Whatever is no registry's host.
		{"", "", standard}, {"", "localhost", standard}, {"", "localhost:5000", standard}, {"", "127.0.0.1:5000", standard},
		{"", "[::1]:5000", standard}, {"", "[::1]", standard}, {"", "::1", standard}, {"", "registry.example.com", standard},
		{"", "21098765432.dkr.ecr.eu-west-1.localhost", standard}, {"", "2109876543210.dkr.ecr.eu-west-1.localhost", standard},
		{"", "abcdefghijkl.dkr.ecr.eu-west-1.localhost", standard}, {"", "210987654321.dkr.ecr.nowhere.localhost", standard},
		{"", "210987654321.dkr.ecr..localhost", standard}, {"", "210987654321.dkr.ecr.eu-west-1", standard},
		{"", "210987654321.ecr.eu-west-1.localhost", standard}, {"", "210987654321.dkr.ecr.eu-west-1.localhost/x", standard},
		{"", "210987654321.dkr.ecr.eu-west-1.localhost\n", standard},
	} {
		if got := hostsAt(t, "http://127.0.0.1:5000", tt.domain).Registry(tt.host); got != tt.want {
			t.Errorf("Registry(%q) with domain %q = %v, want %v", tt.host, tt.domain, got, tt.want)
		}
	}
}

func TestForeignHosts(t *testing.T) {
	t.Parallel()
	h := hostsAt(t, "https://123456789012.dkr.ecr.us-east-1.example.org", "example.com")
	for host, want := range map[string]bool{
		"210987654321.dkr.ecr.eu-west-1.evil.com": true, "210987654321.DKR-ECR.us-east-1.evil.com.:443": true, "210987654321.dkr.ecr-fips.nowhere.evil.com": true,
		"210987654321.dkr.ecr.us-east-1.localhost": true, "123456789012.dkr.ecr.us-east-2.example.org": true,
		"210987654321.dkr.ecr.eu-west-1.example.com:8443": false, "210987654321.dkr.ecr.eu-west-1.amazonaws.com": false,
		"123456789012.dkr.ecr.us-east-1.example.org": false, "api.evil.com": false, "127.0.0.1:5000": false, "": false,
	} {
		if got := h.Foreign(host); got != want {
			t.Errorf("Foreign(%s) = %t, want %t", host, got, want)
		}
	}
}

func TestHostsOfRegistries(t *testing.T) {
	t.Parallel()
	standard, other := ID{"123456789012", "us-east-1"}, ID{"210987654321", "eu-west-1"}
	for _, tt := range []struct {
		url, domain    string
		id             ID
		host, endpoint string
	}{
		{"http://127.0.0.1:5000", "", standard, "127.0.0.1:5000", "http://127.0.0.1:5000"},
		{"http://127.0.0.1:5000", "", other, "210987654321.dkr.ecr.eu-west-1.localhost:5000", "http://210987654321.dkr.ecr.eu-west-1.localhost:5000"},
		{"http://[::1]:5000", "", standard, "[::1]:5000", "http://[::1]:5000"},
		{"http://[::1]:5000", "", other, "210987654321.dkr.ecr.eu-west-1.localhost:5000", "http://210987654321.dkr.ecr.eu-west-1.localhost:5000"},
		{"https://registry.example.com", "", standard, "registry.example.com", "https://registry.example.com"},
		{"https://registry.example.com", "", other, "210987654321.dkr.ecr.eu-west-1.localhost", "https://210987654321.dkr.ecr.eu-west-1.localhost"},
		{
			"https://example.com", "example.com", standard,
			"123456789012.dkr.ecr.us-east-1.example.com", "https://123456789012.dkr.ecr.us-east-1.example.com",
		},
		{
			"https://example.com:8443", "example.com", other,
			"210987654321.dkr.ecr.eu-west-1.example.com:8443", "https://210987654321.dkr.ecr.eu-west-1.example.com:8443",
		},
	} {
		h := hostsAt(t, tt.url, tt.domain)
		if got := h.Host(tt.id); got != tt.host {
			t.Errorf("Host(%v) at %s with domain %q = %s, want %s", tt.id, tt.url, tt.domain, got, tt.host)
		}
		if got := h.Endpoint(tt.id); got != tt.endpoint {
			t.Errorf("Endpoint(%v) at %s with domain %q = %s, want %s", tt.id, tt.url, tt.domain, got, tt.endpoint)
		}
		if got := h.Registry(h.Host(tt.id)); got != tt.id {
			t.Errorf("Registry(Host(%v)) at %s with domain %q = %v, want the same", tt.id, tt.url, tt.domain, got)
		}
	}
}

func TestThePublicHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, domain, host, want string }{
		{"http://127.0.0.1:5000", "", "public.localhost", "http://public.localhost:5000"},
		{"http://127.0.0.1:5000", "", "Public.LOCALHOST.:9", "http://public.localhost:5000"},
		{"https://registry.example.com", "", "public.localhost", "https://public.localhost"},
		{"https://example.com", "example.com", "public.example.com", "https://public.example.com"},
		{"https://example.com:8443", "example.com", "public.example.com", "https://public.example.com:8443"},
		{"https://example.com", "example.com", "public.ecr.aws", "https://public.ecr.aws"},
		{"https://example.com", "example.com", "ecr-public.aws.com:443", "https://ecr-public.aws.com"},
		{"https://example.com", "example.com", "public.localhost", ""},
		{"https://example.com", "example.com", "public.sub.example.com", ""},
		{"https://example.com", "example.com", "public.example.com.evil.org", ""},
		{"https://example.com", "example.com", "example.com", ""},
		{"http://127.0.0.1:5000", "", "public.example.com", ""},
		{"http://127.0.0.1:5000", "", "public.", ""}, {"http://127.0.0.1:5000", "", "public", ""}, {"http://127.0.0.1:5000", "", "", ""},
		{"http://127.0.0.1:5000", "", "x.public.localhost", ""}, {"http://127.0.0.1:5000", "", "public.localhost\n", ""},
		{"http://127.0.0.1:5000", "", "gallery.ecr.aws", ""}, {"http://127.0.0.1:5000", "", "127.0.0.1:5000", ""},
	} {
		got, ok := hostsAt(t, tt.url, tt.domain).Public(tt.host)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("Public(%q) at %s with domain %q = %q, %t, want %q", tt.host, tt.url, tt.domain, got, ok, tt.want)
		}
	}
	h := hostsAt(t, "http://127.0.0.1:5000", "")
	id := ID{"210987654321", PublicRegion}
	if got, want := h.RepositoryURI(Ref{id, "team/app"}, "alias"), "public.localhost:5000/alias/team/app"; got != want {
		t.Errorf("RepositoryURI = %s, want %s", got, want)
	}
	if got := h.Registry(h.Host(id)); got.Public() {
		t.Errorf("Registry(%s) = %v: a host names no public registry, its paths do", h.Host(id), got)
	}
}

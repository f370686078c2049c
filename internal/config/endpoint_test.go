package config_test

import (
	"strings"
	"testing"

	"berth/internal/config"

	"github.com/google/go-cmp/cmp"
)

const firstEndpoint = "endpoints:\n  - id: vpce-0123456789abcdef0\n    vpc: vpc-01234567\n    listen: 127.0.0.1:6000\n"

func TestEndpointsAreRead(t *testing.T) {
	t.Parallel()
	c, err := load(t, "domain: example.com\n"+firstEndpoint+"    policy: /p.json\n"+
		"  - {id: vpce-01234567, vpc: vpc-0123456789abcdef0, listen: '10.0.0.5:443', tls-cert: c, tls-key: k, url: 'https://inside.example.com'}\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Endpoint{
		{ID: "vpce-0123456789abcdef0", VPC: "vpc-01234567", Listen: "127.0.0.1:6000", Policy: "/p.json"},
		{ID: "vpce-01234567", VPC: "vpc-0123456789abcdef0", Listen: "10.0.0.5:443", TLSCert: "c", TLSKey: "k", URL: "https://inside.example.com"},
	}
	if d := cmp.Diff(want, c.Endpoints); d != "" {
		t.Error(d)
	}
	for i, want := range []struct{ url, domain, cert string }{
		{"http://127.0.0.1:6000", "example.com", ""}, {"https://inside.example.com", "example.com", "c"},
	} {
		s, err := c.Settings(c.Endpoints[i])
		if err != nil || s.URL.String() != want.url || s.Domain != want.domain || s.TLSCert != want.cert {
			t.Errorf("endpoint %d: %+v, %v, want %v", i, s, err, want)
		}
	}
	if c, err = load(t, "endpoints:\n", nil); err != nil || c.Endpoints != nil {
		t.Errorf("no endpoints: %v, %v", c, err)
	}
}

func TestEndpointsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, want string }{
		"no list":          {"endpoints: yes\n", "endpoints: is not a list"},
		"no endpoint":      {"endpoints: [a]\n", "endpoints: is not a list of endpoints"},
		"an unknown key":   {firstEndpoint + "    lisen: a\n", `endpoints: has an unknown key "lisen"`},
		"no policy":        {firstEndpoint + "    policy:\n", `endpoints: has the key "policy" without a value`},
		"an empty policy":  {firstEndpoint + "    policy: ''\n", `endpoints: has the key "policy" without a value`},
		"a list in it":     {firstEndpoint + "    url: [a]\n", "endpoints: is not a value"},
		"no id":            {"endpoints: [{vpc: vpc-01234567}]\n", `endpoints: number 1: id: "" is not one such as vpce-0123456789abcdef0`},
		"another id":       {"endpoints: [{id: vpce-XYZ}]\n", `endpoints: vpce-XYZ: id: "vpce-XYZ" is not one`},
		"no VPC":           {"endpoints: [{id: vpce-01234567}]\n", `endpoints: vpce-01234567: vpc: "" is not one`},
		"nowhere":          {"endpoints: [{id: vpce-01234567, vpc: vpc-01234567}]\n", `endpoints: vpce-01234567: listen: "" is not HOST:PORT`},
		"half of TLS":      {firstEndpoint + "    tls-cert: a\n", "give both or neither"},
		"no URL":           {firstEndpoint + "    url: ftp://a\n", "is not http(s)://HOST[:PORT]"},
		"no domain":        {firstEndpoint + "    domain: EXAMPLE\n", "is not a domain name"},
		"twice":            {firstEndpoint + strings.TrimPrefix(firstEndpoint, "endpoints:\n"), "vpce-0123456789abcdef0 is given twice"},
		"without TLS":      {"endpoints: [{id: vpce-01234567, vpc: vpc-01234567, listen: '10.0.0.5:80'}]\n", "is reachable from other machines"},
		"an unknown place": {"endpoints: [{id: vpce-01234567, vpc: vpc-01234567, listen: ':80'}]\n", "is no address that clients can reach"},
	} {
		if _, err := load(t, tt.file, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Load = %v, want %q", name, err, tt.want)
		}
	}
	if _, err := load(t, "", []string{"BERTH_ENDPOINTS=x"}); err == nil {
		t.Error("endpoints were taken from the environment")
	}
}

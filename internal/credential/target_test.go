package credential_test

import (
	"testing"

	"berth/internal/config"
	"berth/internal/credential"
)

func TestFind(t *testing.T) {
	t.Parallel()
	c := &config.Client{Registries: []config.ClientRegistry{
		{Host: "registry.example.com", Endpoint: "https://api.example.com", Region: "eu-west-1", Profile: "berth"},
		{Host: "images.example.com", Public: true},
		{Host: "123456789012.dkr.ecr.eu-west-1.amazonaws.com"},
		{Host: "*.dkr.ecr.*.example.org", Region: "eu-south-2"},
		{Host: "*.dkr.*.*.example.net:*"}, {Host: "*.dkr.*.*.example.net"},
		{Host: "*.dkr.ecr.*.localhost:*"}, {Host: "localhost:5000"}, {Host: "127.0.0.1:5000"}, {Host: "[::1]:5000"},
	}}
	for registry, want := range map[string]credential.Target{
		// What is configured.
		"registry.example.com":                          {Host: "registry.example.com", Endpoint: "https://api.example.com", Region: "eu-west-1", Profile: "berth"},
		"https://Registry.Example.com/v2/":              {Host: "registry.example.com", Endpoint: "https://api.example.com", Region: "eu-west-1", Profile: "berth"},
		"images.example.com":                            {Host: "images.example.com", Endpoint: "https://images.example.com", Public: true},
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com":  {Host: "123456789012.dkr.ecr.eu-west-1.amazonaws.com", Region: "eu-west-1"},
		"123456789012.dkr.ecr.eu-west-1.example.org":    {Host: "123456789012.dkr.ecr.eu-west-1.example.org", Endpoint: "https://123456789012.dkr.ecr.eu-west-1.example.org", Region: "eu-south-2"},
		"123456789012.dkr.ecr.us-east-1.amazonaws.com":  {Host: "123456789012.dkr.ecr.us-east-1.amazonaws.com", Region: "us-east-1"},
		"123456789012.dkr-ecr.us-west-2.on.aws":         {Host: "123456789012.dkr-ecr.us-west-2.on.aws", Region: "us-west-2"},
		"public.ecr.aws":                                {Host: "public.ecr.aws", Public: true},
		"123456789012.dkr.ecr.eu-west-1.localhost:5000": {Host: "123456789012.dkr.ecr.eu-west-1.localhost:5000", Endpoint: "http://123456789012.dkr.ecr.eu-west-1.localhost:5000", Region: "eu-west-1"},
		"123456789012.dkr.ecr.eu-west-1.example.net:8443/app": {
			Host: "123456789012.dkr.ecr.eu-west-1.example.net:8443", Endpoint: "https://123456789012.dkr.ecr.eu-west-1.example.net:8443", Region: "eu-west-1",
		},
		"123456789012.dkr.ecr-fips.us-gov-east-1.example.net": {
			Host: "123456789012.dkr.ecr-fips.us-gov-east-1.example.net", Endpoint: "https://123456789012.dkr.ecr-fips.us-gov-east-1.example.net", Region: "us-gov-east-1",
		},
		"127.0.0.1:5000":        {Host: "127.0.0.1:5000", Endpoint: "http://127.0.0.1:5000"},
		"http://localhost:5000": {Host: "localhost:5000", Endpoint: "http://localhost:5000"},
		"[::1]:5000":            {Host: "[::1]:5000", Endpoint: "http://[::1]:5000"},
	} {
		if got, ok := credential.Find(c, registry, false); got != want || !ok {
			t.Errorf("Find(%s) = %+v, %t,\nwant %+v", registry, got, ok, want)
		}
	}
}

// A signed request is nothing for strangers.
func TestFindKnowsNoOtherHosts(t *testing.T) {
	t.Parallel()
	for _, registry := range []string{
		"https://index.docker.io/v1/", "ghcr.io", "registry.example.net", "12345678901.dkr.ecr.us-east-1.example.net", "localhost.example.net",
		"xlocalhost", "127.0.0.1.example.net", "localhost", "127.0.0.1:5000", "public.localhost:5000", "123456789012.dkr.ecr.us-east-1.localhost:5000",
		"123456789012.dkr.ecr.us-east-1.evil.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.com", "123456789012.dkr-ecr.us-east-1.evil.com:443",
		"123456789012.dkr.ecr.us-east-1.elb.amazonaws.com", "123456789012.dkr.ecr.us-east-1.bucket.s3.amazonaws.com", "public.example.net", "", " ", "/", "user@127.0.0.1", "127.0.0.1#.example.net", "a b",
	} {
		if got, ok := credential.Find(new(config.Client), registry, false); ok {
			t.Errorf("Find(%q) = %+v, want none", registry, got)
		}
	}
}

// Who names a host has chosen it.
func TestFindKnowsHostsThatAreNamed(t *testing.T) {
	t.Parallel()
	for registry, want := range map[string]credential.Target{
		"registry.example.net":  {Host: "registry.example.net", Endpoint: "https://registry.example.net"},
		"public.localhost:5000": {Host: "public.localhost:5000", Endpoint: "http://public.localhost:5000", Public: true},
		"123456789012.dkr.ecr.eu-west-1.example.net": {
			Host: "123456789012.dkr.ecr.eu-west-1.example.net", Endpoint: "https://123456789012.dkr.ecr.eu-west-1.example.net", Region: "eu-west-1",
		},
	} {
		if got, ok := credential.Find(new(config.Client), registry, true); got != want || !ok {
			t.Errorf("Find(%s) = %+v, %t, want %+v", registry, got, ok, want)
		}
	}
}

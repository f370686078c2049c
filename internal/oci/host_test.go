package oci_test

import (
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// in returns a client that asks for another host.
func in(c *servertest.Client, host string) *servertest.Client {
	there := *c
	there.Host = host
	return &there
}

func TestRegistriesAreToldApartByHost(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		name := "app"
		if _, err := s.ECRIn("eu-west-1").CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}); err != nil {
			t.Fatal(err)
		}
		port := s.Host[strings.LastIndexByte(s.Host, ':'):]
		here, there := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		c.Push(t, "app", "v1", here)
		in(c, "123456789012.dkr.ecr.eu-west-1.localhost"+port).Push(t, "app", "v1", there)
		for _, test := range []struct {
			host string
			want servertest.Image
		}{
			{"", here},
			{"localhost" + port, here},
			{"127.0.0.1", here},
			{"registry.example", here},
			{"123456789012.dkr.ecr.us-east-1.localhost" + port, here},
			{"123456789012.dkr.ecr.eu-west-1.localhost" + port, there},
			{"123456789012.dkr.ecr.eu-west-1.localhost", there},
			{"123456789012.DKR.ECR.EU-West-1.LocalHost", there},
			{"123456789012.dkr.ecr.eu-west-1.localhost.", there},
			{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", there},
			{"123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com", there},
			{"123456789012.dkr-ecr.eu-west-1.on.aws", there},
			// What only looks like a registry's host is any other host.
			{"123456789012.dkr.ecr.eu-west-1.localhost.evil.example", here},
			{"evil.123456789012.dkr.ecr.eu-west-1.localhost", here},
			{"123456789012.dkr.ecr.eu-west-1.evil.example", here},
			{"12345678901.dkr.ecr.eu-west-1.localhost", here},
			{"1234567890123.dkr.ecr.eu-west-1.localhost", here},
			{"123456789012.dkr.ecr..localhost", here},
			{"123456789012.dkr.ecr.nowhere.localhost", here},
			{"123456789012.dkr.ecr.eu-west-1..localhost", here},
			{"xn--123456789012.dkr.ecr.eu-west-1.localhost", here},
		} {
			t.Run(test.host, func(t *testing.T) {
				checkManifest(t, in(c, test.host), "app", "v1", typeManifest, test.want.Manifest)
			})
		}
		// Another account's registry is not the caller's.
		r := in(c, "210987654321.dkr.ecr.us-east-1.localhost").Do(t, "GET", manifestPath("app", "v1"), nil)
		checkError(t, "GET from another account", r, 403, "DENIED")
		want := "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:BatchGetImage on resource: " +
			"arn:aws:ecr:us-east-1:210987654321:repository/app because no resource-based policy allows the ecr:BatchGetImage action"
		if r.Message() != want {
			t.Errorf("message = %q, want %q", r.Message(), want)
		}
	})
}

// What a client says about hosts is never said back to it: realms are made of
// configuration, locations are paths.
func TestNoAnswerRepeatsAHost(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"", "registry.example"} {
		s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.Domain = domain }})
		c := begin(t, s, "app")
		port := s.Host[strings.LastIndexByte(s.Host, ':'):]
		realm, europe := s.URL, "http://123456789012.dkr.ecr.eu-west-1.localhost"+port
		if domain != "" {
			realm = "http://123456789012.dkr.ecr.us-east-1." + domain + port
			europe = "http://123456789012.dkr.ecr.eu-west-1." + domain + port
		}
		stranger := in(c, "")
		stranger.User = ""
		for host, want := range map[string]string{
			"": realm, "evil.example": realm, "evil.example:80": realm, "127.0.0.1": realm,
			`evil",service="x`: realm, "123456789012.dkr.ecr.eu-west-1.evil.example": realm,
			"123456789012.dkr.ecr.eu-west-1.amazonaws.com":      europe,
			"123456789012.dkr.ecr.eu-west-1.amazonaws.com:8443": europe,
		} {
			forwarded := []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "X-Forwarded-Port", "8443",
				"Forwarded", "host=evil.example;proto=https", "X-Forwarded-Prefix", "/evil", "X-Original-URL", "/evil"}
			r := in(stranger, host).Do(t, "GET", "/v2/", nil, forwarded...)
			checkError(t, "GET with Host: "+host, r, 401, "UNAUTHORIZED")
			checkHeaders(t, "GET with Host: "+host, r, "WWW-Authenticate", `Basic realm="`+want+`/",service="ecr.amazonaws.com"`)
			if want != realm {
				continue
			}
			r = in(c, host).Do(t, "POST", uploadsPath("app", ""), nil, forwarded...)
			if check(t, "POST with Host: "+host, r, 202); uploadsPath("app", "") != r.Header.Get("Location")[:len(uploadsPath("app", ""))] {
				t.Errorf("POST with Host: %s: Location = %q, want a path", host, r.Header.Get("Location"))
			}
		}
	}
}

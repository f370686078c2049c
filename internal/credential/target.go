package credential

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"berth/internal/config"
)

// Target is a registry and who is asked for its passwords.
type Target struct {
	Host     string // as docker calls it, in lower case, with its port if it has one
	Endpoint string // of the AWS APIs: a URL; "" for what the AWS SDK says
	Region   string // "" for the SDK's
	Profile  string // of the AWS tools' files; "" for the SDK's
	Public   bool   // the public registries
}

// registryHost is how ECR and Berth name registries: account, region, domain.
var registryHost = regexp.MustCompile(`\A[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})\.(.+)\z`)

// publicRegion is where the public registries are.
const publicRegion = "us-east-1"

// Find returns how to get passwords for a registry, given as docker gives it: with
// or without a scheme and a path. In this order,
//
//   - what is configured for the host;
//   - a registry of Amazon's: the endpoint that the AWS SDK says;
//   - any other host if it is named, which means that whoever asks has chosen us for
//     it: the host itself, over TLS unless it is on this machine.
//
// Other hosts are not ours, whatever they look like: anybody can have a name of
// ECR's form in a domain of their own, or a port on this machine, and what is signed
// with the caller's keys, or an identity token, is nothing to send to strangers.
func Find(c *config.Client, registry string, named bool) (Target, bool) {
	t := Target{Host: hostOf(registry)}
	if t.Host == "" {
		return t, false
	}
	name := hostname(t.Host)
	m := registryHost.FindStringSubmatch(name)
	if m != nil {
		t.Region = m[1]
	}
	if r, ok := c.Match(t.Host); ok {
		t.Endpoint, t.Profile, t.Public = r.Endpoint, r.Profile, r.Public
		if r.Region != "" {
			t.Region = r.Region
		}
		if t.Endpoint == "" && !amazon(name) {
			t.Endpoint = itself(t.Host, name)
		}
		return t, true
	}
	switch {
	case name == "public.ecr.aws" || name == "ecr-public.aws.com":
		t.Public = true
	case m != nil && slices.Contains(amazonDomains, m[2]):
	case named:
		t.Endpoint = itself(t.Host, name)
		t.Public = strings.HasPrefix(name, "public.")
	default:
		return t, false
	}
	return t, true
}

// itself is the endpoint of a registry that has the AWS APIs at the same host.
func itself(host, name string) string {
	if onThisMachine(name) {
		return "http://" + host
	}
	return "https://" + host
}

// hostOf returns host and port of a registry, "" if there is none.
func hostOf(registry string) string {
	registry = strings.ToLower(strings.TrimSpace(registry))
	if _, rest, ok := strings.Cut(registry, "://"); ok {
		registry = rest
	}
	host, _, _ := strings.Cut(registry, "/")
	if !validHost.MatchString(host) {
		return ""
	}
	return host
}

// validHost matches names, addresses, and addresses of IPv6 in brackets.
var validHost = regexp.MustCompile(`\A([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?\z`)

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

func onThisMachine(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && ip.IsLoopback()
}

// amazonDomains are those of Amazon's private registries.
var amazonDomains = []string{"amazonaws.com", "amazonaws.com.cn", "on.aws", "on.amazonwebservices.com.cn"}

// amazon reports whether a host is in one of AWS's own domains.
func amazon(name string) bool {
	for _, d := range amazonDomains {
		if strings.HasSuffix(name, "."+d) {
			return true
		}
	}
	return name == "public.ecr.aws" || name == "ecr-public.aws.com"
}

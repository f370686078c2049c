package registry

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Hosts says at which host name a registry is, in both directions. What it
// returns is made of configuration only, never of what a client sent.
type Hosts struct {
	// Default is the registry that answers at URL, and at any host that names
	// no other.
	Default ID
	// URL is where clients reach the default registry, and all others but for
	// the host name. It has a scheme and a host.
	URL *url.URL
	// Domain is the domain that registries have names under; "" for localhost.
	Domain string
	// NoPublic has the public registries at no host.
	NoPublic bool
}

// registryHost matches the first labels of a registry's host as ECR has them,
// FIPS and dual-stack forms included.
var registryHost = regexp.MustCompile(`\A([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(.+)\z`)

// amazonDomains are the domains of ECR itself, for when DNS points here.
var amazonDomains = []string{"amazonaws.com", "amazonaws.com.cn", "on.aws"}

// Registry returns the registry that a host, with or without port, names.
func (h *Hosts) Registry(host string) ID {
	m := registryHost.FindStringSubmatch(hostname(host))
	if m == nil || !h.serves(m[3]) || !ValidRegion(m[2]) {
		return h.Default
	}
	return ID{Account: m[1], Region: m[2]}
}

// Foreign reports whether a host has the form of a registry's, but in a domain that
// is none of ours.
func (h *Hosts) Foreign(host string) bool {
	name := hostname(host)
	m := registryHost.FindStringSubmatch(name)
	return m != nil && !h.serves(m[3]) && name != hostname(h.URL.Host)
}

// hostname returns the name in a host with or without port, in lower case and
// without a dot at its end.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

func (h *Hosts) serves(domain string) bool {
	if domain == h.domain() {
		return true
	}
	for _, d := range amazonDomains {
		if domain == d {
			return true
		}
	}
	return false
}

func (h *Hosts) domain() string {
	if h.Domain == "" {
		return "localhost"
	}
	return h.Domain
}

// Host returns the host, with port unless it is the scheme's own, at which
// clients reach a registry: what docker wants before the repository's name, or
// before the alias of a public registry.
func (h *Hosts) Host(id ID) string {
	if id.Public() {
		return h.withPort(publicLabel + h.domain())
	}
	if id == h.Default && h.Domain == "" {
		return h.URL.Host
	}
	return h.withPort(id.Account + ".dkr.ecr." + id.Region + "." + h.domain())
}

// withPort adds the port at which clients reach the server.
func (h *Hosts) withPort(name string) string {
	if port := h.URL.Port(); port != "" {
		return net.JoinHostPort(name, port)
	}
	return name
}

// publicLabel is what the name of the public host begins with.
const publicLabel = "public."

// amazonPublicHosts are the public hosts of ECR itself, for when DNS points here.
var amazonPublicHosts = []string{"public.ecr.aws", "ecr-public.aws.com"}

// Public reports whether a host, with or without port, is that of the public
// registries, and returns the URL that clients reach them at by that name,
// without a slash at its end.
func (h *Hosts) Public(host string) (string, bool) {
	name := hostname(host)
	domain, ok := strings.CutPrefix(name, publicLabel)
	if h.NoPublic {
		return "", false
	}
	if ok && domain == h.domain() || slices.Contains(amazonPublicHosts, name) {
		return h.URL.Scheme + "://" + h.withPort(name), true
	}
	return "", false
}

// RepositoryURI returns what docker calls a public repository.
func (h *Hosts) RepositoryURI(r Ref, alias string) string {
	return h.Host(r.ID) + "/" + alias + "/" + string(r.Name)
}

// Endpoint returns the URL of a registry, without a slash at its end.
func (h *Hosts) Endpoint(id ID) string {
	return h.URL.Scheme + "://" + h.Host(id)
}

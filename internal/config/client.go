package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Variables of the commands that get passwords and credentials for other programs.
// A server takes no notice of them.
const (
	EndpointsVariable       = "BERTH_CREDENTIAL_ENDPOINTS" // HOST or HOST=URL, separated by commas; hosts of public registries begin with public.
	CredentialFileVariable  = "BERTH_CREDENTIAL_CONFIG"    // instead of ~/.config/berth/credential.yaml
	CredentialCacheVariable = "BERTH_CREDENTIAL_CACHE"     // a directory instead of ~/.cache/berth/credential, or off
)

var clientVariables = []string{EndpointsVariable, CredentialFileVariable, CredentialCacheVariable}

// Client is what the commands are told that get passwords for other programs. It
// may be empty.
type Client struct {
	Registries []ClientRegistry `yaml:"registries"`
	Cache      string           `yaml:"cache"` // the directory that passwords are kept in; "" for none
}

// ClientRegistry says how to get passwords for registries.
type ClientRegistry struct {
	// Host is what docker calls the registry, with its port if it has one. A * is
	// any text without a dot, and stands for any port after a colon.
	Host     string `yaml:"host"`
	Endpoint string `yaml:"endpoint"` // of the AWS APIs: a URL; "" for the same host
	Region   string `yaml:"region"`   // "" for the one in the host
	Profile  string `yaml:"profile"`  // of the AWS tools' files; "" for the usual one
	Public   bool   `yaml:"public"`   // the host is that of public registries
}

// LoadClient reads the configuration of the commands that get passwords: what
// BERTH_CREDENTIAL_ENDPOINTS says, then the file, then the hosts of the endpoints that
// the AWS tools are told in AWS_ENDPOINT_URL_ECR and AWS_ENDPOINT_URL. The first
// registry that matches a host counts. Without a file of its own the command has none; one that is named must
// be there.
func LoadClient(environ []string) (*Client, error) {
	env := func(name string) string { return Variable(environ, name) }
	c := &Client{Cache: own(env, "XDG_CACHE_HOME", ".cache", "credential")}
	file, err := readClient(env)
	if err != nil {
		return nil, err
	}
	if file.Cache != "" {
		c.Cache = file.Cache
	}
	if v := env(CredentialCacheVariable); v != "" {
		c.Cache = v
	}
	if c.Cache == "off" {
		c.Cache = ""
	}
	for item := range strings.SplitSeq(env(EndpointsVariable), ",") {
		if item = strings.TrimSpace(item); item != "" {
			host, endpoint, _ := strings.Cut(item, "=")
			c.Registries = append(c.Registries, ClientRegistry{Host: host, Endpoint: endpoint, Public: strings.HasPrefix(host, "public.")})
		}
	}
	c.Registries = append(c.Registries, file.Registries...)
	for _, name := range []string{"AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL"} {
		// The AWS tools complain of a URL that is none.
		if u, err := url.Parse(env(name)); err == nil && u.Host != "" {
			r := ClientRegistry{Host: u.Host, Endpoint: env(name)}
			if r.validate() == nil {
				c.Registries = append(c.Registries, r)
			}
		}
	}
	for i := range c.Registries {
		if err := c.Registries[i].validate(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// readClient reads the file.
func readClient(env func(string) string) (Client, error) {
	var c Client
	name := env(CredentialFileVariable)
	named := name != ""
	if !named {
		name = own(env, "XDG_CONFIG_HOME", ".config", "credential.yaml")
	}
	if name == "" {
		return c, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && !named {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// own returns a path of ours: in the directory that a variable names, or in one of
// the home, or "" where there is no home.
func own(env func(string) string, name, standard, file string) string {
	dir := env(name)
	if !filepath.IsAbs(dir) {
		h := env("HOME")
		if h == "" {
			h, _ = os.UserHomeDir()
		}
		if h == "" {
			return ""
		}
		dir = filepath.Join(h, standard)
	}
	return filepath.Join(dir, "berth", file)
}

// Variable returns a variable of the environment, given in the form of os.Environ.
func Variable(environ []string, name string) string {
	for _, kv := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

var hostPattern = regexp.MustCompile(`\A(\[[0-9a-f:]+\]|[a-z0-9.*_-]+)(:([0-9]{1,5}|\*))?\z`)

// validate also brings the registry into the form that Match expects.
func (r *ClientRegistry) validate() error {
	r.Host = strings.ToLower(strings.TrimSpace(r.Host))
	if !hostPattern.MatchString(r.Host) {
		return fmt.Errorf("credential configuration: host: %q is not HOST or HOST:PORT", r.Host)
	}
	if r.Region != "" && !regionRegexp.MatchString(r.Region) {
		return fmt.Errorf("credential configuration: region: %q is not a region such as us-east-1", r.Region)
	}
	r.Endpoint = strings.TrimSuffix(strings.TrimSpace(r.Endpoint), "/")
	if r.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(r.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("credential configuration: endpoint: %q is not http(s)://HOST[:PORT]", r.Endpoint)
	}
	return nil
}

// Match returns what is configured for a host in lower case, with its port if it
// has one.
func (c *Client) Match(host string) (ClientRegistry, bool) {
	name, port := splitPort(host)
	for _, r := range c.Registries {
		n, p := splitPort(r.Host)
		if (p == port || p == "*" && port != "") && matchName(n, name) {
			return r, true
		}
	}
	return ClientRegistry{}, false
}

// splitPort splits the port off a host, "" if it has none.
func splitPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i], host[i+1:]
	}
	return host, ""
}

// matchName reports whether a pattern is that of a name. An address of IPv6, in
// brackets, has none but itself.
func matchName(pattern, name string) bool {
	if !strings.Contains(pattern, "*") || strings.HasPrefix(name, "[") {
		return pattern == name
	}
	labels := strings.NewReplacer(".", "/")
	ok, err := path.Match(labels.Replace(pattern), labels.Replace(name))
	return ok && err == nil
}

// Hosts returns the hosts that are configured by their full names.
func (c *Client) Hosts() []string {
	var hosts []string
	for _, r := range c.Registries {
		if !strings.Contains(r.Host, "*") && !slices.Contains(hosts, r.Host) {
			hosts = append(hosts, r.Host)
		}
	}
	return hosts
}

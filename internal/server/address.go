package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"berth/internal/config"
	"berth/internal/registry"
)

// addressFile is written into the data directory at each start.
const addressFile = "server.json"

// Address says how clients reach a server: what the commands on the same machine
// need to know of it.
type Address struct {
	Endpoint string `json:"endpoint"` // of the AWS APIs: a URL
	Registry string `json:"registry"` // of the default registry: what docker wants before a repository's name
	Account  string `json:"account"`
	Region   string `json:"region"`
	// OwnKey is whether the root's access key is in the data directory, and not
	// in the configuration that the server was started with.
	OwnKey bool `json:"ownKey"`
}

// Address returns how clients reach the server.
func (s *Server) Address() Address {
	return Address{
		Endpoint: s.hosts.URL.String(), Registry: s.hosts.Host(s.hosts.Default),
		Account: s.config.Account, Region: s.config.Region, OwnKey: s.config.RootAccessKeyID == "",
	}
}

func (s *Server) writeAddress() error {
	b, err := json.MarshalIndent(s.Address(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.config.Data, addressFile), append(b, '\n'), 0o600)
}

// ReadAddress returns the address of the server that was last started on the
// data directory.
func ReadAddress(c *config.Config) (Address, error) {
	var a Address
	text, err := os.ReadFile(filepath.Join(c.Data, addressFile))
	if errors.Is(err, os.ErrNotExist) {
		return a, fmt.Errorf("no berth has been started on the data directory %q: start one, or name another with --data", c.Data)
	}
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(text, &a)
}

// newHosts returns the names of the registries as configured.
func newHosts(c *config.Config) (*registry.Hosts, error) {
	u, err := c.PublicURL()
	if err != nil {
		return nil, err
	}
	return &registry.Hosts{
		Default: registry.ID{Account: c.Account, Region: c.Region}, URL: u, Domain: c.Domain, NoPublic: c.Public == "off",
	}, nil
}

// announcePublic logs where everybody can pull, and what the operator may have
// overlooked about it.
func (s *Server) announcePublic() {
	if s.hosts.NoPublic {
		return
	}
	host, c := s.hosts.Host(registry.ID{Region: registry.PublicRegion}), s.config
	if c.AnonymousRate == 0 && c.AnonymousBytes == 0 {
		s.log.Info("public repositories are pulled without limits: give --public-anonymous-rate or --public-anonymous-bytes, or --public off", "host", host)
	}
	name := s.hosts.URL.Hostname()
	ip, _ := netip.ParseAddr(name)
	if c.Domain == "" && name != "localhost" && !ip.IsLoopback() {
		s.log.Warn("public repositories cannot be reached from other machines: give --domain", "host", host)
	}
}

package server

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"

	"berth/internal/access"
	"berth/internal/config"
	"berth/internal/policy"
	"berth/internal/registry"
)

// entrance is one of the addresses that a server is reached at: the main one, or
// that of a VPC endpoint. Each has fronts of its own, so that what they tell a
// client leads back to where it came from.
type entrance struct {
	hosts         *registry.Hosts
	handler       http.Handler
	cert, key     string // files; "" without TLS
	certificate   atomic.Pointer[tls.Certificate]
	id, vpc, file string // of the endpoint; file is that of its policy
	endpoint      atomic.Pointer[access.Endpoint]
}

// newEntrances returns the main entrance and those of the endpoints, without
// fronts.
func newEntrances(c *config.Config) ([]*entrance, error) {
	hosts, err := newHosts(c)
	if err != nil {
		return nil, err
	}
	list := []*entrance{{hosts: hosts, cert: c.TLSCert, key: c.TLSKey}}
	for _, e := range c.Endpoints {
		s, err := c.Settings(e)
		if err != nil {
			return nil, err
		}
		in := &entrance{
			// ECR Public has no endpoints in a VPC.
			hosts: &registry.Hosts{Default: hosts.Default, URL: s.URL, Domain: s.Domain, NoPublic: true},
			cert:  s.TLSCert, key: s.TLSKey, id: e.ID, vpc: e.VPC, file: e.Policy,
		}
		if err := in.loadPolicy(); err != nil {
			return nil, err
		}
		list = append(list, in)
	}
	return list, nil
}

// loadPolicy reads the policy of an endpoint. If that cannot be, the policy that
// there is stays.
func (e *entrance) loadPolicy() error {
	if e.id == "" {
		return nil
	}
	p := &access.Endpoint{ID: e.id, VPC: e.vpc}
	if e.file != "" {
		text, err := os.ReadFile(e.file)
		if err != nil {
			return fmt.Errorf("policy of endpoint %s: %w", e.id, err)
		}
		parsed, err := policy.Parse(string(text), policy.Options{Kind: policy.Endpoint})
		if err != nil {
			return fmt.Errorf("policy of endpoint %s: %s: %w", e.id, e.file, err)
		}
		p.Policy = []policy.Attached{{Name: e.id, Policy: parsed}}
	}
	e.endpoint.Store(p)
	return nil
}

// loadCertificate reads the TLS certificate, if there is one. If that cannot be,
// the certificate that there is stays.
func (e *entrance) loadCertificate() error {
	if e.cert == "" {
		return nil
	}
	c, err := tls.LoadX509KeyPair(e.cert, e.key)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	e.certificate.Store(&c)
	return nil
}

// reload reads again what an operator may have replaced.
func (s *Server) reload() {
	for _, e := range s.entrances {
		if err := e.loadCertificate(); err != nil {
			s.log.Error("the certificate was not replaced", "endpoint", e.id, "error", err)
		} else if e.cert != "" {
			s.log.Info("certificate replaced", "endpoint", e.id)
		}
		if err := e.loadPolicy(); err != nil {
			s.log.Error("the policy was not replaced", "endpoint", e.id, "error", err)
		} else if e.file != "" {
			s.log.Info("policy replaced", "endpoint", e.id)
		}
	}
}

// through marks requests as come through the entrance's endpoint, with the policy
// that it has when they come.
func (e *entrance) through(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		infoOf(r).endpoint = e.endpoint.Load()
		next.ServeHTTP(w, r)
	})
}

// endpointOf returns the VPC endpoint that a request came through, nil for none.
func endpointOf(r *http.Request) *access.Endpoint { return infoOf(r).endpoint }

package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Endpoint is a further listener, which stands for a VPC endpoint:
//
//	endpoints:
//	  - id: vpce-0123456789abcdef0
//	    vpc: vpc-0123456789abcdef0
//	    listen: 10.0.0.5:443
//	    policy: /etc/berth/endpoint.json
//
// A server's own domain, certificate and key are those of its endpoints too, unless
// they have others.
type Endpoint struct {
	ID, VPC, Listen string
	URL, Domain     string // where clients of the endpoint reach the server
	TLSCert, TLSKey string
	Policy          string // a file; "" for none
}

// endpointsKey is the key of the endpoints in the configuration file.
const endpointsKey = "endpoints"

// members returns the fields of e by their keys in the file.
func (e *Endpoint) members() map[string]*string {
	return map[string]*string{
		"id": &e.ID, "vpc": &e.VPC, "listen": &e.Listen, "url": &e.URL, "domain": &e.Domain,
		"tls-cert": &e.TLSCert, "tls-key": &e.TLSKey, "policy": &e.Policy,
	}
}

// readEndpoints reads the list of endpoints in the file.
func readEndpoints(n ast.Node) ([]Endpoint, error) {
	if _, none := n.(*ast.NullNode); none || n == nil { // a key without a value
		return nil, nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, errors.New("is not a list")
	}
	var out []Endpoint
	for _, item := range list.Values {
		m, ok := item.(ast.MapNode)
		if !ok {
			return nil, errors.New("is not a list of endpoints, each with id, vpc and listen")
		}
		var e Endpoint
		for i := m.MapRange(); i.Next(); {
			key, err := scalar(i.Key())
			text, wrong := scalar(i.Value())
			if err := errors.Join(err, wrong); err != nil {
				return nil, err
			}
			into, ok := e.members()[key]
			if !ok {
				return nil, fmt.Errorf("has an unknown key %q", key)
			}
			if text == "" {
				return nil, fmt.Errorf("has the key %q without a value", key)
			}
			*into = text
		}
		out = append(out, e)
	}
	return out, nil
}

var (
	endpointRegexp = regexp.MustCompile(`\Avpce-([0-9a-f]{8}|[0-9a-f]{17})\z`)
	vpcRegexp      = regexp.MustCompile(`\Avpc-([0-9a-f]{8}|[0-9a-f]{17})\z`)
)

// EndpointSettings are an endpoint's own, or else the server's.
type EndpointSettings struct {
	URL             *url.URL // where clients of the endpoint reach the server
	Domain          string
	TLSCert, TLSKey string
}

// Settings returns what an endpoint goes by.
func (c *Config) Settings(e Endpoint) (EndpointSettings, error) {
	s := EndpointSettings{Domain: cmp.Or(e.Domain, c.Domain), TLSCert: cmp.Or(e.TLSCert, c.TLSCert), TLSKey: cmp.Or(e.TLSKey, c.TLSKey)}
	scheme := "http"
	if s.TLSCert != "" {
		scheme = "https"
	}
	var err error
	s.URL, err = publicURL(e.URL, e.Listen, scheme)
	return s, err
}

func (c *Config) validateEndpoints() error {
	var errs []error
	for i, e := range c.Endpoints {
		if err := c.validateEndpoint(e); err != nil {
			errs = append(errs, fmt.Errorf("endpoints: %s: %w", cmp.Or(e.ID, fmt.Sprintf("number %d", i+1)), err))
		}
		if slices.ContainsFunc(c.Endpoints[:i], func(o Endpoint) bool { return o.ID == e.ID }) {
			errs = append(errs, fmt.Errorf("endpoints: %s is given twice", e.ID))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateEndpoint(e Endpoint) error {
	switch {
	case !endpointRegexp.MatchString(e.ID):
		return fmt.Errorf("id: %q is not one such as vpce-0123456789abcdef0", e.ID)
	case !vpcRegexp.MatchString(e.VPC):
		return fmt.Errorf("vpc: %q is not one such as vpc-0123456789abcdef0", e.VPC)
	case e.Domain != "" && !domainRegexp.MatchString(e.Domain):
		return fmt.Errorf("domain: %q is not a domain name in lower case", e.Domain)
	case (e.TLSCert == "") != (e.TLSKey == ""):
		return errors.New("tls-cert and tls-key: give both or neither")
	}
	s, err := c.Settings(e)
	if err != nil {
		return err
	}
	return validateListen(e.Listen, e.URL != "" || s.Domain != "", s.TLSCert != "" || c.InsecureHTTP)
}

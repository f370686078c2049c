// Package egress is the one way out: every connection that Berth itself opens to
// an address that somebody else chose goes through a [Guard].
//
// A guard looks at each address at the moment it is dialled, after its name was
// resolved, so that no redirect and no change of DNS leads around it. It lets
// connections through to public addresses, and to what the administrator allows.
// TLS certificates are always verified. Variables such as HTTPS_PROXY are not
// heeded: behind a proxy a guard would see the proxy's address alone.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options configure a guard. The zero Options allows public addresses alone.
type Options struct {
	// Allow has networks (10.1.0.0/16), addresses and hosts, the last two with a
	// port or without. A network or an address is allowed whatever it is. The name
	// of a host may then lead to private and loopback addresses, never to
	// link-local ones.
	Allow []string
	// CA has certificates in PEM that are trusted besides the system's; nil for none.
	CA []byte
	// Resolver is net.DefaultResolver if nil.
	Resolver *net.Resolver
}

// Guard decides which connections may be opened. It is safe for concurrent use.
type Guard struct {
	networks []network
	hosts    map[string]bool // by name, or name:port
	roots    *x509.CertPool  // nil for the system's
	resolver *net.Resolver
}

// network is what is allowed by address; port 0 stands for every port.
type network struct {
	netip.Prefix
	port uint16
}

// New returns a guard.
func New(o Options) (*Guard, error) {
	g := &Guard{hosts: map[string]bool{}, resolver: o.Resolver}
	for _, s := range o.Allow {
		if err := g.allow(s); err != nil {
			return nil, err
		}
	}
	if o.CA == nil {
		return g, nil
	}
	var err error
	if g.roots, err = x509.SystemCertPool(); err != nil {
		return nil, fmt.Errorf("read the system's certificates: %w", err)
	}
	if !g.roots.AppendCertsFromPEM(o.CA) {
		return nil, errors.New("there is no certificate in PEM")
	}
	return g, nil
}

// allow adds an element of Options.Allow.
func (g *Guard) allow(s string) error {
	if p, err := netip.ParsePrefix(s); err == nil {
		g.networks = append(g.networks, network{Prefix: p.Masked()})
		return nil
	}
	host, portText := s, ""
	if _, err := netip.ParseAddr(s); err != nil && strings.Contains(s, ":") {
		var wrong error
		if host, portText, wrong = net.SplitHostPort(s); wrong != nil {
			return malformed(s)
		}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if portText != "" && (err != nil || port == 0) {
		return malformed(s)
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
		a = a.Unmap()
		g.networks = append(g.networks, network{netip.PrefixFrom(a, a.BitLen()), uint16(port)})
		return nil
	}
	if !isName(host) {
		return malformed(s)
	}
	g.hosts[hostKey(host, portText)] = true
	return nil
}

func malformed(s string) error {
	return fmt.Errorf("%q is neither a network such as 10.0.0.0/8 nor a host or address, with or without a port", s)
}

func isName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	last := s[strings.LastIndexByte(s, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); s == "" || len(s) > 253 || err == nil {
		return false // 10.1 is an address to some
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

func hostKey(host, port string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if port == "" {
		return host
	}
	return host + ":" + port
}

// Blocked is why a guard opens no connection.
type Blocked struct {
	Address netip.AddrPort
}

// Error implements error.
func (b *Blocked) Error() string {
	return "connections to " + b.Address.String() + " are not allowed: it is no public address, and egress-allow does not name it"
}

// Dial opens a TCP connection. What it refuses is a [*Blocked] in the chain of
// the error.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	named := g.hosts[hostKey(host, "")] || g.hosts[hostKey(host, port)]
	d := net.Dialer{
		Timeout: dialTimeout, Resolver: g.resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return g.check(network, address, named)
		},
	}
	return d.DialContext(ctx, network, address)
}

// check decides about the address that a socket is about to be connected to.
func (g *Guard) check(network, address string, named bool) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("connections by %s are not allowed", network)
	}
	if public(to.Addr()) || named && local(to.Addr()) || g.allowed(to) {
		return nil
	}
	return &Blocked{to}
}

func (g *Guard) allowed(to netip.AddrPort) bool {
	a := to.Addr().Unmap()
	for _, n := range g.networks {
		if (n.port == 0 || n.port == to.Port()) && n.Contains(a) {
			return true
		}
	}
	return false
}

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	headerTimeout    = 30 * time.Second
	idleTimeout      = 90 * time.Second
	maxHeaderBytes   = 64 << 10
	maxIdle          = 100
)

// Transport returns what sends requests over connections that the guard lets
// through, by https alone. It never uncompresses what it receives.
func (g *Guard) Transport() http.RoundTripper {
	return &transport{&http.Transport{
		DialContext:            g.Dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.roots},
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdle,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
	}}
}

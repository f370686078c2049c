package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func guard(t *testing.T, o Options) *Guard {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// accept listens on an address and counts the connections.
func accept(t *testing.T, address string) (string, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { l.Close() })
	var n atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			c.Close()
		}
	}()
	return l.Addr().String(), &n
}

func dial(t *testing.T, g *Guard, address string) error {
	t.Helper()
	c, err := g.Dial(t.Context(), "tcp", address)
	if err == nil {
		c.Close()
	}
	return err
}

func isBlocked(err error) bool {
	var b *Blocked
	return errors.As(err, &b)
}

func TestLoopbackIsBlockedUnlessAllowed(t *testing.T) {
	t.Parallel()
	address, n := accept(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(address)
	for _, to := range []string{address, "localhost:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port, "[::]:" + port} {
		if err := dial(t, guard(t, Options{Allow: []string{"10.0.0.0/8", "127.0.0.1:1", "example.com", "localhost:1"}}), to); !isBlocked(err) {
			t.Errorf("Dial(%s) = %v, want it blocked", to, err)
		}
	}
	if got := n.Load(); got != 0 {
		t.Errorf("%d connections were opened, want none", got)
	}
	for _, allowed := range []string{"127.0.0.0/8", "127.0.0.1", address, "LOCALHOST.", "localhost:" + port, "::ffff:127.0.0.1"} {
		to := address
		if strings.Contains(strings.ToLower(allowed), "localhost") {
			to = "localhost:" + port
		}
		if err := dial(t, guard(t, Options{Allow: []string{allowed}}), to); err != nil {
			t.Errorf("Dial(%s) with %s allowed: %v", to, allowed, err)
		}
	}
	if err := dial(t, guard(t, Options{Allow: []string{"localhost"}}), address); !isBlocked(err) {
		t.Errorf("Dial(%s) with localhost allowed = %v, want it blocked: an address is not a name", address, err)
	}
}

// Other addresses need nobody to listen there: the guard decides before.
func TestChecksEachAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		allow   string
		address string
		named   bool
		ok      bool
	}{
		{"", "8.8.8.8:443", false, true},
		{"", "[2606:4700::1111]:443", false, true},
		{"", "10.0.0.1:443", false, false},
		{"", "169.254.169.254:80", false, false},
		{"", "10.0.0.1:443", true, true},
		{"", "127.0.0.1:443", true, true},
		{"", "169.254.169.254:80", true, false},
		{"", "[fe80::1]:80", true, false},
		{"", "[64:ff9b::10.0.0.1]:443", true, false},
		{"169.254.169.254", "169.254.169.254:80", false, true},
		{"10.1.0.0/16", "10.1.2.3:443", false, true},
		{"10.1.0.0/16", "[::ffff:10.1.2.3]:443", false, true},
		{"10.1.0.0/16", "10.2.0.1:443", false, false},
		{"10.1.0.0/16", "[2002:a01:203::]:443", false, false},
		{"10.1.2.3:8443", "10.1.2.3:8443", false, true},
		{"10.1.2.3:8443", "10.1.2.3:443", false, false},
		{"[fd00::1]:8443", "[fd00::1]:8443", false, true},
		{"fd00::/8", "[fd12::1]:1", false, true},
	} {
		var o Options
		if tt.allow != "" {
			o.Allow = []string{tt.allow}
		}
		network := "tcp4"
		if strings.HasPrefix(tt.address, "[") {
			network = "tcp6"
		}
		if err := guard(t, o).check(network, tt.address, tt.named); (err == nil) != tt.ok {
			t.Errorf("check(%s) with %q allowed, named %t = %v, want ok %t", tt.address, tt.allow, tt.named, err, tt.ok)
		}
	}
	if err := guard(t, Options{}).check("udp4", "8.8.8.8:53", false); err == nil {
		t.Error("check of a connection by UDP: no error")
	}
}

func TestAllowRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", ":443", "10.0.0.0/33", "10.0.0", "10.1", "0x7f.1", "https://example.com", "example.com/", "example.com:0", "example.com:65536", "example.com:http",
		"*.example.com", "a b", "fe80::1%eth0", "[::1]", "a..b", "10.0.0.1:1:1",
	} {
		if _, err := New(Options{Allow: []string{s}}); err == nil {
			t.Errorf("New with %q allowed: no error", s)
		}
	}
	for _, ca := range []string{"", "no certificate"} {
		if _, err := New(Options{CA: []byte(ca)}); err == nil {
			t.Errorf("New with the CA %q: no error", ca)
		}
	}
}

// nameserver answers every question for an address of IPv4 with the next of a
// list, and goes on with the last.
func nameserver(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			end := 12
			for b[end] != 0 {
				end += int(b[end]) + 1
			}
			end += 5 // type and class
			reply := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, b[12:min(end, n)]...)
			if binary.BigEndian.Uint16(b[end-4:]) == 1 { // A
				reply[7] = 1
				reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				reply = append(reply, netip.MustParseAddr(answers[0]).AsSlice()...)
				answers = answers[min(1, len(answers)-1):]
			}
			_, _ = c.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

// A name that is good when it is looked at and bad when it is used gets nowhere:
// what is looked at is the address that is dialled.
func TestRebindingIsBlocked(t *testing.T) {
	t.Parallel()
	good, reached := accept(t, "127.0.0.2:0")
	_, port, _ := net.SplitHostPort(good)
	secret, leaked := accept(t, "127.0.0.1:"+port)
	g := guard(t, Options{Allow: []string{"127.0.0.2"}, Resolver: nameserver(t, "127.0.0.2", "127.0.0.1")})
	if err := dial(t, g, "rebind.example.com:"+port); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, g, "rebind.example.com:"+port); !isBlocked(err) {
		t.Errorf("Dial after the name has changed = %v, want it blocked", err)
	}
	if reached.Load() > 1 || leaked.Load() != 0 {
		t.Errorf("%d connections to %s, %d to %s, want 1 and none", reached.Load(), good, leaked.Load(), secret)
	}
}

func TestANameNeverLeadsToMetadata(t *testing.T) {
	t.Parallel()
	g := guard(t, Options{Allow: []string{"metadata.example.com"}, Resolver: nameserver(t, "169.254.169.254")})
	if err := dial(t, g, "metadata.example.com:80"); !isBlocked(err) {
		t.Errorf("Dial = %v, want it blocked", err)
	}
}

package egress

import (
	"encoding/binary"
	"net/netip"
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Everything of IPv4 is public but these, of IPv6 nothing is but what is in
// global6 and not in special6: the special-purpose registries of IANA, RFC 6890.
var (
	special4 = prefixes(
		"0.0.0.0/8",       // this network, and the unspecified address
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // between a carrier and its customers
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local; clouds tell machines their credentials here
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments; metadata of some clouds
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // relays of 6to4
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
	)
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes(
		"2001::/23",     // protocol assignments, with Teredo and ORCHID
		"2001:db8::/32", // documentation
		"3fff::/20",     // documentation
	)
	sixToFour = netip.MustParsePrefix("2002::/16")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
)

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// public reports whether an address is one of the Internet's. An address that
// stands for one of IPv4 is as public as that is.
func public(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case a.Zone() != "":
		return false
	case a.Is4():
		return !within(a, special4)
	case nat64.Contains(a):
		return public(embedded(a, 12))
	case sixToFour.Contains(a):
		return public(embedded(a, 2))
	}
	return global6.Contains(a) && !within(a, special6)
}

// embedded returns the address of IPv4 at an offset in one of IPv6.
func embedded(a netip.Addr, offset int) netip.Addr {
	b := a.As16()
	var v4 [4]byte
	binary.BigEndian.PutUint32(v4[:], binary.BigEndian.Uint32(b[offset:]))
	return netip.AddrFrom4(v4)
}

// local reports whether an address is one of a site's own, where its services
// are: what the name of an allowed host may lead to besides public addresses.
// Link-local addresses are not: a name must not lead to a cloud's metadata.
func local(a netip.Addr) bool {
	a = a.Unmap()
	return a.Zone() == "" && (a.IsLoopback() || a.IsPrivate() || carrier.Contains(a)) && !within(a, metadata)
}

var (
	carrier = netip.MustParsePrefix("100.64.0.0/10")
	// metadata is where clouds tell machines their credentials, as far as the
	// addresses are otherwise a site's own.
	metadata = prefixes("fd00:ec2::/32", "100.100.100.200/32")
)

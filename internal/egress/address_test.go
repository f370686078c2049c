package egress

import (
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address       string
		public, local bool
	}{
		{"8.8.8.8", true, false},
		{"172.15.255.255", true, false},
		{"172.32.0.0", true, false},
		{"100.63.255.255", true, false},
		{"100.128.0.0", true, false},
		{"169.253.0.1", true, false},
		{"198.20.0.1", true, false},
		{"2606:4700::1111", true, false},
		{"::ffff:8.8.8.8", true, false},
		{"64:ff9b::8.8.8.8", true, false},
		{"2002:808:808::1", true, false},

		{"127.0.0.1", false, true},
		{"127.255.255.255", false, true},
		{"::1", false, true},
		{"10.0.0.1", false, true},
		{"172.16.0.1", false, true},
		{"172.31.255.255", false, true},
		{"192.168.1.1", false, true},
		{"100.64.0.1", false, true},
		{"100.127.255.255", false, true},
		{"fc00::1", false, true},
		{"fdff::1", false, true},
		{"::ffff:127.0.0.1", false, true},
		{"::ffff:10.0.0.1", false, true},

		// A name must not lead to where clouds tell their secrets.
		{"169.254.169.254", false, false},
		{"169.254.170.2", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"fd00:ec2::254", false, false},
		{"100.100.100.200", false, false},
		{"192.0.0.192", false, false},
		{"fe80::1", false, false},
		{"fe80::1%eth0", false, false},
		{"2606:4700::1111%eth0", false, false},

		{"0.0.0.0", false, false},
		{"0.1.2.3", false, false},
		{"::", false, false},
		{"192.0.2.1", false, false},
		{"198.18.0.1", false, false},
		{"198.51.100.1", false, false},
		{"203.0.113.1", false, false},
		{"192.88.99.1", false, false},
		{"224.0.0.1", false, false},
		{"239.255.255.255", false, false},
		{"240.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"ff02::1", false, false},
		{"ff0e::1", false, false},
		{"fec0::1", false, false},
		{"2001:db8::1", false, false},
		{"3fff::1", false, false},
		{"2001::1", false, false},
		{"100::1", false, false},
		{"5f00::1", false, false},

		// Addresses that stand for others.
		{"64:ff9b::127.0.0.1", false, false},
		{"64:ff9b::10.0.0.1", false, false},
		{"64:ff9b::169.254.169.254", false, false},
		{"64:ff9b:1::8.8.8.8", false, false},
		{"2002:7f00:1::1", false, false},
		{"2002:a00:1::1", false, false},
		{"2002:a9fe:a9fe::1", false, false},
		{"::127.0.0.1", false, false},
		{"::8.8.8.8", false, false},
		{"::ffff:0:127.0.0.1", false, false},
		{"2001:0:4136:e378:8000:63bf:3fff:fdd2", false, false},
	} {
		a := netip.MustParseAddr(tt.address)
		if got := public(a); got != tt.public {
			t.Errorf("public(%s) = %t, want %t", a, got, tt.public)
		}
		if got := local(a); got != tt.local {
			t.Errorf("local(%s) = %t, want %t", a, got, tt.local)
		}
	}
}

func FuzzPublic(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte("\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		u := a.Unmap()
		if public(a) && (!u.IsGlobalUnicast() || u.IsPrivate() || u.IsLoopback() || u.IsLinkLocalUnicast() || u.IsMulticast() || u.IsUnspecified()) {
			t.Errorf("public(%s) = true", a)
		}
		if public(a) && local(a) {
			t.Errorf("%s is public and local", a)
		}
	})
}

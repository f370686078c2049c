package policy

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// decimal is a number of any size, as it is written: comparing is exact and
// takes no memory.
type decimal struct {
	negative bool
	whole    string // without leading zeros
	fraction string // without trailing zeros
}

// parseDecimal reads a whole number or a decimal fraction, without an exponent.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	s, d.negative = strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(fraction) {
		return decimal{}, false
	}
	d.whole = strings.TrimLeft(whole, "0")
	d.fraction = strings.TrimRight(fraction, "0")
	if d.whole == "" && d.fraction == "" {
		d.negative = false
	}
	return d, true
}

// digits reports whether a text is of digits, at least one.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// compare returns -1, 0 or 1 as d is less than, equal to or greater than e.
func (d decimal) compare(e decimal) int {
	switch {
	case d.negative && !e.negative:
		return -1
	case !d.negative && e.negative:
		return 1
	case d.negative:
		d, e = e, d
	}
	return cmp.Or(cmp.Compare(len(d.whole), len(e.whole)), strings.Compare(d.whole, e.whole), strings.Compare(d.fraction, e.fraction))
}

// instant is a point in time.
type instant struct {
	seconds int64 // since 1970
	nanos   int
}

func (i instant) compare(j instant) int {
	return cmp.Or(cmp.Compare(i.seconds, j.seconds), cmp.Compare(i.nanos, j.nanos))
}

// The year 9999 ends before this many seconds.
const endOfTime = 253402300800

// parseInstant reads a date of ISO 8601 in one of W3C's forms (a year, a month, a
// day, or a day with a time and its zone), or seconds since 1970. Four digits
// are a year.
func parseInstant(s string) (instant, bool) {
	if d, ok := parseDecimal(s); ok && (len(s) != 4 || !digits(s)) {
		return epoch(d)
	}
	p := parser{rest: s}
	year, month, day := p.number(4), 1, 1
	if p.skip('-') {
		month = p.number(2)
		if p.skip('-') {
			day = p.number(2)
			if p.skip('T') {
				return p.clock(year, month, day)
			}
		}
	}
	return p.date(year, month, day, 0, 0)
}

func epoch(d decimal) (instant, bool) {
	if len(d.whole) > len("253402300799") {
		return instant{}, false
	}
	var i instant
	for _, c := range []byte(d.whole) {
		i.seconds = i.seconds*10 + int64(c-'0')
	}
	i.nanos = nanos(d.fraction)
	if d.negative {
		i.seconds = -i.seconds
		if i.nanos > 0 {
			i.seconds, i.nanos = i.seconds-1, int(time.Second)-i.nanos
		}
	}
	return i, i.seconds < endOfTime
}

// nanos reads the digits after the point of seconds; those after the ninth are lost.
func nanos(fraction string) int {
	n := 0
	for i := range 9 {
		n *= 10
		if i < len(fraction) {
			n += int(fraction[i] - '0')
		}
	}
	return n
}

// parser reads a date from left to right.
type parser struct {
	rest string
	bad  bool
}

func (p *parser) number(length int) int {
	if len(p.rest) < length || !digits(p.rest[:length]) {
		p.bad = true
		return 1
	}
	n := 0
	for _, c := range []byte(p.rest[:length]) {
		n = n*10 + int(c-'0')
	}
	p.rest = p.rest[length:]
	return n
}

func (p *parser) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// clock reads a time of day and its zone.
func (p *parser) clock(year, month, day int) (instant, bool) {
	hour := p.number(2)
	p.bad = p.bad || !p.skip(':')
	minute, second, fraction := p.number(2), 0, ""
	if p.skip(':') {
		second = p.number(2)
		if p.skip('.') {
			rest := strings.TrimLeft(p.rest, "0123456789")
			fraction, p.rest = p.rest[:len(p.rest)-len(rest)], rest
			p.bad = p.bad || fraction == ""
		}
	}
	sign := 0
	switch {
	case p.skip('Z'):
	case p.skip('+'):
		sign = 1
	case p.skip('-'):
		sign = -1
	default:
		p.bad = true
	}
	offset := 0
	if sign != 0 {
		h := p.number(2)
		p.bad = p.bad || !p.skip(':')
		m := p.number(2)
		p.bad = p.bad || h > 23 || m > 59
		offset = sign * (h*3600 + m*60)
	}
	p.bad = p.bad || hour > 23 || minute > 59 || second > 59
	return p.date(year, month, day, hour*3600+minute*60+second-offset, nanos(fraction))
}

func (p *parser) date(year, month, day, seconds, nanos int) (instant, bool) {
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if p.bad || p.rest != "" || t.Month() != time.Month(month) || t.Day() != day {
		return instant{}, false
	}
	return instant{t.Unix() + int64(seconds), nanos}, true
}

// parseNetwork reads a network (203.0.113.0/24, 2001:db8::/32) or an address. Bits
// after the prefix do not matter. IPv4 in IPv6 is IPv4.
func parseNetwork(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, ok := parseAddress(s)
		return netip.PrefixFrom(a, a.BitLen()), ok
	}
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if n.Addr().Is4In6() && n.Bits() >= 96 {
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
	}
	return n.Masked(), true
}

// parseAddress reads an address without a zone.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// ValidValue reports whether a text is a value of a type of condition keys: string,
// numeric, boolean, ip, binary or date.
func ValidValue(kind, text string) bool {
	ok := kind == "string"
	switch kind {
	case "numeric":
		_, ok = parseDecimal(text)
	case "boolean":
		_, ok = parseBool(text)
	case "ip":
		_, ok = parseAddress(text)
	case "binary":
		_, reason := operator{compare: binaryEquals}.compile(text)
		ok = reason == ""
	case "date":
		_, ok = parseInstant(text)
	}
	return ok
}

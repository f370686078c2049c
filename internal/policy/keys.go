package policy

import "slices"

// Keys is a set of condition keys. It takes little memory and no time, and may
// seem to have keys that it does not have.
type Keys uint64

// AllKeys has every key.
const AllKeys = ^Keys(0)

// Has reports whether the set may have a key, in lower case.
func (k Keys) Has(key string) bool { return k&keysOf(key) != 0 }

// keysOf returns the set of a key.
func keysOf(key string) Keys {
	if key == "" {
		return 0
	}
	return 1 << ((7*len(key) + int(key[len(key)-1])) % 64)
}

// Keys returns the condition keys that the policies read: a decision by them can
// depend on no others.
func (p *Policies) Keys() Keys {
	var k Keys
	for _, list := range [...][]Attached{p.Identity, p.Boundary, p.Session, p.Repository, p.Registry, p.Trust, p.Key, p.Endpoint} {
		k |= keysRead(list)
	}
	for _, levels := range [...][][]Attached{p.ServiceControl, p.ResourceControl} {
		for _, list := range levels {
			k |= keysRead(list)
		}
	}
	return k
}

func keysRead(list []Attached) Keys {
	var k Keys
	for i := range list {
		if p := list[i].Policy; p != nil {
			k |= p.some
		}
	}
	return k
}

// Reads reports whether a decision by the policies can depend on one of the
// condition keys, which must be in lower case.
func (p *Policies) Reads(keys ...string) bool {
	if all := p.Keys(); !slices.ContainsFunc(keys, all.Has) {
		return false
	}
	for _, list := range [...][]Attached{p.Identity, p.Boundary, p.Session, p.Repository, p.Registry, p.Trust, p.Key, p.Endpoint} {
		if anyReads(list, keys) {
			return true
		}
	}
	for _, levels := range [...][][]Attached{p.ServiceControl, p.ResourceControl} {
		for _, list := range levels {
			if anyReads(list, keys) {
				return true
			}
		}
	}
	return false
}

func anyReads(list []Attached, keys []string) bool {
	for i := range list {
		if p := list[i].Policy; p != nil && slices.ContainsFunc(p.keys, func(key string) bool { return slices.Contains(keys, key) }) {
			return true
		}
	}
	return false
}

// collectKeys finds out which keys the policy reads.
func (p *Policy) collectKeys() {
	add := func(patterns ...pattern) {
		for i := range patterns {
			for _, q := range patterns[i].pieces {
				if q.kind == variable {
					p.keys = append(p.keys, q.key)
				}
			}
		}
	}
	for i := range p.statements {
		s := &p.statements[i]
		add(s.resources...)
		for j := range s.conditions {
			c := &s.conditions[j]
			p.keys = append(p.keys, c.key)
			for k := range c.values {
				add(c.values[k].pattern)
				add(c.values[k].segments...)
			}
		}
	}
	slices.Sort(p.keys)
	p.keys = slices.Compact(p.keys)
	for _, key := range p.keys {
		p.some |= keysOf(key)
	}
}

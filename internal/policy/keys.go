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
	for q := range p.all {
		k |= q.some
	}
	return k
}

// Reads reports whether a decision by the policies can depend on one of the
// condition keys, which must be in lower case.
func (p *Policies) Reads(keys ...string) bool {
	if read := p.Keys(); !slices.ContainsFunc(keys, read.Has) {
		return false
	}
	for q := range p.all {
		if slices.ContainsFunc(q.keys, func(key string) bool { return slices.Contains(keys, key) }) {
			return true
		}
	}
	return false
}

// all yields the policies of all kinds.
func (p *Policies) all(yield func(*Policy) bool) {
	for _, list := range [...][]Attached{p.Identity, p.Boundary, p.Session, p.Repository, p.Registry, p.Trust, p.Key, p.Endpoint} {
		if !each(list, yield) {
			return
		}
	}
	for _, levels := range [...][][]Attached{p.ServiceControl, p.ResourceControl} {
		for _, list := range levels {
			if !each(list, yield) {
				return
			}
		}
	}
}

func each(list []Attached, yield func(*Policy) bool) bool {
	for i := range list {
		if p := list[i].Policy; p != nil && !yield(p) {
			return false
		}
	}
	return true
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

package policy

import "slices"

// Keys are the condition keys that policies read: a decision by them can depend
// on no others.
type Keys struct {
	policies *Policies
	some     keyBits
}

// Keys returns the condition keys that the policies read.
func (p *Policies) Keys() Keys {
	k := Keys{policies: p}
	p.each(func(q *Policy) bool {
		k.some |= q.some
		return true
	})
	return k
}

// Has reports whether a key, in lower case, is one of them.
func (k Keys) Has(key string) bool {
	found := false
	if k.some&bitOf(key) != 0 {
		k.policies.each(func(q *Policy) bool {
			found = slices.Contains(q.keys, key)
			return !found
		})
	}
	return found
}

// HasAny reports whether one of some keys, in lower case, is one of them.
func (k Keys) HasAny(keys ...string) bool { return slices.ContainsFunc(keys, k.Has) }

// each calls fn with policy after policy, until it returns false.
func (p *Policies) each(fn func(*Policy) bool) {
	for _, list := range [...][]Attached{p.Identity, p.Boundary, p.Session, p.Repository, p.Registry, p.Trust, p.Endpoint} {
		if !each(list, fn) {
			return
		}
	}
	for _, levels := range [...][][]Attached{p.ServiceControl, p.ResourceControl} {
		for _, list := range levels {
			if !each(list, fn) {
				return
			}
		}
	}
}

func each(list []Attached, fn func(*Policy) bool) bool {
	for i := range list {
		if p := list[i].Policy; p != nil && !fn(p) {
			return false
		}
	}
	return true
}

// keyBits has a bit for every key of a set. Other keys may share it.
type keyBits uint64

func bitOf(key string) keyBits {
	if key == "" {
		return 0
	}
	return 1 << ((7*len(key) + int(key[len(key)-1])) % 64)
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
		p.some |= bitOf(key)
	}
}

package server_test

import "testing"

// Every route, with every principal, to every object. First all that is to be
// refused, after which all is as it was; then the rest.
func TestTheMatrixOfRoutesPrincipalsAndObjects(t *testing.T) {
	t.Parallel()
	if raced {
		t.Skip("thousands of requests, one after the other, find no races: they are made without the detector")
	}
	m := newMatrix(t)
	visits := m.visits()
	before := m.state(t)
	for _, v := range visits {
		for _, p := range m.people {
			if !v.allowed(p) {
				account := v.accountFor(p)
				m.check(t, v.route, p, v.thing, v.do(t, p), account, v.on(account), v.asks...)
			}
		}
	}
	m.refuseIAM(t)
	if after := m.state(t); after != before {
		t.Errorf("what was refused has changed something:\n%s\nbefore:\n%s", after, before)
	}
	for _, v := range visits {
		for _, p := range m.people {
			if v.allowed(p) {
				account := v.accountFor(p)
				m.check(t, v.route, p, v.thing, v.do(t, p), account, v.on(account), v.asks...)
				m.repair(t, v)
			}
		}
	}
	t.Logf("%d cells: %d routes to objects and %d operations of IAM, %d principals; %d cells are refusals",
		m.cells, len(visits), len(iamOperations), len(m.people), m.refusals)
	if m.cells < len(visits)*len(m.people) {
		t.Errorf("%d cells, want %d and those of IAM", m.cells, len(visits)*len(m.people))
	}
}

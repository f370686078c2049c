package policy

import "maps"

// Tellable returns what the principal may be told of a refusal by another account:
// d, unless the owner of the resource has not allowed the request. The principal's
// own policies then have nothing to say about the resource's tags and images, which
// its owner has not shown to anybody: by what they deny one could tell these.
func (p *Policies) Tellable(r *Request, d Decision) Decision {
	owners := *p
	owners.Identity, owners.Session, owners.Endpoint, owners.ServiceControl = everything, everything, nil, nil
	if len(p.Boundary) > 0 {
		owners.Boundary = everything
	}
	told := Decide(r, &owners)
	if told.Allowed {
		return d
	}
	plain := *r
	plain.Context = Context{maps.Clone(r.Context.values)}
	maps.DeleteFunc(plain.Context.values, func(key string, _ []string) bool { return reads(tagsOfResource, []string{key}) })
	callers := *p
	callers.Repository, callers.Registry, callers.Trust, callers.Key, callers.ResourceControl = nil, nil, nil, nil, nil
	by := Decide(&plain, &callers) // whatever the resource is like
	limit := by.By.Kind == ServiceControl || by.By.Kind == Endpoint
	switch {
	case by.Reason == ExplicitDeny && (limit || told.Reason != ExplicitDeny), limit && told.Reason != ExplicitDeny:
		return by
	}
	return told
}

// everything allows everything.
var everything = func() []Attached {
	p, err := Parse(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, Options{Kind: Identity})
	if err != nil {
		panic(err)
	}
	return []Attached{{Policy: p}}
}()

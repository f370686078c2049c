package access

import (
	"strconv"
	"strings"
	"time"

	"berth/internal/policy"
)

// principal is the caller as policies know it.
func principal(c Caller) policy.Principal {
	p := policy.Principal{Type: kinds[c.Type].kind, ARN: c.ARN, Account: c.Account}
	if c.Type == WebIdentity {
		p.ARN, p.Name = "", c.ARN
	}
	if c.Session != nil {
		p.Parent, p.ServiceLinked = c.Session.Parent, c.Session.ServiceLinked
	}
	return p
}

// kinds are the kinds of principals as policies know them, and what
// aws:PrincipalType calls them.
var kinds = map[Type]struct {
	kind policy.PrincipalType
	name string
}{
	Anonymous:     {policy.Nobody, "Anonymous"},
	Root:          {policy.Root, "Account"},
	User:          {policy.User, "User"},
	AssumedRole:   {policy.AssumedRole, "AssumedRole"},
	FederatedUser: {policy.FederatedUser, "FederatedUser"},
	WebIdentity:   {policy.Federated, "WebIdentityUser"},
}

// keys collects condition keys, those that are read: to find out all values takes
// longer than most decisions.
type keys struct {
	read   policy.Keys
	out    policy.Context
	values []string // of all keys together: one piece of memory
}

// set sets a key, given in lower case, or removes it if the value is "".
func (k *keys) set(key, value string) {
	if !k.read.Has(key) {
		return
	}
	if value == "" {
		k.out.Set(key)
		return
	}
	k.values = append(k.values, value)
	n := len(k.values)
	k.out.Set(key, k.values[n-1:n:n]...)
}

// context returns the condition keys of a request: those that the service set, and
// over them those that every request has; of all these, those that are read.
func (a *Authorizer) context(r Request, p Policies, mine, owner *Membership, read policy.Keys) policy.Context {
	k := a.ofRequest(r, read)
	for name, v := range p.Tags {
		if key := "aws:principaltag/" + strings.ToLower(name); k.read.Has(key) {
			k.out.Set(key, v)
		}
	}
	c := r.Caller
	k.set("aws:principalarn", principalARN(c))
	k.set("aws:principalaccount", c.Account)
	k.set("aws:principaltype", kinds[c.Type].name)
	k.set("aws:userid", c.ID)
	k.set("aws:username", username(c))
	k.set("aws:principalisawsservice", "false")
	if s := c.Session; s != nil && !s.IssuedAt.IsZero() {
		if k.read.Has("aws:tokenissuetime") {
			k.set("aws:tokenissuetime", s.IssuedAt.UTC().Format(time.RFC3339))
		}
		k.set("aws:multifactorauthpresent", "false")
		k.set("aws:sourceidentity", s.SourceIdentity)
		k.set("aws:federatedprovider", s.Provider)
	}
	k.setOrganization(mine, "aws:principalorgid", "aws:principalorgpaths")
	k.setOrganization(owner, "aws:resourceorgid", "aws:resourceorgpaths")
	return k.out
}

// ofCaller are keys that only the Authorizer sets. What a service is told by
// clients must not pass for them.
var ofCaller = []string{
	"aws:tokenissuetime", "aws:multifactorauthpresent", "aws:sourceidentity", "aws:federatedprovider", "aws:principalservicename",
	"aws:sourceaccount",
}

// ofRequest collects the condition keys that do not depend on the principal.
func (a *Authorizer) ofRequest(r Request, read policy.Keys) keys {
	k := keys{read: read}
	k.given(r.Context)
	c := r.Caller
	if k.read.Has("aws:currenttime") || k.read.Has("aws:epochtime") {
		now := time.Now
		if a.Now != nil {
			now = a.Now
		}
		at := now().UTC()
		k.set("aws:currenttime", at.Format(time.RFC3339))
		k.set("aws:epochtime", strconv.FormatInt(at.Unix(), 10))
	}
	k.set("aws:securetransport", strconv.FormatBool(c.Secure))
	k.set("aws:useragent", c.UserAgent)
	address, elsewhere := "aws:sourceip", "aws:vpcsourceip"
	if c.Endpoint != nil { // an address in a VPC is no address of the internet
		address, elsewhere = elsewhere, address
	}
	if c.SourceIP.IsValid() && k.read.Has(address) {
		k.set(address, c.SourceIP.Unmap().WithZone("").String())
	} else {
		k.out.Set(address)
	}
	k.out.Set(elsewhere)
	k.setEndpoint(c.Endpoint)
	k.set("aws:viaawsservice", "false")
	k.set("aws:resourceaccount", r.Account)
	return k
}

// given sets the keys that the service knows of.
func (k *keys) given(context map[string][]string) {
	read := make(map[string][]string, 4)
	for key, values := range context {
		if k.read.Has(strings.ToLower(key)) {
			read[key] = values
		}
	}
	k.out = policy.NewContext(read)
	for _, key := range ofCaller {
		k.out.Set(key)
	}
}

func (k *keys) setEndpoint(e *Endpoint) {
	if e == nil {
		e = &Endpoint{}
	}
	k.set("aws:sourcevpce", e.ID)
	k.set("aws:sourcevpc", e.VPC)
}

// setOrganization sets the condition keys about an account's organization.
func (k *keys) setOrganization(m *Membership, id, paths string) {
	if m == nil {
		m = &Membership{}
	}
	k.set(id, m.Organization)
	k.set(paths, m.Path)
}

// serviceContext is context for a service that the caller acts for.
func (a *Authorizer) serviceContext(r Request, service string) policy.Context {
	k := a.ofRequest(r, policy.AllKeys)
	k.set("aws:principalisawsservice", "true")
	k.set("aws:principalservicename", service)
	k.set("aws:sourceaccount", r.Caller.Account)
	return k.out
}

// principalARN is the value of aws:PrincipalArn: of a role's session it is the
// role's.
func principalARN(c Caller) string {
	switch {
	case c.Type == WebIdentity:
		return ""
	case c.Type == AssumedRole && c.Session != nil:
		return c.Session.Parent
	}
	return c.ARN
}

// username is the name of a user, "" for other principals.
func username(c Caller) string {
	if c.Type != User {
		return ""
	}
	return c.ARN[strings.LastIndexByte(c.ARN, '/')+1:]
}

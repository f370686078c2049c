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

// setter sets a condition key, or removes it if the value is "".
func setter(out *policy.Context) func(key, value string) {
	values := make([]string, 0, 16) // of all keys together: one piece of memory
	return func(key, value string) {
		if value == "" {
			out.Set(key)
			return
		}
		values = append(values, value)
		out.Set(key, values[len(values)-1:len(values):len(values)]...)
	}
}

// context returns the condition keys of a request: those that the service set, and
// over them those that every request has.
func (a *Authorizer) context(r Request, p Policies) policy.Context {
	out := a.ofRequest(r)
	for k, v := range p.Tags {
		out.Set("aws:PrincipalTag/"+k, v)
	}
	c := r.Caller
	set := setter(&out)
	set("aws:PrincipalArn", principalARN(c))
	set("aws:PrincipalAccount", c.Account)
	set("aws:PrincipalType", kinds[c.Type].name)
	set("aws:userid", c.ID)
	set("aws:username", username(c))
	set("aws:PrincipalIsAWSService", "false")
	if s := c.Session; s != nil && !s.IssuedAt.IsZero() {
		set("aws:TokenIssueTime", s.IssuedAt.UTC().Format(time.RFC3339))
		set("aws:MultiFactorAuthPresent", "false")
		set("aws:SourceIdentity", s.SourceIdentity)
		set("aws:FederatedProvider", s.Provider)
	}
	return out
}

// ofCaller are keys that only the Authorizer sets. What a service is told by
// clients must not pass for them.
var ofCaller = []string{
	"aws:TokenIssueTime", "aws:MultiFactorAuthPresent", "aws:SourceIdentity", "aws:FederatedProvider", "aws:PrincipalServiceName",
	"aws:SourceAccount",
}

// ofRequest returns the condition keys that do not depend on the principal.
func (a *Authorizer) ofRequest(r Request) policy.Context {
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	at := now().UTC()
	var out policy.Context
	if len(r.Context) > 0 {
		out = policy.NewContext(r.Context)
		for _, key := range ofCaller {
			out.Set(key)
		}
	}
	c := r.Caller
	set := setter(&out)
	set("aws:CurrentTime", at.Format(time.RFC3339))
	set("aws:EpochTime", strconv.FormatInt(at.Unix(), 10))
	set("aws:SecureTransport", strconv.FormatBool(c.Secure))
	set("aws:UserAgent", c.UserAgent)
	source := ""
	if c.SourceIP.IsValid() {
		source = c.SourceIP.Unmap().WithZone("").String()
	}
	if e := c.Endpoint; e != nil { // an address in a VPC is no address of the internet
		set("aws:VpcSourceIp", source)
		set("aws:SourceVpce", e.ID)
		set("aws:SourceVpc", e.VPC)
		source = ""
	} else {
		out.Set("aws:vpcsourceip") // in lower case nothing is allocated
		out.Set("aws:sourcevpce")
		out.Set("aws:sourcevpc")
	}
	set("aws:SourceIp", source)
	set("aws:ViaAWSService", "false")
	set("aws:ResourceAccount", r.Account)
	return out
}

// serviceContext is context for a service that the caller acts for.
func (a *Authorizer) serviceContext(r Request, service string) policy.Context {
	out := a.ofRequest(r)
	out.Set("aws:PrincipalIsAWSService", "true")
	out.Set("aws:PrincipalServiceName", service)
	out.Set("aws:SourceAccount", r.Caller.Account)
	return out
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

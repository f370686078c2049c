package access

import (
	"strconv"
	"strings"
	"time"

	"berth/internal/policy"
)

// principal is the caller as policies know it.
func principal(c Caller) policy.Principal {
	return policy.Principal{Type: kinds[c.Type].kind, ARN: c.ARN, Account: c.Account}
}

// kinds are the kinds of principals as policies know them, and what
// aws:PrincipalType calls them.
var kinds = map[Type]struct {
	kind policy.PrincipalType
	name string
}{
	Anonymous: {policy.Nobody, "Anonymous"},
	Root:      {policy.Root, "Account"},
	User:      {policy.User, "User"},
}

// context returns the condition keys of a request: those that the service set, and
// over them those that every request has.
func (a *Authorizer) context(r Request, p Policies) policy.Context {
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	at := now().UTC()
	var out policy.Context
	if len(r.Context) > 0 {
		out = policy.NewContext(r.Context)
	}
	for k, v := range p.Tags {
		out.Set("aws:PrincipalTag/"+k, v)
	}
	c := r.Caller
	set := func(key, value string) {
		if value != "" {
			out.Set(key, value)
		} else {
			out.Set(key)
		}
	}
	set("aws:CurrentTime", at.Format(time.RFC3339))
	set("aws:EpochTime", strconv.FormatInt(at.Unix(), 10))
	set("aws:SecureTransport", strconv.FormatBool(c.Secure))
	set("aws:UserAgent", c.UserAgent)
	source := ""
	if c.SourceIP.IsValid() {
		source = c.SourceIP.Unmap().WithZone("").String()
	}
	set("aws:SourceIp", source)
	set("aws:PrincipalArn", c.ARN)
	set("aws:PrincipalAccount", c.Account)
	set("aws:PrincipalType", kinds[c.Type].name)
	set("aws:userid", c.ID)
	set("aws:username", username(c))
	set("aws:PrincipalIsAWSService", "false")
	set("aws:ViaAWSService", "false")
	set("aws:ResourceAccount", r.Account)
	return out
}

// username is the name of a user, "" for other principals.
func username(c Caller) string {
	if c.Type != User {
		return ""
	}
	return c.ARN[strings.LastIndexByte(c.ARN, '/')+1:]
}

package policy

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Options say what a document must be like.
type Options struct {
	Kind Kind // what the policy will be attached to; must be given
	// Actions, if not nil, are the actions that there are. An action of the document
	// must match at least one.
	Actions []string
	// Limits says that the policy may only take away: its statements deny, and name
	// actions of a service, as those of resource control policies must but for AWS's.
	Limits bool
}

const (
	oldVersion = "2008-10-17" // without variables; that of documents that name none
	newVersion = "2012-10-17"
)

// Parse reads the JSON text of a policy of a kind. It is strict: members that are
// not known or that are there twice are errors, as are values that can match
// nothing.
//
// The error is that of the AWS API that takes such policies; its cause is a
// [SyntaxError], which says where the document is wrong.
func Parse(text string, o Options) (*Policy, error) {
	if len(text) > kinds[o.Kind].maxLength {
		return nil, badDocument(o.Kind, &SyntaxError{Reason: fmt.Sprintf("the document is longer than %d bytes", kinds[o.Kind].maxLength)})
	}
	doc, reason := decode(text, maxDepth)
	if reason != "" {
		return nil, badDocument(o.Kind, &SyntaxError{Reason: reason})
	}
	p, err := o.document(doc)
	if err != nil {
		return nil, badDocument(o.Kind, err)
	}
	p.text = text
	return p, nil
}

func (o Options) document(doc any) (*Policy, *SyntaxError) {
	members, reason := object(doc, "Version", "Id", "Statement")
	if reason != "" {
		return nil, &SyntaxError{Reason: "the policy: " + reason}
	}
	version := oldVersion
	if v, there := members["Version"]; there {
		version, _ = v.(string)
		if version != oldVersion && version != newVersion {
			return nil, &SyntaxError{Member: "Version", Reason: "must be " + newVersion + " or " + oldVersion}
		}
	}
	if id, there := members["Id"]; there {
		if _, ok := id.(string); !ok {
			return nil, &SyntaxError{Member: "Id", Reason: "must be a text"}
		}
	}
	list, ok := members["Statement"].([]any)
	if one, there := members["Statement"].(map[string]any); there {
		list, ok = []any{one}, true
	}
	if !ok || len(list) == 0 {
		return nil, &SyntaxError{Member: "Statement", Reason: "must be a statement or a list of at least one"}
	}
	p := &Policy{}
	sids := map[string]bool{}
	for i, v := range list {
		r := reader{Options: o, variables: version == newVersion}
		s, err := r.statement(v)
		if err == nil && s.sid != "" && sids[s.sid] && kinds[o.Kind].sids {
			err = &SyntaxError{Member: "Sid", Reason: quote(s.sid) + " is there more than once"}
		}
		if err != nil {
			err.Statement = i + 1
			return nil, err
		}
		sids[s.sid] = true
		p.statements = append(p.statements, s)
	}
	p.collectKeys()
	return p, nil
}

// reader reads one statement.
type reader struct {
	Options
	variables bool // whether the version has them
	members   map[string]any
	out       statement
}

var alphanumeric = regexp.MustCompile(`^[A-Za-z0-9]*$`)

func (r *reader) statement(v any) (statement, *SyntaxError) {
	var reason string
	r.members, reason = object(v, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if reason != "" {
		return r.out, &SyntaxError{Reason: reason}
	}
	if v, there := r.members["Sid"]; there {
		sid, ok := v.(string)
		if !ok || kinds[r.Kind].sids && !alphanumeric.MatchString(sid) {
			return r.out, &SyntaxError{Member: "Sid", Reason: "must be a text of letters and digits"}
		}
		r.out.sid = sid
	}
	switch r.members["Effect"] {
	case "Allow":
	case "Deny":
		r.out.deny = true
	default:
		return r.out, &SyntaxError{Member: "Effect", Reason: "must be Allow or Deny"}
	}
	if r.Limits && !r.out.deny {
		return r.out, &SyntaxError{Member: "Effect", Reason: "must be Deny"}
	}
	for _, read := range []func() *SyntaxError{r.readPrincipal, r.readAction, r.readResource, r.readCondition} {
		if err := read(); err != nil {
			return r.out, err
		}
	}
	return r.out, nil
}

// either returns the member of the two that is there, if they may be.
func (r *reader) either(name string, p presence) (v any, member string, not bool, err *SyntaxError) {
	v, there := r.members[name]
	member = name
	if w, also := r.members["Not"+name]; also {
		if there {
			return nil, "", false, &SyntaxError{Member: name, Reason: "must not be there together with Not" + name}
		}
		v, there, member, not = w, true, "Not"+name, true
	}
	switch {
	case there && p == forbidden:
		err = &SyntaxError{Member: member, Reason: "must not be in a policy of this kind (" + kinds[r.Kind].name + ")"}
	case !there && p == required:
		err = &SyntaxError{Member: name, Reason: "is missing"}
	case !there:
		member = ""
	}
	return v, member, not, err
}

func (r *reader) readPrincipal() *SyntaxError {
	v, member, not, err := r.either("Principal", kinds[r.Kind].principal)
	r.out.best = toPrincipal
	if err != nil || member == "" {
		return err
	}
	r.out.notPrincipal = not
	fail := func(reason string) *SyntaxError { return &SyntaxError{Member: member, Reason: reason} }
	if not && (!r.out.deny || r.Kind == Trust) {
		return fail("is only for statements that deny, and not for trust policies")
	}
	if r.Kind == ResourceControl && (not || v != "*") {
		return fail(`must be Principal with "*" in a resource control policy`)
	}
	if v == "*" {
		r.out.principals = []entry{{kind: everybody}}
		r.out.best = toSession
		return nil
	}
	groups, reason := object(v, "AWS", "Service", "Federated", "CanonicalUser")
	if reason != "" {
		return fail(`is neither "*" nor an object of AWS, Service and Federated: ` + reason)
	}
	if len(groups) == 0 {
		return fail("names nobody")
	}
	r.out.best = toNobody
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		list, reason := texts(groups[name])
		if reason != "" {
			return fail(name + " " + reason)
		}
		read := map[string]func(string) (entry, string){"AWS": parseAWS, "Service": parseService, "Federated": parseProvider}[name]
		if read == nil {
			return fail("CanonicalUser is for Amazon S3 only; name the account")
		}
		for _, s := range list {
			e, reason := read(s)
			if reason != "" {
				return fail(name + " " + quote(s) + " " + reason)
			}
			r.out.principals = append(r.out.principals, e)
			r.out.best = max(r.out.best, e.mostDirect())
		}
	}
	return nil
}

// Actions have a service before the colon, in full.
var action = regexp.MustCompile(`^(\*|\*:\*|[A-Za-z0-9-]+:[A-Za-z0-9*?-]+)$`)

func (r *reader) readAction() *SyntaxError {
	v, member, not, err := r.either("Action", required)
	if err != nil {
		return err
	}
	if r.Limits && not {
		return &SyntaxError{Member: member, Reason: "must be Action"}
	}
	r.out.notAction = not
	list, reason := texts(v)
	if reason != "" {
		return &SyntaxError{Member: member, Reason: reason}
	}
	for _, s := range list {
		if !action.MatchString(s) {
			return &SyntaxError{Member: member, Reason: quote(s) + " is not an action, as in ecr:PutImage or ecr:*"}
		}
		if r.Limits && strings.HasPrefix(s, "*") {
			return &SyntaxError{Member: member, Reason: quote(s) + " is not an action of one service"}
		}
		p, _ := syntax{wildcards: true, fold: asAction}.compile(s) // actions have no variables that could be wrong
		if r.Actions != nil && !p.matchesAny(r.Actions) {
			return &SyntaxError{Member: member, Reason: "there is no action " + quote(s)}
		}
		r.out.actions = append(r.out.actions, p)
	}
	return nil
}

func (p *pattern) matchesAny(texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		ok, _ := p.match(text, Context{})
		return ok
	})
}

func (r *reader) readResource() *SyntaxError {
	v, member, not, err := r.either("Resource", kinds[r.Kind].resource)
	if err != nil || member == "" {
		return err
	}
	r.out.notResource = not
	list, reason := texts(v)
	if reason != "" {
		return &SyntaxError{Member: member, Reason: reason}
	}
	for _, s := range list {
		if s != "*" && !strings.HasPrefix(s, "arn:") {
			return &SyntaxError{Member: member, Reason: quote(s) + ` is neither an ARN nor "*"`}
		}
		p, reason := syntax{wildcards: true, variables: r.variables}.compile(s)
		if n := len(splitOutside(s, r.variables)); reason == "" && s != "*" && n < 6 {
			// An ARN that ends early stands for all that begin with it.
			p, _ = syntax{wildcards: true, variables: r.variables}.compile(s + strings.Repeat(":*", 6-n))
		}
		if reason != "" {
			return &SyntaxError{Member: member, Reason: quote(s) + ": " + reason}
		}
		r.out.resources = append(r.out.resources, p)
	}
	return nil
}

func (r *reader) readCondition() *SyntaxError {
	v, there := r.members["Condition"]
	if !there {
		return nil
	}
	fail := func(format string, args ...any) *SyntaxError {
		return &SyntaxError{Member: "Condition", Reason: fmt.Sprintf(format, args...)}
	}
	block, ok := v.(map[string]any)
	if !ok {
		return fail("must be an object")
	}
	for _, name := range slices.Sorted(maps.Keys(block)) {
		c, ok := parseOperator(name)
		if !ok {
			return fail("there is no operator %s", quote(name))
		}
		keys, ok := block[name].(map[string]any)
		if !ok {
			return fail("%s must be an object", name)
		}
		c.careful = !r.out.deny
		c.syntax.variables = c.syntax.variables && r.variables
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !isKey(key) {
				return fail("%s: %s is not a condition key, as in aws:SourceIp", name, quote(key))
			}
			list, reason := scalars(keys[key])
			if reason != "" {
				return fail("%s, %s: %s", name, key, reason)
			}
			c.key, c.values, c.written = strings.ToLower(key), nil, &written{name, key, list}
			for _, s := range list {
				v, reason := c.compile(s)
				if reason != "" {
					return fail("%s, %s: %s %s", name, key, quote(s), reason)
				}
				c.values = append(c.values, v)
			}
			r.out.conditions = append(r.out.conditions, c)
		}
	}
	// All must hold: those that are cheap to find false come first.
	slices.SortStableFunc(r.out.conditions, func(a, b condition) int { return cmp.Compare(a.compare.cost(), b.compare.cost()) })
	for r.out.cheap < len(r.out.conditions) && r.out.conditions[r.out.cheap].compare.cost() == 0 {
		r.out.cheap++
	}
	return nil
}

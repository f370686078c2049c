package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Question is a request and the policies that have a say in it.
type Question struct {
	Request  Request
	Policies Policies
}

// Decide decides the question.
func (q *Question) Decide() Decision { return Decide(&q.Request, &q.Policies) }

// MaxQuestion bounds the document of a question, in bytes.
const MaxQuestion = 4 << 20

// ParseQuestion reads a question as JSON:
//
//	{
//	  "request": {
//	    "principal": {"arn": "arn:aws:sts::111122223333:assumed-role/ci/build", "parent": "arn:aws:iam::111122223333:role/ci"},
//	    "action": "ecr:PutImage",
//	    "resource": "arn:aws:ecr:us-east-1:123456789012:repository/app",
//	    "context": {"aws:SourceIp": "203.0.113.7", "aws:TagKeys": ["a", "b"]}
//	  },
//	  "policies": {
//	    "identity": [{"Version": "2012-10-17", "Statement": [...]}, {"name": "ci", "document": {...}}],
//	    "repository": {"Version": "2012-10-17", "Statement": [...]},
//	    "serviceControl": [[{...}], [{...}, {...}]]
//	  }
//	}
//
// A principal is an object, or just a name: an ARN, a service's, or "*" for
// nobody. Beside arn it may have parent, account, name, type and serviceLinked;
// what an ARN says need not be given. resourceAccount is that of the resource's
// ARN, or the principal's, unless it is given; rootRepairs may be true. The
// context has what is given and nothing else. Policies are those of
// [Policies], by the names of their kinds; each kind is a list, or one policy.
//
// The error says in words where the document is wrong.
func ParseQuestion(text []byte) (*Question, error) {
	if len(text) > MaxQuestion {
		return nil, fmt.Errorf("the document is longer than %d bytes", MaxQuestion)
	}
	doc, reason := decode(string(text), maxDepth+6)
	if reason != "" {
		return nil, errors.New(reason)
	}
	members, reason := object(doc, "request", "policies")
	if reason != "" {
		return nil, fmt.Errorf("the document: %s", reason)
	}
	q := &Question{}
	if err := q.Request.read(members["request"]); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if err := q.Policies.read(members["policies"]); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	return q, nil
}

func (r *Request) read(v any) error {
	m, reason := object(v, "principal", "action", "resource", "resourceAccount", "rootRepairs", "context")
	if reason != "" {
		return errors.New(reason)
	}
	if err := r.Principal.read(m["principal"]); err != nil {
		return fmt.Errorf("principal: %w", err)
	}
	if err := readMembers(m, map[string]any{
		"action": &r.Action, "resource": &r.Resource, "resourceAccount": &r.ResourceAccount, "rootRepairs": &r.RootRepairs,
	}); err != nil {
		return err
	}
	if r.Action == "" || r.Resource == "" {
		return errors.New("action and resource must be given")
	}
	if _, there := m["resourceAccount"]; !there {
		a, _ := ParseARN(r.Resource)
		if r.ResourceAccount = a.Account; r.ResourceAccount == "" {
			r.ResourceAccount = r.Principal.Account
		}
	}
	if _, there := m["context"]; !there {
		return nil
	}
	keys, ok := m["context"].(map[string]any)
	if !ok {
		return errors.New("context: must be an object")
	}
	values := map[string][]string{}
	for key, v := range keys {
		if list, isList := v.([]any); isList && len(list) == 0 {
			continue
		}
		if values[key], reason = scalars(v); reason != "" {
			return fmt.Errorf("context: %s: %s", quote(key), reason)
		}
	}
	r.Context = NewContext(values)
	return nil
}

// readMembers reads the members that are there into texts and booleans.
func readMembers(m map[string]any, into map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(into)) {
		v, there := m[name]
		if !there {
			continue
		}
		ok := false
		switch p := into[name].(type) {
		case *string:
			*p, ok = v.(string)
		case *bool:
			*p, ok = v.(bool)
		}
		if !ok {
			return fmt.Errorf("%s: must be a text, or true or false where that is asked", name)
		}
	}
	return nil
}

var principalTypes = map[string]PrincipalType{
	"Nobody": Nobody, "Root": Root, "User": User, "AssumedRole": AssumedRole,
	"FederatedUser": FederatedUser, "Service": Service, "Federated": Federated,
}

func (p *Principal) read(v any) error {
	if s, ok := v.(string); ok {
		v = map[string]any{"arn": s}
		if s == "*" {
			v = map[string]any{"type": "Nobody"}
		} else if service.MatchString(s) {
			v = map[string]any{"type": "Service", "name": s}
		}
	}
	m, reason := object(v, "arn", "parent", "account", "name", "type", "serviceLinked")
	if reason != "" {
		return errors.New(reason)
	}
	kind := ""
	if err := readMembers(m, map[string]any{
		"arn": &p.ARN, "parent": &p.Parent, "account": &p.Account, "name": &p.Name, "type": &kind, "serviceLinked": &p.ServiceLinked,
	}); err != nil {
		return err
	}
	known := false
	if p.ARN != "" {
		account := p.Account
		if *p, known = p.complete(); !known {
			return fmt.Errorf("arn: %s is not the ARN of a root, a user, a role's session or a federated user", quote(p.ARN))
		}
		if account != "" && account != p.Account {
			return errors.New("account: is not that of the ARN")
		}
	}
	if kind != "" {
		t, ok := principalTypes[kind]
		if !ok || known && t != p.Type {
			return fmt.Errorf("type: %s is not that of the principal", quote(kind))
		}
		p.Type, known = t, true
	}
	if !known {
		return errors.New("must have an arn or a type")
	}
	return nil
}

// PrincipalOf returns the principal that an ARN names: a root, a user, a role's
// session or a federated user's. A role's own ARN is that of any session of it.
func PrincipalOf(arn string) (Principal, bool) { return Principal{ARN: arn}.complete() }

// complete fills in what a principal's ARN says: its type, its account, and the
// role of a session if that has no path.
func (p Principal) complete() (Principal, bool) {
	a, ok := ParseARN(p.ARN)
	if !ok {
		return p, false
	}
	p.Account = a.Account
	switch {
	case rootARN.MatchString(p.ARN):
		p.Type = Root
	case userARN.MatchString(p.ARN):
		p.Type = User
	case roleARN.MatchString(p.ARN):
		p.Type = AssumedRole
	case !stsARN.MatchString(p.ARN):
		return p, false
	case strings.HasPrefix(a.Resource, "federated-user/"):
		p.Type = FederatedUser
	default:
		p.Type = AssumedRole
		if p.Parent == "" {
			role := strings.Split(a.Resource, "/")[1]
			p.Parent = ARN{a.Partition, "iam", "", a.Account, "role/" + role}.String()
		}
	}
	return p, true
}

func (p *Policies) read(v any) error {
	if v == nil {
		return nil
	}
	into := map[Kind]*[]Attached{
		Identity: &p.Identity, Boundary: &p.Boundary, Session: &p.Session, Repository: &p.Repository,
		Registry: &p.Registry, Trust: &p.Trust, Key: &p.Key, Endpoint: &p.Endpoint,
	}
	levels := map[Kind]*[][]Attached{ServiceControl: &p.ServiceControl, ResourceControl: &p.ResourceControl}
	var names []string
	for k := Identity; int(k) < len(kinds); k++ {
		names = append(names, kinds[k].name)
	}
	m, reason := object(v, names...)
	if reason != "" {
		return errors.New(reason)
	}
	for k := Identity; int(k) < len(kinds); k++ {
		v, there := m[kinds[k].name]
		if !there {
			continue
		}
		if list, one := into[k]; one {
			var err error
			if *list, err = readAttached(k, v); err != nil {
				return fmt.Errorf("%s%w", kinds[k].name, err)
			}
			continue
		}
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s: must be a list of levels, each a list of policies", kinds[k].name)
		}
		for i, v := range list {
			level, err := readAttached(k, v)
			if err != nil {
				return fmt.Errorf("%s[%d]%w", kinds[k].name, i, err)
			}
			*levels[k] = append(*levels[k], level)
		}
	}
	return nil
}

// readAttached reads one policy or a list of policies. The error begins with the
// place in the list.
func readAttached(k Kind, v any) ([]Attached, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []Attached
	for i, v := range list {
		place := ""
		if ok {
			place = "[" + strconv.Itoa(i) + "]"
		}
		a := Attached{}
		if m, named := v.(map[string]any); named && m["document"] != nil {
			if _, reason := object(v, "name", "document"); reason != "" {
				return nil, fmt.Errorf("%s: %s", place, reason)
			}
			if err := readMembers(m, map[string]any{"name": &a.Name}); err != nil {
				return nil, fmt.Errorf("%s: %w", place, err)
			}
			v = m["document"]
		}
		p, err := Options{Kind: k}.document(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		a.Policy = p
		out = append(out, a)
	}
	return out, nil
}

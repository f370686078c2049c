package identity

import (
	"context"
	"regexp"
	"strings"

	"berth/internal/access"
	"berth/internal/policy"
)

// Hypothetical is a request that could be made.
type Hypothetical struct {
	Principal string // the ARN of a user, a role or a root
	Action    string // ecr:PutImage
	Resource  string // an ARN, or "*"
	Context   map[string][]string
}

// Subject returns the caller of a hypothetical request, with its policies as they
// are now. Who asks must be allowed iam:SimulatePrincipalPolicy on the principal,
// which must be of the same account. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) Subject(ctx context.Context, c access.Call, in Hypothetical) (out access.Caller, err error) {
	q := &request{call: c, event: "SimulatePrincipalPolicy", params: params{
		"policySourceArn": in.Principal, "actionNames": []string{in.Action}, "resourceArns": []string{in.Resource},
	}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		if p, ok := policy.PrincipalOf(in.Principal); ok && p.Type == policy.Root {
			out = rootOf(p.Account, "")
			if err := d.decide(ctx, q, p.Account, in.Principal, nil); err != nil {
				return err
			}
			return in.check(c.Account)
		}
		e, err := d.openSource(ctx, tx, q, in.Principal)
		if err != nil {
			return err
		}
		if e.Kind == Group {
			return errInput("%s is a group: it makes no requests.", in.Principal)
		}
		if err := in.check(c.Account); err != nil {
			return err
		}
		out, err = subject(tx, e)
		return err
	})
	return out, err
}

// check checks what is asked on behalf of an account.
func (in Hypothetical) check(account string) error {
	if !simulatedAction.MatchString(in.Action) {
		return errInput("Invalid action: %.128q is not the name of an action, as in ecr:PutImage.", in.Action)
	}
	a, ok := policy.ParseARN(in.Resource)
	if !ok && in.Resource != "*" {
		return errInput("Invalid resource: %.128q is neither an ARN nor *.", in.Resource)
	}
	if a.Account != "" && a.Account != account && a.Account != builtInAccount {
		return errInput("Invalid resource: %.128q is not of the account that asks: policies of others are not for it to see.", in.Resource)
	}
	if strings.HasPrefix(in.Action, "sts:") {
		return errInput("%s is not explained: trust policies decide it.", in.Action)
	}
	if strings.HasPrefix(in.Action, "kms:") && in.Resource != "*" {
		return errInput("%s is not explained: key policies and grants decide it.", in.Action)
	}
	seen := map[string]bool{}
	for key := range in.Context {
		if err := checkContextKey(key, seen); err != nil {
			return err
		}
	}
	return nil
}

// checkContextKey checks a condition key beside those that were seen.
func checkContextKey(key string, seen map[string]bool) error {
	if prefix, name, ok := strings.Cut(key, ":"); !ok || prefix == "" || name == "" {
		return errInput("Invalid context key: %.128q is not a condition key, as in aws:SourceIp.", key)
	}
	key = strings.ToLower(key)
	if seen[key] {
		return errInput("The context key %.128s is given more than once.", key)
	}
	seen[key] = true
	return nil
}

var taggedARN = regexp.MustCompile(`\Aarn:aws:iam::[0-9]{12}:(user|group|role|policy)/([!-.0-~]+/)*[A-Za-z0-9+=,.@_-]+\z`)

// Explain says whether a request about something of IAM, or of a service that has
// no policies of resources, would be allowed, and what each policy says of it.
// Whoever calls this has the subject of [Directory.Subject].
func (d *Directory) Explain(ctx context.Context, subject access.Caller, in Hypothetical) (out policy.Explanation, err error) {
	r := access.Request{Caller: subject, Action: in.Action, Resource: in.Resource, Account: subject.Account}
	err = d.store.View(ctx, func(tx ReadTx) error {
		if taggedARN.MatchString(in.Resource) {
			a, _ := policy.ParseARN(in.Resource)
			kind, _, _ := strings.Cut(a.Resource, "/")
			e, err := tx.Entity(r.Account, Kind(kind), nameKey(in.Resource[strings.LastIndexByte(in.Resource, '/')+1:]))
			if err != nil {
				return err
			}
			if e != nil && e.ARN() == in.Resource {
				r.Context = e.conditions()
			}
		}
		out, err = d.auth.Explain(ctx, r, in.Context)
		return err
	})
	return out.ForMember(), err
}

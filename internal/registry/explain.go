package registry

import (
	"context"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

// ExplainInput is a hypothetical call.
type ExplainInput struct {
	Caller   access.Caller       // who would make it, with its policies
	Action   string              // ecr:PutImage
	Resource string              // the ARN of a repository or of repositories, or "*"
	Context  map[string][]string // condition keys of the request
}

// repairing are the actions of calls that replace or delete a policy.
var repairing = []string{"SetRepositoryPolicy", "DeleteRepositoryPolicy", "PutRegistryPolicy", "DeleteRegistryPolicy"}

// maySeeAll decides whether a caller may know the policies and tags of what a
// hypothetical call is about.
func (r *Registry) maySeeAll(ctx context.Context, tx ReadTx, q request, c access.Caller, repo *Repository) error {
	q.caller, q.service, q.repairs = c, "", false
	if q.resource != "*" {
		for _, q.event = range []string{"GetRepositoryPolicy", "ListTagsForResource"} {
			if err := r.decide(ctx, tx, q, repo); err != nil {
				return err
			}
		}
	}
	if q.prefix() != "ecr" {
		return nil
	}
	return r.decide(ctx, tx, request{caller: c, event: "GetRegistryPolicy", ref: Ref{ID: q.ref.ID}}, nil)
}

// Explain says whether a call would be allowed and what each policy says of it, as
// it would be decided now: by the policies and tags of the resource, too. It must
// be the account's own. Whoever calls this has made sure that c may know the
// policies of the caller in question; what c may not read of the resource's is left
// out. Errors: InvalidParameterException.
func (r *Registry) Explain(ctx context.Context, c access.Call, in ExplainInput) (out policy.Explanation, err error) {
	q, err := in.request(c)
	if err != nil {
		return out, err
	}
	err = r.store.View(ctx, func(tx ReadTx) error {
		var repo *Repository
		if q.ref.Name != "" {
			var err error
			if repo, err = tx.Repository(q.ref, LockNone); err != nil {
				return err
			}
		}
		own, err := r.policyOf(repo)
		if err != nil {
			return err
		}
		ask, err := r.question(tx, q, repo, own)
		if err != nil {
			return err
		}
		if out, err = r.auth.Explain(ctx, ask, in.Context); err != nil {
			return err
		}
		return r.maySeeAll(ctx, tx, q, c.Caller, repo)
	})
	if kindOf(err) == fault.Denied {
		return out.ForPrincipal().ForMember(), nil
	}
	return out.ForMember(), err
}

// request returns the call in question.
func (in ExplainInput) request(c access.Call) (request, error) {
	service, action, _ := strings.Cut(in.Action, ":")
	q := request{
		caller: in.Caller, service: service, event: action, resource: in.Resource, readOnly: true, repairs: slices.Contains(repairing, action),
		ref: Ref{ID: ID{Account: c.Account, Region: c.Region}},
	}
	if in.Resource == "*" {
		return q, nil
	}
	a, ok := policy.ParseARN(in.Resource)
	if a.Service == "ecr-public" && a.Region == "" {
		a.Region = PublicRegion
	} else if a.Service != "ecr" || !ValidRegion(a.Region) {
		ok = false
	}
	if !ok || !ValidAccount(a.Account) {
		return q, invalidParameter("resource", "must be * or the ARN of a repository")
	}
	if a.Account != c.Account {
		return q, invalidParameter("resource", "must be of the account that asks: policies of others are not for it to see")
	}
	q.ref = Ref{ID: ID{a.Account, a.Region}}
	if ref, err := ParseRepositoryARN(in.Resource); err == nil {
		q.ref = ref
	}
	return q, nil
}

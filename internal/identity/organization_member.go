package identity

import (
	"cmp"
	"context"
	"strings"

	"berth/internal/access"
)

// MemberView is a member and its organization.
type MemberView struct {
	Organization
	Member
	Path string // o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/123456789012/
}

// ARN returns the account's ARN.
func (m MemberView) ARN() string { return (&tree{Organization: m.Organization}).arn(m.Account) }

// Name returns what the account is called: its alias, or its id.
func (m MemberView) Name() string { return cmp.Or(m.Alias, m.Account) }

func (t *tree) member(m Member) MemberView {
	return MemberView{t.Organization, m, t.ID + "/" + strings.Join(t.chain(m.Account), "/") + "/"}
}

// in returns the accounts in a unit, by id.
func (t *tree) in(parent string) []MemberView {
	var out []MemberView
	for _, m := range t.accounts() {
		if m.Parent == parent {
			out = append(out, t.member(m))
		}
	}
	return out
}

func memberPlace(m MemberView) string { return m.Account }

// ListMembers lists the accounts of the organization. Errors:
// InvalidInputException.
func (d *Directory) ListMembers(ctx context.Context, c access.Call, p Page) (out []MemberView, next string, err error) {
	q := organizationCall(c, "ListAccounts", nil)
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t); err != nil {
			return err
		}
		var all []MemberView
		for _, m := range t.accounts() {
			all = append(all, t.member(m))
		}
		out, next, err = listed(d, q, p, all, memberPlace)
		return err
	})
	return out, next, err
}

// DescribeMember returns an account of the organization. Errors:
// AccountNotFoundException.
func (d *Directory) DescribeMember(ctx context.Context, c access.Call, account string) (out MemberView, err error) {
	q := organizationCall(c, "DescribeAccount", params{"accountId": account})
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(account)); err != nil {
			return err
		}
		m, ok := t.members[account]
		if !ok {
			return errMissing("AccountNotFoundException")
		}
		out = t.member(m)
		return nil
	})
	return out, err
}

// ListMembersOf lists the accounts in a unit, but not those in units in it. Event
// is the operation that asks. Errors: ParentNotFoundException,
// InvalidInputException.
func (d *Directory) ListMembersOf(ctx context.Context, c access.Call, event, parent string, p Page) (out []MemberView, next string, err error) {
	q := organizationCall(c, event, params{"parentId": parent})
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(parent)); err != nil {
			return err
		}
		if _, ok := t.units[parent]; !ok {
			return errMissing("ParentNotFoundException")
		}
		out, next, err = listed(d, q, p, t.in(parent), memberPlace, parent)
		return err
	})
	return out, next, err
}

// Parent returns the id of the unit that a unit or an account is in. Errors:
// ChildNotFoundException.
func (d *Directory) Parent(ctx context.Context, c access.Call, child string) (parent string, err error) {
	q := organizationCall(c, "ListParents", params{"childId": child})
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(child)); err != nil {
			return err
		}
		if parent = t.parent(child); parent == "" {
			return errMissing("ChildNotFoundException")
		}
		return nil
	})
	return parent, err
}

// MoveMember moves an account from one unit to another. Errors:
// AccountNotFoundException, SourceParentNotFoundException,
// DestinationParentNotFoundException, DuplicateAccountException.
func (d *Directory) MoveMember(ctx context.Context, c access.Call, account, from, to string) error {
	q := organizationCall(c, "MoveAccount", params{"accountId": account, "sourceParentId": from, "destinationParentId": to})
	return d.organize(ctx, q, func(tx Tx, t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(account), t.arn(from), t.arn(to)); err != nil {
			return err
		}
		m, ok := t.members[account]
		if !ok {
			return errMissing("AccountNotFoundException")
		}
		if m.Parent != from {
			return errMissing("SourceParentNotFoundException")
		}
		if _, ok := t.units[to]; !ok {
			return errMissing("DestinationParentNotFoundException")
		}
		if from == to {
			return errStands("DuplicateAccountException")
		}
		m.Parent = to
		return tx.PutMember(m)
	})
}

package identity

import (
	"context"
	"strings"

	"berth/internal/access"
)

const (
	maxUnits = 2000
	maxDepth = 5 // of units below the root
)

// CreateOrganization gathers all accounts in an organization that the first account
// manages. Service control policies are enabled. Errors:
// AlreadyInOrganizationException.
func (d *Directory) CreateOrganization(ctx context.Context, c access.Call) (Organization, error) {
	q := organizationCall(c, "CreateOrganization", nil)
	var out Organization
	err := d.update(ctx, q, func(tx Tx) error {
		if err := d.decide(ctx, q, d.account, "*", nil); err != nil {
			return err
		}
		there, err := tx.Organization()
		if err != nil {
			return err
		}
		if there != nil {
			return errInOrganization()
		}
		out = Organization{ID: "o-" + randomText(10), Management: d.account, Types: []ControlType{ServiceControl}, Version: 1, CreatedAt: d.time()}
		if err := tx.PutOrganization(out); err != nil {
			return err
		}
		root := Unit{ID: "r-" + randomText(4), Name: "Root", CreatedAt: d.time()}
		if err := d.addUnit(tx, out.Types, root); err != nil {
			return err
		}
		accounts, err := tx.AllAccounts()
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if err := d.addMember(tx, out.Types, Member{Account: a, Parent: root.ID, JoinedAt: d.time()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Organization{}, err
	}
	d.reread(ctx)
	return out, nil
}

// addUnit adds a unit with the policies that everything has to begin with.
func (d *Directory) addUnit(tx Tx, types []ControlType, u Unit) error {
	if err := tx.PutUnit(u); err != nil {
		return err
	}
	return attachFull(tx, types, u.ID)
}

// addMember is addUnit for an account.
func (d *Directory) addMember(tx Tx, types []ControlType, m Member) error {
	if err := tx.PutMember(m); err != nil {
		return err
	}
	return attachFull(tx, types, m.Account)
}

func attachFull(tx Tx, types []ControlType, target string) error {
	for _, c := range types {
		if err := tx.AttachControl(ControlAttachment{target, controls[c].full.ID}); err != nil {
			return err
		}
	}
	return nil
}

// join adds a new account to the root of the organization, if there is one.
func (d *Directory) join(tx Tx, account string) error {
	if err := tx.ChangeOrganization(); err != nil {
		return err
	}
	t, err := readTree(tx)
	if err != nil || t == nil {
		return err
	}
	return d.addMember(tx, t.Types, Member{Account: account, Parent: t.root, JoinedAt: d.time()})
}

// DescribeOrganization returns the organization that the caller's account is in.
// Errors: AWSOrganizationsNotInUseException.
func (d *Directory) DescribeOrganization(ctx context.Context, c access.Call) (out Organization, err error) {
	q := organizationCall(c, "DescribeOrganization", nil)
	err = d.view(ctx, q, func(tx ReadTx) error {
		if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
			return err
		}
		o, err := tx.Organization()
		if err != nil {
			return err
		}
		if o == nil {
			return errNoOrganization()
		}
		out = *o
		return nil
	})
	return out, err
}

// Root returns the organization and its root. Errors:
// AWSOrganizationsNotInUseException.
func (d *Directory) Root(ctx context.Context, c access.Call) (o Organization, root Unit, err error) {
	q := organizationCall(c, "ListRoots", nil)
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t); err != nil {
			return err
		}
		o, root = t.Organization, t.units[t.root]
		return nil
	})
	return o, root, err
}

// UnitView is a unit and the organization that it is in.
type UnitView struct {
	Organization
	Unit
}

// ARN returns the unit's ARN.
func (u UnitView) ARN() string { return (&tree{Organization: u.Organization}).arn(u.Unit.ID) }

// CreateUnit makes an organizational unit in another or in the root. Errors:
// ParentNotFoundException, DuplicateOrganizationalUnitException,
// ConstraintViolationException.
func (d *Directory) CreateUnit(ctx context.Context, c access.Call, parent, name string) (UnitView, error) {
	q := organizationCall(c, "CreateOrganizationalUnit", params{"parentId": parent, "name": name})
	var out UnitView
	err := d.organize(ctx, q, func(tx Tx, t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(parent)); err != nil {
			return err
		}
		if _, ok := t.units[parent]; !ok {
			return errMissing("ParentNotFoundException")
		}
		if err := t.checkName(parent, "", name); err != nil {
			return err
		}
		if len(t.units) > maxUnits {
			return errConstraint("OU_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of OUs that you can have in an organization.")
		}
		if len(t.chain(parent)) > maxDepth {
			return errConstraint("OU_DEPTH_LIMIT_EXCEEDED", "You have exceeded the maximum depth of the OU tree.")
		}
		out = UnitView{t.Organization, Unit{ID: "ou-" + strings.TrimPrefix(t.root, "r-") + "-" + randomText(8), Parent: parent, Name: name, CreatedAt: d.time()}}
		return d.addUnit(tx, t.Types, out.Unit)
	})
	return out, err
}

// checkName checks that no other unit of a parent has a name.
func (t *tree) checkName(parent, id, name string) error {
	if err := checkText(name); err != nil {
		return err
	}
	for _, u := range t.children(parent) {
		if u.ID != id && u.Name == name {
			return errStands("DuplicateOrganizationalUnitException")
		}
	}
	return nil
}

// unit decides a call about an organizational unit and returns it.
func (d *Directory) unit(ctx context.Context, q *request, t *tree, id string) (Unit, error) {
	if err := d.allow(ctx, q, t, t.arn(id)); err != nil {
		return Unit{}, err
	}
	u, ok := t.units[id]
	if !ok || u.Parent == "" {
		return Unit{}, errMissing("OrganizationalUnitNotFoundException")
	}
	return u, nil
}

// DescribeUnit returns an organizational unit. Errors:
// OrganizationalUnitNotFoundException.
func (d *Directory) DescribeUnit(ctx context.Context, c access.Call, id string) (out UnitView, err error) {
	q := organizationCall(c, "DescribeOrganizationalUnit", params{"organizationalUnitId": id})
	err = d.consult(ctx, q, func(t *tree) error {
		u, err := d.unit(ctx, q, t, id)
		out = UnitView{t.Organization, u}
		return err
	})
	return out, err
}

// RenameUnit gives an organizational unit another name, unless that is "". Errors:
// OrganizationalUnitNotFoundException, DuplicateOrganizationalUnitException.
func (d *Directory) RenameUnit(ctx context.Context, c access.Call, id, name string) (out UnitView, err error) {
	q := organizationCall(c, "UpdateOrganizationalUnit", params{"organizationalUnitId": id, "name": name})
	err = d.organize(ctx, q, func(tx Tx, t *tree) error {
		u, err := d.unit(ctx, q, t, id)
		if err != nil {
			return err
		}
		if name != "" {
			u.Name = name
		}
		out = UnitView{t.Organization, u}
		if err := t.checkName(u.Parent, id, u.Name); err != nil {
			return err
		}
		return tx.PutUnit(u)
	})
	return out, err
}

// DeleteUnit deletes an organizational unit that nothing is in. Errors:
// OrganizationalUnitNotFoundException, OrganizationalUnitNotEmptyException.
func (d *Directory) DeleteUnit(ctx context.Context, c access.Call, id string) error {
	q := organizationCall(c, "DeleteOrganizationalUnit", params{"organizationalUnitId": id})
	return d.organize(ctx, q, func(tx Tx, t *tree) error {
		if _, err := d.unit(ctx, q, t, id); err != nil {
			return err
		}
		if len(t.children(id)) > 0 || len(t.in(id)) > 0 {
			return errStands("OrganizationalUnitNotEmptyException")
		}
		return tx.DeleteUnit(id)
	})
}

// ListUnits lists the units in a unit. Event is the operation that asks. Errors:
// ParentNotFoundException, InvalidInputException.
func (d *Directory) ListUnits(ctx context.Context, c access.Call, event, parent string, p Page) (out []UnitView, next string, err error) {
	q := organizationCall(c, event, params{"parentId": parent})
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(parent)); err != nil {
			return err
		}
		if _, ok := t.units[parent]; !ok {
			return errMissing("ParentNotFoundException")
		}
		var all []UnitView
		for _, u := range t.children(parent) {
			all = append(all, UnitView{t.Organization, u})
		}
		out, next, err = listed(d, q, p, all, func(u UnitView) string { return u.Unit.ID }, parent)
		return err
	})
	return out, next, err
}

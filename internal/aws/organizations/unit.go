package organizations

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

func unit(u identity.UnitView) *types.OrganizationalUnit {
	return &types.OrganizationalUnit{Id: &u.Unit.ID, Arn: new(u.ARN()), Name: &u.Name}
}

// CreateOrganizationalUnit makes a unit.
func (a *API) CreateOrganizationalUnit(ctx context.Context, c call, in *organizations.CreateOrganizationalUnitInput) (*organizations.CreateOrganizationalUnitOutput, error) {
	if err := untagged(in.Tags); err != nil {
		return nil, err
	}
	u, err := a.directory.CreateUnit(ctx, c, value(in.ParentId), value(in.Name))
	if err != nil {
		return nil, err
	}
	return &organizations.CreateOrganizationalUnitOutput{OrganizationalUnit: unit(u)}, nil
}

// DescribeOrganizationalUnit returns a unit.
func (a *API) DescribeOrganizationalUnit(ctx context.Context, c call, in *organizations.DescribeOrganizationalUnitInput) (*organizations.DescribeOrganizationalUnitOutput, error) {
	u, err := a.directory.DescribeUnit(ctx, c, value(in.OrganizationalUnitId))
	if err != nil {
		return nil, err
	}
	return &organizations.DescribeOrganizationalUnitOutput{OrganizationalUnit: unit(u)}, nil
}

// UpdateOrganizationalUnit renames a unit.
func (a *API) UpdateOrganizationalUnit(ctx context.Context, c call, in *organizations.UpdateOrganizationalUnitInput) (*organizations.UpdateOrganizationalUnitOutput, error) {
	u, err := a.directory.RenameUnit(ctx, c, value(in.OrganizationalUnitId), value(in.Name))
	if err != nil {
		return nil, err
	}
	return &organizations.UpdateOrganizationalUnitOutput{OrganizationalUnit: unit(u)}, nil
}

// DeleteOrganizationalUnit deletes a unit.
func (a *API) DeleteOrganizationalUnit(ctx context.Context, c call, in *organizations.DeleteOrganizationalUnitInput) (*organizations.DeleteOrganizationalUnitOutput, error) {
	return nil, a.directory.DeleteUnit(ctx, c, value(in.OrganizationalUnitId))
}

// ListOrganizationalUnitsForParent lists the units in a unit.
func (a *API) ListOrganizationalUnitsForParent(ctx context.Context, c call, in *organizations.ListOrganizationalUnitsForParentInput) (*organizations.ListOrganizationalUnitsForParentOutput, error) {
	found, next, err := a.directory.ListUnits(ctx, c, "ListOrganizationalUnitsForParent", value(in.ParentId), page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizations.ListOrganizationalUnitsForParentOutput{
		OrganizationalUnits: render(found, func(u identity.UnitView) types.OrganizationalUnit { return *unit(u) }), NextToken: optional(next),
	}, nil
}

// ListChildren lists the ids of what is in a unit.
func (a *API) ListChildren(ctx context.Context, c call, in *organizations.ListChildrenInput) (*organizations.ListChildrenOutput, error) {
	p := page(in.NextToken, in.MaxResults)
	if in.ChildType == types.ChildTypeAccount {
		found, next, err := a.directory.ListMembersOf(ctx, c, "ListChildren", value(in.ParentId), p)
		if err != nil {
			return nil, err
		}
		return &organizations.ListChildrenOutput{NextToken: optional(next), Children: render(found, func(m identity.MemberView) types.Child {
			return types.Child{Id: &m.Account, Type: types.ChildTypeAccount}
		})}, nil
	}
	found, next, err := a.directory.ListUnits(ctx, c, "ListChildren", value(in.ParentId), p)
	if err != nil {
		return nil, err
	}
	return &organizations.ListChildrenOutput{NextToken: optional(next), Children: render(found, func(u identity.UnitView) types.Child {
		return types.Child{Id: &u.Unit.ID, Type: types.ChildTypeOrganizationalUnit}
	})}, nil
}

// ListParents returns the unit that something is in.
func (a *API) ListParents(ctx context.Context, c call, in *organizations.ListParentsInput) (*organizations.ListParentsOutput, error) {
	id, err := a.directory.Parent(ctx, c, value(in.ChildId))
	if err != nil {
		return nil, err
	}
	kind := types.ParentTypeOrganizationalUnit
	if id[:2] == "r-" {
		kind = types.ParentTypeRoot
	}
	return &organizations.ListParentsOutput{Parents: []types.Parent{{Id: &id, Type: kind}}}, nil
}

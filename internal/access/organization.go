package access

import (
	"strings"

	"berth/internal/policy"
)

// Membership is an account's place in an organization. It never changes.
type Membership struct {
	Organization string // o-a1b2c3d4e5
	Path         string // o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/
	// ServiceControl limits the account's principals and ResourceControl what can be
	// done to its resources, level by level. Those of the management account, and
	// those that let everything through, are left out.
	ServiceControl, ResourceControl [][]policy.Attached
}

// Organizations knows which accounts are in an organization.
type Organizations interface {
	// Membership returns an account's place as it is now, nil for an account that is
	// in no organization. That the place of an account which exists is not known yet
	// is an error. It is asked while transactions run, and must not begin one.
	Membership(account string, exists bool) (*Membership, error)
}

// memberships returns the places of the caller's account and of the resource's.
func (a *Authorizer) memberships(r Request) (caller, resource *Membership, err error) {
	if a.Organizations == nil {
		return nil, nil, nil
	}
	if caller, err = a.Organizations.Membership(r.Caller.Account, r.Caller.Account != ""); err != nil || r.Account == r.Caller.Account {
		return caller, caller, err
	}
	resource, err = a.Organizations.Membership(r.Account, false) // clients may name any
	return caller, resource, err
}

// serviceControl returns the policies that limit the account's principals.
func (m *Membership) serviceControl() [][]policy.Attached {
	if m == nil {
		return nil
	}
	return m.ServiceControl
}

// controlled are the services whose resources resource control policies are about.
var controlled = []string{"ecr:", "sts:", "kms:"}

// resourceControl returns the policies that limit an action on what is in the
// account.
func (m *Membership) resourceControl(action string) [][]policy.Attached {
	if m == nil {
		return nil
	}
	for _, service := range controlled {
		if strings.HasPrefix(action, service) {
			return m.ResourceControl
		}
	}
	return nil
}

// serviceKeys are the condition keys about organizations that a service has that
// somebody acts for, by the key that they have the values of.
var serviceKeys = map[string]string{
	"aws:SourceOrgID": "aws:PrincipalOrgID", "aws:SourceOrgPaths": "aws:PrincipalOrgPaths",
	"aws:ResourceOrgID": "aws:ResourceOrgID", "aws:ResourceOrgPaths": "aws:ResourceOrgPaths",
}

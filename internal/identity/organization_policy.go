package identity

import (
	"context"
	"unicode/utf8"

	"berth/internal/access"
	"berth/internal/policy"
)

const (
	maxControls       = 1000 // policies of a type
	maxControlContent = 5120 // characters
	maxControlsOf     = 5    // policies of a type that a target has
)

// ControlView is a policy and its organization.
type ControlView struct {
	Organization
	ControlPolicy
}

// ARN returns the policy's ARN.
func (p ControlView) ARN() string { return p.ControlPolicy.ARN(p.Organization) }

// checkControl checks the type and the document of a policy.
func checkControl(p ControlPolicy) error {
	if err := checkText(p.Name, p.Description, p.Content); err != nil {
		return err
	}
	c, ok := controls[p.Type]
	if !ok {
		return errStands("PolicyTypeNotAvailableForOrganizationException")
	}
	if utf8.RuneCountInString(p.Content) > maxControlContent {
		return errConstraint("POLICY_CONTENT_LIMIT_EXCEEDED", "You have exceeded the maximum size of a policy document.")
	}
	if _, err := policy.Parse(p.Content, policy.Options{Kind: c.kind, Limits: p.Type == ResourceControl}); err != nil {
		return errControlDocument(err)
	}
	return nil
}

// checkFree checks that no other policy of the type has the name.
func (t *tree) checkFree(p ControlPolicy) error {
	n := 0
	for _, other := range t.policies {
		if other.Type != p.Type || other.ID == p.ID {
			continue
		}
		if n++; other.Name == p.Name {
			return errStands("DuplicatePolicyException")
		}
	}
	if n >= maxControls {
		return errConstraint("POLICY_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of policies that you can have in an organization.")
	}
	return nil
}

// CreateControl makes a policy. Its id and whether it is AWS's are ignored. Errors:
// DuplicatePolicyException, MalformedPolicyDocumentException,
// ConstraintViolationException, PolicyTypeNotAvailableForOrganizationException.
func (d *Directory) CreateControl(ctx context.Context, c access.Call, p ControlPolicy) (out ControlView, err error) {
	q := organizationCall(c, "CreatePolicy", params{"name": p.Name, "description": p.Description, "type": p.Type}).about(p.Type)
	err = d.organize(ctx, q, func(tx Tx, t *tree) error {
		if err := d.allow(ctx, q, t); err != nil {
			return err
		}
		p.ID, p.AWSManaged = "p-"+randomText(10), false
		if err := checkControl(p); err != nil {
			return err
		}
		if err := t.checkFree(p); err != nil {
			return err
		}
		out = ControlView{t.Organization, p}
		return tx.PutControlPolicy(p)
	})
	return out, err
}

// control decides a call about a policy and returns it.
func (d *Directory) control(ctx context.Context, q *request, t *tree, id string) (ControlPolicy, error) {
	p, ok := t.policies[id]
	if ok {
		q.about(p.Type)
	}
	if err := d.allow(ctx, q, t, t.policyARN(id)); err != nil {
		return p, err
	}
	if !ok {
		return p, errMissing("PolicyNotFoundException")
	}
	return p, nil
}

// changeable is control for calls that change the policy.
func (d *Directory) changeable(ctx context.Context, q *request, t *tree, id string) (ControlPolicy, error) {
	p, err := d.control(ctx, q, t, id)
	if err == nil && p.AWSManaged {
		err = errOrganizationInput("IMMUTABLE_POLICY", "You specified a policy that is managed by AWS and can't be modified.")
	}
	return p, err
}

// ControlChange is what UpdateControl changes of a policy; nil leaves it as it is.
type ControlChange struct{ Name, Description, Content *string }

// UpdateControl changes a policy. Errors: PolicyNotFoundException,
// DuplicatePolicyException, MalformedPolicyDocumentException,
// ConstraintViolationException, InvalidInputException.
func (d *Directory) UpdateControl(ctx context.Context, c access.Call, id string, change ControlChange) (out ControlView, err error) {
	q := organizationCall(c, "UpdatePolicy", params{"policyId": id, "name": change.Name, "description": change.Description})
	err = d.organize(ctx, q, func(tx Tx, t *tree) error {
		p, err := d.changeable(ctx, q, t, id)
		if err != nil {
			return err
		}
		for _, set := range []struct{ to, from *string }{{&p.Name, change.Name}, {&p.Description, change.Description}, {&p.Content, change.Content}} {
			if set.from != nil {
				*set.to = *set.from
			}
		}
		if err := checkControl(p); err != nil {
			return err
		}
		if err := t.checkFree(p); err != nil {
			return err
		}
		out = ControlView{t.Organization, p}
		return tx.PutControlPolicy(p)
	})
	return out, err
}

// DeleteControl deletes a policy that is attached to nothing. Errors:
// PolicyNotFoundException, PolicyInUseException, InvalidInputException.
func (d *Directory) DeleteControl(ctx context.Context, c access.Call, id string) error {
	q := organizationCall(c, "DeletePolicy", params{"policyId": id})
	return d.organize(ctx, q, func(tx Tx, t *tree) error {
		if _, err := d.changeable(ctx, q, t, id); err != nil {
			return err
		}
		if len(t.targets(id)) > 0 {
			return errStands("PolicyInUseException")
		}
		return tx.DeleteControlPolicy(id)
	})
}

// DescribeControl returns a policy. Errors: PolicyNotFoundException.
func (d *Directory) DescribeControl(ctx context.Context, c access.Call, id string) (out ControlView, err error) {
	q := organizationCall(c, "DescribePolicy", params{"policyId": id})
	err = d.consult(ctx, q, func(t *tree) error {
		p, err := d.control(ctx, q, t, id)
		out = ControlView{t.Organization, p}
		return err
	})
	return out, err
}

func controlPlace(p ControlView) string { return p.ControlPolicy.ID }

// ListControls lists the policies of a type, those of AWS too. Of a type that Berth
// does not have there are none. Errors: InvalidInputException.
func (d *Directory) ListControls(ctx context.Context, c access.Call, kind ControlType, p Page) (out []ControlView, next string, err error) {
	q := organizationCall(c, "ListPolicies", params{"filter": kind}).about(kind)
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t); err != nil {
			return err
		}
		var all []ControlView
		for _, p := range t.policies {
			if p.Type == kind {
				all = append(all, ControlView{t.Organization, p})
			}
		}
		out, next, err = listed(d, q, p, all, controlPlace, string(kind))
		return err
	})
	return out, next, err
}

package identity

import (
	"context"
	"maps"
	"slices"

	"berth/internal/access"
)

// targets returns the ids of what has a policy.
func (t *tree) targets(policy string) []string {
	var out []string
	for target, list := range t.attached {
		if slices.Contains(list, policy) {
			out = append(out, target)
		}
	}
	return out
}

// pair decides a call about a policy and a target, and returns the policy.
func (d *Directory) pair(ctx context.Context, q *request, t *tree, policy, target string) (ControlPolicy, error) {
	p, there := t.policies[policy]
	if there {
		q.about(p.Type)
	}
	if err := d.allow(ctx, q, t, t.policyARN(policy), t.arn(target)); err != nil {
		return p, err
	}
	switch {
	case !there:
		return p, errMissing("PolicyNotFoundException")
	case !t.has(target):
		return p, errMissing("TargetNotFoundException")
	}
	return p, nil
}

// AttachControl gives a unit or an account a policy. Errors:
// PolicyNotFoundException, TargetNotFoundException, PolicyTypeNotEnabledException,
// DuplicatePolicyAttachmentException, ConstraintViolationException.
func (d *Directory) AttachControl(ctx context.Context, c access.Call, policy, target string) error {
	q := organizationCall(c, "AttachPolicy", params{"policyId": policy, "targetId": target})
	return d.organize(ctx, q, func(tx Tx, t *tree) error {
		p, err := d.pair(ctx, q, t, policy, target)
		if err != nil {
			return err
		}
		switch {
		case !slices.Contains(t.Types, p.Type):
			return errStands("PolicyTypeNotEnabledException")
		case slices.Contains(t.attached[target], policy):
			return errStands("DuplicatePolicyAttachmentException")
		case len(t.of(target, p.Type)) >= maxControlsOf:
			return errConstraint("MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You have attached the maximum number of policies of the type to the target.")
		}
		return tx.AttachControl(ControlAttachment{target, policy})
	})
}

// DetachControl takes a policy from a unit or an account, which must keep one of
// its type. Errors: PolicyNotFoundException, TargetNotFoundException,
// PolicyNotAttachedException, ConstraintViolationException, InvalidInputException.
func (d *Directory) DetachControl(ctx context.Context, c access.Call, policy, target string) error {
	q := organizationCall(c, "DetachPolicy", params{"policyId": policy, "targetId": target})
	return d.organize(ctx, q, func(tx Tx, t *tree) error {
		p, err := d.pair(ctx, q, t, policy, target)
		if err != nil {
			return err
		}
		switch {
		case !slices.Contains(t.attached[target], policy):
			return errStands("PolicyNotAttachedException")
		case policy == controls[ResourceControl].full.ID:
			return errOrganizationInput("NON_DETACHABLE_POLICY", "You can't detach the RCPFullAWSAccess policy.")
		case len(t.of(target, p.Type)) == 1:
			return errConstraint("MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You can't detach the last policy of the type from the target.")
		}
		return tx.DetachControl(ControlAttachment{target, policy})
	})
}

// ListControlsOf lists the policies of a type that a target has. Errors:
// TargetNotFoundException, InvalidInputException.
func (d *Directory) ListControlsOf(ctx context.Context, c access.Call, target string, kind ControlType, p Page) (out []ControlView, next string, err error) {
	q := organizationCall(c, "ListPoliciesForTarget", params{"targetId": target, "filter": kind}).about(kind)
	err = d.consult(ctx, q, func(t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(target)); err != nil {
			return err
		}
		if !t.has(target) {
			return errMissing("TargetNotFoundException")
		}
		var all []ControlView
		for _, p := range t.of(target, kind) {
			all = append(all, ControlView{t.Organization, p})
		}
		out, next, err = listed(d, q, p, all, controlPlace, target, string(kind))
		return err
	})
	return out, next, err
}

// Target is what a policy is attached to.
type Target struct{ ID, ARN, Name string }

// ListTargets lists what has a policy. Errors: PolicyNotFoundException,
// InvalidInputException.
func (d *Directory) ListTargets(ctx context.Context, c access.Call, policy string, p Page) (out []Target, next string, err error) {
	q := organizationCall(c, "ListTargetsForPolicy", params{"policyId": policy})
	err = d.consult(ctx, q, func(t *tree) error {
		if _, err := d.control(ctx, q, t, policy); err != nil {
			return err
		}
		var all []Target
		for _, id := range t.targets(policy) {
			name := t.units[id].Name
			if m, ok := t.members[id]; ok {
				name = t.member(m).Name()
			}
			all = append(all, Target{id, t.arn(id), name})
		}
		out, next, err = listed(d, q, p, all, func(t Target) string { return t.ID }, policy)
		return err
	})
	return out, next, err
}

// EnableControls enables a type of policies in the root: everything begins with the
// policy that lets everything through. Errors: RootNotFoundException,
// PolicyTypeAlreadyEnabledException, PolicyTypeNotAvailableForOrganizationException.
func (d *Directory) EnableControls(ctx context.Context, c access.Call, root string, kind ControlType) (Organization, Unit, error) {
	return d.setControls(ctx, c, "EnablePolicyType", root, kind, func(tx Tx, t *tree) error {
		if slices.Contains(t.Types, kind) {
			return errStands("PolicyTypeAlreadyEnabledException")
		}
		t.Types = append(slices.Clone(t.Types), kind)
		for _, target := range t.everything() {
			if err := attachFull(tx, []ControlType{kind}, target); err != nil {
				return err
			}
		}
		return nil
	})
}

// DisableControls disables a type of policies in the root: they are detached from
// everything. Errors: RootNotFoundException, PolicyTypeNotEnabledException,
// PolicyTypeNotAvailableForOrganizationException.
func (d *Directory) DisableControls(ctx context.Context, c access.Call, root string, kind ControlType) (Organization, Unit, error) {
	return d.setControls(ctx, c, "DisablePolicyType", root, kind, func(tx Tx, t *tree) error {
		i := slices.Index(t.Types, kind)
		if i < 0 {
			return errStands("PolicyTypeNotEnabledException")
		}
		t.Types = slices.Delete(slices.Clone(t.Types), i, i+1)
		for _, target := range t.everything() {
			for _, p := range t.of(target, kind) {
				if err := tx.DetachControl(ControlAttachment{target, p.ID}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// everything returns the ids of all that can have policies.
func (t *tree) everything() []string {
	return slices.AppendSeq(slices.Collect(maps.Keys(t.units)), maps.Keys(t.members))
}

func (d *Directory) setControls(ctx context.Context, c access.Call, event, root string, kind ControlType, fn func(Tx, *tree) error) (o Organization, u Unit, err error) {
	q := organizationCall(c, event, params{"rootId": root, "policyType": kind}).about(kind)
	err = d.organize(ctx, q, func(tx Tx, t *tree) error {
		if err := d.allow(ctx, q, t, t.arn(root)); err != nil {
			return err
		}
		if root != t.root {
			return errMissing("RootNotFoundException")
		}
		if _, ok := controls[kind]; !ok {
			return errStands("PolicyTypeNotAvailableForOrganizationException")
		}
		if err := fn(tx, t); err != nil {
			return err
		}
		if err := tx.PutOrganization(t.Organization); err != nil {
			return err
		}
		o, u = t.Organization, t.units[t.root]
		return nil
	})
	return o, u, err
}

package identity

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

var simulatedAction = regexp.MustCompile(`\A[A-Za-z0-9-]+:[A-Za-z0-9]+\z`)

// prepare checks the input of a simulation and takes it over.
func (s *simulator) prepare(in Simulation) error {
	for _, check := range []func(Simulation) error{s.takeOptions, s.takePolicies, s.takeCaller, s.takeContext} {
		if err := check(in); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulator) takeOptions(in Simulation) error {
	if in.Exclusions > 0 {
		return errInput("PolicyExclusionList is not supported.")
	}
	if in.Handling != "" {
		return errInput("ResourceHandlingOption %.64q is not supported: it is for Amazon EC2.", in.Handling)
	}
	for _, a := range in.Actions {
		if !simulatedAction.MatchString(a) {
			return errInput("Invalid action: %.128q is not the name of an action, as in ecr:PutImage.", a)
		}
	}
	for _, r := range in.Resources {
		if _, ok := policy.ParseARN(r); !ok && r != "*" {
			return errInput("Invalid resource: %.128q is neither an ARN nor *.", r)
		}
	}
	return nil
}

func (s *simulator) takePolicies(in Simulation) error {
	if len(in.Boundary) > 1 {
		return errInput("Only one permissions boundary policy can be given.")
	}
	s.policies.Identity = slices.Clone(s.policies.Identity)
	for i, text := range in.Policies {
		a, err := inputPolicy(policy.Identity, fmt.Sprintf("PolicyInputList.%d", i+1), text)
		if err != nil {
			return err
		}
		s.policies.Identity = append(s.policies.Identity, a)
	}
	for _, text := range in.Boundary {
		a, err := inputPolicy(policy.Boundary, "PermissionsBoundaryPolicyInputList.1", text)
		if err != nil {
			return err
		}
		s.policies.Boundary = []policy.Attached{a}
	}
	if in.Resource == "" {
		return nil
	}
	a, err := inputPolicy(policy.Repository, "ResourcePolicy", in.Resource)
	s.resource = []policy.Attached{a}
	return err
}

// inputPolicy parses a document that a simulation gives.
func inputPolicy(k policy.Kind, name, text string) (policy.Attached, error) {
	p, err := policy.Parse(text, policy.Options{Kind: k})
	if f, ok := fault.As(err); ok {
		reason := f.Message
		if f.Err != nil {
			reason = f.Err.Error()
		}
		return policy.Attached{}, errInput("Invalid policy %s: %.512s", name, reason)
	}
	return policy.Attached{Name: name, Policy: p}, err
}

func (s *simulator) takeCaller(in Simulation) error {
	if in.Caller != "" {
		p, ok := policy.PrincipalOf(in.Caller)
		if !ok || p.Type != policy.User && (p.Type != policy.AssumedRole || !sourceARN.MatchString(in.Caller)) {
			return errInput("Invalid CallerArn: %.128q is not the ARN of a user or a role.", in.Caller)
		}
		if in.Caller != s.caller.ARN {
			s.caller = access.Caller{Account: p.Account, ARN: in.Caller, Type: access.User}
			if p.Type == policy.AssumedRole {
				s.caller.Type = access.AssumedRole
			}
			s.policies.Tags = nil
		}
	}
	if in.Resource != "" && s.caller.ARN == "" {
		return errInput("CallerArn must be given with a resource policy for a group.")
	}
	if s.owner = s.caller.Account; in.Owner == "" {
		return nil
	}
	p, _ := policy.PrincipalOf(in.Owner)
	s.owner = in.Owner
	if p.Type == policy.Root {
		s.owner = p.Account
	}
	if !accountID.MatchString(s.owner) {
		return errInput("Invalid ResourceOwner: %.128q is neither an account's id nor the ARN of its root.", in.Owner)
	}
	return nil
}

func (s *simulator) takeContext(in Simulation) error {
	seen := map[string]bool{}
	for _, e := range in.Entries {
		if err := checkContextKey(e.Key, seen); err != nil {
			return err
		}
		kind, list := strings.CutSuffix(e.Type, "List")
		if !list && len(e.Values) > 1 {
			return errInput("The context key %.128s is of the type %.64s and has more than one value.", e.Key, e.Type)
		}
		for _, v := range e.Values {
			if !policy.ValidValue(kind, v) {
				return errInput("The value %.128q of the context key %.128s is not of the type %.64s.", v, e.Key, e.Type)
			}
		}
		s.context[strings.ToLower(e.Key)] = e.Values
	}
	return nil
}

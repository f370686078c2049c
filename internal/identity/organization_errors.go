package identity

import (
	"errors"

	"berth/internal/fault"
)

// errUnread is a fault of ours: the organization could not be read, or has changed
// since.
var errUnread = errors.New("the organization has not been read")

// The texts are those of AWS Organizations wherever they are known.

func errNoOrganization() error {
	return fault.New(fault.NotFound, "AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
}

func errInOrganization() error {
	return fault.New(fault.Exists, "AlreadyInOrganizationException", "The AWS account is already a member of an organization.")
}

// notFounds are what can be missing, by the exception that says so.
var notFounds = map[string]string{
	"AccountNotFoundException":            "You specified an account that doesn't exist.",
	"ChildNotFoundException":              "You specified an organizational unit (OU) or an account that doesn't exist.",
	"DestinationParentNotFoundException":  "You specified a destination parent that doesn't exist.",
	"OrganizationalUnitNotFoundException": "You specified an organizational unit that doesn't exist.",
	"ParentNotFoundException":             "You specified parent that doesn't exist.",
	"PolicyNotFoundException":             "You specified a policy that doesn't exist.",
	"RootNotFoundException":               "You specified a root that doesn't exist.",
	"SourceParentNotFoundException":       "You specified a source parent that doesn't exist.",
	"TargetNotFoundException":             "You specified a target that doesn't exist.",
}

func errMissing(code string) error { return fault.New(fault.NotFound, code, "%s", notFounds[code]) }

// conflicts are what can stand in the way, by the exception that says so.
var conflicts = map[string]string{
	"DuplicateAccountException":                      "The account is already in the destination parent.",
	"DuplicateOrganizationalUnitException":           "An OU with the same name already exists.",
	"DuplicatePolicyAttachmentException":             "A policy is already attached to the target.",
	"DuplicatePolicyException":                       "A policy with the same name already exists.",
	"OrganizationalUnitNotEmptyException":            "The specified organizational unit (OU) is not empty.",
	"PolicyInUseException":                           "The policy is attached to one or more entities.",
	"PolicyNotAttachedException":                     "The policy isn't attached to the specified target in the specified root.",
	"PolicyTypeAlreadyEnabledException":              "The specified policy type is already enabled.",
	"PolicyTypeNotAvailableForOrganizationException": "The specified policy type is not available for your organization.",
	"PolicyTypeNotEnabledException":                  "This operation can be performed only for enabled policy types.",
}

func errStands(code string) error { return fault.New(fault.Conflict, code, "%s", conflicts[code]) }

func errControlDocument(err error) error {
	return &fault.Error{Kind: fault.Invalid, Code: "MalformedPolicyDocumentException",
		Message: "The provided policy document does not meet the requirements of the specified policy type.", Err: err}
}

// errConstraint is about a quota of an organization, or a rule that it must keep.
func errConstraint(reason, text string) error {
	e := fault.New(fault.Exhausted, "ConstraintViolationException", "%s", text)
	e.Members = map[string]any{"Reason": reason}
	return e
}

// errOrganizationInput is about a value that a member cannot have.
func errOrganizationInput(reason, text string) error {
	e := fault.New(fault.Invalid, "InvalidInputException", "%s", text)
	e.Members = map[string]any{"Reason": reason}
	return e
}

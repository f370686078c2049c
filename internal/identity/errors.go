package identity

import (
	"berth/internal/fault"
)

// The texts are IAM's own wherever they are known; tools parse some of them.

func errNoSuch(format string, args ...any) error {
	return fault.New(fault.NotFound, "NoSuchEntity", format, args...)
}

func errNoEntity(k Kind, name string) error {
	return errNoSuch("The %s with name %s cannot be found.", k, name)
}

func errNoPolicy(arn string) error { return errNoSuch("Policy %s was not found.", arn) }

func errNotAttachable(arn string) error {
	return errNoSuch("Policy %s does not exist or is not attachable.", arn)
}

func errNoVersion(arn, version string) error {
	return errNoSuch("Policy %s version %s does not exist or is not attachable.", arn, version)
}

func errNoKey(id string) error { return errNoSuch("The Access Key with id %s cannot be found.", id) }

func errNoProvider(arn string) error {
	return errNoSuch("OpenIDConnect Provider not found for arn %s", arn)
}

func errExists(format string, args ...any) error {
	return fault.New(fault.Exists, "EntityAlreadyExists", format, args...)
}

func errEntityExists(k Kind, name string) error {
	if k == Policy {
		return errExists("A policy called %s already exists. Duplicate names are not allowed.", name)
	}
	return errExists("%s with name %s already exists.", k.title(), name)
}

func errDeleteConflict(text string) error {
	return fault.New(fault.Conflict, "DeleteConflict", "%s", text)
}

func errLimit(format string, args ...any) error {
	return fault.New(fault.Exhausted, "LimitExceeded", format, args...)
}

func errQuota(name string, limit int) error {
	return errLimit("Cannot exceed quota for %s: %d", name, limit)
}

func errMalformed(text string) error {
	return fault.New(fault.Invalid, "MalformedPolicyDocument", "%s", text)
}

func errValidation(format string, args ...any) error {
	return fault.New(fault.Invalid, "ValidationException", format, args...)
}

func errInput(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidInput", format, args...)
}

func errUnmodifiable(format string, args ...any) error {
	return fault.New(fault.Conflict, "UnmodifiableEntity", format, args...)
}

func errProtected(name string) error {
	return errUnmodifiable("Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", name)
}

// errUnknownKey is how a request is refused whose key nobody has.
func errUnknownKey() error {
	return fault.New(fault.Unauthenticated, "UnrecognizedClientException", "The security token included in the request is invalid.")
}

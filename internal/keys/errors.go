package keys

import (
	"berth/internal/fault"
)

// The texts are KMS's own wherever they are known; tools parse some of them.

func errNotFound(format string, args ...any) error {
	return fault.New(fault.NotFound, "NotFoundException", format, args...)
}

func errNoKey(arn string) error { return errNotFound("Key '%s' does not exist", arn) }

func errNoAlias(arn string) error { return errNotFound("Alias %s is not found.", arn) }

func errDisabled(arn string) error {
	return fault.New(fault.Conflict, "DisabledException", "%s is disabled.", arn)
}

func errState(format string, args ...any) error {
	return fault.New(fault.Conflict, "KMSInvalidStateException", format, args...)
}

func errPending(arn string) error { return errState("%s is pending deletion.", arn) }

func errARN(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidArnException", format, args...)
}

func errAliasName(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidAliasNameException", format, args...)
}

func errValidation(format string, args ...any) error {
	return fault.New(fault.Invalid, "ValidationException", format, args...)
}

func errUnsupported(format string, args ...any) error {
	return fault.New(fault.Unsupported, "UnsupportedOperationException", format, args...)
}

func errLimit(format string, args ...any) error {
	return fault.New(fault.Exhausted, "LimitExceededException", format, args...)
}

func errPolicy(format string, args ...any) error {
	return fault.New(fault.Invalid, "MalformedPolicyDocumentException", format, args...)
}

func errTag(format string, args ...any) error {
	return fault.New(fault.Invalid, "TagException", format, args...)
}

// errCiphertext never says what is wrong, as KMS does not.
func errCiphertext() error {
	return fault.New(fault.Invalid, "InvalidCiphertextException", "The ciphertext is not valid for the key and the encryption context.")
}

func errIncorrectKey() error {
	return fault.New(fault.Invalid, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
}

func errMarker() error {
	return fault.New(fault.Invalid, "InvalidMarkerException", "The marker is not valid.")
}

func errGrantID(id string) error {
	return fault.New(fault.Invalid, "InvalidGrantIdException", "Grant ID %.128s is not valid.", id)
}

func errGrantToken() error {
	return fault.New(fault.Invalid, "InvalidGrantTokenException", "The grant token is not valid.")
}

func errAliasExists(arn string) error {
	return fault.New(fault.Exists, "AlreadyExistsException", "An alias with the name %s already exists", arn)
}

func errDryRun() error {
	return fault.New(fault.Conflict, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
}

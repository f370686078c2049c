package oidc

import "berth/internal/fault"

// The exceptions of STS that a token can be refused with.
const (
	codeInvalid     = "InvalidIdentityToken"
	codeExpired     = "ExpiredTokenException"
	codeUnreachable = "IDPCommunicationError"
)

func errInvalid(format string, args ...any) error {
	return fault.New(fault.Invalid, codeInvalid, format, args...)
}

func errMalformed() error {
	return errInvalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
}

func errMissing(claim string) error { return errInvalid("Missing a required claim: %s", claim) }

func errSignature() error {
	return errInvalid("The ID Token provided could not be validated: its signature is not that of its issuer.")
}

func errNoKey() error {
	return errInvalid("Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
}

func errExpired(now, expiry int64) error {
	return fault.New(fault.Invalid, codeExpired, "Token expired: current date/time %d must be before the expiration date/time %d", now, expiry)
}

// errUnreachable says nothing of the cause: what an address in this network
// answers is not for everybody who can send a token.
func errUnreachable(issuer string, cause error) error {
	e := fault.New(fault.Unavailable, codeUnreachable, "The keys of the identity provider %.256s could not be had. Try again later.", issuer)
	e.Err = cause
	return e
}

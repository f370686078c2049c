package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Code says in AWS's words why a signature was refused.
type Code string

// The reasons for refusal. The JSON protocols of AWS append "Exception" to
// them; the query protocol calls InvalidSignature SignatureDoesNotMatch.
const (
	// MissingAuthenticationToken means that the request is not signed at all.
	MissingAuthenticationToken Code = "MissingAuthenticationToken"
	// IncompleteSignature means that the signature is malformed, or signs
	// less than it must.
	IncompleteSignature Code = "IncompleteSignature"
	// InvalidSignature means that the signature is not one of this request
	// by this secret at this time.
	InvalidSignature Code = "InvalidSignature"
)

// Error is the refusal of a signature. Message is meant for the client: it
// has AWS's words where AWS has some, and repeats nothing of the request but
// what was checked to be plain.
type Error struct {
	Code    Code
	Message string
}

// Error returns code and message on one line.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func incomplete(format string, args ...any) error {
	return &Error{IncompleteSignature, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &Error{InvalidSignature, fmt.Sprintf(format, args...)}
}

func mismatch() error {
	return &Error{InvalidSignature, "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
}

// fingerprint stands in messages for an Authorization header, which may hold
// somebody's password.
func fingerprint(authorization string) string {
	sum := sha256.Sum256([]byte(authorization))
	return base64.StdEncoding.EncodeToString(sum[:])
}

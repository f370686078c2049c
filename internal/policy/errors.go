package policy

import (
	"fmt"

	"berth/internal/fault"
)

// SyntaxError says what is wrong with a document, and where. It is the cause of
// the errors of [Parse].
type SyntaxError struct {
	Statement int    // counted from 1; 0 if it is not about one
	Member    string // "" if it is not about one
	Reason    string // in words
}

// Error returns the place and the reason: statement 2, Action: ...
func (e *SyntaxError) Error() string {
	where := ""
	if e.Statement > 0 {
		where = fmt.Sprintf("statement %d", e.Statement)
	}
	if e.Member != "" {
		if where != "" {
			where += ", "
		}
		where += e.Member
	}
	if where != "" {
		where += ": "
	}
	return where + e.Reason
}

// UnknownPrincipal is the error of Parse for a policy of a kind that names a
// principal that there is not. Who stores policies must find that out.
func UnknownPrincipal(kind Kind, arn string) error {
	return badDocument(kind, &SyntaxError{Member: "Principal", Reason: quote(arn) + " does not exist"})
}

// badDocument is the error of the API that takes policies of a kind. ECR says
// nothing but that a policy is invalid; the reason is its cause.
func badDocument(kind Kind, cause *SyntaxError) *fault.Error {
	code, message := "MalformedPolicyDocument", cause.Error()
	switch kind {
	case Repository, Registry:
		code = "InvalidParameterException"
		message = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid " + kinds[kind].name + " policy provided'"
	case ServiceControl, ResourceControl, Key:
		code = "MalformedPolicyDocumentException"
	case Endpoint:
		code = "InvalidPolicyDocument"
	}
	return &fault.Error{Kind: fault.Invalid, Code: code, Message: message, Err: cause}
}

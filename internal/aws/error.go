package aws

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"

	"berth/internal/fault"
)

// The codes that this package itself answers with, in the words of the JSON
// protocol.
const (
	codeSerialization    = "SerializationException"
	codeUnknownOperation = "UnknownOperationException"
	codeUnsupported      = "UnsupportedCommandException"
	codeMissingToken     = "MissingAuthenticationTokenException"
	codeInvalidSignature = "InvalidSignatureException"
	codeTooLarge         = "RequestEntityTooLarge"
	codeUnavailable      = "ServiceUnavailable"
)

// queryCodes has the codes that the Query protocol spells in its own way.
var queryCodes = map[string]string{
	codeSerialization:              "MalformedInput",
	codeUnknownOperation:           "InvalidAction",
	codeMissingToken:               "MissingAuthenticationToken",
	codeInvalidSignature:           "SignatureDoesNotMatch",
	"AccessDeniedException":        "AccessDenied",
	"IncompleteSignatureException": "IncompleteSignature",
	"ThrottlingException":          "Throttling",
	"UnrecognizedClientException":  "InvalidClientTokenId",
	"ValidationException":          "ValidationError",
}

// queryStatuses has the codes that the Query protocol does not answer with status
// 400.
var queryStatuses = map[string]int{
	"AccessDenied":               http.StatusForbidden,
	"ExpiredToken":               http.StatusForbidden,
	"IDPRejectedClaim":           http.StatusForbidden,
	"InvalidClientTokenId":       http.StatusForbidden,
	"MissingAuthenticationToken": http.StatusForbidden,
	"SignatureDoesNotMatch":      http.StatusForbidden,
	"NoSuchEntity":               http.StatusNotFound,
	"DeleteConflict":             http.StatusConflict,
	"EntityAlreadyExists":        http.StatusConflict,
	"LimitExceeded":              http.StatusConflict,
}

// internalError is what clients see of a fault of ours.
func internalError(code, requestID string) *fault.Error {
	return fault.New(fault.Internal, code, "internal error (request id %s)", requestID)
}

// status returns the status of an error whatever the protocol: AWS answers 400
// to all that the client can mend.
func status(f *fault.Error) int {
	switch {
	case f.Kind == fault.Internal:
		return http.StatusInternalServerError
	case f.Kind == fault.Unavailable, f.Kind == fault.Full: // clients know no 507, and try again after a 503
		return http.StatusServiceUnavailable
	case f.Code == codeTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// A response is an answer in the form of a protocol.
type response struct {
	status      int
	contentType string
	errorType   string // the code of an error, in the JSON protocol
	body        []byte
	retryAfter  int64 // seconds until the call can succeed, 0 if not known
	decisionID  string
}

// DecisionHeader is the header of refusals that has the id of the decision.
const DecisionHeader = "X-Berth-Decision-Id"

// The content types of answers.
const (
	jsonType = "application/x-amz-json-1.1"
	xmlType  = "text/xml"
)

// jsonFailure renders an error as {"__type": code, "message": …}, or another name
// of the member that is the message, and the members of the exception.
func jsonFailure(f *fault.Error, message string) response {
	doc := make(map[string]any, len(f.Members)+2)
	maps.Copy(doc, f.Members)
	doc["__type"], doc[message] = f.Code, f.Message
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil { // a member that is no JSON
		buf.Reset()
		_ = enc.Encode(map[string]string{"__type": f.Code, message: f.Message})
	}
	return response{status(f), jsonType, f.Code, bytes.TrimSuffix(buf.Bytes(), []byte("\n")), f.RetrySeconds(), f.DecisionID}
}

// xmlFailure renders an error as an <ErrorResponse>.
func xmlFailure(f *fault.Error, namespace, requestID string) response {
	code := f.Code
	if c, ok := queryCodes[code]; ok {
		code = c
	}
	if code == "ExpiredTokenException" && f.Kind == fault.Unauthenticated { // of a session; STS has one of its own for identity tokens
		code = "ExpiredToken"
	}
	st, blame := status(f), "Sender"
	if st >= 500 {
		blame = "Receiver"
	} else if other := queryStatuses[code]; other != 0 {
		st = other
	}
	var x xmlWriter
	x.start("ErrorResponse", namespace)
	x.start("Error", "")
	x.leaf("Type", blame)
	x.leaf("Code", code)
	x.leaf("Message", f.Message)
	x.end("Error")
	x.leaf("RequestId", requestID)
	x.end("ErrorResponse")
	return response{st, xmlType, "", x.buf.Bytes(), f.RetrySeconds(), f.DecisionID}
}

// Package fault is the one typed error that crosses package borders in Berth.
//
// A domain verb that refuses a request returns an [*Error]; a front renders it
// in the shape of its protocol. Every other error is internal: the client
// learns nothing of it but the request id, the log has it all.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says in general terms why a request failed. Fronts map Kinds to status
// codes where the Code alone does not decide.
type Kind int

// The kinds of failure.
const (
	Internal        Kind = iota // a fault of ours; never shown to clients
	Invalid                     // the request is malformed or breaks a rule about its form
	Unauthenticated             // nobody, or nobody we know, is asking
	Denied                      // somebody is asking who may not
	NotFound                    // the thing does not exist, or must look as if
	Exists                      // the thing exists already
	Conflict                    // the state of the thing forbids it
	TooLarge                    // a size limit of the protocol is passed
	OutOfRange                  // bytes were sent or asked for outside the valid range
	Exhausted                   // a quota is used up
	Throttled                   // too many requests; try again later
	Unsupported                 // Berth does not do this
	Unavailable                 // something Berth needs is away; try again later
	Full                        // there is no room left; try again when there is
	Reserved                    // what room is left is kept free; try again when there is more
	ReadOnly                    // nothing is changed at present; try again when that has ended
)

var kindNames = [...]string{
	"internal", "invalid", "unauthenticated", "denied", "not found", "exists", "conflict",
	"too large", "out of range", "exhausted", "throttled", "unsupported", "unavailable", "full", "reserved", "read-only",
}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Error is a failure that a client may see.
//
// Code is the name of the AWS exception, without a namespace. Message is
// written for the client: it never holds secrets, SQL or paths. Members are
// further members of the exception's document, such as InvalidLayerPartException's
// lastValidByteReceived. RetryAfter is how long it takes until the same request
// can succeed, 0 if that is not known. DecisionID names the decision that refused
// access, "" for other failures, and Decision is what package access knows of it,
// which no client may see. Err is the cause, for the log only.
type Error struct {
	Kind       Kind
	Code       string
	Message    string
	Members    map[string]any
	RetryAfter time.Duration
	DecisionID string
	Decision   any
	Err        error
}

// New returns an Error without a cause. The message is formatted as by
// [fmt.Sprintf].
func New(kind Kind, code, format string, args ...any) *Error {
	msg := format
	if len(args) > 0 {
		msg = fmt.Sprintf(format, args...)
	}
	return &Error{Kind: kind, Code: code, Message: msg}
}

// RetrySeconds returns RetryAfter as a Retry-After header has it: in whole
// seconds, rounded up.
func (e *Error) RetrySeconds() int64 { return int64((e.RetryAfter + time.Second - 1) / time.Second) }

// Error returns code, message and cause on one line, for the log.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Code + ": " + e.Message + ": " + e.Err.Error()
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As returns the Error in err's chain, if there is one.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// KindOf returns the kind of err: [Internal] for any error that is not an
// Error. It must not be called with nil.
func KindOf(err error) Kind {
	if e, ok := As(err); ok {
		return e.Kind
	}
	return Internal
}

// IsReadOnly reports whether err says that nothing is changed at present.
func IsReadOnly(err error) bool { return err != nil && KindOf(err) == ReadOnly }

// What disks, databases and stores fail with, in the chain of an error that is no
// [Error]: whether the thing was done is not known, and the same request can be made
// again.
var (
	// ErrAway: something that Berth needs did not do what it was asked for.
	ErrAway = errors.New("not available")
	// ErrFull: there is no room left.
	ErrFull = errors.New("no room left")
)

// How soon a request can be made again.
const (
	awaySoon = time.Second
	fullSoon = 30 * time.Second
)

// Seen returns the Error that clients see of err: the one in its chain, or one that
// says that a store is away or full. Of other errors they see nothing.
func Seen(err error) (*Error, bool) {
	if e, ok := As(err); ok {
		return e, true
	}
	if errors.Is(err, ErrFull) || errors.Is(err, ErrAway) {
		return Outage(err), true
	}
	return nil, false
}

// Outage returns the Error for an ErrAway or ErrFull.
func Outage(err error) *Error {
	e := New(Unavailable, "ServiceUnavailable", "The registry cannot do this at the moment. Try again later.")
	e.Err, e.RetryAfter = err, awaySoon
	if errors.Is(err, ErrFull) {
		e.Kind, e.Message, e.RetryAfter = Full, "The registry has no room left. Try again later.", fullSoon
	}
	return e
}

// CodeOf returns the AWS exception that err stands for: "ServerException" for
// any error that is neither an [Error] nor one of an outage, "" for nil.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := Seen(err); ok {
		return e.Code
	}
	return "ServerException"
}

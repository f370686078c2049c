package authn

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/sigv4"
)

// Signed is a signed request of which everything is checked but the signature
// itself, which covers the body.
type Signed struct {
	auth      *Authenticator
	request   *http.Request
	signature *sigv4.Signature
	caller    access.Caller
	secret    string
}

// Begin reads the signature of an AWS request and looks up its key, so that a
// stranger's body need not be read. The errors have AWS's codes.
func (a *Authenticator) Begin(r *http.Request) (*Signed, error) {
	s, err := sigv4.Parse(r)
	if err != nil {
		return nil, signatureError(err)
	}
	c, secret, err := a.o.Principals.Principal(r.Context(), s.AccessKeyID)
	if err != nil {
		return nil, err
	}
	if !tokenOf(c, s.SessionToken) {
		return nil, fault.New(fault.Unauthenticated, "UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	return &Signed{a, r, s, c, secret}, nil
}

// tokenOf reports whether a session token is the one that goes with the caller's
// key: long-lived ones have none.
func tokenOf(c access.Caller, token string) bool {
	if c.Session == nil {
		return token == ""
	}
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], c.Session.Token[:]) == 1
}

// Unsigned reports whether a request carries nothing that would be a signature.
func Unsigned(r *http.Request) bool {
	_, err := sigv4.Parse(r)
	e, ok := err.(*sigv4.Error)
	return ok && e.Code == sigv4.MissingAuthenticationToken
}

// Region is the region that the request was signed for.
func (s *Signed) Region() string { return s.signature.Region }

// Service is the signing name of the service that the request was signed for.
func (s *Signed) Service() string { return s.signature.Service }

// Verify returns who is asking if the signature is right for a body with the
// SHA-256 given in hexadecimal.
func (s *Signed) Verify(bodyHash string) (access.Caller, error) {
	if err := s.signature.Verify(s.request, s.secret, bodyHash, s.auth.o.SignatureNow()); err != nil {
		return access.Caller{}, signatureError(err)
	}
	return s.auth.describe(s.caller, s.request), nil
}

// signatureError gives an error of package sigv4 the name of an exception.
func signatureError(err error) error {
	e, ok := err.(*sigv4.Error)
	if !ok {
		return err
	}
	return fault.New(fault.Unauthenticated, string(e.Code)+"Exception", "%s", e.Message)
}

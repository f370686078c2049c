// Package sigv4 verifies AWS Signature Version 4, the server's side of it.
//
// [Parse] finds the signature in a request, the caller looks up the secret of
// the access key, and [Signature.Verify] decides. What is signed is described
// in "AWS Signature Version 4 for API requests" of the IAM User Guide:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
//
// The package is stricter than that text where two requests would otherwise
// share one signature although a server can tell them apart:
//
//   - The path is signed as it was sent; dot segments and repeated slashes are
//     not removed first. For clean paths, the only ones Berth serves, both
//     ways give the same result.
//   - Every X-Amz-* header is signed, and given once.
//   - Every header named as signed is there.
//   - No X-Amz-* query parameter is given twice, none beside an Authorization
//     header, and the query holds no '+', which some read as a space.
//
// Some differences remain unseen, as the process demands: the order of query
// parameters, also of those with the same name, and which of their characters
// are escaped; runs of spaces inside a header value; whether the values of a
// header came on one line with commas or on several.
//
// The package is pure: no clock, no store, no network.
package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"

	maxText          = 8 << 10 // bytes of an Authorization header or a session token
	maxQuery         = 16 << 10
	maxElement       = 128 // bytes of an element of the credential
	maxSignedHeaders = 100
	maxExpires       = 604800 // seconds, seven days
)

// Signature is what a request says about its signature. Nothing in it can be
// trusted before [Signature.Verify] has returned nil. The caller has to check
// that Region and Service are those it serves, and that SessionToken belongs
// to AccessKeyID. A signature in a header does not cover the AccessKeyID: no
// two keys may have the same secret.
type Signature struct {
	AccessKeyID  string
	Date         string // of the credential scope, YYYYMMDD; the day of Time
	Region       string
	Service      string
	Time         time.Time     // when the request was signed, in UTC
	Presigned    bool          // the signature came in the query
	Expires      time.Duration // how long a presigned request lives; else 0
	SessionToken string        // of temporary credentials; else empty

	// SignedHeaders are the names of the signed headers, in lower case,
	// ascending, without duplicates. Host is among them.
	SignedHeaders []string

	value string // the signature, as sent
}

// Parse reads the signature of r from its Authorization header or, for a
// presigned request, from its query. It checks the form only.
//
// Every error is an [*Error]: [MissingAuthenticationToken] if r has neither,
// [IncompleteSignature] if it is malformed or there is more than one, and
// [InvalidSignature] if the scope of the credential does not fit the request.
func Parse(r *http.Request) (*Signature, error) {
	query, err := parseQuery(r.URL)
	if err != nil {
		return nil, err
	}
	headers, presigned := r.Header.Values("Authorization"), hasAmzParameter(query)
	switch {
	case len(headers) > 1:
		return nil, incomplete("The request has more than one Authorization header.")
	case len(headers) == 1 && presigned:
		return nil, incomplete("The request has both an Authorization header and X-Amz-* query parameters.")
	case len(headers) == 1:
		return parseHeader(r.Header, headers[0])
	case presigned:
		return parsePresigned(query)
	}
	return nil, &Error{MissingAuthenticationToken, "Missing Authentication Token"}
}

// parseHeader reads a signature from the value of the Authorization header:
//
//	AWS4-HMAC-SHA256 Credential=…, SignedHeaders=host;…, Signature=…
func parseHeader(h http.Header, authorization string) (*Signature, error) {
	if len(authorization) > maxText {
		return nil, incomplete("The Authorization header is longer than %d bytes.", maxText)
	}
	f := fields{date: requestDate(h), sessionToken: h.Get("X-Amz-Security-Token")}
	params := map[string]*string{
		"Credential":    &f.credential,
		"SignedHeaders": &f.signedHeaders,
		"Signature":     &f.signature,
	}
	if list, ok := strings.CutPrefix(authorization, algorithm+" "); ok {
		for pair := range strings.SplitSeq(list, ",") {
			key, value, ok := strings.Cut(strings.Trim(pair, " "), "=")
			if !ok {
				return nil, incomplete("Invalid key=value pair (missing equal-sign) in Authorization header "+
					"(hashed with SHA-256 and encoded with Base64): '%s'.", fingerprint(authorization))
			}
			if p := params[key]; p == nil || *p != "" {
				return nil, incomplete("The Authorization header has an unknown or repeated parameter.")
			}
			*params[key] = value
		}
	}
	var missing strings.Builder
	for _, key := range []string{"Credential", "Signature", "SignedHeaders"} {
		if *params[key] == "" {
			missing.WriteString("Authorization header requires '" + key + "' parameter. ")
		}
	}
	if f.date == "" {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() > 0 {
		return nil, incomplete("%s(Hashed with SHA-256 and encoded with Base64) Authorization=%s",
			missing.String(), fingerprint(authorization))
	}
	return f.parse()
}

// requestDate returns the time of a request as in X-Amz-Date: that header, or
// else the Date header.
func requestDate(h http.Header) string {
	if date := h.Get("X-Amz-Date"); date != "" {
		return date
	}
	date := h.Get("Date")
	if t, err := time.Parse(http.TimeFormat, date); err == nil {
		return t.Format(timeFormat)
	}
	return date
}

// parsePresigned reads a signature from the query of a presigned request.
func parsePresigned(query url.Values) (*Signature, error) {
	var missing strings.Builder
	get := func(key string) string {
		value := query.Get(key)
		if value == "" {
			missing.WriteString("AWS query-string parameters must include '" + key + "'. ")
		}
		return value
	}
	alg := get("X-Amz-Algorithm")
	f := fields{
		credential:    get("X-Amz-Credential"),
		signature:     get("X-Amz-Signature"),
		signedHeaders: get("X-Amz-SignedHeaders"),
		date:          get("X-Amz-Date"),
		sessionToken:  query.Get("X-Amz-Security-Token"),
	}
	seconds, err := strconv.ParseUint(get("X-Amz-Expires"), 10, 32)
	switch {
	case missing.Len() > 0:
		return nil, incomplete("%sRe-examine the query-string parameters.", missing.String())
	case alg != algorithm:
		return nil, incomplete("X-Amz-Algorithm must be '%s'.", algorithm)
	case err != nil || seconds < 1 || seconds > maxExpires:
		return nil, incomplete("X-Amz-Expires must be a number of seconds from 1 to %d.", maxExpires)
	}
	s, err := f.parse()
	if err != nil {
		return nil, err
	}
	s.Presigned, s.Expires = true, time.Duration(seconds)*time.Second
	return s, nil
}

// fields are the parameters of a signature as text, wherever they came from.
type fields struct {
	credential, signedHeaders, signature, date, sessionToken string
}

func (f fields) parse() (*Signature, error) {
	t, err := time.Parse(timeFormat, f.date)
	// time.Parse takes fractions of a second that the layout does not have.
	if err != nil || t.Format(timeFormat) != f.date {
		return nil, incomplete("Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	if len(f.sessionToken) > maxText {
		return nil, incomplete("The session token is longer than %d bytes.", maxText)
	}
	s := &Signature{Time: t, SessionToken: f.sessionToken, value: f.signature}
	if err := s.setCredential(f.credential); err != nil {
		return nil, err
	}
	if err := s.setSignedHeaders(f.signedHeaders); err != nil {
		return nil, err
	}
	return s, nil
}

// setCredential takes a credential apart and checks its scope:
//
//	AKIDEXAMPLE/20150830/us-east-1/ecr/aws4_request
func (s *Signature) setCredential(credential string) error {
	e := strings.Split(credential, "/")
	if len(e) != 5 {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	for _, element := range e {
		if !isElement(element) {
			return incomplete("An element of Credential is empty, too long or has an invalid character.")
		}
	}
	s.AccessKeyID, s.Date, s.Region, s.Service = e[0], e[1], e[2], e[3]
	if e[4] != terminator {
		return invalid("Credential should be scoped with a valid terminator: '%s', not '%s'.", terminator, e[4])
	}
	if day := s.Time.Format("20060102"); s.Date != day {
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "+
			"'%s' != '%s', from '%s'.", s.Date, day, s.Time.Format(timeFormat))
	}
	return nil
}

func (s *Signature) setSignedHeaders(list string) error {
	names := strings.Split(list, ";")
	if len(names) > maxSignedHeaders {
		return incomplete("SignedHeaders has more than %d names.", maxSignedHeaders)
	}
	for i, name := range names {
		if !isHeaderName(name) || i > 0 && name <= names[i-1] {
			return incomplete("SignedHeaders must be the names of headers in lower case, sorted and without duplicates.")
		}
	}
	if !slices.Contains(names, "host") {
		return invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	s.SignedHeaders = names
	return nil
}

// isElement reports whether s can be an element of a credential. The elements
// are ones that may be repeated in a message.
func isElement(s string) bool {
	return s != "" && len(s) <= maxElement && !strings.ContainsFunc(s, func(c rune) bool {
		return !isAlphanumeric(c) && c != '_' && c != '-'
	})
}

// isHeaderName reports whether s is a token of RFC 9110, section 5.6.2, in
// lower case.
func isHeaderName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !isAlphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", c) || 'A' <= c && c <= 'Z'
	})
}

func isAlphanumeric(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// canonicalRequest returns the text that the signature of r stands for, as in
// "Create a canonical request" of the IAM User Guide:
//
//	method
//	path, as sent, URI-encoded once more
//	query, sorted
//	name:value of each signed header, one a line
//
//	names of the signed headers, separated by semicolons
//	hash of the payload
func (s *Signature) canonicalRequest(r *http.Request, query url.Values, payloadHash string) (string, error) {
	path, err := canonicalPath(r.URL)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + path + "\n" + s.canonicalQuery(query) + "\n")
	for _, name := range s.SignedHeaders {
		value, ok := canonicalHeader(r, name)
		if !ok {
			return "", invalid("The signed header '%s' is missing from the request.", name)
		}
		b.WriteString(name + ":" + value + "\n")
	}
	b.WriteString("\n" + strings.Join(s.SignedHeaders, ";") + "\n" + payloadHash)
	return b.String(), nil
}

// stringToSign returns the text that is signed for a canonical request.
func (s *Signature) stringToSign(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return strings.Join([]string{
		algorithm,
		s.Time.Format(timeFormat),
		s.Date + "/" + s.Region + "/" + s.Service + "/" + terminator,
		hex.EncodeToString(sum[:]),
	}, "\n")
}

// canonicalPath encodes each segment of the path that was sent, escapes and
// all. AWS removes dot segments and repeated slashes first; here the signature
// of /a would then be good for /./a as well.
func canonicalPath(u *url.URL) (string, error) {
	sent := u.EscapedPath()
	// EscapedPath replaces a RawPath with characters that should have been
	// escaped. What counts is what was sent, as long as it means u.Path.
	if path, err := url.PathUnescape(u.RawPath); err == nil && path == u.Path && u.RawPath != "" {
		sent = u.RawPath
	}
	if sent == "" && u.Opaque == "" {
		return "/", nil
	}
	if !strings.HasPrefix(sent, "/") {
		return "", incomplete("The path of the request does not start with a slash.")
	}
	segments := strings.Split(sent, "/")
	for i, segment := range segments {
		segments[i] = uriEncode(segment)
	}
	return strings.Join(segments, "/"), nil
}

// parseQuery returns the query of u as handlers will see it. Whatever handlers
// might see differently is an error.
func parseQuery(u *url.URL) (url.Values, error) {
	if len(u.RawQuery) > maxQuery {
		return nil, incomplete("The query string is longer than %d bytes.", maxQuery)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || strings.Contains(u.RawQuery, "+") {
		return nil, incomplete("The query string is not URI-encoded.")
	}
	seen := map[string]bool{}
	for key, values := range query {
		name := strings.ToLower(key)
		if isAmz(name) && (len(values) > 1 || seen[name]) {
			return nil, incomplete("The query string has an X-Amz-* parameter more than once.")
		}
		seen[name] = true
	}
	return query, nil
}

// hasAmzParameter reports whether a parameter that only signed requests have
// is in query, in whatever case.
func hasAmzParameter(query url.Values) bool {
	for key := range query {
		if isAmz(strings.ToLower(key)) {
			return true
		}
	}
	return false
}

// isAmz reports whether a header or parameter of this name, in lower case, is
// one of AWS's own.
func isAmz(name string) bool { return strings.HasPrefix(name, "x-amz-") }

// canonicalQuery encodes the parameters and sorts them by their encoded name,
// then by their encoded value.
func (s *Signature) canonicalQuery(query url.Values) string {
	var params [][2]string
	for key, values := range query {
		if s.Presigned && key == "X-Amz-Signature" {
			continue
		}
		for _, value := range values {
			params = append(params, [2]string{uriEncode(key), uriEncode(value)})
		}
	}
	slices.SortFunc(params, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// canonicalHeader returns the values of a signed header, separated by commas.
// Host and Content-Length are where net/http has put them.
func canonicalHeader(r *http.Request, name string) (string, bool) {
	switch name {
	case "host":
		return collapse(r.Host), true
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10), r.ContentLength >= 0
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = collapse(v)
	}
	return strings.Join(values, ","), len(values) > 0
}

// collapse trims s and makes one space of several.
func collapse(s string) string {
	isSpace := func(c rune) bool { return c == ' ' }
	return strings.Join(strings.FieldsFunc(strings.Trim(s, " \t"), isSpace), " ")
}

// uriEncode escapes all but the unreserved characters of RFC 3986.
func uriEncode(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

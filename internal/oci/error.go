package oci

import (
	"encoding/json"
	"net/http"
	"strconv"

	"berth/internal/fault"
	"berth/internal/registry"
)

// answer is how an error looks in the distribution API.
type answer struct {
	code   string
	status int
}

// answers maps the exceptions of the domain to the codes of the specification
// and of ECR. Whatever is not here goes by its kind.
var answers = map[string]answer{
	"RepositoryNotFoundException":         {"NAME_UNKNOWN", http.StatusNotFound},
	"ImageNotFoundException":              {"MANIFEST_UNKNOWN", http.StatusNotFound},
	"ReferencedImagesNotFoundException":   {"MANIFEST_BLOB_UNKNOWN", http.StatusNotFound},
	"LayersNotFoundException":             {"BLOB_UNKNOWN", http.StatusNotFound},
	"UploadNotFoundException":             {"BLOB_UPLOAD_UNKNOWN", http.StatusNotFound},
	"InvalidLayerPartException":           {"BLOB_UPLOAD_INVALID", http.StatusRequestedRangeNotSatisfiable},
	"InvalidLayerException":               {"DIGEST_INVALID", http.StatusBadRequest},
	"ImageDigestDoesNotMatchException":    {"DIGEST_INVALID", http.StatusBadRequest},
	"ImageTagAlreadyExistsException":      {"TAG_INVALID", http.StatusBadRequest},
	"LayerInUseException":                 {"UNSUPPORTED", http.StatusMethodNotAllowed},
	"KmsException":                        {"DENIED", http.StatusForbidden},
	registry.ImageReferencedByManifestSet: {"UNSUPPORTED", http.StatusMethodNotAllowed},
}

// manifestAnswers are the answers that differ where a manifest is concerned.
var manifestAnswers = map[string]answer{
	"LayersNotFoundException":   {"MANIFEST_BLOB_UNKNOWN", http.StatusNotFound},
	"InvalidParameterException": {"MANIFEST_INVALID", http.StatusBadRequest},
}

var kindAnswers = map[fault.Kind]answer{
	fault.Invalid:         {"UNSUPPORTED", http.StatusBadRequest},
	fault.Unauthenticated: {"UNAUTHORIZED", http.StatusUnauthorized},
	fault.Denied:          {"DENIED", http.StatusForbidden},
	fault.NotFound:        {"NAME_UNKNOWN", http.StatusNotFound},
	fault.Exists:          {"DENIED", http.StatusConflict},
	fault.Conflict:        {"DENIED", http.StatusConflict},
	fault.TooLarge:        {"DENIED", http.StatusRequestEntityTooLarge}, // Docker sends a layer again after SIZE_INVALID
	fault.OutOfRange:      {"BLOB_UPLOAD_INVALID", http.StatusRequestedRangeNotSatisfiable},
	fault.Exhausted:       {"DENIED", http.StatusForbidden},
	fault.Throttled:       {"TOOMANYREQUESTS", http.StatusTooManyRequests},
	fault.Unsupported:     {"UNSUPPORTED", http.StatusMethodNotAllowed},
	fault.Unavailable:     {"UNAVAILABLE", http.StatusServiceUnavailable},
	fault.Full:            {"UNAVAILABLE", http.StatusInsufficientStorage},
	fault.Reserved:        {"UNAVAILABLE", http.StatusInsufficientStorage},
	fault.ReadOnly:        {"UNSUPPORTED", http.StatusMethodNotAllowed}, // no client tries that again
}

// Errors of the front itself: requests that are none of the API's. Their codes
// are the specification's own.
var (
	errPath   = &wireError{answer{"UNSUPPORTED", http.StatusNotFound}, "no such endpoint in the distribution API"}
	errTag    = &wireError{answer{"TAG_INVALID", http.StatusBadRequest}, "Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_.]+''"}
	errURI    = &wireError{answer{"UNSUPPORTED", http.StatusRequestURITooLong}, "the path with its query is longer than 16 KiB"}
	errMethod = &wireError{answer{"UNSUPPORTED", http.StatusMethodNotAllowed}, "the operation is unsupported"}
)

// wireError is an error in the words of the distribution API.
type wireError struct {
	answer  answer
	message string
}

func (e *wireError) Error() string { return e.answer.code + ": " + e.message }

func invalid(code, message string) error {
	return &wireError{answer{code, http.StatusBadRequest}, message}
}

func errName(name string) error {
	return invalid("NAME_INVALID", "invalid repository name: "+quote(name))
}

func errDigest(d string) error {
	return invalid("DIGEST_INVALID", "not a sha256 or sha512 digest: "+quote(d))
}

// quote prints text from a client, cut to what an error can bear.
func quote(s string) string {
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	return strconv.QuoteToASCII(s)
}

// writeError renders an error.
func (f *Front) writeError(w http.ResponseWriter, r *http.Request, err error) {
	a, message := f.render(r, err)
	switch a.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", retryAfter(err))
	}
	if a.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", f.challenge(r))
	}
	if (a.status == http.StatusUnauthorized || fault.KindOf(err) == fault.Denied) && r.ContentLength != 0 {
		// Else net/http waits for a body that nobody will read. What a quota refuses
		// is not cut off: some clients would see a broken connection, and try again.
		w.Header().Set("Connection", "close")
	}
	for _, h := range []string{"Content-Length", "Docker-Content-Digest", "ETag", "Cache-Control", "Content-Disposition"} {
		w.Header().Del(h)
	}
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	one := item{Code: a.code, Message: message}
	if e, ok := fault.As(err); ok && e.DecisionID != "" {
		w.Header().Set("X-Berth-Decision-Id", e.DecisionID)
		one.Detail = map[string]string{"decisionId": e.DecisionID}
	}
	body := struct {
		Errors []item `json:"errors"`
	}{[]item{one}}
	if err := writeJSON(w, a.status, body); err != nil {
		f.fail(r, err)
	}
}

// retryAfter returns when a client should come again: in a second if nothing else
// is known, for by then a rate allows one more.
func retryAfter(err error) string {
	seconds := int64(1)
	if e, ok := fault.Seen(err); ok {
		seconds = max(seconds, e.RetrySeconds())
	}
	return strconv.FormatInt(seconds, 10)
}

// render returns how an error is answered. Those that are no fault of the client
// are reported and hidden.
func (f *Front) render(r *http.Request, err error) (answer, string) {
	if e, ok := err.(*wireError); ok {
		return e.answer, e.message
	}
	e, ok := fault.Seen(err)
	if !ok || e.Kind == fault.Internal {
		if r.Context().Err() == nil {
			f.fail(r, err)
		}
		return answer{"UNKNOWN", http.StatusInternalServerError}, "internal error"
	}
	if (e.Kind == fault.Unavailable || e.Kind == fault.Full) && r.Context().Err() == nil {
		f.fail(r, err)
	}
	return lookUp(e, r), e.Message
}

func lookUp(e *fault.Error, r *http.Request) answer {
	rt, _ := parsePath(r.URL) // an unparsed route has no kind
	if e.Kind == fault.TooLarge {
		if rt.kind == kindManifest {
			return answer{"SIZE_INVALID", http.StatusRequestEntityTooLarge}
		}
		return kindAnswers[e.Kind]
	}
	if a, ok := manifestAnswers[e.Code]; ok && rt.kind == kindManifest {
		return a
	}
	if a, ok := answers[e.Code]; ok {
		return a
	}
	return kindAnswers[e.Kind]
}

// writeJSON writes a document.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	return writeJSONAs(w, status, "application/json", v)
}

func writeJSONAs(w http.ResponseWriter, status int, mediaType string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // if the client has gone away, nobody is left to tell
	return nil
}

package credential

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// RolePath is what the paths of a container endpoint begin with:
//
//	GET /role/NAME
//	Authorization: TOKEN
//	200  {"RoleArn": "...", "AccessKeyId": "ASIA...", "SecretAccessKey": "...", "Token": "...", "Expiration": "2026-01-02T03:04:05Z"}
//
// It is what the AWS tools read at AWS_CONTAINER_CREDENTIALS_FULL_URI, with the
// errors of the ECS agent: {"code": "...", "message": "...", "HTTPErrorCode": 400}.
const RolePath = "/role/"

// Served is a role that an endpoint gives the credentials of.
type Served struct {
	ARN     string
	Session *Session
	// Token returns what a request must have in its Authorization header, as it is
	// now. To an empty one nothing is equal.
	Token func() (string, error)
}

// Container is a container endpoint. Fields must not change once it serves.
type Container struct {
	Roles map[string]Served // by name
	Log   *slog.Logger
}

// maxToken bounds what is taken for a token, in bytes.
const maxToken = 4096

// ServeHTTP gives the credentials of a role to whoever knows its token. Who does
// not learns nothing, not even which roles there are.
func (e *Container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		containerError(w, http.StatusMethodNotAllowed, "InvalidMethod", "Only GET is allowed")
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, RolePath)
	role, known := e.Roles[name]
	if !e.authorized(r, role) || !ok || !known {
		containerError(w, http.StatusUnauthorized, "InvalidAuthorization", "The path, or the authorization token, is not valid")
		return
	}
	c, err := role.Session.Credentials(r.Context())
	if err != nil {
		e.failed(w, r, name, err)
		return
	}
	writeContainer(w, http.StatusOK, struct {
		RoleARN         string `json:"RoleArn"`
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      string
	}{role.ARN, c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires.UTC().Format(time.RFC3339)})
}

// authorized compares tokens, for a role that does not exist too.
func (e *Container) authorized(r *http.Request, role Served) bool {
	var want string
	if role.Token != nil {
		var err error
		if want, err = role.Token(); err != nil {
			e.Log.Error("the authorization token cannot be read", "error", err)
			want = ""
		}
	}
	got := r.Header.Values("Authorization")
	if len(got) != 1 || len(got[0]) > maxToken {
		return false
	}
	a, b := sha256.Sum256([]byte(got[0])), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}

// failed answers that there are no credentials. Why is for the log: a task has no
// business with what the agent may do.
func (e *Container) failed(w http.ResponseWriter, r *http.Request, name string, err error) {
	if r.Context().Err() != nil {
		return // nobody is left to tell
	}
	e.Log.Error("no credentials", "role", name, "error", err)
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode()/100 == 4 && answer.HTTPStatusCode() != http.StatusTooManyRequests {
		containerError(w, http.StatusForbidden, "AccessDenied", "The role cannot be assumed")
		return
	}
	containerError(w, http.StatusServiceUnavailable, "CredentialsUninitialized", "The credentials cannot be had at the moment")
}

func containerError(w http.ResponseWriter, status int, code, message string) {
	writeContainer(w, status, struct {
		Code          string `json:"code"`
		Message       string `json:"message"`
		HTTPErrorCode int
	}{code, message, status})
}

func writeContainer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}

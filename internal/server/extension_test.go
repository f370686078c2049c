package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/aws"
)

// timed is a connection with deadlines.
type timed struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (c *timed) SetReadDeadline(at time.Time) error  { c.read = at; return nil }
func (c *timed) SetWriteDeadline(at time.Time) error { c.write = at; return nil }

// An operation of ours may take longer than a client that sends, or takes, nothing.
func TestAnExtensionTakesAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	conn := &timed{httptest.NewRecorder(), time.Now(), time.Now()}
	verify := func(*http.Request) (aws.Signature[access.Call], error) {
		return aws.Signature[access.Call]{Service: "ecr", Verify: func([32]byte) (access.Call, error) { return access.Call{}, nil }}, nil
	}
	h := extension(&Server{}, verify, "Operation", func(context.Context, access.Call, struct{}) (string, error) {
		if !conn.read.IsZero() || !conn.write.IsZero() {
			t.Errorf("an operation has to be done until %v and %v", conn.read, conn.write)
		}
		return "done", nil
	})
	h.ServeHTTP(conn, httptest.NewRequest("POST", "/", strings.NewReader("{}")))
	if conn.Code != 200 || conn.write.IsZero() {
		t.Errorf("the answer is %d %s, to be written until %v", conn.Code, conn.Body, conn.write)
	}
}

package aws

import (
	"net/http/httptest"
	"testing"
	"time"

	"berth/internal/fault"
)

// Seconds are rounded up: who comes earlier comes for nothing.
func TestAnErrorSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{0: "", time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		f := fault.New(fault.Throttled, "ThrottlingException", "Rate exceeded")
		f.RetryAfter = after
		for form, res := range map[string]response{"JSON": jsonFailure(f, "message"), "XML": xmlFailure(f, "", "id")} {
			w := httptest.NewRecorder()
			write(w, res)
			if got := w.Header().Get("Retry-After"); got != want {
				t.Errorf("Retry-After in %s after %v = %q, want %q", form, after, got, want)
			}
		}
	}
}

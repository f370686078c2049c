package sigv4

import (
	"crypto/rand"
	"errors"
	"testing"
)

// FuzzParse feeds whole requests to Parse and Verify. They must not panic, must
// refuse with an Error, and must not accept a request by a secret that nobody
// knows.
func FuzzParse(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.Header.wire())
		f.Add(v.Query.wire())
	}
	f.Add(post(f))
	f.Add(presignedGET(f))
	secret := rand.Text()
	f.Fuzz(func(t *testing.T, wire string) {
		r, payload, err := receive(wire)
		if err != nil {
			return
		}
		var refusal *Error
		s, err := Parse(r)
		if err != nil {
			if !errors.As(err, &refusal) {
				t.Errorf("Parse = %v, want an *Error", err)
			}
			return
		}
		err = s.Verify(r, secret, payload, s.Time)
		if !errors.As(err, &refusal) {
			t.Errorf("Verify with a random secret = %v, want an *Error", err)
		}
	})
}

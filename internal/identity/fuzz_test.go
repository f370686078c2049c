package identity

import (
	"strings"
	"testing"
)

func FuzzIssuerOf(f *testing.F) {
	for _, s := range []string{"", "..", "e30.e30.x", "e30.eyJpc3MiOiJodHRwczovL2EifQ.x", "e30.eyJpc3MiOiJhXHUwMDAwIn0.x", "a.b.c.d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		issuer, ok := issuerOf(token)
		if ok == (issuer == "") || strings.ContainsFunc(issuer, notText) {
			t.Errorf("issuerOf(%q) = %q, %v", token, issuer, ok)
		}
	})
}

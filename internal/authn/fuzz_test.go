package authn_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/authn"
	"berth/internal/fault"
	"berth/internal/seal"
)

// principals is one principal with one key.
type principals struct{}

func (principals) Principal(_ context.Context, accessKeyID string) (access.Caller, string, error) {
	if accessKeyID != "KEY" {
		return access.Caller{}, "", fault.New(fault.Unauthenticated, "UnrecognizedClientException", "unknown")
	}
	return access.Caller{ID: "principal", AccessKeyID: "KEY", Type: access.Root}, "secret", nil
}

// FuzzPassword offers texts as registry passwords, and the good one with a few
// bytes replaced by others. Only the good one is accepted.
func FuzzPassword(f *testing.F) {
	now := time.Now()
	a := authn.New(authn.Options{
		Principals: principals{}, Passwords: seal.NewMaster().Key("registry password"), Anonymous: seal.NewMaster().Key("anonymous token"), Now: func() time.Time { return now },
		Source:    func(*http.Request) (netip.Addr, bool) { return netip.Addr{}, false },
		RequestID: func(*http.Request) string { return "" },
	})
	caller, _, _ := principals{}.Principal(context.Background(), "KEY")
	good, _, _ := a.Mint(caller, now)
	stranger, _, _ := a.Mint(access.Caller{ID: "principal", AccessKeyID: "OTHER"}, now)
	old, _, _ := a.Mint(caller, now.Add(-12*time.Hour))
	other, _, _ := a.Mint(access.Caller{ID: "another", AccessKeyID: "KEY"}, now)
	for _, seed := range []string{"", "password", stranger, old, other, good + "\n", good + "=", good + "A", "\x00"} {
		f.Add("AWS", seed, 0, 0, []byte(nil))
	}
	f.Add("AWS", good, 0, 0, []byte(nil))
	f.Add("aws", good, 0, 0, []byte(nil))
	f.Add("AWS", "", 0, len(good), []byte(nil))
	f.Add("AWS", "", len(good)-1, 1, []byte("A"))
	f.Add("AWS", "", 10, 0, []byte("\r\n"))
	f.Add("AWS", "", len(good), 0, []byte("=="))
	f.Fuzz(func(t *testing.T, user, text string, at, cut int, replacement []byte) {
		if text == "" && at >= 0 && cut >= 0 && at <= len(good) && cut <= len(good)-at {
			text = good[:at] + string(replacement) + good[at+cut:]
		}
		r := httptest.NewRequest("GET", "/v2/", nil)
		r.SetBasicAuth(user, text)
		c, left, err := a.Registry(r)
		// A colon in the name ends it.
		if u, p, ok := r.BasicAuth(); ok && u == "AWS" && p == good {
			if err != nil || c.ID != "principal" || left <= 0 || left > 12*time.Hour {
				t.Errorf("Registry(the good password) = %v, %v, %v", c, left, err)
			}
			return
		}
		if err == nil {
			t.Fatalf("Registry(%q, %q) = %v, want a refusal", user, text, c)
		}
		if k := fault.KindOf(err); k != fault.Unauthenticated && !(k == fault.Denied && text == old) {
			t.Errorf("Registry(%q, %q) = %v", user, text, err)
		}
	})
}

package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/egress"
	"berth/internal/oidc"
	"berth/internal/oidc/oidctest"
)

const devicePath = "/device"

// deviceLogin logs a device in with an issuer that gives these answers to the
// questions for tokens, one after the other. It returns how long it waited before
// each.
func deviceLogin(t *testing.T, start map[string]any, answers ...func(*oidctest.Issuer) map[string]any) (*oidc.Token, []time.Duration, error) {
	t.Helper()
	i := oidctest.Start(t)
	i.Replace(oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + oidctest.Keys, "token_endpoint": i.URL + "/token", "device_authorization_endpoint": i.URL + devicePath,
		})
	})
	i.Replace(devicePath, func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_id") != "berth-cli" || r.PostFormValue("scope") != "openid" {
			t.Errorf("the device asks for %v", r.PostForm)
		}
		_ = json.NewEncoder(w).Encode(start)
	})
	i.Replace("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("device_code") != "secret" || r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" {
			t.Errorf("the device sends %v", r.PostForm)
		}
		answer := answers[0](i)
		answers = answers[1:]
		if answer["error"] != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	g, err := egress.New(egress.Options{CA: i.CA, Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	l := &oidc.Login{
		Issuer: i.URL, ClientID: "berth-cli", Client: g.Client(egress.ClientOptions{}),
		OpenWithCode: func(url, code string) error {
			if url != "https://login.example.com/device" || code != "WDJB-MJHT" {
				t.Errorf("the person is shown %s and %s", url, code)
			}
			return nil
		},
		Sleep: func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			if len(waits) > 10 {
				return errors.New("too long")
			}
			return nil
		},
	}
	_, token, err := l.RunDevice(t.Context())
	return token, waits, err
}

func refuse(code string) func(*oidctest.Issuer) map[string]any {
	return func(*oidctest.Issuer) map[string]any { return map[string]any{"error": code} }
}

func grant(claims map[string]any) func(*oidctest.Issuer) map[string]any {
	return func(i *oidctest.Issuer) map[string]any { return map[string]any{"id_token": i.Token(claims)} }
}

func TestDeviceLogin(t *testing.T) {
	t.Parallel()
	start := map[string]any{"device_code": "secret", "user_code": "WDJB-MJHT", "verification_uri": "https://login.example.com/device", "interval": 2}
	good := grant(map[string]any{"aud": "berth-cli", "sub": "ada"})
	token, waits, err := deviceLogin(t, start, refuse("authorization_pending"), refuse("slow_down"), refuse("authorization_pending"), good)
	if err != nil || token.Subject != "ada" {
		t.Errorf("RunDevice = %v, %v, want ada's token", token, err)
	}
	if len(waits) != 4 || waits[0] != 2*time.Second || waits[1] != 2*time.Second || waits[2] != 7*time.Second {
		t.Errorf("it waited %v, want 2 s, and 5 s more when it was told to slow down", waits)
	}
	with := func(name string, v any) map[string]any {
		out := map[string]any{}
		for k, v := range start {
			out[k] = v
		}
		out[name] = v
		return out
	}
	for name, tt := range map[string]struct {
		start  map[string]any
		answer func(*oidctest.Issuer) map[string]any
		want   string
	}{
		"refused":            {start, refuse("access_denied"), "access_denied"},
		"too late":           {start, refuse("expired_token"), "expired_token"},
		"for another client": {start, grant(nil), "for another client"},
		"no token":           {start, func(*oidctest.Issuer) map[string]any { return map[string]any{} }, "no identity token"},
		"an error at first":  {map[string]any{"error": "unauthorized_client"}, nil, "unauthorized_client"},
		"no code":            {with("user_code", ""), nil, "has no code"},
		"a code with colour": {with("user_code", "\x1b[31mX"), nil, "has no code"},
		"an address by http": {with("verification_uri", "http://login.example.com"), nil, "no address by https"},
		"no interval":        {with("interval", nil), refuse("access_denied"), "access_denied"},
	} {
		_, waits, err := deviceLogin(t, tt.start, tt.answer)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: RunDevice = %v, want an error with %q", name, err, tt.want)
		}
		if name == "no interval" && (len(waits) != 1 || waits[0] != 5*time.Second) {
			t.Errorf("%s: it waited %v, want 5 s", name, waits)
		}
	}
	i := oidctest.Start(t)
	g, err := egress.New(egress.Options{CA: i.CA, Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	l := &oidc.Login{Issuer: i.URL, ClientID: "c", Client: g.Client(egress.ClientOptions{})}
	if _, _, err := l.RunDevice(t.Context()); err == nil || !strings.Contains(err.Error(), "no login by https for devices") {
		t.Errorf("RunDevice with an issuer that has none = %v, want an error", err)
	}
}

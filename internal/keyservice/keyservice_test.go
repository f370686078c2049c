package keyservice

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/seal"
)

const local = "base64key://AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func open(t *testing.T, url string) *Service {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAWrappedKeyComesBackFromItsServiceAlone(t *testing.T) {
	t.Parallel()
	m, s := seal.NewMaster(), open(t, local)
	text, err := s.Wrap(t.Context(), m)
	if err != nil || !Wrapped(text) || !strings.HasPrefix(string(text), "wrapped:1:"+m.ID()+":") || strings.ContainsAny(string(text), ", \n") {
		t.Fatalf("Wrap = %q, %v", text, err)
	}
	again, err := s.Unwrap(t.Context(), append(text, '\n'))
	if err != nil || string(again.Text()) != string(m.Text()) {
		t.Errorf("Unwrap = %v, want the same key", err)
	}
	refusals := map[string][]byte{
		"is not the master key|does not unwrap": []byte(strings.Replace(string(text), m.ID(), seal.NewMaster().ID(), 1)),
		"is wrapped:1:":                         []byte(strings.Replace(string(text), ":1:", ":2:", 1)),
		"<base64>, as berth keys wrap":          append(text, '!'),
		"<id>:<base64>":                         text[:19],
	}
	for want, text := range refusals {
		if _, err := s.Unwrap(t.Context(), text); err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("Unwrap(%s) = %v, want an error with %s", text, err, want)
		}
	}
	other := open(t, strings.Replace(local, "AAEC", "BBEC", 1))
	_, err = other.Unwrap(t.Context(), text)
	want := "the key service base64key://... does not unwrap the master key " + m.ID() + ": another key has wrapped it: see that it is there, that its key is enabled, and that the credentials may decrypt with it"
	if err == nil || err.Error() != want {
		t.Errorf("Unwrap of another service = %v, want %s", err, want)
	}
	for _, text := range []string{string(m.Text()), "", "wrap"} {
		if Wrapped([]byte(text)) {
			t.Errorf("Wrapped(%q) = true", text)
		}
	}
}

// fake is a service that does as it is told.
type fake struct {
	enc func(plain []byte) ([]byte, error)
	dec func(ctx context.Context, wrapped []byte) ([]byte, error)
}

func (f fake) encrypt(_ context.Context, plain []byte, _ string) ([]byte, error) { return f.enc(plain) }

func (f fake) decrypt(ctx context.Context, wrapped []byte, _ string) ([]byte, error) {
	return f.dec(ctx, wrapped)
}

// Were it only seen at the next start that a service does not give a key back, what was
// stored until then would be lost.
func TestAKeyThatDoesNotComeBackIsNotWrapped(t *testing.T) {
	t.Parallel()
	m, same := seal.NewMaster(), func(b []byte) ([]byte, error) { return b, nil }
	for want, f := range map[string]fake{
		"does not wrap the master key: no such key: see": {func([]byte) ([]byte, error) { return nil, errors.New("no\n such\t key") }, nil},
		"does not unwrap the master key":                 {same, func(context.Context, []byte) ([]byte, error) { return nil, errors.New("may not") }},
		"is not the master key " + m.ID():                {same, func(context.Context, []byte) ([]byte, error) { return seal.NewMaster().Text(), nil }},
		"unwraps is not the master key":                  {same, func(context.Context, []byte) ([]byte, error) { return nil, nil }},
	} {
		s := &Service{"the service", f}
		if _, err := s.Wrap(t.Context(), m); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), string(m.Text())) {
			t.Errorf("Wrap = %v, want an error with %q", err, want)
		}
	}
}

func TestAServiceIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text, err := open(t, local).Wrap(t.Context(), seal.NewMaster())
		if err != nil {
			t.Fatal(err)
		}
		s, before := &Service{"the service", fake{dec: func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}}, time.Now()
		_, err = s.Unwrap(t.Context(), text)
		if err == nil || !strings.Contains(err.Error(), "there was no answer within 30s") || time.Since(before) != Patience {
			t.Errorf("after %v: %v, want an error after %v", time.Since(before), err, Patience)
		}
	})
}

func TestURLsOfServices(t *testing.T) {
	for _, c := range []struct{ url, vault, want string }{
		{"awskms:///alias/berth?region=eu-west-1", "", ""},
		{"awskms://alias/berth?region=eu-west-1&endpoint=http://127.0.0.1:1", "", ""},
		{"awskms:///arn:aws:kms:eu-west-1:123456789012:key/1234", "", ""},
		{"awskms:///1234", "", "has no region: add ?region=REGION, or set AWS_REGION"},
		{"awskms://?region=eu-west-1", "", "it names no key"},
		{"awskms:///k?region=a&region=b", "", "region is given twice"},
		{"awskms:///k?regoin=a", "", `no parameter "regoin"`},
		{"awskms:///k?region=a&endpoint=127.0.0.1:1", "", "endpoint is not http(s)://HOST[:PORT]"},
		{"awskms:///k?region=%zz", "", "not NAME=VALUE"},
		{"hashivault://berth", "https://127.0.0.1:8200", ""},
		{"hashivault://berth?engine=other", "https://127.0.0.1:8200", ""},
		{"awskms:///k?region=a&endpoint=user:secretpart@host", "", "endpoint is not"},
		{"awskms:///k?region=a&endpoint=http://user:secretpart@host", "", "endpoint is not"},
		{"hashivault://", "https://127.0.0.1:8200", "it names no key"},
		{"hashivault://berth?token=secretpart", "https://127.0.0.1:8200", `no parameter "token"`},
		{"hashivault://berth", "", "VAULT_ADDR does not say where Vault is"},
		{"hashivault://berth", "://", "VAULT_ADDR is not http(s)://HOST[:PORT]"},
		{local, "", ""},
		{local + "?a=b", "", "no parameter"},
		{"base64key://", "", "32 bytes in the base64 of URLs"},
		{"base64key://c2hvcnQ=", "", "32 bytes in the base64 of URLs"},
		{"gcpkms://projects/p", "", "gcpkms is not built in: use awskms or hashivault"},
		{"azurekeyvault://v", "", "azurekeyvault is not built in"},
		{"file:///key", "", "there is no file: use awskms or hashivault"},
		{"berth", "", "is no URL such as awskms:///alias/NAME"},
		{"base64key://secret\x00part", "", "is no URL"},
		{"awskms://user:secretpart@k", "", "is no URL"},
	} {
		t.Setenv("AWS_REGION", "")
		t.Setenv("VAULT_ADDR", c.vault)
		_, err := Open(t.Context(), c.url)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("Open(%q) = %v, want %q", c.url, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "c2hvcnQ") || strings.Contains(err.Error(), "secretpart")) {
			t.Errorf("Open(%q) tells what is secret: %v", c.url, err)
		}
	}
	t.Setenv("VAULT_ADDR", "https://127.0.0.1:8200")
	t.Setenv("VAULT_SKIP_VERIFY", "1")
	if _, err := Open(t.Context(), "hashivault://berth"); err == nil || !strings.Contains(err.Error(), "VAULT_SKIP_VERIFY") {
		t.Errorf("Open without verification of certificates = %v", err)
	}
}

// What stands at a service's address may be anything. Nothing that it says makes a
// server fall over, or tell its token.
func TestWhatIsNoKeyServiceIsNotTakenForOne(t *testing.T) {
	text := []byte("wrapped:1:00112233:" + base64.StdEncoding.EncodeToString([]byte("vault:v1:abc")))
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, `{}`, "its answer has no plaintext"},
		{200, `{"data":{"plaintext":7}}`, "its answer has no plaintext"},
		{200, `{"data":{"plaintext":"!"}}`, "its answer is not base64"},
		{200, `{"data":{"plaintext":"a2V5"}}`, "is not the master key 00112233"},
		{200, `<html>`, "invalid character"},
		{204, ``, "its answer has no plaintext"},
		{403, `{"errors":["permission denied"]}`, "Code: 403. Errors: * permission denied: see that"},
		{404, ``, "Code: 404"},
	} {
		var token string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token = r.Header.Get("X-Vault-Token") + " " + r.URL.Path
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		t.Setenv("VAULT_ADDR", srv.URL)
		t.Setenv("VAULT_TOKEN", "the-token-of-vault")
		_, err := open(t, "hashivault://berth").Unwrap(t.Context(), text)
		srv.Close()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "the-token") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d %s: %v, want an error with %q", c.status, c.body, err, c.want)
		}
		if token != "the-token-of-vault /v1/transit/decrypt/berth" {
			t.Errorf("it was asked with %q", token)
		}
	}
}

func TestAServiceWhoseCertificateNobodyVouchesForIsNotTold(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "the-secret", "VAULT_ADDR": srv.URL, "VAULT_TOKEN": "the-token", "VAULT_MAX_RETRIES": "0"} {
		t.Setenv(name, value)
	}
	for url, want := range map[string]string{
		"awskms:///k?region=eu-west-1&endpoint=" + srv.URL: "certificate",
		"hashivault://k": "certificate",
	} {
		_, err := open(t, url).Wrap(t.Context(), seal.NewMaster())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), Name(url)) || strings.Contains(err.Error(), "the-") {
			t.Errorf("%s: %v, want an error with %q", url, err, want)
		}
	}
}

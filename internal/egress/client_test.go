package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// certificate makes one for a name or an address, valid until a time.
func (a *authority) certificate(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: until}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// start starts a server for 127.0.0.1.
func (a *authority) start(t *testing.T, h http.HandlerFunc, configure func(*tls.Config)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.certificate(t, "127.0.0.1", time.Now().Add(time.Hour))}}
	if configure != nil {
		configure(s.TLS)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	t.Cleanup(c.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := ReadAll(res.Body, 100)
	return string(b), err
}

func hello(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "hello "+r.Header.Get("Authorization"))
}

func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		configure func(*tls.Config)
		ok        bool
	}{
		"good":         {nil, true},
		"wrong name":   {func(c *tls.Config) { c.Certificates[0] = ca.certificate(t, "example.com", hour) }, false},
		"expired":      {func(c *tls.Config) { c.Certificates[0] = ca.certificate(t, "127.0.0.1", time.Now().Add(-time.Minute)) }, false},
		"other issuer": {func(c *tls.Config) { c.Certificates[0] = other.certificate(t, "127.0.0.1", hour) }, false},
		"self-signed": {func(c *tls.Config) {
			c.Certificates[0] = tls.Certificate{Certificate: [][]byte{other.cert.Raw}, PrivateKey: other.key}
		}, false},
		"TLS 1.1": {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		"TLS 1.2": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ca.start(t, hello, tt.configure)
			c := guard(t, Options{Allow: []string{"127.0.0.1"}, CA: ca.pem()}).Client(ClientOptions{})
			if body, err := get(t, c, s.URL); (err == nil) != tt.ok {
				t.Errorf("Get = %q, %v, want ok %t", body, err, tt.ok)
			}
		})
	}
	s := ca.start(t, hello, nil)
	if _, err := get(t, guard(t, Options{Allow: []string{"127.0.0.1"}}).Client(ClientOptions{}), s.URL); err == nil {
		t.Error("Get with the system's authorities alone: no error")
	}
}

func TestPlainHTTPIsRefused(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(hello))
	t.Cleanup(s.Close)
	c := guard(t, Options{Allow: []string{"127.0.0.1"}}).Client(ClientOptions{Redirects: 1})
	if _, err := get(t, c, s.URL); err == nil || !strings.Contains(err.Error(), "is not https") {
		t.Errorf("Get by http = %v, want an error", err)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	plain := httptest.NewServer(http.HandlerFunc(hello))
	t.Cleanup(plain.Close)
	other := ca.start(t, hello, nil)
	var first *httptest.Server
	first = ca.start(t, func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/here": first.URL + "/end", "/twice": "/here", "/other": other.URL, "/back": other.URL + "/back", "/plain": plain.URL,
			"/blocked": "https://10.0.0.1/", "/metadata": "https://169.254.169.254/latest/", "/loop": "/loop", "/file": "file:///etc/passwd",
			"/unlisted": "https://127.0.0.3:" + first.URL[strings.LastIndexByte(first.URL, ':')+1:],
		}[r.URL.Path]
		if to == "" {
			hello(w, r)
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}, nil)
	g := guard(t, Options{Allow: []string{"127.0.0.1"}, CA: ca.pem()})
	for path, want := range map[string]string{
		"/here": "hello Bearer secret", "/twice": "hello Bearer secret", "/other": "hello ", "/plain": "",
		"/blocked": "", "/metadata": "", "/loop": "", "/file": "", "/unlisted": "",
	} {
		body, err := get(t, g.Client(ClientOptions{Redirects: 2, Timeout: 5 * time.Second}), first.URL+path)
		if body != want || (err == nil) != (want != "") {
			t.Errorf("Get(%s) = %q, %v, want %q", path, body, err, want)
		}
		if blocked := path == "/blocked" || path == "/metadata" || path == "/unlisted"; blocked != isBlocked(err) {
			t.Errorf("Get(%s) = %v, want blocked %t", path, err, blocked)
		}
	}
	if _, err := get(t, g.Client(ClientOptions{}), first.URL+"/here"); err == nil {
		t.Error("Get with no redirects: no error")
	}
	for path, ok := range map[string]bool{"/here": true, "/other": false} {
		c := g.Client(ClientOptions{Redirects: 1})
		t.Cleanup(c.CloseIdleConnections)
		res, err := c.Post(first.URL+path, "text/plain", strings.NewReader("secret"))
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != ok {
			t.Errorf("Post(%s) = %v, want ok %t", path, err, ok)
		}
	}
}

// Credentials do not come back once they were left out.
func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var first, second *httptest.Server
	first = ca.start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, second.URL, http.StatusFound)
			return
		}
		hello(w, r)
	}, nil)
	second = ca.start(t, func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Authorization"); h != "" {
			t.Errorf("the other origin was sent %q", h)
		}
		http.Redirect(w, r, first.URL+"/end", http.StatusFound)
	}, nil)
	c := guard(t, Options{Allow: []string{"127.0.0.1"}, CA: ca.pem()}).Client(ClientOptions{Redirects: 5})
	if body, err := get(t, c, first.URL); err != nil || body != "hello " {
		t.Errorf("Get = %q, %v, want a request without credentials", body, err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	if b, err := ReadAll(strings.NewReader("12345"), 5); err != nil || string(b) != "12345" {
		t.Errorf("ReadAll = %q, %v, want all", b, err)
	}
	if _, err := ReadAll(strings.NewReader("123456"), 5); !errors.Is(err, ErrTooLarge) {
		t.Errorf("ReadAll = %v, want %v", err, ErrTooLarge)
	}
	ca := newAuthority(t)
	s := ca.start(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, nil)
	c := guard(t, Options{Allow: []string{"127.0.0.1"}, CA: ca.pem()}).Client(ClientOptions{Timeout: 100 * time.Millisecond})
	if _, err := get(t, c, s.URL); err == nil {
		t.Error("Get of an answer without an end: no error")
	}
}

// No variable leads connections to a proxy, where the guard would not see them.
func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	rt := guard(t, Options{}).Transport().(*transport)
	if rt.next.Proxy != nil {
		t.Error("the transport has a proxy")
	}
	if rt.next.TLSClientConfig.InsecureSkipVerify || rt.next.TLSClientConfig.MinVersion < tls.VersionTLS12 {
		t.Error("the transport does not verify")
	}
}

package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
)

// Whatever a client can stretch has a limit.
func TestHTTPServerHasLimits(t *testing.T) {
	s := &Server{config: &config.Config{}, log: slog.New(slog.DiscardHandler)}
	h := s.httpServer(http.NotFoundHandler())
	if h.ReadHeaderTimeout <= 0 || h.ReadHeaderTimeout > 10*time.Second {
		t.Errorf("ReadHeaderTimeout = %v, want at most 10 s", h.ReadHeaderTimeout)
	}
	if h.IdleTimeout <= 0 || h.IdleTimeout > 5*time.Minute {
		t.Errorf("IdleTimeout = %v, want minutes", h.IdleTimeout)
	}
	if h.WriteTimeout <= 0 || h.WriteTimeout > stall {
		t.Errorf("WriteTimeout = %v, want at most %v until progress puts it off", h.WriteTimeout, stall)
	}
	if h.MaxHeaderBytes <= 0 || h.MaxHeaderBytes > 1<<20 {
		t.Errorf("MaxHeaderBytes = %d, want less than 1 MiB", h.MaxHeaderBytes)
	}
	if h.ReadTimeout != 0 {
		t.Errorf("ReadTimeout = %v, want none: a layer takes as long as it takes", h.ReadTimeout)
	}
}

// deadlines is a ResponseWriter that remembers the deadlines it is set.
type deadlines struct {
	http.ResponseWriter
	read, write []time.Time
}

// SetReadDeadline is called by [http.ResponseController].
func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

// SetWriteDeadline is called by [http.ResponseController].
func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

// A client must go on sending; as long as it does it has time.
func TestSlowBodiesHaveADeadlineThatMoves(t *testing.T) {
	d := &deadlines{ResponseWriter: httptest.NewRecorder()}
	b := &requestBody{ReadCloser: io.NopCloser(strings.NewReader("a long body")), control: http.NewResponseController(d)}
	before := time.Now()
	var one [1]byte
	for range 3 {
		if _, err := b.Read(one[:]); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.read) != 1 || d.read[0].Before(before.Add(stall)) || d.read[0].After(time.Now().Add(stall)) {
		t.Fatalf("deadlines = %v, want one, %v ahead", d.read, stall)
	}
	b.deadline = time.Now().Add(stall / 4) // as if time had gone by
	if _, err := b.Read(one[:]); err != nil {
		t.Fatal(err)
	}
	if len(d.read) != 2 || !d.read[1].After(d.read[0]) {
		t.Errorf("deadlines = %v, want another", d.read)
	}
}

func TestSlowReadersHaveADeadlineThatMoves(t *testing.T) {
	d := &deadlines{ResponseWriter: httptest.NewRecorder()}
	w := newResponse(d, time.Now())
	for range 3 {
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.write) != 0 {
		t.Errorf("deadlines = %v, want only the server's own", d.write)
	}
	w.deadline = time.Now().Add(stall / 4)
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if len(d.write) != 1 || d.write[0].Before(time.Now().Add(stall/2)) {
		t.Errorf("deadlines = %v, want one, %v ahead", d.write, stall)
	}
}

// bare is a server without data, for what instrument does.
func bare(log io.Writer) *Server {
	return &Server{config: &config.Config{}, metrics: newMetrics(), log: slog.New(slog.NewTextHandler(log, nil))}
}

func TestPanicsAreAnsweredOrEndTheConnection(t *testing.T) {
	var log bytes.Buffer
	front := httptest.NewServer(bare(&log).instrument(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = w.Write([]byte("the beginning"))
			_ = http.NewResponseController(w).Flush()
		}
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		panic("a mistake")
	})))
	res, err := http.Get(front.URL + "/early")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != 500 || !strings.Contains(string(body), res.Header.Get("X-Amzn-Requestid")) || strings.Contains(string(body), "mistake") {
		t.Errorf("an early panic = %d %q, %v, want 500 with the request's id and no more", res.StatusCode, body, err)
	}
	res, err = http.Get(front.URL + "/late")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(res.Body)
	_ = res.Body.Close()
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading after a late panic: %v, want an unexpected end", err)
	}
	if _, err := http.Get(front.URL + "/abort"); err == nil {
		t.Error("an aborted request has an answer")
	}
	front.Close()
	if n := strings.Count(log.String(), "a mistake"); n != 2 {
		t.Errorf("the log has %d panics, want 2:\n%s", n, &log)
	}
}

// What failed because the client has left is no fault of the server.
func TestAnswersThatNobodyReadsAreNoErrors(t *testing.T) {
	for status, gone := range map[int]bool{500: true, 503: false} {
		var log bytes.Buffer
		h := bare(&log).instrument(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		if gone {
			leave()
		}
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/v2/", nil))
		if got := strings.Contains(log.String(), "level=ERROR"); got == gone {
			t.Errorf("status %d, client gone %t: the log says %s", status, gone, &log)
		}
	}
}

// Queries can hold signatures; what else a client sends is cut and quoted.
func TestAccessLogHoldsNoQueries(t *testing.T) {
	var log bytes.Buffer
	h := bare(&log).instrument(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	r := httptest.NewRequest("GET", "/v2/?signature=canary-1&X-Amz-Signature=canary-2", nil)
	r.Header.Set("Authorization", "Basic canary-3")
	r.Header.Set("User-Agent", "agent\nlevel=ERROR msg=forged \x1b[31m"+strings.Repeat("a", 10_000))
	r.Host = strings.Repeat("h", 10_000)
	r.URL.Path = "/v2/\n\x00level=ERROR" + strings.Repeat("p", 10_000)
	h.ServeHTTP(httptest.NewRecorder(), r)
	line := log.String()
	if strings.Contains(line, "canary") {
		t.Errorf("a secret is in the log: %s", line)
	}
	if strings.Count(line, "\n") != 1 || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x00\x1b\r\n") || len(line) > 2000 {
		t.Errorf("a line of %d bytes: %s", len(line), line)
	}
}

// Forwarded headers count only from those whose word is taken for it.
func TestOrigin(t *testing.T) {
	prefix := netip.MustParsePrefix
	const forwardedFor, proto = "X-Forwarded-For", "X-Forwarded-Proto"
	for _, test := range []struct {
		name    string
		proxies []netip.Prefix
		remote  string
		header  []string
		want    string
		secure  bool
	}{
		{"nothing forwarded", nil, "192.0.2.1:5000", nil, "192.0.2.1", false},
		{"a stranger's word", nil, "192.0.2.1:5000", []string{forwardedFor, "10.0.0.1", proto, "https"}, "192.0.2.1", false},
		{"a stranger's word beside a proxy", []netip.Prefix{prefix("10.0.0.0/8")}, "192.0.2.1:5000", []string{forwardedFor, "10.0.0.1", proto, "https"}, "192.0.2.1", false},
		{"a proxy's word", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{forwardedFor, "192.0.2.7", proto, "https"}, "192.0.2.7", true},
		{"a proxy without a word", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", nil, "10.1.2.3", false},
		{"a proxy over HTTP", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{proto, "http"}, "10.1.2.3", false},
		{"two words about the scheme", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{proto, "http", proto, "https"}, "10.1.2.3", false},
		{"what the client made up before", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{forwardedFor, "1.1.1.1, 192.0.2.7"}, "192.0.2.7", false},
		{"two proxies", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{forwardedFor, "1.1.1.1, 192.0.2.7, 10.9.9.9"}, "192.0.2.7", false},
		{"two headers", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{forwardedFor, "1.1.1.1", forwardedFor, "192.0.2.7, 10.9.9.9"}, "192.0.2.7", false},
		{"only proxies", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{forwardedFor, "10.0.0.7, 10.9.9.9"}, "10.0.0.7", false},
		{"nonsense", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{forwardedFor, "192.0.2.7, unknown"}, "10.1.2.3", false},
		{"an empty header", []netip.Prefix{prefix("10.0.0.0/8")}, "10.1.2.3:5000", []string{forwardedFor, ""}, "10.1.2.3", false},
		{"IPv6", []netip.Prefix{prefix("fd00::/8")}, "[fd00::1]:5000", []string{forwardedFor, "2001:db8::7"}, "2001:db8::7", false},
		{"IPv4 in IPv6", []netip.Prefix{prefix("10.0.0.0/8")}, "[::ffff:10.1.2.3]:5000", []string{forwardedFor, "::ffff:192.0.2.7"}, "192.0.2.7", false},
		{"no address", nil, "@", []string{forwardedFor, "192.0.2.7"}, "invalid IP", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/v2/", nil)
			r.RemoteAddr = test.remote
			for i := 0; i+1 < len(test.header); i += 2 {
				r.Header.Add(test.header[i], test.header[i+1])
			}
			addr, secure := (&Server{proxies: test.proxies}).origin(r)
			if addr.String() != test.want || secure != test.secure {
				t.Errorf("origin = %s, %t, want %s, %t", addr, secure, test.want, test.secure)
			}
		})
	}
}

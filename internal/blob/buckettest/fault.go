package buckettest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Fault is what goes wrong with a request to a store.
type Fault string

// The faults. With those up to Reset the store does nothing.
const (
	NoFault       Fault = ""
	InternalError Fault = "500"
	SlowDown      Fault = "503 SlowDown"
	Denied        Fault = "403 AccessDenied"
	Silence       Fault = "no answer"
	Reset         Fault = "connection reset"
	Slow          Fault = "answer in small pieces"
	Truncated     Fault = "answer broken off"
	LostAnswer    Fault = "done but answer lost"
	Twice         Fault = "done twice"
	Late          Fault = "done later"    // answered as if it were done, done with Release
	Delayed       Fault = "no answer yet" // the connection is reset, and what was asked done with Release
)

// Operation names what a request asks of S3.
func Operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Header.Get("X-Amz-Copy-Source") != "" && q.Has("partNumber"):
		return "UploadPartCopy"
	case r.Header.Get("X-Amz-Copy-Source") != "":
		return "CopyObject"
	case r.Method == "PUT" && q.Has("partNumber"):
		return "UploadPart"
	case r.Method == "PUT":
		return "PutObject"
	case r.Method == "POST" && q.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == "POST":
		return "CompleteMultipartUpload"
	case r.Method == "DELETE" && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case r.Method == "DELETE":
		return "DeleteObject"
	case r.Method == "HEAD":
		return "HeadObject"
	case q.Has("uploads") || q.Has("list-type"):
		return "List"
	}
	return "GetObject"
}

// Proxy stands before an S3 store and makes requests fail.
type Proxy struct {
	URL string

	target *url.URL
	client http.Transport
	ended  chan struct{}

	mu   sync.Mutex
	plan func(*http.Request) Fault // guarded by mu
	late []func()                  // guarded by mu
}

// StartProxy starts a proxy for the store at a URL. It ends with the test.
func StartProxy(t testing.TB, store string) *Proxy {
	t.Helper()
	target, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, ended: make(chan struct{}), client: http.Transport{DisableCompression: true}}
	s := httptest.NewServer(p)
	p.URL = s.URL
	t.Cleanup(func() {
		close(p.ended)
		s.CloseClientConnections()
		s.Close()
		p.client.CloseIdleConnections()
	})
	return p
}

// Plan makes requests fail as plan says from now on. nil is for no faults.
func (p *Proxy) Plan(plan func(*http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Once is a plan by which the first request for an operation has a fault.
func Once(operation string, f Fault) func(*http.Request) Fault {
	var mu sync.Mutex
	happened := false
	return func(r *http.Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		if happened || Operation(r) != operation {
			return NoFault
		}
		happened = true
		return f
	}
}

// Always is a plan by which every request for an operation has a fault.
func Always(operation string, f Fault) func(*http.Request) Fault {
	return func(r *http.Request) Fault {
		if Operation(r) != operation {
			return NoFault
		}
		return f
	}
}

// Release does what was to be done late.
func (p *Proxy) Release() {
	p.mu.Lock()
	late := p.late
	p.late = nil
	p.mu.Unlock()
	for _, do := range late {
		do()
	}
}

func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan == nil {
		return NoFault
	}
	return p.plan(r)
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := read(r.Body, r.ContentLength)
	switch f := p.fault(r); f {
	case InternalError:
		refuse(w, http.StatusInternalServerError, "InternalError")
	case SlowDown:
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
	case Denied:
		refuse(w, http.StatusForbidden, "AccessDenied")
	case Silence:
		select {
		case <-r.Context().Done():
		case <-p.ended:
		}
		panic(http.ErrAbortHandler)
	case Reset:
		reset(w)
	case LostAnswer:
		p.forward(r, body).Body.Close()
		reset(w)
	case Twice:
		p.forward(r, body).Body.Close()
		p.answer(w, p.forward(r, body), NoFault)
	case Late, Delayed:
		p.mu.Lock()
		p.late = append(p.late, func() {
			if resp, err := p.roundTrip(r, body); err == nil { // the store may refuse it by then
				resp.Body.Close()
			}
		})
		p.mu.Unlock()
		if f == Delayed {
			reset(w)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		p.answer(w, p.forward(r, body), f)
	}
}

// read returns a body, of which the length may be known.
func read(r io.Reader, length int64) []byte {
	b := bytes.NewBuffer(make([]byte, 0, max(length, 0)+bytes.MinRead))
	if _, err := b.ReadFrom(r); err != nil {
		panic(http.ErrAbortHandler)
	}
	return b.Bytes()
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>by the proxy</Message></Error>") // the client may have gone
}

// reset ends the connection as one whose other end has crashed.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// forward sends the request on, and ends the connection if that does not work.
func (p *Proxy) forward(r *http.Request, body []byte) *http.Response {
	resp, err := p.roundTrip(r, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return resp
}

// roundTrip sends the request on as it is: its signature covers the host.
func (p *Proxy) roundTrip(r *http.Request, body []byte) (*http.Response, error) {
	u := *r.URL
	u.Scheme, u.Host = p.target.Scheme, p.target.Host
	out := &http.Request{Method: r.Method, URL: &u, Host: r.Host, Header: r.Header.Clone(), ContentLength: int64(len(body))}
	out.Header.Del("Expect")
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	return p.client.RoundTrip(out)
}

// answer sends a response on, or only half of its body, or slowly.
func (p *Proxy) answer(w http.ResponseWriter, resp *http.Response, f Fault) {
	defer resp.Body.Close()
	body := read(resp.Body, resp.ContentLength)
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	if resp.Header.Get("Content-Length") == "" && resp.StatusCode != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(resp.StatusCode)
	switch f {
	case Truncated:
		body = body[:len(body)/2]
	case Slow:
		for ; len(body) > 10; body = body[len(body)/2:] {
			_, _ = w.Write(body[:len(body)/2]) // the client may have gone
			_ = http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	}
	_, _ = w.Write(body) // the client may have gone
	if f == Truncated {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

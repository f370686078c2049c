package egress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// transport refuses whatever is not https, on the first hop and on every other.
type transport struct{ next *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("%s is not https", r.URL.Redacted())
	}
	return t.next.RoundTrip(r)
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] reach the
// connections.
func (t *transport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// ClientOptions are the limits of a client. The zero ClientOptions follows no
// redirect and gives a request half a minute.
type ClientOptions struct {
	Redirects int           // how many it follows
	Timeout   time.Duration // for a request, its redirects and its body
}

const defaultTimeout = 30 * time.Second

// Client returns a client whose every connection the guard has let through, those
// of redirects too. Credentials are not sent on to another origin: once a
// redirect has led to another scheme, host or port, Authorization and Cookie are
// left out, and a request with a body is not redirected there.
func (g *Guard) Client(o ClientOptions) *http.Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &http.Client{
		Transport: g.Transport(), Timeout: o.Timeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error { return redirect(r, via, o.Redirects) },
	}
}

// redirect decides about a redirect and prepares the request that follows it.
func redirect(r *http.Request, via []*http.Request, most int) error {
	if len(via) > most {
		return fmt.Errorf("more than %d redirects", most)
	}
	if r.URL.Scheme != "https" {
		return errors.New("a redirect to something that is not https")
	}
	for _, v := range via {
		if origin(v.URL) == origin(r.URL) {
			continue
		}
		if r.Body != nil && r.Body != http.NoBody {
			return errors.New("a redirect of a request with a body to another origin")
		}
		for _, h := range []string{"Authorization", "Proxy-Authorization", "Cookie", "Www-Authenticate", "X-Amz-Security-Token"} {
			r.Header.Del(h)
		}
	}
	return nil
}

// origin is the scheme, host and port of a URL.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" && u.Scheme == "https" {
		port = "443"
	}
	return u.Scheme + "://" + hostKey(u.Hostname(), port)
}

// ErrTooLarge is what ReadAll returns for more bytes than may be.
var ErrTooLarge = errors.New("the answer is too large")

// ReadAll reads all of r, which must have at most max bytes.
func ReadAll(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, ErrTooLarge
	}
	return b, nil
}

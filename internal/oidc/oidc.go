// Package oidc verifies the identity tokens of OpenID Connect issuers: those that
// CI systems and clusters give to their jobs, and those that people get when they
// log in.
//
// A token is believed if it is one that its issuer has signed with RS256 or ES256
// and a key that the issuer publishes (OpenID Connect Discovery 1.0), or that the
// administrator has pinned, and if it is of now. Keys are never taken from a token.
package oidc

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"berth/internal/egress"
)

const (
	maxSources   = 256       // issuers whose keys are remembered
	maxDiscovery = 256 << 10 // bytes of a discovery document
	maxKeySet    = 512 << 10 // bytes of a set of keys
	// skew is how far an issuer's clock may be ahead. A token that has expired has
	// expired: no clock makes it last longer.
	skew = time.Minute
	// maxStale is how long keys are used while no new ones can be had, and pinnedStale
	// how long pinned ones are whose file is gone or broken.
	maxStale    = 12 * time.Hour
	pinnedStale = 5 * time.Minute
)

// Options configure a verifier.
type Options struct {
	// Client fetches discovery documents and keys. It must refuse whatever is not
	// https, and addresses that issuers must not be at.
	Client *http.Client
	// Pinned has files with the keys (JWK sets) of issuers that are never asked, by
	// issuer. They are read again as they change.
	Pinned map[string]string
	// Failed, if not nil, is told when the keys of an issuer could not be loaded.
	Failed func(issuer string, err error)
	Now    func() time.Time // time.Now if nil
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	options Options
	pinned  map[string]*source
	context context.Context // of what goes on in the background, until Close
	cancel  context.CancelFunc
	reloads sync.WaitGroup

	mu      sync.Mutex
	sources map[string]*source // by issuer; guarded by mu
}

// New returns a verifier. The pinned keys must be there.
func New(o Options) (*Verifier, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &Verifier{options: o, pinned: map[string]*source{}, sources: map[string]*source{}}
	v.context, v.cancel = context.WithCancel(context.Background())
	for issuer, file := range o.Pinned {
		if !validIssuer(issuer) {
			return nil, fmt.Errorf("%q is not the URL of an issuer, which begins with https://", issuer)
		}
		s := v.newSource(issuer, func(context.Context) ([]key, error) { return fileKeys(file) })
		s.fresh, s.interval, s.stale, s.background = time.Minute, time.Second, pinnedStale, nil
		v.pinned[issuer] = s
		if keys, err := fileKeys(file); err != nil {
			return nil, err
		} else if len(keys) == 0 {
			return nil, fmt.Errorf("%s has no key for RS256 or ES256 with a kid", file)
		}
	}
	return v, nil
}

func (v *Verifier) newSource(issuer string, load func(context.Context) ([]key, error)) *source {
	s := &source{load: load, now: v.options.Now, fresh: 15 * time.Minute, interval: time.Minute, stale: maxStale, turn: make(chan struct{}, 1)}
	s.background = func(f func(context.Context)) { v.reloads.Go(func() { f(v.context) }) }
	if v.options.Failed != nil {
		s.failed = func(err error) { v.options.Failed(issuer, err) }
	}
	return s
}

// Close ends what goes on in the background. No token may be verified after it.
func (v *Verifier) Close() error {
	v.cancel()
	v.reloads.Wait()
	return nil
}

// Verify returns what a token says that the issuer has signed and that is of now.
// Errors: InvalidIdentityToken, ExpiredTokenException, IDPCommunicationError.
func (v *Verifier) Verify(ctx context.Context, issuer, token string) (*Token, error) {
	u, err := parse(token)
	if err != nil {
		return nil, err
	}
	t, err := u.token()
	if err != nil {
		return nil, err
	}
	if t.Issuer != issuer || !validIssuer(issuer) {
		return nil, errInvalid("The ID Token provided was not issued by %.256s", issuer)
	}
	keys, err := v.source(issuer).find(ctx, u)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, errUnreachable(issuer, err)
	case len(keys) == 0:
		return nil, errNoKey()
	case !u.signedBy(keys):
		return nil, errSignature()
	}
	return t, u.checkTimes(t, v.options.Now())
}

// checkTimes holds the times of the token against now.
func (u *unverified) checkTimes(t *Token, now time.Time) error {
	expiry, err := u.required("exp")
	if err != nil {
		return err
	}
	issued, err := u.required("iat")
	if err != nil {
		return err
	}
	begin, limited, err := u.time("nbf")
	if err != nil {
		return err
	}
	latest := now.Add(skew).Unix()
	switch {
	case now.Unix() >= expiry:
		return errExpired(now.Unix(), expiry)
	case limited && begin > latest:
		return errInvalid("The ID Token provided is not valid before %d; it is %d.", begin, now.Unix())
	case issued > latest:
		return errInvalid("The ID Token provided was issued at %d, which is still to come; it is %d.", issued, now.Unix())
	}
	t.IssuedAt, t.ExpiresAt = time.Unix(issued, 0).UTC(), time.Unix(expiry, 0).UTC()
	return nil
}

// required returns a time that a token must have.
func (u *unverified) required(claim string) (int64, error) {
	seconds, there, err := u.time(claim)
	if err == nil && !there {
		err = errMissing(claim)
	}
	return seconds, err
}

// source returns the keys of an issuer. When too many are remembered, the one
// that was used the longest time ago is forgotten.
func (v *Verifier) source(issuer string) *source {
	if s := v.pinned[issuer]; s != nil {
		return s
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.sources[issuer]; s != nil {
		return s
	}
	if len(v.sources) >= maxSources {
		v.forget()
	}
	s := v.newSource(issuer, func(ctx context.Context) ([]key, error) { return discover(ctx, v.options.Client, issuer) })
	v.sources[issuer] = s
	return s
}

// forget forgets a source. It must be called with mu held.
func (v *Verifier) forget() {
	var oldest string
	var when time.Time
	for issuer, s := range v.sources {
		s.mu.Lock()
		if oldest == "" || s.used.Before(when) {
			oldest, when = issuer, s.used
		}
		s.mu.Unlock()
	}
	delete(v.sources, oldest)
}

// validIssuer reports whether a text can be an issuer: an https URL without
// query and fragment.
func validIssuer(s string) bool {
	u, err := url.Parse(s)
	return err == nil && clean(s) && strings.HasPrefix(s, "https://") && u.Hostname() != "" && u.User == nil && !strings.ContainsAny(s, "?#")
}

func fileKeys(file string) ([]key, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := egress.ReadAll(f, maxKeySet)
	if err == nil {
		var keys []key
		if keys, err = parseKeys(text); err == nil {
			return keys, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", file, err)
}

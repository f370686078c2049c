// Package keyservice has a remote key service wrap the master key and unwrap it: AWS
// KMS, or whatever speaks its API, and the transit engine of Vault.
//
// A service is named by a URL in the form of gocloud.dev/secrets:
//
//	awskms:///alias/berth?region=eu-west-1    AWS KMS; also endpoint= and profile=
//	hashivault://berth?engine=transit         Vault, at VAULT_ADDR with VAULT_TOKEN
//	base64key://KEY                           a key of 32 bytes, for tests
//
// It is the operator who names a service, no user: it may be at a private address, and
// package egress is not asked. Certificates are verified.
package keyservice

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/internal/seal"
)

// Patience is how long a service is waited for at most, with the attempts that its
// client makes.
const Patience = 30 * time.Second

// keeper encrypts and decrypts with a key that it does not give away. What is encrypted
// under an id decrypts under that alone, where the service can bind them.
type keeper interface {
	encrypt(ctx context.Context, plain []byte, id string) ([]byte, error)
	decrypt(ctx context.Context, wrapped []byte, id string) ([]byte, error)
}

// Service is a key service.
type Service struct {
	name   string
	keeper keeper
}

// Open returns the service that a URL names. It does not ask it anything yet.
func Open(ctx context.Context, text string) (*Service, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.User != nil || u.Fragment != "" {
		return nil, errURL // and not err, which has the URL, and perhaps a key in it
	}
	s := &Service{name: Name(text)}
	if s.keeper, err = openKeeper(ctx, u); err != nil {
		return nil, fmt.Errorf("the key service %s: %w", s.name, err)
	}
	return s, nil
}

var errURL = errors.New("the key service is no URL such as awskms:///alias/NAME?region=REGION or hashivault://NAME")

func openKeeper(ctx context.Context, u *url.URL) (keeper, error) {
	switch u.Scheme {
	case "awskms":
		return openKMS(ctx, u)
	case "hashivault":
		return openVault(u)
	case "base64key":
		return openLocal(u)
	case "gcpkms", "azurekeyvault":
		return nil, fmt.Errorf("%s is not built in: use awskms or hashivault", u.Scheme)
	}
	return nil, fmt.Errorf("there is no %s: use awskms or hashivault", u.Scheme)
}

// parameters returns the values of a URL's parameters, of which none but those named
// may be there, once each.
func parameters(u *url.URL, names ...string) (map[string]string, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("its parameters are not NAME=VALUE")
	}
	out := map[string]string{}
	for _, name := range names {
		if len(q[name]) > 1 {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		out[name] = q.Get(name)
		q.Del(name)
	}
	for name := range q {
		return nil, fmt.Errorf("it has no parameter %q", name)
	}
	return out, nil
}

// keyName returns what names the key in the host and path of a URL.
func keyName(u *url.URL) (string, error) {
	name := strings.Trim(u.Host+u.Path, "/")
	if name == "" {
		return "", errors.New("it names no key")
	}
	return name, nil
}

// Name returns a URL for people to read: without what may be a key, or a password.
func Name(text string) string {
	scheme, _, found := strings.Cut(text, "://")
	if !found {
		return "..."
	}
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"awskms", "hashivault", "gcpkms", "azurekeyvault"}, scheme) {
		return scheme + "://..."
	}
	name, q := scheme+"://"+u.Host+u.Path, u.Query()
	separator := "?"
	for _, p := range []string{"region", "engine", "endpoint"} {
		value := q.Get(p)
		if e, err := url.Parse(value); p == "endpoint" && value != "" {
			if value = "..."; err == nil {
				value = e.Host
			}
		}
		if value != "" {
			name += separator + p + "=" + value
			separator = "&"
		}
	}
	return name
}

// A wrapped master key is a line of text without commas:
//
//	wrapped:1:<id of the key>:<what the service returned, in base64>
//
// The id is the eight hexadecimal digits that every sealed value has in it.
const prefix = "wrapped:1:"

var (
	wrappedRegexp = regexp.MustCompile(`\Awrapped:1:([0-9a-f]{8}):([A-Za-z0-9+/]+={0,2})\z`)
	errForm       = errors.New("a wrapped master key is " + prefix + "<id>:<base64>, as berth keys wrap writes it")
)

// Wrapped reports whether a text is meant as a wrapped master key.
func Wrapped(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("wrapped:")) }

func parse(text []byte) (id string, wrapped []byte, err error) {
	m := wrappedRegexp.FindSubmatch(bytes.TrimSpace(text))
	if m == nil {
		return "", nil, errForm
	}
	if wrapped, err = base64.StdEncoding.Strict().DecodeString(string(m[2])); err != nil {
		return "", nil, errForm
	}
	return string(m[1]), wrapped, nil
}

// Wrap returns the wrapped form of a master key, after it has seen that the service
// unwraps it.
func (s *Service) Wrap(ctx context.Context, m *seal.Master) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	wrapped, err := s.keeper.encrypt(limited, m.Text(), m.ID())
	if err != nil {
		return nil, fmt.Errorf("the key service %s does not wrap the master key: %w: see that it is there, that its key is enabled, and that the credentials may encrypt with it", s.name, plainly(err))
	}
	text := []byte(prefix + m.ID() + ":" + base64.StdEncoding.EncodeToString(wrapped))
	again, err := s.Unwrap(ctx, text)
	if err == nil && subtle.ConstantTimeCompare(again.Text(), m.Text()) != 1 {
		err = fmt.Errorf("the key service %s returns another master key than it has wrapped", s.name)
	}
	return text, err
}

// Unwrap returns the master key that [Service.Wrap] was given. It fails if that is not
// the one that the wrapped form names.
func (s *Service) Unwrap(ctx context.Context, text []byte) (*seal.Master, error) {
	id, wrapped, err := parse(text)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	plain, err := s.keeper.decrypt(ctx, wrapped, id)
	if err != nil {
		return nil, fmt.Errorf("the key service %s does not unwrap the master key %s: %w: see that it is there, that its key is enabled, and that the credentials may decrypt with it", s.name, id, plainly(err))
	}
	m, err := seal.ParseMaster(plain)
	if err != nil || m.ID() != id {
		return nil, fmt.Errorf("what the key service %s unwraps is not the master key %s: see that it is the service, and the key, that have wrapped it", s.name, id)
	}
	return m, nil
}

// plainly returns an error in one line.
func plainly(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("there was no answer within %v", Patience)
	}
	return said{err}
}

// said is an error whose text is one line.
type said struct{ error }

func (s said) Error() string { return strings.Join(strings.Fields(s.error.Error()), " ") }

func (s said) Unwrap() error { return s.error }

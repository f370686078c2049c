package registry

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// Tokens makes registry passwords. It is implemented by package authn.
type Tokens interface {
	// Mint returns a password that stands for the caller until the time given.
	// It also returns the id by which the password can be revoked.
	Mint(c access.Caller, now time.Time) (password string, expires time.Time, id string)
	// MintPublic is Mint for the public registries. A password of one kind is
	// worth nothing where one of the other is asked for.
	MintPublic(c access.Caller, now time.Time) (password string, expires time.Time, id string)
	// MintFor is Mint for a time that is given.
	MintFor(c access.Caller, now time.Time, life time.Duration) (password string, expires time.Time, id string)
}

// Authorization is a registry password and the registry that it is for.
type Authorization struct {
	ID
	Password string
	Expires  time.Time
}

// GetAuthorizationToken returns a registry password for each of the registries,
// which all stand for the caller: what it may do is decided when it is used.
// The caller must be allowed ecr:GetAuthorizationToken in its own account; for
// the public registries, ecr-public:GetAuthorizationToken and
// sts:GetServiceBearerToken.
func (r *Registry) GetAuthorizationToken(ctx context.Context, c access.Caller, region string, accounts []string) ([]Authorization, error) {
	if len(accounts) == 0 {
		accounts = []string{c.Account}
	}
	q := request{caller: c, event: "GetAuthorizationToken", ref: Ref{ID: ID{c.Account, region}}, params: tokenParams{accounts}, readOnly: true}
	mint := r.tokens.Mint
	if q.ref.Public() {
		mint, q.also = r.tokens.MintPublic, []string{"sts:GetServiceBearerToken"}
		q.context = map[string][]string{"sts:AWSServiceName": {"ecr-public.amazonaws.com"}}
	}
	var out []Authorization
	err := r.admit(&q)
	if err == nil {
		err = r.decide(ctx, nil, q, nil)
	}
	if err == nil {
		var made tokenResponse
		for _, a := range accounts {
			password, expires, id := mint(c, r.now())
			out = append(out, Authorization{ID{a, region}, password, expires})
			made.TokenIDs = append(made.TokenIDs, id)
		}
		q.response = made
	}
	r.auditor.Record(q.record(r.now(), err))
	return out, err
}

// The shortest and the longest time that CreateToken makes a password for.
const (
	shortestToken = time.Minute
	longestToken  = 12 * time.Hour
)

// Token is a registry password that can be revoked by its id.
type Token struct {
	Authorization
	TokenID string
}

// CreateToken is GetAuthorizationToken for a password that works for a shorter
// time, from a minute to twelve hours. Errors: InvalidParameterException.
func (r *Registry) CreateToken(ctx context.Context, c access.Caller, region string, life time.Duration) (Token, error) {
	id := ID{c.Account, region}
	q := request{caller: c, event: "CreateToken", action: "GetAuthorizationToken", ref: Ref{ID: id}, readOnly: true, params: lifeParams{int64(life / time.Second)}}
	err := r.admit(&q)
	if err == nil {
		err = r.decide(ctx, nil, q, nil)
	}
	if err == nil && (life < shortestToken || life > longestToken) {
		err = fault.New(fault.Invalid, "InvalidParameterException", "A token works for %d to %d seconds", int(shortestToken/time.Second), int(longestToken/time.Second))
	}
	var out Token
	if err == nil {
		password, expires, token := r.tokens.MintFor(c, r.now(), life)
		out = Token{Authorization{id, password, expires}, token}
		q.response = tokenResponse{[]string{token}}
	}
	r.auditor.Record(q.record(r.now(), err))
	return out, err
}

// lifeParams are the audited parameters of CreateToken.
type lifeParams struct {
	LifetimeSeconds int64 `json:"lifetimeSeconds"`
}

// tokenResponse says in an audit record which passwords a call has made.
type tokenResponse struct {
	TokenIDs []string `json:"tokenIds"`
}

// MayLogIn returns nil if the caller may log in to the private registries without a
// password of GetAuthorizationToken: who may not get one may not log in with anything
// else. A refusal leaves an audit record; so does a login that is the first one.
func (r *Registry) MayLogIn(ctx context.Context, c access.Caller, region string, first bool) error {
	q := request{caller: c, event: "GetAuthorizationToken", ref: Ref{ID: ID{c.Account, region}}, params: tokenParams{[]string{c.Account}}, readOnly: true}
	err := r.decide(ctx, nil, q, nil)
	if err != nil || first {
		r.auditor.Record(q.record(r.now(), err))
	}
	return err
}

// tokenParams are the audited parameters of GetAuthorizationToken.
type tokenParams struct {
	RegistryIDs []string `json:"registryIds"`
}

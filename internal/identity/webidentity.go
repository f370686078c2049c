package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/fault"
)

const (
	assumeRoleWithWebIdentity = "AssumeRoleWithWebIdentity"
	getSessionToken           = "GetSessionToken"
	getFederationToken        = "GetFederationToken"

	maxIdentityToken = 20_000 // bytes
	// sourceIdentityClaim is the claim of a token that becomes the source identity.
	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
)

// Claims are what an identity token says.
type Claims struct {
	Issuer          string // https://token.actions.githubusercontent.com
	Subject         string
	Audience        []string
	AuthorizedParty string // "" if the token names none
	// Other are the claims that are texts, or lists of texts, by their names. They
	// become condition keys of the trust policy: ISSUER:amr.
	Other map[string][]string
	// Tags are the session tags that the token asks for, and Transitive the keys of
	// those that further sessions inherit.
	Tags       []Tag
	Transitive []string
}

// TokenVerifier verifies identity tokens. It must be safe for concurrent use.
type TokenVerifier interface {
	// Verify returns what a token says, if it is one of the provider's and in force:
	// it checks the signature, the issuer and the times, but not the audience. A
	// refusal is a [TokenError]; any other error is a fault of ours.
	Verify(ctx context.Context, p Provider, token string) (Claims, error)
}

// TokenError says why an identity token is refused, in words for who has sent it.
type TokenError struct {
	Reason TokenReason
	Text   string
}

// TokenReason is a kind of refusal.
type TokenReason int

// The reasons why a token is refused.
const (
	TokenInvalid      TokenReason = iota // it is none, or not the provider's
	TokenExpired                         // it is no longer in force
	TokenRejected                        // a claim that must be there is missing or wrong
	IssuerUnreachable                    // the provider's keys could not be had
)

// Error implements error.
func (e *TokenError) Error() string { return e.Text }

// tokenFaults are the exceptions that reasons stand for.
var tokenFaults = map[TokenReason]struct {
	kind fault.Kind
	code string
}{
	TokenInvalid:      {fault.Invalid, "InvalidIdentityToken"},
	TokenExpired:      {fault.Invalid, "ExpiredTokenException"},
	TokenRejected:     {fault.Denied, "IDPRejectedClaim"},
	IssuerUnreachable: {fault.Invalid, "IDPCommunicationError"},
}

// tokenFault gives a refusal of a token STS's exception.
func tokenFault(err error) error {
	var e *TokenError
	if !errors.As(err, &e) {
		return err
	}
	f := tokenFaults[e.Reason]
	return fault.New(f.kind, f.code, "%s", e.Text)
}

func errToken(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidIdentityToken", format, args...)
}

// WebIdentityInput says what session of a role is asked for with a token.
type WebIdentityInput struct {
	RoleARN, SessionName string
	Token                string
	Policy               string
	PolicyARNs           []string
	Seconds              int64 // an hour if 0
}

// WebIdentity is a session of a role, and the token that it was asked for with.
type WebIdentity struct {
	Assumed
	Subject, Provider, Audience string // the provider is its URL without https://
}

// AssumeRoleWithWebIdentity issues a session of a role to who has a token of a
// provider that the role's account and its trust policy trust. Nobody need be
// known: the caller does not count. Errors: InvalidIdentityToken,
// ExpiredTokenException, IDPRejectedClaim, IDPCommunicationError, AccessDenied,
// and those of AssumeRole about policies and durations.
func (d *Directory) AssumeRoleWithWebIdentity(ctx context.Context, c access.Call, in WebIdentityInput) (WebIdentity, error) {
	asked := AssumeRoleInput{RoleARN: in.RoleARN, SessionName: in.SessionName, Policy: in.Policy, PolicyARNs: in.PolicyARNs, Seconds: in.Seconds}
	q := &request{call: c, service: "sts", event: assumeRoleWithWebIdentity, params: asked.params()}
	q.call.Caller = access.Caller{
		Type: access.WebIdentity, SourceIP: c.SourceIP, Secure: c.Secure, UserAgent: c.UserAgent, RequestID: c.RequestID,
		Endpoint: c.Endpoint,
	}
	out, err := d.redeem(ctx, q, in, asked)
	if err != nil && !q.decided && q.call.ARN != "" {
		d.auditor.Record(q.record(d.now(), err))
	}
	return out, err
}

// redeem is AssumeRoleWithWebIdentity. It leaves no record of a call that was not
// decided. Nobody does of one without a good token: there would be no end to them.
func (d *Directory) redeem(ctx context.Context, q *request, in WebIdentityInput, asked AssumeRoleInput) (out WebIdentity, err error) {
	a, name, err := parseRole(in.RoleARN)
	if err != nil {
		return out, err
	}
	q.account = a.Account
	provider, claims, err := d.verify(ctx, a.Account, in.Token)
	if err != nil {
		return out, err
	}
	q.call.ARN, q.call.ID = provider.ARN(), provider.URL+":"+claims.Audience[0]+":"+claims.Subject
	audience, err := provider.audience(claims)
	if err != nil {
		return out, err
	}
	q.call.ID = provider.URL + ":" + audience + ":" + claims.Subject
	out.Subject, out.Provider, out.Audience = claims.Subject, provider.URL, audience
	asked.Tags, asked.Transitive = claims.Tags, claims.Transitive
	if said := claims.Other[sourceIdentityClaim]; len(said) == 1 {
		asked.SourceIdentity = said[0]
	}
	q.context, q.params = asked.conditions(), asked.params()
	provider.addClaims(q.context, claims)
	out.Credentials, err = d.issue(ctx, q, a.Account, func(tx ReadTx) (Session, error) {
		if err := provider.stillTakes(tx, audience); err != nil {
			return Session{}, err
		}
		role, err := readRole(tx, a, name)
		if err != nil {
			return Session{}, err
		}
		if err := d.decideAssume(ctx, tx, q, asked.webActions(), role); err != nil {
			return Session{}, err
		}
		terms, packed, err := asked.terms(tx, a.Account, Terms{})
		if err != nil {
			return Session{}, err
		}
		seconds, err := asked.duration(role, false)
		if err != nil {
			return Session{}, err
		}
		q.issued = issuedTo(role, in.SessionName)
		terms.Provider, terms.Subject, terms.Audience, terms.By = provider.ARN(), claims.Subject, audience, q.call.ID
		out.ARN, out.ID, out.SourceIdentity, out.Packed = assumedARN(role, in.SessionName), role.ID+":"+in.SessionName, terms.SourceIdentity, packed
		return d.lasting(Session{Account: a.Account, Owner: role.ID, Operation: assumeRoleWithWebIdentity, Terms: terms}, seconds), nil
	})
	if err != nil {
		q.decided = true // the record is left
		return WebIdentity{}, err
	}
	return out, nil
}

func (in *AssumeRoleInput) webActions() []string {
	out := in.actions(Terms{})
	out[0] = "sts:" + assumeRoleWithWebIdentity
	return out
}

// verify returns the provider of the account whose token it is, and what the token
// says.
func (d *Directory) verify(ctx context.Context, account, token string) (*Provider, Claims, error) {
	issuer, ok := issuerOf(token)
	if !ok {
		return nil, Claims{}, errToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	var p *Provider
	err := d.store.View(ctx, func(tx ReadTx) (err error) {
		p, err = tx.Provider(account, strings.TrimPrefix(issuer, "https://"))
		return err
	})
	if err != nil {
		return nil, Claims{}, err
	}
	if p == nil || !strings.HasPrefix(issuer, "https://") {
		return nil, Claims{}, errNoIssuer(issuer)
	}
	if d.tokens == nil {
		return nil, Claims{}, errToken("This server verifies no identity tokens.")
	}
	claims, err := d.tokens.Verify(ctx, *p, token)
	if err != nil {
		return nil, Claims{}, tokenFault(err)
	}
	if claims.Issuer != issuer || claims.Subject == "" || len(claims.Audience) == 0 {
		return nil, Claims{}, errToken("The token does not name its issuer, its subject and its audience.")
	}
	return p, claims, nil
}

// issuerOf returns whom a token, which nobody has verified, says that it is from:
//
//	base64url(header) "." base64url({"iss": "https://...", ...}) "." base64url(signature)
//
// It serves to find the provider, which is then to verify it.
func issuerOf(token string) (string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxIdentityToken {
		return "", false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", false
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Issuer == "" || strings.ContainsFunc(claims.Issuer, notText) {
		return "", false
	}
	return claims.Issuer, true
}

// notText reports whether a character cannot be part of a URL: PostgreSQL takes no
// NUL.
func notText(r rune) bool { return r <= ' ' || r >= 0x7f }

// audience returns the client that a token is for, which must be one of the
// provider's: the authorized party, if the token names one, or else one of its
// audience.
func (p *Provider) audience(c Claims) (string, error) {
	for _, client := range c.clients() {
		if slices.Contains(p.Clients, client) {
			return client, nil
		}
	}
	return "", errToken("Incorrect token audience")
}

// stillTakes refuses an audience that the provider has no more: it may have been
// changed or deleted while the token was verified.
func (p *Provider) stillTakes(tx ReadTx, audience string) error {
	now, err := tx.Provider(p.Account, p.URL)
	if err != nil {
		return err
	}
	if now == nil {
		return errNoIssuer("https://" + p.URL)
	}
	_, err = now.audience(Claims{Audience: []string{audience}})
	return err
}

func errNoIssuer(issuer string) error {
	return errToken("No OpenIDConnect provider found in your account for %.256s", issuer)
}

func (c *Claims) clients() []string {
	if c.AuthorizedParty != "" {
		return []string{c.AuthorizedParty}
	}
	return c.Audience
}

// addClaims sets the condition keys of what a token says. With an authorized party,
// that is :aud, and the audience :oaud. No other claim adds to these, however it is
// spelled: the case of a key does not matter.
func (p *Provider) addClaims(to map[string][]string, c Claims) {
	for name, values := range c.Other {
		switch nameKey(name) {
		case "sub", "aud", "azp", "oaud":
		default:
			to[p.URL+":"+name] = values
		}
	}
	to[p.URL+":sub"], to[p.URL+":aud"] = []string{c.Subject}, c.clients()
	if c.AuthorizedParty != "" {
		to[p.URL+":azp"], to[p.URL+":oaud"] = []string{c.AuthorizedParty}, c.Audience
	}
}

package server

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"berth/internal/egress"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/oidc"
)

// issuerTime is how long an issuer has to answer, redirects and all.
const issuerTime = 10 * time.Second

// newGuard makes the way out of the server: all connections that it opens to
// addresses that others choose.
func (s *Server) newGuard() (*egress.Guard, error) {
	o := egress.Options{Allow: s.config.EgressAllow}
	if s.config.EgressCA != "" {
		var err error
		if o.CA, err = os.ReadFile(s.config.EgressCA); err != nil {
			return nil, fmt.Errorf("egress-ca: %w", err)
		}
	}
	g, err := egress.New(o)
	if err != nil {
		return nil, fmt.Errorf("egress-allow and egress-ca: %w", err)
	}
	return g, nil
}

// newTokens makes what verifies identity tokens.
func (s *Server) newTokens() (identity.TokenVerifier, error) {
	if s.options.Tokens != nil {
		return s.options.Tokens, nil
	}
	guard, err := s.newGuard()
	if err != nil {
		return nil, err
	}
	pinned, err := s.config.PinnedKeys()
	if err != nil {
		return nil, err
	}
	client := guard.Client(egress.ClientOptions{Redirects: 3, Timeout: issuerTime})
	s.closers = append(s.closers, func() error { client.CloseIdleConnections(); return nil })
	v, err := oidc.New(oidc.Options{Client: client, Pinned: pinned, Now: s.options.Now, Failed: func(issuer string, err error) {
		s.log.Warn("the keys of an issuer of identity tokens could not be had", "issuer", issuer, "error", err)
	}})
	if err != nil {
		return nil, fmt.Errorf("oidc-jwks: %w", err)
	}
	s.closers = append(s.closers, v.Close)
	return &tokens{v}, nil
}

// tokens verifies tokens for package identity.
type tokens struct {
	verifier *oidc.Verifier
}

var _ identity.TokenVerifier = (*tokens)(nil)

var tokenReasons = map[string]identity.TokenReason{
	"InvalidIdentityToken":  identity.TokenInvalid,
	"ExpiredTokenException": identity.TokenExpired,
	"IDPCommunicationError": identity.IssuerUnreachable,
}

// Verify implements [identity.TokenVerifier].
func (v *tokens) Verify(ctx context.Context, p identity.Provider, token string) (identity.Claims, error) {
	t, err := v.verifier.Verify(ctx, "https://"+p.URL, token)
	if f, ok := fault.As(err); ok {
		return identity.Claims{}, &identity.TokenError{Reason: tokenReasons[f.Code], Text: f.Message}
	}
	if err != nil {
		return identity.Claims{}, err
	}
	tags := []identity.Tag{}
	for _, key := range slices.Sorted(maps.Keys(t.Tags)) {
		tags = append(tags, identity.Tag{Key: key, Value: t.Tags[key]})
	}
	return identity.Claims{
		Issuer: t.Issuer, Subject: t.Subject, Audience: t.Audience, AuthorizedParty: t.AuthorizedParty, Other: t.Claims,
		Tags: tags, Transitive: t.TransitiveTags,
	}, nil
}

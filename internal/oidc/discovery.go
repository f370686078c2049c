package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"berth/internal/egress"
)

// discover fetches the keys that an issuer publishes.
func discover(ctx context.Context, c *http.Client, issuer string) ([]key, error) {
	document, err := discovery(ctx, c, issuer)
	if err != nil {
		return nil, err
	}
	address, _ := document["jwks_uri"].(string)
	if !strings.HasPrefix(address, "https://") {
		return nil, errors.New("the jwks_uri of the issuer is not https")
	}
	text, err := fetch(ctx, c, address, maxKeySet)
	if err != nil {
		return nil, err
	}
	return parseKeys(text)
}

// discovery fetches the discovery document of an issuer, which must name it.
func discovery(ctx context.Context, c *http.Client, issuer string) (map[string]any, error) {
	text, err := fetch(ctx, c, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", maxDiscovery)
	if err != nil {
		return nil, err
	}
	document, err := parseObject(text)
	if err != nil {
		return nil, fmt.Errorf("the discovery document %w", err)
	}
	if document["issuer"] != issuer {
		return nil, fmt.Errorf("the discovery document is that of another issuer: %.256q", document["issuer"])
	}
	return document, nil
}

func fetch(ctx context.Context, c *http.Client, address string, max int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	res, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", address, res.Status)
	}
	text, err := egress.ReadAll(res.Body, max)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return text, nil
}

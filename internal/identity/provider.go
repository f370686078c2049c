package identity

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/page"
	"berth/internal/policy"
)

const (
	maxProviders   = 100
	maxClients     = 100
	maxThumbprints = 5
	providerKind   = "oidc-provider/"
)

// ARN returns the provider's name in the whole of AWS.
func (p *Provider) ARN() string {
	return "arn:aws:iam::" + p.Account + ":" + providerKind + p.URL
}

func (p *Provider) conditions() map[string][]string { return (&Entity{Tags: p.Tags}).conditions() }

var thumbprint = regexp.MustCompile(`\A[0-9a-fA-F]{40}\z`)

// checkProvider checks a provider, but for its URL.
func checkProvider(p *Provider) error {
	if len(p.Clients) > maxClients {
		return errQuota("ClientIdsPerOpenIdConnectProvider", maxClients)
	}
	if len(p.Thumbprints) > maxThumbprints {
		return errInput("Thumbprint list must contain fewer than %d entries.", maxThumbprints+1)
	}
	for _, t := range p.Thumbprints {
		if !thumbprint.MatchString(t) {
			return errInput("Thumbprint %.64s is not 40 hexadecimal digits.", t)
		}
	}
	return checkTags(p.Tags)
}

// providerURL returns the URL of a provider as it is kept, without its scheme.
func providerURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, "https://") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, "?#") {
		return "", errInput("Invalid Open ID Connect Provider URL")
	}
	return strings.TrimPrefix(text, "https://"), nil
}

// CreateProvider makes the account trust a provider. Its URL is the whole one.
// Errors: InvalidInput, EntityAlreadyExists, LimitExceeded.
func (d *Directory) CreateProvider(ctx context.Context, c access.Call, p Provider) (*Provider, error) {
	q := &request{call: c, event: "CreateOpenIDConnectProvider", params: params{"url": p.URL}, context: requestTags(p.Tags)}
	given := p.URL
	err := d.update(ctx, q, func(tx Tx) error {
		var wrong error
		p.URL, wrong = providerURL(given)
		p.Account, p.CreatedAt = c.Account, d.time()
		if err := d.decide(ctx, q, c.Account, p.ARN(), nil); err != nil {
			return err
		}
		if wrong != nil {
			return wrong
		}
		if err := checkProvider(&p); err != nil {
			return err
		}
		all, err := tx.Providers(c.Account)
		if err != nil {
			return err
		}
		for _, there := range all {
			if there.URL == p.URL {
				return errExists("Provider with url %s already exists.", given)
			}
		}
		if len(all) >= maxProviders {
			return errQuota("OpenIdConnectProvidersPerAccount", maxProviders)
		}
		p.Tags = sortTags(p.Tags)
		return tx.PutProvider(p)
	})
	return &p, err
}

// openProvider decides a call about a provider and returns the provider.
func (d *Directory) openProvider(ctx context.Context, tx ReadTx, q *request, arn string) (*Provider, error) {
	a, ok := policy.ParseARN(arn)
	name, named := strings.CutPrefix(a.Resource, providerKind)
	if !ok || a.Partition != "aws" || a.Service != "iam" || a.Region != "" || a.Account == "" || !named {
		if err := d.decide(ctx, q, q.call.Account, "*", nil); err != nil {
			return nil, err
		}
		return nil, errInput("Invalid ARN: %.128s", arn)
	}
	var p *Provider
	var conditions map[string][]string
	if a.Account == q.call.Account {
		var err error
		if p, err = tx.Provider(a.Account, name); err != nil {
			return nil, err
		}
	}
	if p != nil {
		conditions = p.conditions()
	}
	if err := d.decide(ctx, q, a.Account, arn, conditions); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, errNoProvider(arn)
	}
	return p, nil
}

// GetProvider returns a provider. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) GetProvider(ctx context.Context, c access.Call, arn string) (out *Provider, err error) {
	q := &request{call: c, event: "GetOpenIDConnectProvider", params: params{"openIDConnectProviderArn": arn}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		var err error
		out, err = d.openProvider(ctx, tx, q, arn)
		return err
	})
	return out, err
}

// ListProviders returns the providers that the account trusts, by URL.
func (d *Directory) ListProviders(ctx context.Context, c access.Call) (out []Provider, err error) {
	q := &request{call: c, event: "ListOpenIDConnectProviders"}
	err = d.view(ctx, q, func(tx ReadTx) error {
		if err := d.decide(ctx, q, c.Account, q.arn(providerKind), nil); err != nil {
			return err
		}
		var err error
		out, err = tx.Providers(c.Account)
		return err
	})
	return out, err
}

// DeleteProvider makes the account trust a provider no longer. Errors:
// NoSuchEntity, InvalidInput.
func (d *Directory) DeleteProvider(ctx context.Context, c access.Call, arn string) error {
	q := &request{call: c, event: "DeleteOpenIDConnectProvider", params: params{"openIDConnectProviderArn": arn}}
	return d.update(ctx, q, func(tx Tx) error {
		p, err := d.openProvider(ctx, tx, q, arn)
		if err != nil {
			return err
		}
		return tx.DeleteProvider(c.Account, p.URL)
	})
}

// changeProvider changes a provider.
func (d *Directory) changeProvider(ctx context.Context, q *request, arn string, change func(*Provider) error) error {
	if q.params == nil {
		q.params = params{}
	}
	q.params["openIDConnectProviderArn"] = arn
	return d.update(ctx, q, func(tx Tx) error {
		p, err := d.openProvider(ctx, tx, q, arn)
		if err != nil {
			return err
		}
		if err := change(p); err != nil {
			return err
		}
		if err := checkProvider(p); err != nil {
			return err
		}
		return tx.PutProvider(*p)
	})
}

// AddClient adds a client id to a provider that has it not. Errors: NoSuchEntity,
// InvalidInput, LimitExceeded.
func (d *Directory) AddClient(ctx context.Context, c access.Call, arn, client string) error {
	q := &request{call: c, event: "AddClientIDToOpenIDConnectProvider", params: params{"clientID": client}}
	return d.changeProvider(ctx, q, arn, func(p *Provider) error {
		if !slices.Contains(p.Clients, client) {
			p.Clients = append(p.Clients, client)
		}
		return nil
	})
}

// RemoveClient removes a client id, if the provider has it. Errors: NoSuchEntity,
// InvalidInput.
func (d *Directory) RemoveClient(ctx context.Context, c access.Call, arn, client string) error {
	q := &request{call: c, event: "RemoveClientIDFromOpenIDConnectProvider", params: params{"clientID": client}}
	return d.changeProvider(ctx, q, arn, func(p *Provider) error {
		p.Clients = slices.DeleteFunc(p.Clients, func(s string) bool { return s == client })
		return nil
	})
}

// SetThumbprints replaces the thumbprints of a provider. Errors: NoSuchEntity,
// InvalidInput.
func (d *Directory) SetThumbprints(ctx context.Context, c access.Call, arn string, thumbprints []string) error {
	q := &request{call: c, event: "UpdateOpenIDConnectProviderThumbprint"}
	return d.changeProvider(ctx, q, arn, func(p *Provider) error {
		p.Thumbprints = thumbprints
		return nil
	})
}

// TagProvider adds tags to a provider. Errors: NoSuchEntity, InvalidInput,
// LimitExceeded.
func (d *Directory) TagProvider(ctx context.Context, c access.Call, arn string, tags []Tag) error {
	q := &request{call: c, event: "TagOpenIDConnectProvider", params: params{"tags": tags}, context: requestTags(tags)}
	return d.changeProvider(ctx, q, arn, func(p *Provider) (err error) {
		p.Tags, err = withTags(p.Tags, tags)
		return err
	})
}

// UntagProvider removes tags. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) UntagProvider(ctx context.Context, c access.Call, arn string, keys []string) error {
	q := &request{
		call: c, event: "UntagOpenIDConnectProvider", params: params{"tagKeys": keys}, context: map[string][]string{"aws:TagKeys": keys},
	}
	return d.changeProvider(ctx, q, arn, func(p *Provider) error {
		p.Tags = withoutTags(p.Tags, keys)
		return nil
	})
}

// ListProviderTags returns the tags of a provider in the order of their keys.
// Errors: NoSuchEntity, InvalidInput.
func (d *Directory) ListProviderTags(ctx context.Context, c access.Call, arn string, p Page) (tags []Tag, next string, err error) {
	q := &request{call: c, event: "ListOpenIDConnectProviderTags", params: params{"openIDConnectProviderArn": arn}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		provider, err := d.openProvider(ctx, tx, q, arn)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, arn)
		tags, next = page.Pick(l, provider.Tags, func(t Tag) string { return nameKey(t.Key) })
		return err
	})
	return tags, next, err
}

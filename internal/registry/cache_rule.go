package registry

import (
	"context"
	"regexp"
	"time"

	"berth/internal/access"
	"berth/internal/policy"
)

// maxCacheRules is how many pull-through cache rules a registry can have.
const maxCacheRules = 50

// CacheRule is a pull-through cache rule: it says which registry the images of
// the repositories under a prefix come from.
type CacheRule struct {
	Prefix         string    `json:"ecrRepositoryPrefix"`        // with or without the slash after it; or ROOT
	UpstreamURL    string    `json:"upstreamRegistryUrl"`        // a host
	Upstream       string    `json:"upstreamRegistry,omitempty"` // ECR's name for the kind of registry
	UpstreamPrefix string    `json:"upstreamRepositoryPrefix,omitempty"`
	CredentialARN  string    `json:"credentialArn,omitempty"` // of a secret
	RoleARN        string    `json:"customRoleArn,omitempty"`
	CreatedAt      time.Time `json:"createdAt,omitzero"`
	UpdatedAt      time.Time `json:"updatedAt,omitzero"`
}

// Key is the prefix without a slash at its end. No two rules of a registry have
// the same.
func (c CacheRule) Key() string { return prefixKey(c.Prefix) }

// upstream is a registry that rules can name.
type upstream struct {
	host   *regexp.Regexp
	kind   string
	secret bool // it wants credentials
}

const hostLabel = `[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`

var upstreams = []upstream{
	{regexp.MustCompile(`\A([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.([a-z0-9.-]+)\z`), "ecr", false},
	{regexp.MustCompile(`\Apublic\.ecr\.aws\z`), "ecr-public", false},
	{regexp.MustCompile(`\Aregistry\.k8s\.io\z`), "k8s", false},
	{regexp.MustCompile(`\Aquay\.io\z`), "quay", false},
	{regexp.MustCompile(`\Aregistry-1\.docker\.io\z`), "docker-hub", true},
	{regexp.MustCompile(`\Aghcr\.io\z`), "github-container-registry", true},
	{regexp.MustCompile(`\Aregistry\.gitlab\.com\z`), "gitlab-container-registry", true},
	{regexp.MustCompile(`\A` + hostLabel + `\.azurecr\.io\z`), "azure-container-registry", true},
	{regexp.MustCompile(`\Acgr\.dev\z`), "chainguard", true},
}

// complete checks a rule and fills in what follows from the rest.
func (c *CacheRule) complete(id ID) error {
	u, err := c.findUpstream(id)
	if err != nil {
		return err
	}
	if c.Upstream != "" && c.Upstream != u.kind {
		return invalidParameter("upstreamRegistry", "the registry at "+c.UpstreamURL+" is "+u.kind)
	}
	c.Upstream = u.kind
	if c.UpstreamPrefix == "" {
		c.UpstreamPrefix = rootPrefix
	}
	if c.Prefix == rootPrefix && c.UpstreamPrefix != rootPrefix {
		return invalidParameter("upstreamRepositoryPrefix", "can only be specified when ecrRepositoryPrefix is not ROOT")
	}
	if err := checkRole(id, c.RoleARN); err != nil {
		return err
	}
	if u.secret && c.CredentialARN == "" {
		return errCredentialMissing()
	}
	return checkCredential(id, c.CredentialARN)
}

// findUpstream returns the registry that the rule's host is.
func (c *CacheRule) findUpstream(id ID) (upstream, error) {
	for _, u := range upstreams {
		m := u.host.FindStringSubmatch(c.UpstreamURL)
		if m == nil {
			continue
		}
		if u.kind == "ecr" {
			return u, c.checkPrivate(id, ID{Account: m[1], Region: m[2]}, m[3])
		}
		return u, nil
	}
	return upstream{}, errUnsupportedUpstream(c.UpstreamURL)
}

// checkPrivate checks an upstream that is a registry of ECR under a domain.
func (c *CacheRule) checkPrivate(id, from ID, domain string) error {
	p := partitionOf(from.Region)
	switch {
	case !ValidRegion(from.Region) || domain != p.domain:
		return errUnsupportedUpstream(c.UpstreamURL)
	case from == id:
		return invalidParameter("upstreamRegistryUrl", "the upstream registry cannot be the registry itself")
	case p != partitionOf(id.Region):
		return invalidParameter("upstreamRegistryUrl", "the upstream registry must be in the partition of the registry")
	case from.Account != id.Account && c.RoleARN == "":
		return invalidParameter("customRoleArn", "is required for an upstream registry of another account")
	}
	return nil
}

// checkCredential checks the ARN of a secret. There are no secrets yet: every
// one that would do is SecretNotFoundException.
func checkCredential(id ID, arn string) error {
	if arn == "" {
		return nil
	}
	a, ok := policy.ParseARN(arn)
	if !ok || a.Partition != partitionOf(id.Region).name || a.Service != "secretsmanager" || a.Account != id.Account || a.Region != id.Region {
		return invalidParameter("credentialArn", "the secret must be in the account and the region of the registry")
	}
	return errSecretNotFound(arn)
}

// CacheRuleInput is what CreatePullThroughCacheRule is asked for.
type CacheRuleInput struct {
	ID
	CacheRule
}

// CreatePullThroughCacheRule adds a rule to the registry. Errors:
// PullThroughCacheRuleAlreadyExistsException,
// UnsupportedUpstreamRegistryException, SecretNotFoundException,
// LimitExceededException, InvalidParameterException.
func (r *Registry) CreatePullThroughCacheRule(ctx context.Context, c access.Caller, in CacheRuleInput) (CacheRule, error) {
	var out CacheRule
	q := request{caller: c, event: "CreatePullThroughCacheRule", ref: Ref{ID: in.ID}, params: in}
	err := r.configure(ctx, q, "pull through cache rule "+in.Key(), func(tx Tx) error {
		out = in.CacheRule
		out.CreatedAt = r.now()
		out.UpdatedAt = out.CreatedAt
		if err := out.complete(in.ID); err != nil {
			return err
		}
		inserted, err := tx.InsertCacheRule(in.ID, out)
		if err != nil {
			return err
		}
		if !inserted {
			return errCacheRuleExists(in.ID, in.Prefix)
		}
		n, err := tx.CacheRuleCount(in.ID)
		if err == nil && n > maxCacheRules {
			err = errTooManyCacheRules()
		}
		return err
	})
	return out, err
}

// UpdateCacheRuleInput says what is to be changed of a rule. Fields that are nil
// leave it as it is.
type UpdateCacheRuleInput struct {
	ID
	Prefix        string  `json:"ecrRepositoryPrefix"`
	CredentialARN *string `json:"credentialArn,omitempty"`
	RoleARN       *string `json:"customRoleArn,omitempty"`
}

// UpdatePullThroughCacheRule changes what is given of a rule. Errors:
// PullThroughCacheRuleNotFoundException, SecretNotFoundException,
// InvalidParameterException.
func (r *Registry) UpdatePullThroughCacheRule(ctx context.Context, c access.Caller, in UpdateCacheRuleInput) (CacheRule, error) {
	var out CacheRule
	q := request{caller: c, event: "UpdatePullThroughCacheRule", ref: Ref{ID: in.ID}, params: in}
	err := r.configure(ctx, q, "pull through cache rule "+prefixKey(in.Prefix), func(tx Tx) error {
		found, err := namedCacheRule(tx, in.ID, in.Prefix)
		if err != nil {
			return err
		}
		out = *found
		if in.CredentialARN != nil {
			out.CredentialARN = *in.CredentialARN
		}
		if in.RoleARN != nil {
			out.RoleARN = *in.RoleARN
		}
		out.UpdatedAt = r.now()
		if err := out.complete(in.ID); err != nil {
			return err
		}
		return tx.UpdateCacheRule(in.ID, out)
	})
	return out, err
}

// CacheRuleName names a rule.
type CacheRuleName struct {
	ID
	Prefix string `json:"ecrRepositoryPrefix"`
}

// DeletePullThroughCacheRule removes a rule and returns it. What has been cached
// stays. Errors: PullThroughCacheRuleNotFoundException.
func (r *Registry) DeletePullThroughCacheRule(ctx context.Context, c access.Caller, in CacheRuleName) (CacheRule, error) {
	var out CacheRule
	q := request{caller: c, event: "DeletePullThroughCacheRule", ref: Ref{ID: in.ID}, params: in}
	err := r.configure(ctx, q, "pull through cache rule "+prefixKey(in.Prefix), func(tx Tx) error {
		found, err := namedCacheRule(tx, in.ID, in.Prefix)
		if err != nil {
			return err
		}
		out = *found
		return tx.DeleteCacheRule(in.ID, out)
	})
	return out, err
}

func namedCacheRule(tx ReadTx, id ID, prefix string) (*CacheRule, error) {
	found, err := tx.CacheRules(id, []string{prefixKey(prefix)})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errCacheRuleNotFound(id, prefix)
	}
	return &found[0], nil
}

// DescribePullThroughCacheRules returns the rules of the prefixes given in their
// order, or a page of all rules in byte order. Errors:
// PullThroughCacheRuleNotFoundException, InvalidParameterException.
func (r *Registry) DescribePullThroughCacheRules(ctx context.Context, c access.Caller, in DescribePrefixesInput) ([]CacheRule, NextToken, error) {
	const event = "DescribePullThroughCacheRules"
	type params struct { // as the operation names them
		ID
		Prefixes []string `json:"ecrRepositoryPrefixes,omitempty"`
		Page     Page     `json:"-"`
	}
	var out []CacheRule
	var next NextToken
	q := request{caller: c, event: event, ref: Ref{ID: in.ID}, params: params(in), readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		if len(in.Prefixes) > 0 {
			var err error
			out, err = namedCacheRules(tx, in)
			return err
		}
		after, err := r.pages.open(in.Page.Token, event, in.ID)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 1000)
		if out, err = tx.CacheRulesAfter(in.ID, after, limit+1); err == nil {
			out, next = cut(r.pages, out, limit, CacheRule.Key, event, in.ID)
		}
		return err
	})
	return out, next, err
}

func namedCacheRules(tx ReadTx, in DescribePrefixesInput) ([]CacheRule, error) {
	prefixes, err := in.unique("ecrRepositoryPrefixes")
	if err != nil {
		return nil, err
	}
	var out []CacheRule
	for _, p := range prefixes {
		rule, err := namedCacheRule(tx, in.ID, p)
		if err != nil {
			return nil, err
		}
		out = append(out, *rule)
	}
	return out, nil
}

package registry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

// What a template may be applied for: the ways in which a repository comes to be
// that nobody created explicitly.
const (
	CreateOnPush     = "CREATE_ON_PUSH"
	PullThroughCache = "PULL_THROUGH_CACHE"
	ReplicationInto  = "REPLICATION"
)

// rootPrefix is the prefix of the template, and of the cache rule, for every
// name.
const rootPrefix = "ROOT"

// maxTemplates is how many templates a registry can have.
const maxTemplates = 1000

// maxDescribed is how many prefixes a listing can be asked for.
const maxDescribed = 100

// Template is a repository creation template: what a repository is made with
// that nobody created explicitly. The zero values of its fields are ECR's
// defaults.
type Template struct {
	Prefix           string            `json:"prefix"` // of the names it is for, with or without the slash after it; or ROOT
	Description      string            `json:"description,omitempty"`
	AppliedFor       []string          `json:"appliedFor"`
	Mutability       Mutability        `json:"imageTagMutability,omitzero"`
	Encryption       Encryption        `json:"encryptionConfiguration,omitzero"` // without a key, KMS stands for AWS's own
	Tags             map[string]string `json:"resourceTags,omitempty"`
	RepositoryPolicy string            `json:"repositoryPolicy,omitempty"`
	LifecyclePolicy  string            `json:"lifecyclePolicy,omitempty"`
	RoleARN          string            `json:"customRoleArn,omitempty"` // kept, but not needed
	CreatedAt        time.Time         `json:"createdAt,omitzero"`
	UpdatedAt        time.Time         `json:"updatedAt,omitzero"`
}

// Key is the prefix without a slash at its end. No two templates of a registry
// have the same.
func (t Template) Key() string { return prefixKey(t.Prefix) }

// prefixKey takes the slash from the end of a prefix, where it is implied.
func prefixKey(prefix string) string { return strings.TrimSuffix(prefix, "/") }

// complete checks a template and fills in what is left to ECR.
func (t *Template) complete(tx ReadTx, id ID) error {
	if len(t.AppliedFor) == 0 {
		return invalidParameter("appliedFor", "Member must have length greater than or equal to 1")
	}
	for i, use := range t.AppliedFor {
		if slices.Contains(t.AppliedFor[:i], use) {
			return invalidParameter("appliedFor", use+" is given more than once")
		}
		if use != CreateOnPush && use != PullThroughCache && use != ReplicationInto {
			return invalidParameter("appliedFor", "Member must satisfy enum value set: [REPLICATION, PULL_THROUGH_CACHE, CREATE_ON_PUSH]")
		}
	}
	if t.Mutability.Mode == "" {
		t.Mutability.Mode = Mutable
	}
	if err := t.Mutability.check(); err != nil {
		return err
	}
	e := t.Encryption
	if err := e.complete(id); err != nil {
		return err
	}
	t.Encryption.Type = e.Type
	if err := checkResourceTags(t.Tags); err != nil {
		return TemplateTagError(err)
	}
	if err := checkRole(id, t.RoleARN); err != nil {
		return err
	}
	if t.LifecyclePolicy == "" {
		return nil
	}
	_, err := parseLifecycle(t.LifecyclePolicy).in(tx, id)
	return err
}

// checkTemplatePolicy checks the repository policy that a template is given.
func (r *Registry) checkTemplatePolicy(tx ReadTx, text string) error {
	if text == "" {
		return nil
	}
	_, err := r.readPolicy(tx, policy.Repository, "ecr", text)
	if kindOf(err) == fault.Invalid {
		return invalidParameter("repositoryPolicy", "Invalid repository policy provided")
	}
	return err
}

// TemplateTagError makes an error about tags InvalidParameterException: the
// operations on templates do not have the exceptions of tags.
func TemplateTagError(err error) error {
	if e, ok := fault.As(err); ok {
		return invalidParameter("resourceTags", e.Message)
	}
	return err
}

// actions returns what the caller must be allowed besides writing the template:
// whoever writes one decides what repositories will be like.
func (t Template) actions() []string {
	also := []string{"ecr:CreateRepository"}
	if len(t.Tags) > 0 {
		also = append(also, "ecr:TagResource")
	}
	if t.LifecyclePolicy != "" {
		also = append(also, "ecr:PutLifecyclePolicy")
	}
	if t.RepositoryPolicy != "" {
		also = append(also, "ecr:SetRepositoryPolicy")
	}
	return also
}

// CreateRepositoryCreationTemplate adds a template to the registry. It concerns
// repositories that are made later. Errors: TemplateAlreadyExistsException,
// LimitExceededException, InvalidParameterException.
func (r *Registry) CreateRepositoryCreationTemplate(ctx context.Context, c access.Caller, id ID, t Template) (Template, error) {
	q := request{caller: c, event: "CreateRepositoryCreationTemplate", also: t.actions(), ref: Ref{ID: id}, params: t,
		context: requestTags(t.Tags)}
	made := t
	err := r.configure(ctx, q, "template "+t.Key(), func(tx Tx) error {
		made = t
		made.CreatedAt = r.now()
		made.UpdatedAt = made.CreatedAt
		if err := made.complete(tx, id); err != nil {
			return err
		}
		if err := r.checkTemplatePolicy(tx, made.RepositoryPolicy); err != nil {
			return err
		}
		inserted, err := tx.InsertTemplate(id, made)
		if err != nil {
			return err
		}
		if !inserted {
			return errTemplateExists(id, t.Prefix)
		}
		n, err := tx.TemplateCount(id)
		if err == nil && n > maxTemplates {
			err = errTooManyTemplates()
		}
		return err
	})
	return made, err
}

// UpdateTemplateInput says what is to be changed of a template. Fields that are
// nil or, if they are lists, absent leave it as it is.
type UpdateTemplateInput struct {
	Prefix           string            `json:"prefix"`
	Description      *string           `json:"description,omitempty"`
	AppliedFor       []string          `json:"appliedFor,omitzero"`
	Mode             Mode              `json:"imageTagMutability,omitempty"` // "" leaves it
	Filters          []string          `json:"imageTagMutabilityExclusionFilters,omitzero"`
	Encryption       *Encryption       `json:"encryptionConfiguration,omitempty"`
	Tags             map[string]string `json:"resourceTags,omitzero"` // replaces all; an empty one removes them
	RepositoryPolicy *string           `json:"repositoryPolicy,omitempty"`
	LifecyclePolicy  *string           `json:"lifecyclePolicy,omitempty"`
	RoleARN          *string           `json:"customRoleArn,omitempty"`
}

// apply changes a template as it is asked for. A mode that has no exclusions
// takes those that there were away.
func (in *UpdateTemplateInput) apply(t *Template) {
	set := func(to *string, text *string) {
		if text != nil {
			*to = *text
		}
	}
	set(&t.Description, in.Description)
	set(&t.RepositoryPolicy, in.RepositoryPolicy)
	set(&t.LifecyclePolicy, in.LifecyclePolicy)
	set(&t.RoleARN, in.RoleARN)
	if in.AppliedFor != nil {
		t.AppliedFor = in.AppliedFor
	}
	if in.Mode != "" {
		t.Mutability.Mode = in.Mode
		if in.Mode == Mutable || in.Mode == Immutable {
			t.Mutability.Filters = nil
		}
	}
	if in.Filters != nil {
		t.Mutability.Filters = in.Filters
	}
	if in.Encryption != nil {
		t.Encryption = *in.Encryption
	}
	if in.Tags != nil {
		t.Tags = maps.Clone(in.Tags)
	}
}

// UpdateRepositoryCreationTemplate changes what is given of a template. Errors:
// TemplateNotFoundException, InvalidParameterException.
func (r *Registry) UpdateRepositoryCreationTemplate(ctx context.Context, c access.Caller, id ID, in UpdateTemplateInput) (Template, error) {
	var asked, out Template
	in.apply(&asked)
	q := request{caller: c, event: "UpdateRepositoryCreationTemplate", also: asked.actions(), ref: Ref{ID: id}, params: in,
		context: requestTags(in.Tags)}
	err := r.configure(ctx, q, "template "+prefixKey(in.Prefix), func(tx Tx) error {
		found, err := namedTemplate(tx, id, in.Prefix)
		if err != nil {
			return err
		}
		out = *found
		in.apply(&out)
		out.UpdatedAt = r.now()
		if err := out.complete(tx, id); err != nil {
			return err
		}
		if in.RepositoryPolicy != nil { // who is named in the one that stays may be gone
			if err := r.checkTemplatePolicy(tx, *in.RepositoryPolicy); err != nil {
				return err
			}
		}
		return tx.UpdateTemplate(id, out)
	})
	return out, err
}

// TemplateName names a template.
type TemplateName struct {
	ID
	Prefix string `json:"prefix"`
}

// DeleteRepositoryCreationTemplate removes a template and returns it.
// Repositories that were made from it stay as they are. Errors:
// TemplateNotFoundException.
func (r *Registry) DeleteRepositoryCreationTemplate(ctx context.Context, c access.Caller, in TemplateName) (Template, error) {
	var out Template
	q := request{caller: c, event: "DeleteRepositoryCreationTemplate", ref: Ref{ID: in.ID}, params: in}
	err := r.configure(ctx, q, "template "+prefixKey(in.Prefix), func(tx Tx) error {
		found, err := namedTemplate(tx, in.ID, in.Prefix)
		if err != nil {
			return err
		}
		out = *found
		return tx.DeleteTemplate(in.ID, out)
	})
	return out, err
}

func namedTemplate(tx ReadTx, id ID, prefix string) (*Template, error) {
	found, err := tx.Templates(id, []string{prefixKey(prefix)})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errTemplateNotFound(id, prefix)
	}
	return &found[0], nil
}

// DescribePrefixesInput is what a listing of a registry's templates or cache
// rules is asked for: either prefixes, at most 100, or a page of all.
type DescribePrefixesInput struct {
	ID
	Prefixes []string `json:"prefixes,omitempty"`
	Page     Page     `json:"-"`
}

// unique returns the prefixes, of those with the same key the first, in the
// order given.
func (in *DescribePrefixesInput) unique(field string) ([]string, error) {
	if in.Page != (Page{}) {
		return nil, invalidParameter(field, "nextToken and maxResults cannot be used with "+field)
	}
	if len(in.Prefixes) > maxDescribed {
		return nil, invalidParameter(field, "Member must have length less than or equal to 100")
	}
	var out []string
	for _, p := range in.Prefixes {
		if !slices.ContainsFunc(out, func(q string) bool { return prefixKey(q) == prefixKey(p) }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// DescribeRepositoryCreationTemplates returns the templates of the prefixes given
// in their order, leaving out those that there are not, or a page of all
// templates in byte order. Errors: InvalidParameterException.
func (r *Registry) DescribeRepositoryCreationTemplates(ctx context.Context, c access.Caller, in DescribePrefixesInput) ([]Template, NextToken, error) {
	const event = "DescribeRepositoryCreationTemplates"
	var out []Template
	var next NextToken
	q := request{caller: c, event: event, ref: Ref{ID: in.ID}, params: in, readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		if len(in.Prefixes) > 0 {
			keys, err := in.unique("prefixes")
			if err != nil {
				return err
			}
			for i := range keys {
				keys[i] = prefixKey(keys[i])
			}
			out, err = tx.Templates(in.ID, keys)
			return err
		}
		after, err := r.pages.open(in.Page.Token, event, in.ID)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 1000)
		if out, err = tx.TemplatesAfter(in.ID, after, limit+1); err == nil {
			out, next = cut(r.pages, out, limit, Template.Key, event, in.ID)
		}
		return err
	})
	return out, next, err
}

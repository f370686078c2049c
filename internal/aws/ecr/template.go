package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// CreateRepositoryCreationTemplate adds a template.
func (a *API) CreateRepositoryCreationTemplate(ctx context.Context, c access.Call, in *ecr.CreateRepositoryCreationTemplateInput) (*ecr.CreateRepositoryCreationTemplateOutput, error) {
	tags, err := templateTags(in.ResourceTags)
	if err != nil {
		return nil, err
	}
	t := registry.Template{
		Prefix: value(in.Prefix), Description: value(in.Description), AppliedFor: uses(in.AppliedFor), Tags: tags,
		Mutability:       mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters),
		RepositoryPolicy: value(in.RepositoryPolicy), LifecyclePolicy: value(in.LifecyclePolicy), RoleARN: value(in.CustomRoleArn),
	}
	if e := in.EncryptionConfiguration; e != nil {
		t.Encryption = templateEncryption(e)
	}
	id := registryOf(c, nil)
	if t, err = a.registry.CreateRepositoryCreationTemplate(ctx, c.Caller, id, t); err != nil {
		return nil, err
	}
	return &ecr.CreateRepositoryCreationTemplateOutput{RegistryId: &id.Account, RepositoryCreationTemplate: creationTemplate(t)}, nil
}

// UpdateRepositoryCreationTemplate changes what is given of a template.
func (a *API) UpdateRepositoryCreationTemplate(ctx context.Context, c access.Call, in *ecr.UpdateRepositoryCreationTemplateInput) (*ecr.UpdateRepositoryCreationTemplateOutput, error) {
	tags, err := templateTags(in.ResourceTags)
	if err != nil {
		return nil, err
	}
	m := mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters)
	change := registry.UpdateTemplateInput{
		Prefix: value(in.Prefix), Description: in.Description, Mode: m.Mode, Filters: m.Filters, Tags: tags,
		RepositoryPolicy: in.RepositoryPolicy, LifecyclePolicy: in.LifecyclePolicy, RoleARN: in.CustomRoleArn,
	}
	if in.AppliedFor != nil {
		change.AppliedFor = uses(in.AppliedFor)
	}
	if e := in.EncryptionConfiguration; e != nil {
		change.Encryption = new(templateEncryption(e))
	}
	id := registryOf(c, nil)
	t, err := a.registry.UpdateRepositoryCreationTemplate(ctx, c.Caller, id, change)
	if err != nil {
		return nil, err
	}
	return &ecr.UpdateRepositoryCreationTemplateOutput{RegistryId: &id.Account, RepositoryCreationTemplate: creationTemplate(t)}, nil
}

// DeleteRepositoryCreationTemplate removes a template.
func (a *API) DeleteRepositoryCreationTemplate(ctx context.Context, c access.Call, in *ecr.DeleteRepositoryCreationTemplateInput) (*ecr.DeleteRepositoryCreationTemplateOutput, error) {
	id := registryOf(c, nil)
	t, err := a.registry.DeleteRepositoryCreationTemplate(ctx, c.Caller, registry.TemplateName{ID: id, Prefix: value(in.Prefix)})
	if err != nil {
		return nil, err
	}
	return &ecr.DeleteRepositoryCreationTemplateOutput{RegistryId: &id.Account, RepositoryCreationTemplate: creationTemplate(t)}, nil
}

// DescribeRepositoryCreationTemplates lists templates.
func (a *API) DescribeRepositoryCreationTemplates(ctx context.Context, c access.Call, in *ecr.DescribeRepositoryCreationTemplatesInput) (*ecr.DescribeRepositoryCreationTemplatesOutput, error) {
	id := registryOf(c, nil)
	found, next, err := a.registry.DescribeRepositoryCreationTemplates(ctx, c.Caller, registry.DescribePrefixesInput{
		ID: id, Prefixes: in.Prefixes, Page: page(in.NextToken, in.MaxResults),
	})
	if err != nil {
		return nil, err
	}
	out := &ecr.DescribeRepositoryCreationTemplatesOutput{
		RegistryId: &id.Account, RepositoryCreationTemplates: []types.RepositoryCreationTemplate{}, NextToken: nextToken(next),
	}
	for _, t := range found {
		out.RepositoryCreationTemplates = append(out.RepositoryCreationTemplates, *creationTemplate(t))
	}
	return out, nil
}

func uses(in []types.RCTAppliedFor) []string {
	out := []string{}
	for _, u := range in {
		out = append(out, string(u))
	}
	return out
}

func templateEncryption(e *types.EncryptionConfigurationForRepositoryCreationTemplate) registry.Encryption {
	return registry.Encryption{Type: string(e.EncryptionType), Key: value(e.KmsKey)}
}

// templateTags returns a list of tags as a map, which is nil only if the list
// is.
func templateTags(tags []types.Tag) (map[string]string, error) {
	out, err := tagMap(tags)
	if out == nil && tags != nil {
		out = map[string]string{}
	}
	return out, registry.TemplateTagError(err)
}

// creationTemplate renders a template.
func creationTemplate(t registry.Template) *types.RepositoryCreationTemplate {
	out := &types.RepositoryCreationTemplate{
		Prefix: &t.Prefix, Description: optional(t.Description), AppliedFor: []types.RCTAppliedFor{},
		ImageTagMutability:                 types.ImageTagMutability(t.Mutability.Mode),
		ImageTagMutabilityExclusionFilters: exclusionFilters(t.Mutability),
		EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{
			EncryptionType: types.EncryptionType(t.Encryption.Type), KmsKey: optional(t.Encryption.Key),
		},
		ResourceTags: tagList(t.Tags), RepositoryPolicy: optional(t.RepositoryPolicy), LifecyclePolicy: optional(t.LifecyclePolicy),
		CustomRoleArn: optional(t.RoleARN), CreatedAt: &t.CreatedAt, UpdatedAt: &t.UpdatedAt,
	}
	for _, u := range t.AppliedFor {
		out.AppliedFor = append(out.AppliedFor, types.RCTAppliedFor(u))
	}
	return out
}

package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// PutRegistryScanningConfiguration replaces the registry's scanning.
func (a *API) PutRegistryScanningConfiguration(ctx context.Context, c access.Call, in *ecr.PutRegistryScanningConfigurationInput) (*ecr.PutRegistryScanningConfigurationOutput, error) {
	put := registry.Scanning{Type: string(in.ScanType), Rules: []registry.ScanningRule{}}
	for _, r := range in.Rules {
		rule := registry.ScanningRule{Frequency: string(r.ScanFrequency), Filters: []string{}}
		for _, f := range r.RepositoryFilters {
			rule.Filters = append(rule.Filters, value(f.Filter))
		}
		put.Rules = append(put.Rules, rule)
	}
	put, err := a.registry.PutRegistryScanningConfiguration(ctx, c.Caller, registryOf(c, nil), put)
	if err != nil {
		return nil, err
	}
	return &ecr.PutRegistryScanningConfigurationOutput{RegistryScanningConfiguration: scanning(put)}, nil
}

// GetRegistryScanningConfiguration returns the registry's scanning.
func (a *API) GetRegistryScanningConfiguration(ctx context.Context, c access.Call, _ *ecr.GetRegistryScanningConfigurationInput) (*ecr.GetRegistryScanningConfigurationOutput, error) {
	id := registryOf(c, nil)
	found, err := a.registry.GetRegistryScanningConfiguration(ctx, c.Caller, id)
	if err != nil {
		return nil, err
	}
	return &ecr.GetRegistryScanningConfigurationOutput{RegistryId: &id.Account, ScanningConfiguration: scanning(found)}, nil
}

// scanning renders a registry's scanning.
func scanning(s registry.Scanning) *types.RegistryScanningConfiguration {
	out := &types.RegistryScanningConfiguration{ScanType: types.ScanType(s.Type), Rules: []types.RegistryScanningRule{}}
	for _, r := range s.Rules {
		out.Rules = append(out.Rules, types.RegistryScanningRule{
			ScanFrequency: types.ScanFrequency(r.Frequency), RepositoryFilters: scanFilters(r.Filters),
		})
	}
	return out
}

func scanFilters(filters []string) []types.ScanningRepositoryFilter {
	out := []types.ScanningRepositoryFilter{}
	for _, f := range filters {
		out = append(out, types.ScanningRepositoryFilter{Filter: &f, FilterType: types.ScanningRepositoryFilterTypeWildcard})
	}
	return out
}

// PutImageScanningConfiguration changes whether a repository's images are
// scanned when they are pushed.
func (a *API) PutImageScanningConfiguration(ctx context.Context, c access.Call, in *ecr.PutImageScanningConfigurationInput) (*ecr.PutImageScanningConfigurationOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	put := registry.PutImageScanningConfigurationInput{Ref: ref, ScanOnPush: in.ImageScanningConfiguration.ScanOnPush}
	if err := a.registry.PutImageScanningConfiguration(ctx, c.Caller, put); err != nil {
		return nil, err
	}
	return &ecr.PutImageScanningConfigurationOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: put.ScanOnPush},
	}, nil
}

// BatchGetRepositoryScanningConfiguration returns what scanning means for
// repositories.
func (a *API) BatchGetRepositoryScanningConfiguration(ctx context.Context, c access.Call, in *ecr.BatchGetRepositoryScanningConfigurationInput) (*ecr.BatchGetRepositoryScanningConfigurationOutput, error) {
	ask := registry.BatchGetScanningInput{ID: registryOf(c, nil)}
	for _, n := range in.RepositoryNames {
		name, err := registry.ParseRepositoryName(n)
		if err != nil {
			return nil, err
		}
		ask.Names = append(ask.Names, name)
	}
	found, failures, err := a.registry.BatchGetRepositoryScanningConfiguration(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	out := &ecr.BatchGetRepositoryScanningConfigurationOutput{
		ScanningConfigurations: []types.RepositoryScanningConfiguration{}, Failures: []types.RepositoryScanningConfigurationFailure{},
	}
	for _, s := range found {
		arn, name := s.ARN(), string(s.Name)
		out.ScanningConfigurations = append(out.ScanningConfigurations, types.RepositoryScanningConfiguration{
			RepositoryArn: &arn, RepositoryName: &name, ScanOnPush: s.OnPush, ScanFrequency: types.ScanFrequency(s.Frequency),
			AppliedScanFilters: scanFilters(s.Filters),
		})
	}
	for _, f := range failures {
		name := string(f.Name)
		out.Failures = append(out.Failures, types.RepositoryScanningConfigurationFailure{
			RepositoryName: &name, FailureCode: types.ScanningConfigurationFailureCodeRepositoryNotFound, FailureReason: &f.Reason,
		})
	}
	return out, nil
}

// DescribeImageScanFindings returns what the scan of an image has found.
func (a *API) DescribeImageScanFindings(ctx context.Context, c access.Call, in *ecr.DescribeImageScanFindingsInput) (*ecr.DescribeImageScanFindingsOutput, error) {
	ask, err := imageInput(c, in.RegistryId, in.RepositoryName, in.ImageId)
	if err != nil {
		return nil, err
	}
	return nil, a.registry.DescribeImageScanFindings(ctx, c.Caller, ask)
}

package ecr

import (
	"context"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/lifecycle"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// PutLifecyclePolicy gives a repository a lifecycle policy.
func (a *API) PutLifecyclePolicy(ctx context.Context, c access.Call, in *ecr.PutLifecyclePolicyInput) (*ecr.PutLifecyclePolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	text := value(in.LifecyclePolicyText)
	if err := a.registry.PutLifecyclePolicy(ctx, c.Caller, registry.PutLifecyclePolicyInput{Ref: ref, Text: text}); err != nil {
		return nil, err
	}
	return &ecr.PutLifecyclePolicyOutput{RegistryId: &ref.Account, RepositoryName: in.RepositoryName, LifecyclePolicyText: &text}, nil
}

// GetLifecyclePolicy returns a repository's lifecycle policy.
func (a *API) GetLifecyclePolicy(ctx context.Context, c access.Call, in *ecr.GetLifecyclePolicyInput) (*ecr.GetLifecyclePolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	p, err := a.registry.GetLifecyclePolicy(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecr.GetLifecyclePolicyOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, LifecyclePolicyText: &p.Text, LastEvaluatedAt: evaluatedAt(p),
	}, nil
}

// DeleteLifecyclePolicy takes a repository's lifecycle policy away.
func (a *API) DeleteLifecyclePolicy(ctx context.Context, c access.Call, in *ecr.DeleteLifecyclePolicyInput) (*ecr.DeleteLifecyclePolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	p, err := a.registry.DeleteLifecyclePolicy(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecr.DeleteLifecyclePolicyOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, LifecyclePolicyText: &p.Text, LastEvaluatedAt: evaluatedAt(p),
	}, nil
}

// evaluatedAt is 1970 for a policy that has not been evaluated yet, as in ECR.
func evaluatedAt(p *registry.LifecyclePolicy) *time.Time {
	t := p.EvaluatedAt
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return &t
}

// StartLifecyclePolicyPreview begins to find out what a policy would do.
func (a *API) StartLifecyclePolicyPreview(ctx context.Context, c access.Call, in *ecr.StartLifecyclePolicyPreviewInput) (*ecr.StartLifecyclePolicyPreviewOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	p, err := a.registry.StartLifecyclePolicyPreview(ctx, c.Caller, registry.StartLifecyclePolicyPreviewInput{Ref: ref, Text: value(in.LifecyclePolicyText)})
	if err != nil {
		return nil, err
	}
	return &ecr.StartLifecyclePolicyPreviewOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, LifecyclePolicyText: &p.Text, Status: types.LifecyclePolicyPreviewStatus(p.Status),
	}, nil
}

// GetLifecyclePolicyPreview returns what a policy would do.
func (a *API) GetLifecyclePolicyPreview(ctx context.Context, c access.Call, in *ecr.GetLifecyclePolicyPreviewInput) (*ecr.GetLifecyclePolicyPreviewOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	ask := registry.GetLifecyclePolicyPreviewInput{Ref: ref, IDs: imageIDs(in.ImageIds), Page: page(in.NextToken, in.MaxResults)}
	if in.Filter != nil {
		ask.TagStatus = registry.TagStatus(in.Filter.TagStatus)
	}
	p, results, next, err := a.registry.GetLifecyclePolicyPreview(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	out := &ecr.GetLifecyclePolicyPreviewOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, LifecyclePolicyText: &p.Text,
		Status: types.LifecyclePolicyPreviewStatus(p.Status), PreviewResults: []types.LifecyclePolicyPreviewResult{}, NextToken: nextToken(next),
	}
	for i := range results {
		out.PreviewResults = append(out.PreviewResults, previewResult(&results[i]))
	}
	if p.Status == registry.PreviewComplete {
		out.Summary = previewSummary(p)
	}
	return out, nil
}

func previewResult(r *registry.LifecycleResult) types.LifecyclePolicyPreviewResult {
	d := string(r.Digest)
	return types.LifecyclePolicyPreviewResult{
		ImageDigest: &d, ImageTags: r.Tags, ImagePushedAt: &r.PushedAt, Action: ruleAction(r.Action),
		AppliedRulePriority: optional(int32(r.Priority)), StorageClass: types.LifecyclePolicyStorageClass(strings.ToUpper(string(r.Class))),
	}
}

func ruleAction(a lifecycle.Action) *types.LifecyclePolicyRuleAction {
	if a == lifecycle.Transition {
		return &types.LifecyclePolicyRuleAction{
			Type: types.ImageActionTypeTransition, TargetStorageClass: types.LifecyclePolicyTargetStorageClassArchive,
		}
	}
	return &types.LifecyclePolicyRuleAction{Type: types.ImageActionTypeExpire}
}

func previewSummary(p *registry.LifecyclePreview) *types.LifecyclePolicyPreviewSummary {
	expiring := int32(p.Expiring)
	s := &types.LifecyclePolicyPreviewSummary{ExpiringImageTotalCount: &expiring}
	if p.Transitioning > 0 {
		transitioning := int32(p.Transitioning)
		s.TransitioningImageTotalCounts = []types.TransitioningImageTotalCount{{
			TargetStorageClass: types.LifecyclePolicyTargetStorageClassArchive, ImageTotalCount: &transitioning,
		}}
	}
	return s
}

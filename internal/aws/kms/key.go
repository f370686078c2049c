package kms

import (
	"context"

	"berth/internal/keys"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func metadata(k keys.Described) *types.KeyMetadata {
	out := &types.KeyMetadata{
		AWSAccountId: &k.Account, KeyId: &k.ID, Arn: new(k.ARN()), CreationDate: &k.CreatedAt, Enabled: k.State == keys.Enabled, Description: &k.Description,
		KeyUsage: types.KeyUsageTypeEncryptDecrypt, KeyState: types.KeyState(k.State), Origin: types.OriginTypeAwsKms,
		KeyManager: types.KeyManagerType(k.Manager), CustomerMasterKeySpec: types.CustomerMasterKeySpecSymmetricDefault,
		KeySpec: types.KeySpecSymmetricDefault, MultiRegion: new(false), CurrentKeyMaterialId: optional(k.Material),
		EncryptionAlgorithms: []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecSymmetricDefault},
	}
	if k.State == keys.PendingDeletion {
		out.DeletionDate = &k.DeletionAt
	}
	return out
}

func tags(in []types.Tag) []keys.Tag {
	var out []keys.Tag
	for _, t := range in {
		out = append(out, keys.Tag{Key: value(t.TagKey), Value: value(t.TagValue)})
	}
	return out
}

// CreateKey makes a key.
func (a *API) CreateKey(ctx context.Context, c call, in *kms.CreateKeyInput) (*kms.CreateKeyOutput, error) {
	spec := string(in.KeySpec)
	if spec == "" {
		spec = string(in.CustomerMasterKeySpec)
	}
	k, err := a.keys.CreateKey(ctx, c, keys.CreateKeyInput{
		Description: value(in.Description), Policy: value(in.Policy), Usage: string(in.KeyUsage), Spec: spec, Origin: string(in.Origin),
		Elsewhere: in.CustomKeyStoreId != nil || in.XksKeyId != nil, MultiRegion: value(in.MultiRegion), Tags: tags(in.Tags),
		Bypass: in.BypassPolicyLockoutSafetyCheck,
	})
	if err != nil {
		return nil, err
	}
	return &kms.CreateKeyOutput{KeyMetadata: metadata(k)}, nil
}

// DescribeKey returns a key.
func (a *API) DescribeKey(ctx context.Context, c call, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
	k, err := a.keys.DescribeKey(ctx, c, value(in.KeyId))
	if err != nil {
		return nil, err
	}
	return &kms.DescribeKeyOutput{KeyMetadata: metadata(k)}, nil
}

// ListKeys lists keys.
func (a *API) ListKeys(ctx context.Context, c call, in *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
	found, next, err := a.keys.ListKeys(ctx, c, page(in.Marker, in.Limit))
	if err != nil {
		return nil, err
	}
	out := &kms.ListKeysOutput{Keys: []types.KeyListEntry{}, NextMarker: optional(next), Truncated: next != ""}
	for _, k := range found {
		out.Keys = append(out.Keys, types.KeyListEntry{KeyId: &k.ID, KeyArn: new(k.ARN())})
	}
	return out, nil
}

// EnableKey makes a key usable.
func (a *API) EnableKey(ctx context.Context, c call, in *kms.EnableKeyInput) (*kms.EnableKeyOutput, error) {
	return nil, a.keys.EnableKey(ctx, c, value(in.KeyId))
}

// DisableKey makes a key unusable.
func (a *API) DisableKey(ctx context.Context, c call, in *kms.DisableKeyInput) (*kms.DisableKeyOutput, error) {
	return nil, a.keys.DisableKey(ctx, c, value(in.KeyId))
}

// UpdateKeyDescription changes the description of a key.
func (a *API) UpdateKeyDescription(ctx context.Context, c call, in *kms.UpdateKeyDescriptionInput) (*kms.UpdateKeyDescriptionOutput, error) {
	return nil, a.keys.UpdateKeyDescription(ctx, c, value(in.KeyId), value(in.Description))
}

// ScheduleKeyDeletion has a key destroyed after some days.
func (a *API) ScheduleKeyDeletion(ctx context.Context, c call, in *kms.ScheduleKeyDeletionInput) (*kms.ScheduleKeyDeletionOutput, error) {
	k, err := a.keys.ScheduleKeyDeletion(ctx, c, value(in.KeyId), int64(value(in.PendingWindowInDays)))
	if err != nil {
		return nil, err
	}
	return &kms.ScheduleKeyDeletionOutput{
		KeyId: new(k.ARN()), DeletionDate: &k.DeletionAt, KeyState: types.KeyState(k.State), PendingWindowInDays: new(int32(k.DeletionDays)),
	}, nil
}

// CancelKeyDeletion keeps a key.
func (a *API) CancelKeyDeletion(ctx context.Context, c call, in *kms.CancelKeyDeletionInput) (*kms.CancelKeyDeletionOutput, error) {
	k, err := a.keys.CancelKeyDeletion(ctx, c, value(in.KeyId))
	if err != nil {
		return nil, err
	}
	return &kms.CancelKeyDeletionOutput{KeyId: new(k.ARN())}, nil
}

// EnableKeyRotation has a key rotate by itself.
func (a *API) EnableKeyRotation(ctx context.Context, c call, in *kms.EnableKeyRotationInput) (*kms.EnableKeyRotationOutput, error) {
	return nil, a.keys.EnableKeyRotation(ctx, c, value(in.KeyId), int64(value(in.RotationPeriodInDays)))
}

// DisableKeyRotation ends that.
func (a *API) DisableKeyRotation(ctx context.Context, c call, in *kms.DisableKeyRotationInput) (*kms.DisableKeyRotationOutput, error) {
	return nil, a.keys.DisableKeyRotation(ctx, c, value(in.KeyId))
}

// GetKeyRotationStatus says how a key rotates.
func (a *API) GetKeyRotationStatus(ctx context.Context, c call, in *kms.GetKeyRotationStatusInput) (*kms.GetKeyRotationStatusOutput, error) {
	k, err := a.keys.GetKeyRotationStatus(ctx, c, value(in.KeyId))
	if err != nil {
		return nil, err
	}
	out := &kms.GetKeyRotationStatusOutput{KeyId: new(k.ARN())}
	if k.RotationDays > 0 && k.State != keys.PendingDeletion {
		out.KeyRotationEnabled, out.RotationPeriodInDays, out.NextRotationDate = true, new(int32(k.RotationDays)), &k.RotationAt
	}
	return out, nil
}

// RotateKeyOnDemand rotates a key at once.
func (a *API) RotateKeyOnDemand(ctx context.Context, c call, in *kms.RotateKeyOnDemandInput) (*kms.RotateKeyOnDemandOutput, error) {
	k, err := a.keys.RotateKeyOnDemand(ctx, c, value(in.KeyId))
	if err != nil {
		return nil, err
	}
	return &kms.RotateKeyOnDemandOutput{KeyId: new(k.ARN())}, nil
}

// ListKeyRotations lists the rotations of a key.
func (a *API) ListKeyRotations(ctx context.Context, c call, in *kms.ListKeyRotationsInput) (*kms.ListKeyRotationsOutput, error) {
	all := in.IncludeKeyMaterial == types.IncludeKeyMaterialAllKeyMaterial
	found, current, next, err := a.keys.ListKeyRotations(ctx, c, value(in.KeyId), all, page(in.Marker, in.Limit))
	if err != nil {
		return nil, err
	}
	out := &kms.ListKeyRotationsOutput{Rotations: []types.RotationsListEntry{}, NextMarker: optional(next), Truncated: next != ""}
	for _, m := range found {
		e := types.RotationsListEntry{KeyId: &m.Key, KeyMaterialId: &m.ID, KeyMaterialState: types.KeyMaterialStateNonCurrent}
		if m.ID == current {
			e.KeyMaterialState = types.KeyMaterialStateCurrent
		}
		if m.Origin != "" {
			e.RotationDate, e.RotationType = &m.CreatedAt, types.RotationType(m.Origin)
		}
		out.Rotations = append(out.Rotations, e)
	}
	return out, nil
}

// GetKeyPolicy returns the policy of a key.
func (a *API) GetKeyPolicy(ctx context.Context, c call, in *kms.GetKeyPolicyInput) (*kms.GetKeyPolicyOutput, error) {
	text, err := a.keys.GetKeyPolicy(ctx, c, value(in.KeyId), value(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &kms.GetKeyPolicyOutput{Policy: &text, PolicyName: new("default")}, nil
}

// PutKeyPolicy gives a key another policy.
func (a *API) PutKeyPolicy(ctx context.Context, c call, in *kms.PutKeyPolicyInput) (*kms.PutKeyPolicyOutput, error) {
	return nil, a.keys.PutKeyPolicy(ctx, c, value(in.KeyId), value(in.PolicyName), value(in.Policy), in.BypassPolicyLockoutSafetyCheck)
}

// ListKeyPolicies lists the names of the policies of a key.
func (a *API) ListKeyPolicies(ctx context.Context, c call, in *kms.ListKeyPoliciesInput) (*kms.ListKeyPoliciesOutput, error) {
	names, next, err := a.keys.ListKeyPolicies(ctx, c, value(in.KeyId), page(in.Marker, in.Limit))
	if err != nil {
		return nil, err
	}
	return &kms.ListKeyPoliciesOutput{PolicyNames: names, NextMarker: optional(next), Truncated: next != ""}, nil
}

// TagResource adds tags to a key.
func (a *API) TagResource(ctx context.Context, c call, in *kms.TagResourceInput) (*kms.TagResourceOutput, error) {
	return nil, a.keys.TagResource(ctx, c, value(in.KeyId), tags(in.Tags))
}

// UntagResource removes tags from a key.
func (a *API) UntagResource(ctx context.Context, c call, in *kms.UntagResourceInput) (*kms.UntagResourceOutput, error) {
	return nil, a.keys.UntagResource(ctx, c, value(in.KeyId), in.TagKeys)
}

// ListResourceTags lists the tags of a key.
func (a *API) ListResourceTags(ctx context.Context, c call, in *kms.ListResourceTagsInput) (*kms.ListResourceTagsOutput, error) {
	found, next, err := a.keys.ListResourceTags(ctx, c, value(in.KeyId), page(in.Marker, in.Limit))
	if err != nil {
		return nil, err
	}
	out := &kms.ListResourceTagsOutput{Tags: []types.Tag{}, NextMarker: optional(next), Truncated: next != ""}
	for _, t := range found {
		out.Tags = append(out.Tags, types.Tag{TagKey: &t.Key, TagValue: &t.Value})
	}
	return out, nil
}

package kms

import (
	"context"

	"berth/internal/keys"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const symmetric = types.EncryptionAlgorithmSpecSymmetricDefault

// Encrypt encrypts a few bytes.
func (a *API) Encrypt(ctx context.Context, c call, in *kms.EncryptInput) (*kms.EncryptOutput, error) {
	if err := algorithm(in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	e, err := a.keys.Encrypt(ctx, c, keys.Use{
		Key: value(in.KeyId), Context: in.EncryptionContext, Tokens: in.GrantTokens, DryRun: value(in.DryRun),
	}, in.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kms.EncryptOutput{CiphertextBlob: e.Blob, KeyId: &e.Key, EncryptionAlgorithm: symmetric}, nil
}

// Decrypt decrypts a ciphertext.
func (a *API) Decrypt(ctx context.Context, c call, in *kms.DecryptInput) (*kms.DecryptOutput, error) {
	if err := firstOf(algorithm(in.EncryptionAlgorithm), enclave(in.Recipient), modifiers(in.DryRunModifiers)); err != nil {
		return nil, err
	}
	d, err := a.keys.Decrypt(ctx, c, keys.Use{
		Key: value(in.KeyId), Context: in.EncryptionContext, Tokens: in.GrantTokens, DryRun: value(in.DryRun),
	}, in.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	return &kms.DecryptOutput{Plaintext: d.Plain, KeyId: &d.Key, KeyMaterialId: &d.Material, EncryptionAlgorithm: symmetric}, nil
}

// ReEncrypt encrypts with another key.
func (a *API) ReEncrypt(ctx context.Context, c call, in *kms.ReEncryptInput) (*kms.ReEncryptOutput, error) {
	if err := firstOf(algorithm(in.SourceEncryptionAlgorithm, in.DestinationEncryptionAlgorithm), modifiers(in.DryRunModifiers)); err != nil {
		return nil, err
	}
	from := keys.Use{Key: value(in.SourceKeyId), Context: in.SourceEncryptionContext, Tokens: in.GrantTokens, DryRun: value(in.DryRun)}
	to := keys.Use{Key: value(in.DestinationKeyId), Context: in.DestinationEncryptionContext, Tokens: in.GrantTokens}
	e, err := a.keys.ReEncrypt(ctx, c, from, to, in.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	return &kms.ReEncryptOutput{
		CiphertextBlob: e.Blob, KeyId: &e.Key, SourceKeyId: &e.Source, SourceKeyMaterialId: &e.SourceMaterial, DestinationKeyMaterialId: &e.Material,
		SourceEncryptionAlgorithm: symmetric, DestinationEncryptionAlgorithm: symmetric,
	}, nil
}

// GenerateDataKey makes a data key.
func (a *API) GenerateDataKey(ctx context.Context, c call, in *kms.GenerateDataKeyInput) (*kms.GenerateDataKeyOutput, error) {
	if err := enclave(in.Recipient); err != nil {
		return nil, err
	}
	plain, e, err := a.keys.GenerateDataKey(ctx, c, keys.Use{
		Key: value(in.KeyId), Context: in.EncryptionContext, Tokens: in.GrantTokens, DryRun: value(in.DryRun),
	}, string(in.KeySpec), int(value(in.NumberOfBytes)))
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyOutput{Plaintext: plain, CiphertextBlob: e.Blob, KeyId: &e.Key, KeyMaterialId: &e.Material}, nil
}

// GenerateDataKeyWithoutPlaintext makes a data key that is not shown.
func (a *API) GenerateDataKeyWithoutPlaintext(ctx context.Context, c call, in *kms.GenerateDataKeyWithoutPlaintextInput) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	e, err := a.keys.GenerateDataKeyWithoutPlaintext(ctx, c, keys.Use{
		Key: value(in.KeyId), Context: in.EncryptionContext, Tokens: in.GrantTokens, DryRun: value(in.DryRun),
	}, string(in.KeySpec), int(value(in.NumberOfBytes)))
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyWithoutPlaintextOutput{CiphertextBlob: e.Blob, KeyId: &e.Key, KeyMaterialId: &e.Material}, nil
}

// GenerateRandom makes random bytes.
func (a *API) GenerateRandom(ctx context.Context, c call, in *kms.GenerateRandomInput) (*kms.GenerateRandomOutput, error) {
	if err := enclave(in.Recipient); err != nil {
		return nil, err
	}
	if in.CustomKeyStoreId != nil {
		return nil, unsupported("Custom key stores are not supported.")
	}
	b, err := a.keys.GenerateRandom(ctx, c, int(value(in.NumberOfBytes)))
	if err != nil {
		return nil, err
	}
	return &kms.GenerateRandomOutput{Plaintext: b}, nil
}

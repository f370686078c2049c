// Package kms is the front for AWS KMS's API: a method for each operation, with the
// SDK's types, that calls one verb of package keys.
package kms

import (
	_ "embed"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/fault"
	"berth/internal/keys"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

//go:embed model.json
var model []byte

// API has the operations of KMS. It is safe for concurrent use.
type API struct {
	keys *keys.Keyring
}

// New returns the API.
func New(k *keys.Keyring) *API { return &API{k} }

type call = access.Call

// Service returns the table of operations.
func (a *API) Service() (aws.Service[call], error) {
	m, err := aws.ParseModel(model)
	s := aws.Service[call]{
		Name: "kms", TargetPrefix: "TrentService", Model: m,
		Operations: []aws.Operation[call]{
			aws.Op("CancelKeyDeletion", a.CancelKeyDeletion),
			aws.Op("CreateAlias", a.CreateAlias),
			aws.Op("CreateGrant", a.CreateGrant),
			aws.Op("CreateKey", a.CreateKey),
			aws.Op("Decrypt", a.Decrypt),
			aws.Op("DeleteAlias", a.DeleteAlias),
			aws.Op("DescribeKey", a.DescribeKey),
			aws.Op("DisableKey", a.DisableKey),
			aws.Op("DisableKeyRotation", a.DisableKeyRotation),
			aws.Op("EnableKey", a.EnableKey),
			aws.Op("EnableKeyRotation", a.EnableKeyRotation),
			aws.Op("Encrypt", a.Encrypt),
			aws.Op("GenerateDataKey", a.GenerateDataKey),
			aws.Op("GenerateDataKeyWithoutPlaintext", a.GenerateDataKeyWithoutPlaintext),
			aws.Op("GenerateRandom", a.GenerateRandom),
			aws.Op("GetKeyPolicy", a.GetKeyPolicy),
			aws.Op("GetKeyRotationStatus", a.GetKeyRotationStatus),
			aws.Op("ListAliases", a.ListAliases),
			aws.Op("ListGrants", a.ListGrants),
			aws.Op("ListKeyPolicies", a.ListKeyPolicies),
			aws.Op("ListKeyRotations", a.ListKeyRotations),
			aws.Op("ListKeys", a.ListKeys),
			aws.Op("ListResourceTags", a.ListResourceTags),
			aws.Op("ListRetirableGrants", a.ListRetirableGrants),
			aws.Op("PutKeyPolicy", a.PutKeyPolicy),
			aws.Op("ReEncrypt", a.ReEncrypt),
			aws.Op("RetireGrant", a.RetireGrant),
			aws.Op("RevokeGrant", a.RevokeGrant),
			aws.Op("RotateKeyOnDemand", a.RotateKeyOnDemand),
			aws.Op("ScheduleKeyDeletion", a.ScheduleKeyDeletion),
			aws.Op("TagResource", a.TagResource),
			aws.Op("UntagResource", a.UntagResource),
			aws.Op("UpdateAlias", a.UpdateAlias),
			aws.Op("UpdateKeyDescription", a.UpdateKeyDescription),
		},
	}
	for reason, names := range refused {
		for _, name := range names {
			s.Operations = append(s.Operations, aws.Operation[call]{Name: name, Refused: reason})
		}
	}
	return s, err
}

// refused are the operations that there are not, by why.
var refused = map[string][]string{
	"keys are symmetric": {
		"Decapsulate", "DeriveSharedSecret", "Encapsulate", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "GetPublicKey",
		"Sign", "Verify", "VerifyMac",
	},
	"key material is not imported": {"DeleteImportedKeyMaterial", "GetParametersForImport", "ImportKeyMaterial"},
	"there are no custom key stores": {
		"ConnectCustomKeyStore", "CreateCustomKeyStore", "DeleteCustomKeyStore", "DescribeCustomKeyStores", "DisconnectCustomKeyStore", "UpdateCustomKeyStore",
	},
	"there are no multi-Region keys":      {"ReplicateKey", "UpdatePrimaryRegion"},
	"when keys are used is not looked up": {"GetKeyLastUsage"},
}

// value returns what a member holds, or the zero value if it is absent.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// optional returns a member that is absent if it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func page(marker *string, most *int32) keys.Page {
	return keys.Page{Marker: value(marker), Max: int(value(most))}
}

func unsupported(what string) error {
	return aws.Unheard(fault.New(fault.Unsupported, "UnsupportedOperationException", "%s", what))
}

// algorithm refuses algorithms that keys are not for.
func algorithm(all ...types.EncryptionAlgorithmSpec) error {
	for _, a := range all {
		if a != "" && a != types.EncryptionAlgorithmSpecSymmetricDefault {
			return aws.Unheard(fault.New(fault.Invalid, "InvalidKeyUsageException", "The algorithm %s is not that of the key: keys are SYMMETRIC_DEFAULT.", a))
		}
	}
	return nil
}

// enclave refuses requests of enclaves.
func enclave(r *types.RecipientInfo) error {
	if r != nil {
		return unsupported("Recipient is not supported: there are no enclaves.")
	}
	return nil
}

func modifiers(m []types.DryRunModifierType) error {
	if len(m) > 0 {
		return unsupported("DryRunModifiers are not supported.")
	}
	return nil
}

// firstOf returns the first error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

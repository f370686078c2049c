package registry

import (
	"context"

	"berth/internal/access"
	"berth/internal/policy"
)

// signingConfiguration is the name that a registry's signing is stored under.
const signingConfiguration = "signing"

// Signing says which images of a registry are signed when they are pushed.
type Signing struct {
	Rules []SigningRule `json:"rules"`
}

// SigningRule says which repositories' images are signed with a profile.
type SigningRule struct {
	ProfileARN string   `json:"signingProfileArn"`
	Filters    []string `json:"repositoryFilters,omitempty"` // wildcards; none stands for all repositories
}

// check returns InvalidParameterException if a profile is in another region.
func (s *Signing) check(id ID) error {
	for _, rule := range s.Rules {
		a, ok := policy.ParseARN(rule.ProfileARN)
		if !ok || a.Partition != partitionOf(id.Region).name || a.Service != "signer" || a.Region != id.Region {
			return invalidParameter("signingConfiguration", "the signing profile '"+rule.ProfileARN+"' is not in the region of the registry")
		}
	}
	return nil
}

// PutSigningConfiguration replaces the registry's signing. Errors:
// InvalidParameterException.
func (r *Registry) PutSigningConfiguration(ctx context.Context, c access.Caller, id ID, in Signing) error {
	q := request{caller: c, event: "PutSigningConfiguration", ref: Ref{ID: id}, params: in}
	return r.configure(ctx, q, "signing", func(tx Tx) error {
		if err := in.check(id); err != nil {
			return err
		}
		return tx.PutConfiguration(id, signingConfiguration, in)
	})
}

// GetSigningConfiguration returns the registry's signing. Errors:
// SigningConfigurationNotFoundException.
func (r *Registry) GetSigningConfiguration(ctx context.Context, c access.Caller, id ID) (Signing, error) {
	var out Signing
	q := request{caller: c, event: "GetSigningConfiguration", ref: Ref{ID: id}, readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		var err error
		out, err = signingOf(tx, id)
		return err
	})
	return out, err
}

// DeleteSigningConfiguration removes the registry's signing and returns it.
// Errors: SigningConfigurationNotFoundException.
func (r *Registry) DeleteSigningConfiguration(ctx context.Context, c access.Caller, id ID) (Signing, error) {
	var out Signing
	q := request{caller: c, event: "DeleteSigningConfiguration", ref: Ref{ID: id}}
	err := r.configure(ctx, q, "signing", func(tx Tx) error {
		var err error
		if out, err = signingOf(tx, id); err != nil {
			return err
		}
		return tx.DeleteConfiguration(id, signingConfiguration)
	})
	return out, err
}

func signingOf(tx ReadTx, id ID) (Signing, error) {
	var s Signing
	found, err := tx.Configuration(id, signingConfiguration, &s)
	if err == nil && !found {
		err = errNoSigningConfiguration(id)
	}
	return s, err
}

// DescribeImageSigningStatus returns the image whose signatures are asked about.
// No image is signed yet. Errors: RepositoryNotFoundException,
// ImageNotFoundException, InvalidParameterException.
func (r *Registry) DescribeImageSigningStatus(ctx context.Context, c access.Caller, in ImageInput) (ImageID, error) {
	return r.describeImage(ctx, c, "DescribeImageSigningStatus", in)
}

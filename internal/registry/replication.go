package registry

import (
	"context"
	"fmt"

	"berth/internal/access"
)

// replicationConfiguration is the name that a registry's replication is stored
// under.
const replicationConfiguration = "replication"

// maxDestinations is how many registries a registry can be replicated to.
const maxDestinations = 25

// Replication says what a registry's images are copied to.
type Replication struct {
	Rules []ReplicationRule `json:"rules"`
}

// ReplicationRule names registries and which repositories are copied there.
type ReplicationRule struct {
	Destinations []Destination `json:"destinations"`
	Prefixes     []string      `json:"repositoryFilters,omitempty"` // of names; none stands for all repositories
}

// Destination is a registry that images are copied to.
type Destination struct {
	Region  string `json:"region"`
	Account string `json:"registryId"`
}

// check returns InvalidParameterException if the registry cannot be replicated
// like that.
func (c *Replication) check(id ID) error {
	const field = "replicationConfiguration"
	unique := map[Destination]bool{}
	for _, rule := range c.Rules {
		for _, d := range rule.Destinations {
			if !ValidAccount(d.Account) || !ValidRegion(d.Region) {
				return invalidParameter(field, fmt.Sprintf("there is no registry '%s' in a region '%s'", d.Account, d.Region))
			}
			if d == (Destination{id.Region, id.Account}) {
				return invalidParameter(field, "Replication destination cannot be the same as the source registry")
			}
			if partitionOf(d.Region) != partitionOf(id.Region) {
				return invalidParameter(field, "the region '"+d.Region+"' is not in the partition of the registry")
			}
			unique[d] = true
		}
	}
	if len(unique) > maxDestinations {
		return invalidParameter(field, fmt.Sprintf("there can be at most %d unique destinations across all rules", maxDestinations))
	}
	return nil
}

// PutReplicationConfiguration replaces the registry's replication. Without rules
// nothing is replicated. Errors: InvalidParameterException.
func (r *Registry) PutReplicationConfiguration(ctx context.Context, c access.Caller, id ID, in Replication) error {
	q := request{caller: c, event: "PutReplicationConfiguration", ref: Ref{ID: id}, params: in}
	return r.configure(ctx, q, "replication", func(tx Tx) error {
		if err := in.check(id); err != nil {
			return err
		}
		return tx.PutConfiguration(id, replicationConfiguration, in)
	})
}

// DescribeRegistry returns the registry's replication, which has no rules if it
// was never put.
func (r *Registry) DescribeRegistry(ctx context.Context, c access.Caller, id ID) (Replication, error) {
	var out Replication
	err := r.viewAll(ctx, request{caller: c, event: "DescribeRegistry", ref: Ref{ID: id}, readOnly: true}, func(tx ReadTx) error {
		out = Replication{}
		_, err := tx.Configuration(id, replicationConfiguration, &out)
		return err
	})
	return out, err
}

// DescribeImageReplicationStatus returns the image whose copies are asked about.
// No image is copied yet. Errors: RepositoryNotFoundException,
// ImageNotFoundException, InvalidParameterException.
func (r *Registry) DescribeImageReplicationStatus(ctx context.Context, c access.Caller, in ImageInput) (ImageID, error) {
	return r.describeImage(ctx, c, "DescribeImageReplicationStatus", in)
}

// BackfillInput names a replication backfill.
type BackfillInput struct {
	ID
	Backfill string `json:"replicationBackfillId"`
}

// ListReplicationBackfills lists the registry's backfills, of which there are
// none: none can be started. Errors: InvalidParameterException for any token.
func (r *Registry) ListReplicationBackfills(ctx context.Context, c access.Caller, id ID, p Page) error {
	const event = "ListReplicationBackfills"
	return r.viewAll(ctx, request{caller: c, event: event, ref: Ref{ID: id}, readOnly: true}, func(ReadTx) error {
		_, err := r.pages.open(p.Token, event, id)
		return err
	})
}

// StopReplicationBackfill ends a backfill. The error is
// ReplicationBackfillNotFoundException: none can be started.
func (r *Registry) StopReplicationBackfill(ctx context.Context, c access.Caller, in BackfillInput) error {
	q := request{caller: c, event: "StopReplicationBackfill", ref: Ref{ID: in.ID}, params: in}
	return r.updateAll(ctx, q, func(Tx) error { return errBackfillNotFound(in.ID, in.Backfill) })
}

// DescribeReplicationBackfillResults tells what came of a backfill. The error is
// ReplicationBackfillNotFoundException: none can be started.
func (r *Registry) DescribeReplicationBackfillResults(ctx context.Context, c access.Caller, in BackfillInput) error {
	q := request{caller: c, event: "DescribeReplicationBackfillResults", ref: Ref{ID: in.ID}, params: in, readOnly: true}
	return r.viewAll(ctx, q, func(ReadTx) error { return errBackfillNotFound(in.ID, in.Backfill) })
}

package keys

import (
	"context"
	"strings"

	"berth/internal/access"
	"berth/internal/policy"
)

// repositoryContext is the name in an encryption context that has the ARN of a
// repository.
const repositoryContext = "aws:ecr:arn"

// What ECR does with a key.
const (
	wrapping   = "GenerateDataKey"
	unwrapping = "Decrypt"
)

// ecrService is ECR in a region, as a principal.
func ecrService(region string) string { return "ecr." + region + ".amazonaws.com" }

// grantsOfRepository is how many grants ECR makes for a repository.
const grantsOfRepository = 2

// AllowRepository lets ECR use a key for a repository, which has an ARN and a UID: in
// the caller's name it looks at the key and makes two grants on it, as ECR does when a
// repository is created. The key is AWS's own if none is named. It returns the key's
// ARN and the ids of the grants, which are for this call alone: whatever others do,
// ReleaseGrants takes back what this call has given. Errors: AccessDeniedException,
// NotFoundException, DisabledException, KMSInvalidStateException,
// LimitExceededException, ValidationException.
func (k *Keyring) AllowRepository(ctx context.Context, c access.Call, ref, repository, uid string) (arn string, grants []string, err error) {
	if ref == "" || k.isManaged(c, ref) {
		ref = managedAlias
		if err := k.ensureManaged(ctx, c.Account, c.Region); err != nil {
			return "", nil, err
		}
	}
	service := ecrService(c.Region)
	in := CreateGrantInput{
		Grantee: service, Retiring: service, Operations: []string{unwrapping, wrapping}, Subset: map[string]string{repositoryContext: repository},
	}
	look := request{call: c, event: "DescribeKey", via: service, params: params{"keyId": ref}, readOnly: true}
	grant := request{call: c, event: "CreateGrant", via: service, using: in.Subset}
	in.conditions(&grant)
	q := look // the one that is under way
	open := func(tx ReadTx) error { return second(k.open(ctx, tx, &q, ref)) }
	err = k.updateKey(ctx, &q, ref, open, func(tx Tx) error {
		q, grants = look, nil
		key, err := k.open(ctx, tx, &q, ref)
		if err != nil {
			return err
		}
		arn = key.ARN()
		for range grantsOfRepository {
			if err := tx.Record(q.record(k.now(), nil)); err != nil { // of what was before
				return err
			}
			q = grant
			q.params = params{"keyId": arn, "granteePrincipal": service, "retiringPrincipal": service, "operations": in.Operations,
				"constraints": params{"encryptionContextSubset": in.Subset}}
			g := Grant{
				ID: randomID(), Key: key.ID, Grantee: service, Retiring: service, Issuer: c.Account, Operations: in.Operations, Subset: in.Subset,
				Repository: repository, RepositoryUID: uid, CreatedAt: k.time(),
			}
			if err := k.giveECR(ctx, tx, &q, key, g); err != nil {
				return err
			}
			grants = append(grants, g.ID)
		}
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	return arn, grants, nil
}

// giveECR makes a grant for ECR.
func (k *Keyring) giveECR(ctx context.Context, tx Tx, q *request, key *Key, g Grant) error {
	if _, err := k.open(ctx, tx, q, key.ARN()); err != nil {
		return err
	}
	if err := key.usable(); err != nil {
		return err
	}
	if err := k.within(ctx, tx, q, key, g); err != nil {
		return err
	}
	return k.insertGrant(tx, g)
}

// ReleaseGrants retires grants that AllowRepository has made on a key. It is no error
// if they, or the key, are not there any more.
func (k *Keyring) ReleaseGrants(ctx context.Context, arn string, ids []string) error {
	a, id, err := splitARN(arn)
	if err != nil {
		return nil
	}
	err = k.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(a.Account); err != nil {
			return err
		}
		key, err := tx.KMSKey(id)
		if err != nil || key == nil {
			return err
		}
		for _, grant := range ids {
			g, err := tx.KMSGrant(grant)
			if err != nil {
				return err
			}
			if g == nil || g.Key != id || g.Repository == "" {
				continue
			}
			if err := tx.DeleteKMSGrant(grant); err != nil {
				return err
			}
			if err := tx.Record(k.event(key, "RetireGrant")); err != nil {
				return err
			}
		}
		return nil
	})
	k.known.changed(err, arn)
	return err
}

// event is the record of something that happens to a key without a call.
func (k *Keyring) event(key *Key, name string) access.Record {
	return access.Record{
		Time: k.now(), Service: "kms", Event: name, Account: key.Account, Region: key.Region, Resource: key.ARN(), Details: params{"keyId": key.ID},
	}
}

// splitARN reads the ARN of a key.
func splitARN(arn string) (policy.ARN, string, error) {
	a, ok := policy.ParseARN(arn)
	id, isKey := strings.CutPrefix(a.Resource, "key/")
	if !ok || a.Service != "kms" || !isKey || !uuidText.MatchString(id) {
		return a, "", errNotFound("Invalid keyId '%.256s'", arn)
	}
	return a, id, nil
}

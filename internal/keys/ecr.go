package keys

import (
	"context"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"

	"github.com/google/uuid"
)

// managedAlias is the alias of the key that AWS manages for ECR.
const managedAlias = "alias/aws/ecr"

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

// isManaged reports whether a name is that of AWS's own key of the caller's account.
func (k *Keyring) isManaged(c access.Call, ref string) bool {
	return ref == managedAlias || ref == arnOf(c.Account, c.Region, managedAlias)
}

// managedPolicy is the policy of AWS's own key: whoever may use ECR in the account may
// use it through ECR, and look at it.
func managedPolicy(account, region string) string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "auto-ecr-1",
  "Statement" : [ {
    "Sid" : "Allow access through Amazon ECR for all principals in the account that are authorized to use Amazon ECR",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "` + ecrService(region) + `",
        "kms:CallerAccount" : "` + account + `"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::` + account + `:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`
}

// ensureManaged makes AWS's own key for ECR if it is not there.
func (k *Keyring) ensureManaged(ctx context.Context, account, region string) error {
	var there *Alias
	err := k.store.View(ctx, func(tx ReadTx) (err error) {
		there, err = tx.KMSAlias(account, region, managedAlias)
		return err
	})
	if err != nil || there != nil {
		return err
	}
	now := k.time()
	key := &Key{
		ID: uuid.NewString(), Account: account, Region: region, Manager: AWS, State: Enabled, Policy: managedPolicy(account, region), CreatedAt: now,
		Description: "Default key that protects my ECR data when no other key is defined", RotationDays: usualRotation, RotationAt: now.Add(usualRotation * day),
	}
	m, err := k.newMaterial(ctx, key, 1, "")
	if err != nil {
		return err
	}
	return k.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(account); err != nil {
			return err
		}
		if there, err := tx.KMSAlias(account, region, managedAlias); err != nil || there != nil {
			return err
		}
		if err := tx.InsertKMSKey(key); err != nil {
			return err
		}
		if err := tx.InsertKMSMaterial(m); err != nil {
			return err
		}
		if err := tx.PutKMSAlias(Alias{account, region, managedAlias, key.ID, now, now}); err != nil {
			return err
		}
		return tx.Record(k.event(key, "CreateKey"))
	})
}

// AllowRepository lets ECR use a key for a repository: in the caller's name it looks
// at the key and makes two grants on it, as ECR does when a repository is created.
// The key is AWS's own if none is named. It returns the key's ARN. Errors:
// AccessDeniedException, NotFoundException, DisabledException,
// KMSInvalidStateException, LimitExceededException.
func (k *Keyring) AllowRepository(ctx context.Context, c access.Call, ref, repository string) (arn string, err error) {
	if ref == "" || k.isManaged(c, ref) {
		ref = managedAlias
		if err := k.ensureManaged(ctx, c.Account, c.Region); err != nil {
			return "", err
		}
	}
	look := &request{call: c, event: "DescribeKey", via: ecrService(c.Region), params: params{"keyId": ref}}
	grant := &request{call: c, event: "CreateGrant", via: look.via, using: map[string]string{repositoryContext: repository}}
	in := CreateGrantInput{Grantee: ecrService(c.Region), Retiring: ecrService(c.Region), Operations: []string{unwrapping, wrapping}, Subset: grant.using}
	in.conditions(grant)
	err = k.update(ctx, look, accountOf(c, ref), func(tx Tx) error {
		key, err := k.open(ctx, tx, look, ref)
		if err != nil {
			return err
		}
		arn = key.ARN()
		if err := key.usable(); err != nil {
			return err
		}
		grant.params = params{"keyId": arn, "granteePrincipal": in.Grantee, "retiringPrincipal": in.Retiring, "operations": in.Operations,
			"constraints": params{"encryptionContextSubset": in.Subset}}
		for range 2 {
			if _, err := k.open(ctx, tx, grant, arn); err != nil {
				return err
			}
			if err := k.insertGrant(tx, Grant{
				ID: randomID(), Key: key.ID, Grantee: in.Grantee, Retiring: in.Retiring, Issuer: c.Account, Operations: in.Operations, Subset: in.Subset,
				Repository: repository, CreatedAt: k.time(),
			}); err != nil {
				return err
			}
			if err := tx.Record(grant.record(k.now(), nil)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return arn, nil
}

// ReleaseRepository retires the grants that AllowRepository has made for a repository.
// It is no error if there are none, or no such key any more.
func (k *Keyring) ReleaseRepository(ctx context.Context, arn, repository string) error {
	a, id, err := splitARN(arn)
	if err != nil {
		return nil
	}
	defer k.known.change()()
	return k.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(a.Account); err != nil {
			return err
		}
		key, err := tx.KMSKey(id)
		if err != nil || key == nil {
			return err
		}
		grants, err := tx.KMSGrantsFor(id, repository)
		if err != nil {
			return err
		}
		for _, g := range grants {
			if err := tx.DeleteKMSGrant(g.ID); err != nil {
				return err
			}
			if err := tx.Record(k.event(key, "RetireGrant")); err != nil {
				return err
			}
		}
		return nil
	})
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

// standing is a key as ECR may use it.
type standing struct {
	entered
	refusals map[string]error // by what ECR would do with it
	at       time.Time
}

// standing reads how ECR may use a key for a repository, or for any if there is none.
func (k *Keyring) standing(ctx context.Context, arn, repository string) (standing, error) {
	name := arn + " " + repository
	s, generation, ok := k.known.get(name, k.now())
	if ok {
		return s, nil
	}
	a, id, err := splitARN(arn)
	if err != nil {
		return s, err
	}
	s = standing{at: k.now(), refusals: map[string]error{}}
	err = k.store.Aside(ctx, func(tx ReadTx) error {
		key, err := tx.KMSKey(id)
		if err != nil {
			return err
		}
		if key == nil || key.Account != a.Account || key.Region != a.Region {
			return errNoKey(arn)
		}
		if s.entered.Key, s.materials = key, nil; key.usable() != nil {
			return key.usable()
		}
		if s.materials, err = tx.KMSMaterials(id); err != nil {
			return err
		}
		if len(s.materials) == 0 {
			return errNoKey(arn)
		}
		grants, err := tx.KMSGrantsFor(id, repository)
		if err != nil {
			return err
		}
		for _, what := range []string{wrapping, unwrapping} {
			if s.refusals[what], err = k.serviceMay(key, grants, what, repository); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		k.known.put(name, s, generation)
	}
	return s, err
}

// serviceMay returns the refusal of what ECR would do by its grants, which the key's
// policy can deny.
func (k *Keyring) serviceMay(key *Key, grants []Grant, what, repository string) (refusal, err error) {
	service := ecrService(key.Region)
	conditions := key.conditions()
	conditions["kms:CallerAccount"] = []string{key.Account}
	conditions["aws:PrincipalIsAWSService"] = []string{"true"}
	conditions["aws:PrincipalServiceName"] = []string{service}
	conditions["aws:SecureTransport"] = []string{"true"}
	conditions["aws:CurrentTime"] = []string{k.now().UTC().Format(time.RFC3339)}
	using := map[string]string{}
	if repository != "" {
		using[repositoryContext] = repository
		conditions["kms:EncryptionContext:"+repositoryContext] = []string{repository}
		conditions["kms:EncryptionContextKeys"] = []string{repositoryContext}
	}
	p, err := k.parsed.policy(key.Policy)
	if err != nil {
		return nil, err
	}
	having := policy.Policies{Key: []policy.Attached{{Policy: p}}}
	for _, g := range grants {
		if repository == "" {
			using = g.Subset
		}
		if g.Grantee != service || !g.allows(what, using) {
			continue
		}
		p, err := k.parsed.policy(statement(service, what))
		if err != nil {
			return nil, err
		}
		having.Key = append(having.Key, policy.Attached{Name: "grant " + g.ID, Policy: p})
	}
	d := policy.Decide(&policy.Request{
		Principal: policy.Principal{Type: policy.Service, Name: service}, Action: "kms:" + what, Resource: key.ARN(), ResourceAccount: key.Account,
		Context: policy.NewContext(conditions),
	}, &having)
	if !d.Allowed {
		return fault.New(fault.Denied, "AccessDeniedException", "User: %s is not authorized to perform: kms:%s on resource: %s%s",
			service, what, key.ARN(), d.Because("kms:"+what)), nil
	}
	return nil, nil
}

// MayUse returns why ECR cannot use a key for a repository now, nil if it can. What
// another process has changed counts after a second at most. Errors:
// AccessDeniedException, NotFoundException, DisabledException,
// KMSInvalidStateException.
func (k *Keyring) MayUse(ctx context.Context, arn, repository string) error {
	s, err := k.standing(ctx, arn, repository)
	if err != nil {
		return err
	}
	if s.refusals[wrapping] != nil {
		return s.refusals[wrapping]
	}
	return s.refusals[unwrapping]
}

// Wrap encrypts a data key for ECR with the newest backing key of a key, and binds it
// to what it is about. Errors are those of MayUse.
func (k *Keyring) Wrap(ctx context.Context, arn string, dataKey []byte, about string) ([]byte, error) {
	s, err := k.standing(ctx, arn, "")
	if err != nil {
		return nil, err
	}
	if err := s.refusals[wrapping]; err != nil {
		return nil, err
	}
	return k.encrypt(ctx, s.entered, dataKey, []string{forService, arn, about})
}

// Unwrap returns what Wrap was given. Errors: InvalidCiphertextException, and those of
// MayUse.
func (k *Keyring) Unwrap(ctx context.Context, arn string, wrapped []byte, about string) ([]byte, error) {
	s, err := k.standing(ctx, arn, "")
	if err != nil {
		return nil, err
	}
	if err := s.refusals[unwrapping]; err != nil {
		return nil, err
	}
	plain, _, err := k.decrypt(ctx, s.entered, wrapped, []string{forService, arn, about})
	return plain, err
}

// Current reports whether a data key was wrapped by the newest backing key of a key.
// Errors are those of MayUse.
func (k *Keyring) Current(ctx context.Context, arn string, wrapped []byte) (bool, error) {
	s, err := k.standing(ctx, arn, "")
	if err != nil {
		return false, err
	}
	h, ok := parseBlob(wrapped)
	return ok && h == blobHead{s.ID, s.newest().Number}, nil
}

// Rewrap wraps a data key anew if a backing key has wrapped it that is not the newest
// any more. It reports whether it did. Errors are those of Unwrap.
func (k *Keyring) Rewrap(ctx context.Context, arn string, wrapped []byte, about string) ([]byte, bool, error) {
	if current, err := k.Current(ctx, arn, wrapped); err != nil || current {
		return wrapped, false, err
	}
	plain, err := k.Unwrap(ctx, arn, wrapped, about)
	if err != nil {
		return nil, false, err
	}
	out, err := k.Wrap(ctx, arn, plain, about)
	return out, err == nil, err
}

package keys

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/policy"
)

// readTimeout bounds how long a reading may take that others wait for.
const readTimeout = 10 * time.Second

// standing returns what is known of a key or, with a repository, of what ECR may do
// with it for that. It is read if it is not known, once for all who ask meanwhile.
func (k *Keyring) standing(ctx context.Context, arn, repository string) (*standing, error) {
	if _, _, err := splitARN(arn); err != nil {
		return nil, err
	}
	s, mine := k.known.get(arn, repository, k.now())
	if mine {
		k.fill(ctx, s, arn, repository)
	}
	select {
	case <-s.ready:
		if s.err != nil {
			return nil, s.err
		}
		return s, s.refusal
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fill reads a standing for all who wait for it: it goes on if the caller gives up.
func (k *Keyring) fill(ctx context.Context, s *standing, arn, repository string) {
	defer close(s.ready)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	s.err = errUndecided // unless what follows comes to its end
	err := k.store.Aside(ctx, func(tx ReadTx) (err error) {
		s.entered, err = usableKey(tx, arn)
		if err == nil && repository != "" {
			err = k.serviceMay(tx, s.Key, repository)
		}
		return err
	})
	if _, said := fault.As(err); said || err == nil {
		s.refusal, s.err = err, nil
		return
	}
	s.err = err
	k.known.drop(arn, repository, s)
}

// usableKey reads a key with its backing keys. Errors: NotFoundException,
// DisabledException, KMSInvalidStateException.
func usableKey(tx ReadTx, arn string) (entered, error) {
	a, id, err := splitARN(arn)
	if err != nil {
		return entered{}, err
	}
	key, err := tx.KMSKey(id)
	if err != nil {
		return entered{}, err
	}
	if key == nil || key.Account != a.Account || key.Region != a.Region {
		return entered{}, errNoKey(arn)
	}
	if err := key.usable(); err != nil {
		return entered{}, err
	}
	all, err := tx.KMSMaterials(id)
	if err == nil && len(all) == 0 {
		err = errNoKey(arn)
	}
	return entered{key, all}, err
}

// serviceMay returns the refusal of what ECR does for a repository by its grants, which
// the key's policy can deny.
func (k *Keyring) serviceMay(tx ReadTx, key *Key, repository string) error {
	grants, err := tx.KMSGrantsFor(key.ID, repository)
	if err != nil {
		return err
	}
	conditions, err := conditionsOf(tx, key)
	if err != nil {
		return err
	}
	service, using := ecrService(key.Region), map[string]string{repositoryContext: repository}
	owner, _ := policy.ParseARN(repository)
	conditions["kms:CallerAccount"] = []string{owner.Account}
	conditions["kms:EncryptionContext:"+repositoryContext] = []string{repository}
	conditions["kms:EncryptionContextKeys"] = []string{repositoryContext}
	conditions["aws:PrincipalIsAWSService"] = []string{"true"}
	conditions["aws:PrincipalServiceName"] = []string{service}
	conditions["aws:SecureTransport"] = []string{"true"}
	conditions["aws:CurrentTime"] = []string{k.now().UTC().Format(time.RFC3339)}
	p, err := k.parsed.policy(key.Policy)
	if err != nil {
		return err
	}
	for _, what := range []string{wrapping, unwrapping} {
		if what == unwrapping {
			conditions[algorithmKey] = []string{symmetric}
		}
		having := policy.Policies{Key: []policy.Attached{{Policy: p}}}
		for _, g := range grants {
			if g.Grantee != service || !g.allows(what, using) {
				continue
			}
			allow, err := k.parsed.policy(statement(service, what))
			if err != nil {
				return err
			}
			having.Key = append(having.Key, policy.Attached{Name: "grant " + g.ID, Policy: allow})
			break
		}
		d := policy.Decide(&policy.Request{
			Principal: policy.Principal{Type: policy.Service, Name: service}, Action: "kms:" + what, Resource: key.ARN(), ResourceAccount: key.Account,
			Context: policy.NewContext(conditions),
		}, &having)
		if !d.Allowed {
			return fault.New(fault.Denied, "AccessDeniedException", "User: %s is not authorized to perform: kms:%s on resource: %s%s",
				service, what, key.ARN(), d.Because("kms:"+what))
		}
	}
	return nil
}

// MayUse returns why ECR cannot use a key for a repository now, nil if it can: by the
// state of the key, its policy and the grants for the repository. What another process
// has changed counts after a second at most. Errors: AccessDeniedException,
// NotFoundException, DisabledException, KMSInvalidStateException.
func (k *Keyring) MayUse(ctx context.Context, arn, repository string) error {
	return second(k.standing(ctx, arn, repository))
}

// Wrap encrypts a data key for ECR with the newest backing key of a key, and binds it
// to what it is about. The caller must have asked MayUse for the repository: policies
// and grants are not looked at here. Errors: NotFoundException, DisabledException,
// KMSInvalidStateException.
func (k *Keyring) Wrap(ctx context.Context, arn string, dataKey []byte, about string) ([]byte, error) {
	s, err := k.standing(ctx, arn, "")
	if err != nil {
		return nil, err
	}
	return k.encrypt(ctx, s.entered, dataKey, []string{forService, arn, about})
}

// Unwrap returns what Wrap was given. Errors: InvalidCiphertextException, and those of
// Wrap.
func (k *Keyring) Unwrap(ctx context.Context, arn string, wrapped []byte, about string) ([]byte, error) {
	s, err := k.knowing(ctx, arn, wrapped)
	if err != nil {
		return nil, err
	}
	plain, _, err := k.decrypt(ctx, s.entered, wrapped, []string{forService, arn, about})
	return plain, err
}

// knowing returns what is known of a key once it has the backing key that has wrapped
// a data key: another process may just have rotated the key.
func (k *Keyring) knowing(ctx context.Context, arn string, wrapped []byte) (*standing, error) {
	s, err := k.standing(ctx, arn, "")
	if err != nil {
		return nil, err
	}
	if h, ok := parseBlob(wrapped); !ok || h.key != s.ID || h.number <= s.newest().Number {
		return s, nil
	}
	k.known.drop(arn, "", s)
	return k.standing(ctx, arn, "")
}

// Current reports whether a data key was wrapped by the newest backing key of a key.
// Errors are those of Wrap.
func (k *Keyring) Current(ctx context.Context, arn string, wrapped []byte) (bool, error) {
	s, err := k.knowing(ctx, arn, wrapped)
	if err != nil {
		return false, err
	}
	h, ok := parseBlob(wrapped)
	return ok && h == blobHead{s.ID, s.newest().Number}, nil
}

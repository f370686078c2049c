package registry

import (
	"context"
	"errors"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

// KeyService is what ECR needs of KMS. Its errors are faults with KMS's exceptions. It
// must not be asked for changes in transactions.
type KeyService interface {
	// AllowRepository lets ECR use a key, in the caller's name, for a repository, which
	// is given by its ARN and UID. It returns the key's ARN, and the grants that it has
	// made.
	AllowRepository(ctx context.Context, c access.Call, key, repository, uid string) (arn string, grants []string, err error)
	// ReleaseGrants takes grants back.
	ReleaseGrants(ctx context.Context, arn string, grants []string) error
	// MayUse returns why ECR cannot use a key for a repository now. It is quick.
	MayUse(ctx context.Context, arn, repository string) error
}

// KeyGrantWriter changes what ECR may do with KMS keys.
type KeyGrantWriter interface {
	// RetireKeyGrants ends the grants that were made on the repository's key for it,
	// and returns how many there were.
	RetireKeyGrants(*Repository) (int, error)
	// HasKeyGrants reports whether all of these grants are still there.
	HasKeyGrants(ids []string) (bool, error)
}

// kms reports whether there is a KMS key.
func (e Encryption) kms() bool { return e.Type == "KMS" || e.Type == "KMS_DSSE" }

// sealing are the operations that write, or read, what is sealed under a repository's
// key.
var sealing = map[string]bool{
	"InitiateLayerUpload": true, "UploadLayerPart": true, "CompleteLayerUpload": true, "PutImage": true, "BatchGetImage": true, "GetDownloadUrlForLayer": true,
}

// mayUseKey returns KmsException if a call needs the repository's KMS key and ECR may
// not use it.
func (r *Registry) mayUseKey(ctx context.Context, q request, repo *Repository) error {
	if q.keyless || !sealing[q.event] {
		return nil
	}
	return r.mayUse(ctx, repo)
}

// mayUse returns KmsException if the repository has a KMS key that ECR may not use.
func (r *Registry) mayUse(ctx context.Context, repo *Repository) error {
	if !repo.Encryption.kms() {
		return nil
	}
	return errKMS(r.keys.MayUse(ctx, repo.Encryption.Key, repo.ARN()))
}

// errKMS returns KmsException for an exception of KMS, and any other error as it is.
func errKMS(err error) error {
	f, ok := fault.As(err)
	if !ok || f.Kind == fault.Internal {
		return err
	}
	e := kmsException(f.Code, err)
	e.DecisionID, e.Decision = f.DecisionID, f.Decision
	return e
}

// keyFailures is a failure for each image that was asked for.
func keyFailures(ids []ImageID, e *fault.Error) []ImageFailure {
	var out []ImageFailure
	for _, id := range ids {
		out = append(out, ImageFailure{id, KmsError, e.Message})
	}
	return out
}

// allowance is a KMS key that ECR has been allowed to use for a repository that is
// about to be there.
type allowance struct {
	asked  Encryption // as it was asked for
	uid    string     // of the repository
	key    string     // the ARN
	grants []string
	used   bool // the repository is there
}

// encryption is that of the repository.
func (a *allowance) encryption() Encryption { return Encryption{a.asked.Type, a.key} }

// allow lets ECR use the key that an encryption names for a repository with a UID, if
// it is by a KMS key. The call must have been decided.
func (r *Registry) allow(ctx context.Context, c access.Caller, ref Ref, e Encryption, uid string) (*allowance, error) {
	if !e.kms() {
		return nil, nil
	}
	a := &allowance{asked: e, uid: uid}
	err := e.complete(ref.ID)
	if err != nil {
		return nil, err
	}
	a.key, a.grants, err = r.keys.AllowRepository(ctx, access.Call{Caller: c, Region: ref.Region}, e.Key, ref.ARN(), uid)
	return a, errKMS(err)
}

// conclude takes an allowance back if the call that it was for has certainly made no
// repository of it, and returns how the call has ended.
func (r *Registry) conclude(ctx context.Context, a *allowance, err error) error {
	var need *errKeyNeeded
	_, said := fault.As(err)
	if a == nil || err == nil && a.used || err != nil && !said && !errors.As(err, &need) {
		return err
	}
	if released := r.keys.ReleaseGrants(context.WithoutCancel(ctx), a.key, a.grants); released != nil && err == nil {
		return released
	}
	return err
}

// prepare looks at what a call needs a key for before it is made. The call is counted
// against its rate. A failure leaves the call's record.
func (r *Registry) prepare(ctx context.Context, q *request, look func(ReadTx) (Encryption, string, error)) (*allowance, error) {
	var e Encryption
	var uid string
	err := r.admit(q)
	if err == nil {
		err = r.store.View(ctx, func(tx ReadTx) (err error) {
			e, uid, err = look(tx)
			return err
		})
	}
	var a *allowance
	if err == nil {
		a, err = r.allow(ctx, q.caller, q.ref, e, uid)
	}
	if err != nil {
		r.auditor.Record(q.record(r.now(), err))
		return nil, err
	}
	return a, nil
}

// errKeyNeeded ends, and undoes, a call whose template makes a repository with a KMS key
// that ECR has not been allowed to use for it.
type errKeyNeeded struct{ asked Encryption }

func (e *errKeyNeeded) Error() string { return "the repository needs a KMS key" }

// creating runs a call that a template may make a repository for. Whether that needs a
// KMS key is known only in the transaction, which cannot make grants: the call is run
// again with them.
func (r *Registry) creating(ctx context.Context, run func(context.Context, func(Tx) error) error, q request, fn func(Tx, *Repository) error) error {
	for {
		err := r.conclude(ctx, q.allowed, r.updateIn(ctx, run, q, r.withRepository(ctx, q, fn)))
		var need *errKeyNeeded
		if !errors.As(err, &need) {
			return err
		}
		q.admitted = true
		if q.allowed, err = r.allow(ctx, q.caller, q.ref, need.asked, newID()); err != nil {
			r.auditor.Record(q.record(r.now(), err))
			return err
		}
	}
}

// retireKeyGrants takes the right to a repository's KMS key back from ECR.
func (r *Registry) retireKeyGrants(tx Tx, repo *Repository) error {
	if !repo.Encryption.kms() {
		return nil
	}
	n, err := tx.RetireKeyGrants(repo)
	if err != nil {
		return err
	}
	key, _ := policy.ParseARN(repo.Encryption.Key)
	for range n {
		if err := tx.Record(access.Record{
			Time: r.now(), Service: "kms", Event: "RetireGrant", Account: key.Account, Region: key.Region, Resource: repo.Encryption.Key,
			Details: map[string]any{"repository": repo.ARN()},
		}); err != nil {
			return err
		}
	}
	return nil
}

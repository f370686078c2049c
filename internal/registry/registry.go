// Package registry is the domain: repositories, images, tags, layers, uploads
// and the rules about them.
//
// A [Registry] has one method for each verb. Every verb takes the caller, asks
// the authorizer before anything else, and leaves one audit record; a verb that
// changes something writes its event in the same transaction. The fronts (OCI,
// AWS) and the workers call these verbs and hold no rules of their own.
//
// Verbs return errors of package fault that carry ECR's exception and text. All
// methods are safe for concurrent use.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/fault"
	"berth/internal/policy"
	"berth/internal/seal"

	"github.com/google/uuid"
)

// Options are what a Registry is made of. All from Now on may be left out.
type Options struct {
	Store      Store
	Blobs      *blob.Store
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Tokens     Tokens
	Pages      *seal.Key // seals page tokens
	Links      *seal.Key // signs download links
	Keys       KeyService

	Now func() time.Time // time.Now if nil
	// RefuseSameDigest makes a push of an immutable tag fail even if the tag is
	// on the very same image already, as ECR does.
	RefuseSameDigest bool
	// Quotas are the values of quotas that differ from ECR's, by name. They must
	// have passed CheckQuotas.
	Quotas        map[string]int64
	StorageQuotas []StorageQuota
	// RequestRates has callers refused who ask more often than the quotas of
	// request rates allow.
	RequestRates bool
	// Anonymous limits what an address may pull from public registries without a
	// login.
	Anonymous AnonymousLimits
	// Principals knows whom policies may name. Nobody checks that if it is nil.
	Principals access.PrincipalSource
	// Administrator is the account whose root decides about the quotas of all: the
	// first one. If it is "" nobody does.
	Administrator string
	// Suspect is told the UID of an object whose bytes are missing or damaged; nil for nobody.
	Suspect func(uid string)
	// Redirects has layers fetched from the bucket itself, if it can give out URLs.
	Redirects bool
	// ArchiveClass has layers change their storage class with the images that have them.
	ArchiveClass bool
	// HasRoom reports whether there is room on the disk for what is pushed; there always is if
	// it is nil. It is asked often.
	HasRoom func() bool
	// Refused returns why changes are refused at present, as far as that is known; nil if
	// they are not, and always if it is nil. It is asked often. Whether a change comes about
	// the store decides: this spares the bytes, and lets what goes on by itself rest.
	Refused func() error
	// DeletedRetention is how long what was deleted can be restored; 0 for never.
	DeletedRetention time.Duration
	// Lease is how long a layer stays that somebody was told is there; four hours if 0.
	Lease time.Duration
}

// Registry is all registries of this installation.
type Registry struct {
	store   Store
	blobs   *blob.Store
	auth    *access.Authorizer
	auditor access.Auditor
	tokens  Tokens
	pages   pager
	links   *seal.Key
	clock   func() time.Time
	strict  bool

	limits  limits // of all quotas that are in force
	storage []StorageQuota
	rates   rates

	uploads keyedMutex
	meter   meter
	pulls   pulls

	lifecycleWork chan struct{} // something has become due
	lifecyclePlan chan struct{} // full while a policy is evaluated: one at a time, for they take memory
	backtests     chan struct{} // has one in it while a back-test runs
	crowd         crowd
	policies      policies

	hasRoom       func() bool
	refused       func() error
	retention     time.Duration // of what was deleted
	leaseLife     time.Duration // of a layer
	administrator string        // an account
	principals    access.PrincipalSource
	suspect       func(uid string) // nil for nobody
	redirects     bool             // layers are fetched from the bucket itself
	classes       bool             // layers change their storage class
	keys          KeyService
}

// New returns a Registry.
func New(o Options) *Registry {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HasRoom == nil {
		o.HasRoom = func() bool { return true }
	}
	if o.Refused == nil {
		o.Refused = func() error { return nil }
	}
	l := newLimits(o.Quotas, o.RequestRates)
	return &Registry{
		store: o.Store, blobs: o.Blobs, auth: o.Authorizer, auditor: o.Auditor, tokens: o.Tokens,
		pages: pager{o.Pages}, links: o.Links, clock: o.Now, strict: o.RefuseSameDigest,
		lifecycleWork: make(chan struct{}, 1), lifecyclePlan: make(chan struct{}, 1), backtests: make(chan struct{}, 1),
		limits: l, rates: newRates(l), storage: o.StorageQuotas,
		crowd: crowd{limits: o.Anonymous}, retention: o.DeletedRetention,
		administrator: o.Administrator, principals: o.Principals,
		suspect:   o.Suspect,
		redirects: o.Redirects, classes: o.ArchiveClass, keys: o.Keys, hasRoom: o.HasRoom, refused: o.Refused, leaseLife: cmp.Or(o.Lease, standardLease),
	}
}

// now is the time to the microsecond, which is what the store keeps.
func (r *Registry) now() time.Time { return r.clock().UTC().Truncate(time.Microsecond) }

// newID returns an id that sorts by the time it was made.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// request is one call of a verb.
type request struct {
	caller   access.Caller
	service  string   // that owns the operation; the registry's if ""
	event    string   // the API operation, and the action asked for unless action is set
	action   string   // without the service
	also     []string // further actions that the call needs, whole
	ref      Ref
	resource string              // the ARN asked for; the repository's, or else "*", if ""
	context  map[string][]string // condition keys that the request sets
	params   any                 // for the audit record
	response any                 // for the audit record of a call that succeeds
	readOnly bool
	lock     Lock       // what an update means to do to the repository
	create   bool       // a template may create the repository
	allowed  *allowance // what such a repository may be sealed under; nil for nothing of KMS
	keyless  bool       // the call needs no KMS key of the repository, whatever its event
	admitted bool       // the call has been counted against its rate
	repairs  bool       // the call replaces or deletes a policy
	pull     bool       // the call counts against the rate of those without a login
	images   images     // that the call takes, makes or changes; nil if policies know it by the repository alone
	early    bool       // of images no more than the tags is known yet
}

// prefix is what the names of the service's actions begin with.
func (q *request) prefix() string {
	if q.service == "" {
		return q.ref.service()
	}
	return q.service
}

// record returns the audit record of the call that ended with err.
func (q *request) record(at time.Time, err error) access.Record {
	rec := access.Record{
		Time: at, Caller: q.caller, Service: q.prefix(), Event: q.event, Account: q.ref.Account, Region: q.ref.apiRegion(),
		Resource: q.resource, ReadOnly: q.readOnly, Parameters: q.params, Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if err == nil {
		rec.Response = q.response
	}
	if rec.Resource == "" && q.ref.Name != "" {
		rec.Resource = q.ref.ARN()
	}
	if rec.Parameters == nil || q.caller.Type == access.Anonymous {
		rec.Parameters = q.ref // strangers write nothing of their own into the log
	}
	if e, ok := fault.As(err); ok {
		rec.Message = strings.ToValidUTF8(e.Message[:min(len(e.Message), maxAuditedMessage)], "")
	}
	return rec
}

// maxAuditedMessage bounds the text of an error in the audit log, in bytes.
const maxAuditedMessage = 1024

// decide asks the authorizer about the call. repo is nil if the repository does
// not exist; it then counts as one without tags and policy. tx is nil for calls
// that a registry's policy has no say in.
func (r *Registry) decide(ctx context.Context, tx ReadTx, q request, repo *Repository) error {
	own, err := r.policyOf(repo)
	if err != nil {
		return err
	}
	return r.decideWith(ctx, tx, q, repo, own)
}

// policyOf returns the policy of a repository, none if there is no repository.
func (r *Registry) policyOf(repo *Repository) ([]policy.Attached, error) {
	if repo == nil {
		return nil, nil
	}
	own, err := r.policies.of(policy.Repository, repo.Policy)
	if err != nil {
		return nil, fmt.Errorf("read the policy of %s: %s", repo.ARN(), err.Error())
	}
	return own, nil
}

// decideWith is decide with a policy in place of the repository's.
func (r *Registry) decideWith(ctx context.Context, tx ReadTx, q request, repo *Repository, own []policy.Attached) error {
	ask, err := r.question(tx, q, repo, own)
	if err != nil {
		return err
	}
	if err := r.auth.Decide(ctx, ask); err != nil {
		return err
	}
	for _, ask.Action = range q.also {
		if err := r.auth.Decide(ctx, ask); err != nil {
			return err
		}
	}
	return nil
}

// question is what the authorizer is asked about a call, with all that the
// resource has to say in it.
func (r *Registry) question(tx ReadTx, q request, repo *Repository, own []policy.Attached) (access.Request, error) {
	var all []policy.Attached
	if tx != nil && q.prefix() == "ecr" {
		text, err := tx.RegistryPolicy(q.ref.ID)
		if err != nil {
			return access.Request{}, err
		}
		if all, err = r.policies.of(policy.Registry, text); err != nil {
			return access.Request{}, fmt.Errorf("read the policy of registry %s in %s: %s", q.ref.Account, q.ref.Region, err.Error())
		}
	}
	action := q.action
	if action == "" {
		action = q.event
	}
	resource := q.resource
	switch {
	case resource != "":
	case q.ref.Name != "":
		resource = q.ref.ARN()
	default:
		resource = "*"
	}
	ask := access.Request{
		Caller: q.caller, Action: q.prefix() + ":" + action, Account: q.ref.Account, Resource: resource,
		Context: conditions(q.context, repo), Repository: own, Registry: all, RootRepairs: q.repairs, Early: q.early,
	}
	if q.images != nil {
		ask.Images = func() ([]access.Image, error) { return q.images(tx, repo) }
	}
	return ask, nil
}

// conditions adds the condition keys that the repository sets.
func conditions(keys map[string][]string, repo *Repository) map[string][]string {
	if repo == nil || len(repo.Tags) == 0 {
		return keys
	}
	out := make(map[string][]string, len(keys)+2*len(repo.Tags))
	for k, v := range keys {
		out[k] = v
	}
	for k, v := range repo.Tags {
		out["aws:ResourceTag/"+k] = []string{v}
		out[repo.service()+":ResourceTag/"+k] = []string{v}
	}
	return out
}

// open reads the repository that a call is about and decides the call. It is
// the only way to a repository, so that a refusal comes before the news that
// the repository does not exist.
func (r *Registry) open(ctx context.Context, tx ReadTx, q request) (*Repository, error) {
	repo, err := tx.Repository(q.ref, q.lock)
	if err != nil {
		return nil, err
	}
	if err := r.decide(ctx, tx, q, repo); err != nil {
		return nil, err
	}
	if repo == nil {
		return nil, errRepositoryNotFound(q.ref)
	}
	if err := r.mayUseKey(ctx, q, repo); err != nil {
		return nil, err
	}
	return repo, nil
}

// view runs fn on the repository that a reading call is about.
func (r *Registry) view(ctx context.Context, q request, fn func(ReadTx, *Repository) error) error {
	return r.viewTx(ctx, q, func(tx ReadTx) error {
		repo, err := r.open(ctx, tx, q)
		if err != nil {
			return err
		}
		return fn(tx, repo)
	})
}

// viewAll runs fn for a reading call that is about a registry as a whole.
func (r *Registry) viewAll(ctx context.Context, q request, fn func(ReadTx) error) error {
	return r.viewTx(ctx, q, func(tx ReadTx) error {
		if err := r.decide(ctx, tx, q, nil); err != nil {
			return err
		}
		return fn(tx)
	})
}

// viewTx runs fn in a transaction that writes nothing, and leaves the record. What
// everybody may read leaves none of those without a login, however it ends: there
// is no end to them, and usage counts what they pull.
func (r *Registry) viewTx(ctx context.Context, q request, fn func(ReadTx) error) error {
	err := r.admit(&q)
	if err == nil && q.pull {
		err = r.crowd.admit(q.caller, r.now())
	}
	if err == nil {
		err = r.store.View(ctx, fn)
	}
	if q.caller.Type != access.Anonymous || kindOf(err) == fault.Denied {
		r.auditor.Record(q.record(r.now(), err))
	}
	return err
}

// update runs fn on the repository that a changing call is about.
func (r *Registry) update(ctx context.Context, q request, fn func(Tx, *Repository) error) error {
	return r.updateWith(ctx, r.store.Update, q, fn)
}

// updateRelaxed is update for what a client can do again after a loss of power.
func (r *Registry) updateRelaxed(ctx context.Context, q request, fn func(Tx, *Repository) error) error {
	return r.updateWith(ctx, r.store.Relaxed, q, fn)
}

func (r *Registry) updateWith(ctx context.Context, run func(context.Context, func(Tx) error) error, q request, fn func(Tx, *Repository) error) error {
	if q.create {
		return r.creating(ctx, run, q, fn)
	}
	return r.updateIn(ctx, run, q, r.withRepository(ctx, q, fn))
}

// updateAll runs fn for a changing call that is about no repository that is
// there already.
func (r *Registry) updateAll(ctx context.Context, q request, fn func(Tx) error) error {
	return r.updateIn(ctx, r.store.Update, q, func(tx Tx) error {
		if err := r.decide(ctx, tx, q, nil); err != nil {
			return err
		}
		return fn(tx)
	})
}

// configure runs fn for a call that changes the configuration of a registry,
// which it says in detail. Such calls take turns.
func (r *Registry) configure(ctx context.Context, q request, detail string, fn func(Tx) error) error {
	return r.updateAll(ctx, q, func(tx Tx) error {
		if err := tx.LockRegistry(q.ref.ID); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Emit(Event{Kind: SettingChanged, Ref: q.ref, Time: r.now(), Detail: detail})
	})
}

func (r *Registry) withRepository(ctx context.Context, q request, fn func(Tx, *Repository) error) func(Tx) error {
	return func(tx Tx) error {
		if q.allowed != nil {
			q.allowed.used = false
		}
		repo, err := r.open(ctx, tx, q)
		if q.create && fault.CodeOf(err) == "RepositoryNotFoundException" {
			repo, err = r.createOnPush(ctx, tx, q)
		}
		if err != nil {
			return err
		}
		return fn(tx, repo)
	}
}

// updateIn runs fn in a transaction whose last row is the call's record. A call
// that fails changes nothing; its record is left all the same. Callers without a
// login are decided about before, so that they take no turn as writer.
func (r *Registry) updateIn(ctx context.Context, run func(context.Context, func(Tx) error) error, q request, fn func(Tx) error) error {
	var err error
	if q.caller.Type == access.Anonymous {
		err = r.decide(ctx, nil, q, nil)
	}
	if err == nil {
		err = r.admit(&q)
	}
	if err == nil {
		err = run(ctx, func(tx Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			return tx.Record(q.record(r.now(), nil))
		})
	}
	var again *errKeyNeeded
	if err != nil && !errors.As(err, &again) {
		r.auditor.Record(q.record(r.now(), err))
	}
	return err
}

package keys

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

// params are the parameters of a call in its audit record.
type params map[string]any

// request is one call of a verb.
type request struct {
	call     access.Call
	event    string // the API operation
	action   string // asked for, if it is not kms:event
	params   params
	context  map[string][]string // condition keys that the request sets
	using    map[string]string   // the encryption context
	via      string              // the service that the call comes through
	facts    map[string][]string // condition keys of the key that was asked about last
	resource string              // its ARN
	account  string              // that owns it
	entered  []string            // the ARNs of the keys that the call may be about
	decided  bool
	readOnly bool
}

// record returns the audit record of the call that ended with err.
func (q *request) record(at time.Time, err error) access.Record {
	rec := access.Record{
		Time: at, Caller: q.call.Caller, Service: "kms", Event: q.event, Account: q.call.Account, Region: q.call.Region,
		ReadOnly: q.readOnly, Parameters: q.params, Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if q.account != "" {
		rec.Account = q.account
	}
	if q.resource != "*" {
		rec.Resource = q.resource
	}
	if e, ok := fault.As(err); ok {
		rec.Message = e.Message
	}
	return rec
}

// ask is the question about a resource of an account.
func (q *request) ask(account, resource string, conditions map[string][]string, key []policy.Attached) access.Request {
	keys := map[string][]string{"kms:CallerAccount": {q.call.Account}}
	maps.Copy(keys, conditions)
	maps.Copy(keys, q.context)
	if q.via != "" {
		keys["kms:ViaService"] = []string{q.via}
	}
	if checkContext(q.using) == nil && len(q.using) > 0 { // a call with a bad one fails, if it is not refused
		var names []string
		for name, value := range q.using {
			keys["kms:EncryptionContext:"+name] = []string{value}
			names = append(names, name)
		}
		keys["kms:EncryptionContextKeys"] = names
	}
	action := q.action
	if action == "" {
		action = q.event
	}
	return access.Request{Caller: q.call.Caller, Action: "kms:" + action, Account: account, Resource: resource, Context: keys, Key: key}
}

// decide asks the authorizer about what only identity policies have a say in: an
// alias, or "*" for no resource.
func (k *Keyring) decide(ctx context.Context, q *request, account, resource string) error {
	q.decided, q.resource, q.account = true, resource, account
	return k.auth.Decide(ctx, q.ask(account, resource, nil, nil))
}

// errUndecided is a fault of ours: a verb has not asked the authorizer.
var errUndecided = errors.New("a call was not decided")

// view runs fn, which must decide the call, in a transaction that changes nothing,
// and leaves the record.
func (k *Keyring) view(ctx context.Context, q *request, fn func(ReadTx) error) error {
	q.readOnly = true
	err := k.reading(ctx, q, fn)
	k.auditor.Record(q.record(k.now(), err))
	return err
}

// reading is view without the record, which must be left by the caller.
func (k *Keyring) reading(ctx context.Context, q *request, fn func(ReadTx) error) error {
	err := k.store.View(ctx, fn)
	if err == nil && !q.decided {
		err = errUndecided
	}
	return err
}

// update runs fn, which must decide the call, in a transaction of its own whose last
// row is the call's record. Calls that change what is in an account take turns. A
// call that fails changes nothing; its record is left all the same.
func (k *Keyring) update(ctx context.Context, q *request, account string, fn func(Tx) error) error {
	err := k.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(account); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		if !q.decided {
			return errUndecided
		}
		return tx.Record(q.record(k.now(), nil))
	})
	k.known.changed(err, q.entered...)
	return k.failed(q, err)
}

// updateKey is update for calls about a key, which open decides. If it is another
// account's, that account waits for nobody who may not.
func (k *Keyring) updateKey(ctx context.Context, q *request, ref string, open func(ReadTx) error, fn func(Tx) error) error {
	account := q.call.Account
	if named := accountOf(q.call, ref); named != account && slices.Contains(across, q.event) {
		if err := k.reading(ctx, q, open); err != nil {
			return k.failed(q, err)
		}
		account = named
	}
	return k.update(ctx, q, account, fn)
}

// failed leaves the record of a call that has failed, if it has.
func (k *Keyring) failed(q *request, err error) error {
	if err != nil {
		k.auditor.Record(q.record(k.now(), err))
	}
	return err
}

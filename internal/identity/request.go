package identity

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// params are the parameters of a call in its audit record.
type params map[string]any

// request is one call of a verb.
type request struct {
	call     access.Call
	service  string // that owns the operation; "iam" if ""
	event    string // the API operation, and the action asked for
	params   params
	response params              // of a call that succeeds
	issued   params              // whose the credentials are that it issues
	context  map[string][]string // condition keys that the request sets
	resource string              // the ARN that was asked about last
	label    string              // what a refusal calls the resource; its ARN if ""
	account  string              // that the record is for; the caller's if ""
	above    bool                // the caller's own policies decide about other accounts, too
	decided  bool
	readOnly bool
}

// globalRegion is the region of calls of services that have none.
const globalRegion = "us-east-1"

func (q *request) prefix() string {
	if q.service == "" {
		return "iam"
	}
	return q.service
}

// record returns the audit record of the call that ended with err.
func (q *request) record(at time.Time, err error) access.Record {
	rec := access.Record{
		Time: at, Caller: q.call.Caller, Service: q.prefix(), Event: q.event, Account: q.call.Account, Region: globalRegion,
		ReadOnly: q.readOnly, Parameters: q.params, Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if err == nil && q.response != nil {
		rec.Response = q.response
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

// arn returns the name of something in the caller's account.
func (q *request) arn(resource string) string {
	return "arn:aws:iam::" + q.call.Account + ":" + resource
}

// decide asks the authorizer about the call, as one about a resource of the
// account.
func (d *Directory) decide(ctx context.Context, q *request, account, resource string, conditions map[string][]string) error {
	q.decided, q.resource = true, resource
	if s := q.call.Session; s != nil && s.Limited && (q.prefix() == "iam" || q.prefix() == "sts") {
		return errUnknownKey() // in AWS's words
	}
	keys := q.context
	if len(conditions) > 0 {
		keys = maps.Clone(conditions)
		maps.Copy(keys, q.context)
	}
	return q.relabel(d.auth.Decide(ctx, access.Request{
		Caller: q.call.Caller, Action: q.prefix() + ":" + q.event, Account: account, Resource: resource, Context: keys,
	}))
}

// relabel makes a refusal call the resource what the caller calls it, as IAM does:
// its ARN has the path, which would tell that there is such a thing.
func (q *request) relabel(err error) error {
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.Denied || q.label == "" {
		return err
	}
	refusal := *f
	refusal.Message = strings.Replace(f.Message, "on resource: "+q.resource+" ", "on resource: "+q.label+" ", 1)
	return &refusal
}

// errUndecided is a fault of ours: a verb has not asked the authorizer.
var errUndecided = errors.New("a call was not decided")

// view runs fn, which must decide the call, in a transaction that changes nothing,
// and leaves the record.
func (d *Directory) view(ctx context.Context, q *request, fn func(ReadTx) error) error {
	q.readOnly = true
	err := d.store.View(ctx, fn)
	if err == nil && !q.decided {
		err = errUndecided
	}
	d.auditor.Record(q.record(d.now(), err))
	return err
}

// update runs fn, which must decide the call, in a transaction of its own whose
// last row is the call's record. Calls that change an account take turns. A call
// that fails changes nothing; its record is left all the same.
func (d *Directory) update(ctx context.Context, q *request, fn func(Tx) error) error {
	if q.call.Account == "" { // nobody has an account to lock
		err := d.decide(ctx, q, "", "*", nil)
		if err == nil {
			err = errUndecided
		}
		d.auditor.Record(q.record(d.now(), err))
		return err
	}
	done := d.known.change()
	err := d.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(q.call.Account); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		if !q.decided {
			return errUndecided
		}
		return tx.Record(q.record(d.now(), nil))
	})
	done()
	if err != nil {
		d.auditor.Record(q.record(d.now(), err))
	}
	return err
}

// aboutBoundary are the calls that have the boundary of the user or role they
// change as a condition key; those that ask for one have that.
var aboutBoundary = map[string]bool{
	"AttachUserPolicy": true, "DetachUserPolicy": true, "PutUserPolicy": true, "DeleteUserPolicy": true, "DeleteUserPermissionsBoundary": true,
	"AttachRolePolicy": true, "DetachRolePolicy": true, "PutRolePolicy": true, "DeleteRolePolicy": true, "DeleteRolePermissionsBoundary": true,
}

// open reads the entity that a call is about and decides the call. A refusal
// comes before the news that there is no such entity.
func (d *Directory) open(ctx context.Context, tx ReadTx, q *request, k Kind, name string) (*Entity, error) {
	e, err := tx.Entity(q.call.Account, k, nameKey(name))
	if err != nil {
		return nil, err
	}
	about := e
	if about == nil {
		about = &Entity{Account: q.call.Account, Kind: k, Name: name, Path: "/"}
	}
	q.label = string(k) + " " + name
	conditions := about.conditions()
	if about.Boundary != "" && aboutBoundary[q.event] {
		conditions["iam:PermissionsBoundary"] = []string{about.Boundary}
	}
	if err := d.decide(ctx, q, q.call.Account, about.ARN(), conditions); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, errNoEntity(k, name)
	}
	return e, nil
}

// change is open for a call that changes the entity.
func (d *Directory) change(ctx context.Context, tx Tx, q *request, k Kind, name string) (*Entity, error) {
	e, err := d.open(ctx, tx, q, k, name)
	if err == nil && e.Service != "" {
		return nil, errProtected(e.Name)
	}
	return e, err
}

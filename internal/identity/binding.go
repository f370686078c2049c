package identity

import (
	"context"
	"regexp"
	"slices"
	"time"

	"berth/internal/access"
	"berth/internal/policy"
)

// maxServices bounds the services that one principal acts for.
const maxServices = 20

// Binding says that a user or a role acts for a service when it assumes roles of
// its account: a trust policy that names the service lets it assume the role. So
// an agent that runs tasks, which no service of AWS does here, gets task roles.
type Binding struct {
	Principal Entity
	Service   string // ecs-tasks.amazonaws.com
	CreatedAt time.Time
}

// BindingReader reads bindings.
type BindingReader interface {
	Bindings(account string) ([]Binding, error) // by kind, name and service
	ServicesOf(principal string) ([]string, error)
}

// BindingWriter changes bindings.
type BindingWriter interface {
	PutBinding(principal, service string, at time.Time) error
	DeleteBinding(principal, service string) (bool, error)
}

var serviceName = regexp.MustCompile(`\A[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com\z`)

// PutServiceBinding binds a user or a role to the name of a service. The caller
// must be allowed berth:PutServiceBinding on the principal's ARN, in the principal's
// account or in the first. Errors: NoSuchEntity, InvalidInput, LimitExceeded.
func (d *Directory) PutServiceBinding(ctx context.Context, c access.Call, principal, service string) error {
	return d.bind(ctx, c, "PutServiceBinding", principal, service, func(tx Tx, e *Entity) error {
		if len(service) > 128 || !serviceName.MatchString(service) || serviceRoles[service].name != "" {
			return errInput("%.128q is not the name of a service that a principal can act for.", service)
		}
		bound, err := tx.ServicesOf(e.ID)
		if err != nil {
			return err
		}
		if len(bound) >= maxServices && !slices.Contains(bound, service) {
			return errQuota("ServicesPerPrincipal", maxServices)
		}
		return tx.PutBinding(e.ID, service, d.time())
	})
}

// DeleteServiceBinding undoes PutServiceBinding. The action is
// berth:DeleteServiceBinding. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) DeleteServiceBinding(ctx context.Context, c access.Call, principal, service string) error {
	return d.bind(ctx, c, "DeleteServiceBinding", principal, service, func(tx Tx, e *Entity) error {
		if !serviceName.MatchString(service) {
			return errInput("%.128q is not the name of a service.", service)
		}
		there, err := tx.DeleteBinding(e.ID, service)
		if err == nil && !there {
			err = errNoSuch("%.256s is not bound to the service %.128s.", principal, service)
		}
		return err
	})
}

func (d *Directory) bind(ctx context.Context, c access.Call, event, principal, service string, change func(Tx, *Entity) error) error {
	q := &request{
		call: c, service: own, event: event, params: params{"principalArn": principal, "service": service}, above: c.Account == d.account,
	}
	a, _ := policy.ParseARN(principal)
	return d.update(ctx, q, func(tx Tx) error {
		if q.above && a.Account != c.Account {
			if err := tx.LockAccount(a.Account); err != nil {
				return err
			}
		}
		e, err := d.openPrincipal(ctx, tx, q, principal)
		if err != nil {
			return err
		}
		if e.Kind != User && e.Kind != Role || e.Service != "" {
			return errInput("A service name is bound to a user or to a role.")
		}
		if err := change(tx, e); err != nil || e.Account == c.Account {
			return err
		}
		theirs := q.record(d.now(), nil) // both accounts have the record
		theirs.Account = e.Account
		return tx.Record(theirs)
	})
}

// ServiceBindings returns the bindings of the caller's account, or, if the caller
// is of the first account, of any, by kind and name of the principal. The action is
// berth:ListServiceBindings.
func (d *Directory) ServiceBindings(ctx context.Context, c access.Call, account string) (out []Binding, err error) {
	if account == "" {
		account = c.Account
	}
	q := &request{call: c, service: own, event: "ListServiceBindings", params: params{"accountId": account}, above: c.Account == d.account}
	err = d.view(ctx, q, func(tx ReadTx) error {
		of := q.accountOf(account)
		if !accountID.MatchString(account) {
			of = c.Account
		}
		if err := d.decide(ctx, q, of, "*", nil); err != nil {
			return err
		}
		if !accountID.MatchString(account) {
			return errInput("An account id has twelve digits.")
		}
		out, err = tx.Bindings(account)
		return err
	})
	return out, err
}

package identity

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/page"
	"berth/internal/policy"
)

const (
	// own is the prefix of actions that AWS does not have.
	own = "berth"
	// maxRevoked bounds the passwords of a principal that are revoked one by one.
	maxRevoked = 1000
	// passwordLife is how long a registry password can work at most.
	passwordLife = 12 * time.Hour
	// clockSkew is how far the clocks of servers may be apart.
	clockSkew = time.Minute
)

// Revoke says what is to work no longer: one of the three.
type Revoke struct {
	AccessKeyID string // a session
	Token       string // a registry password, by the id that it was made with
	Principal   string // the sessions and the passwords that the user, role or root of the ARN has
}

// passwordID is what ids of passwords are: the id of a principal and a random
// text.
var passwordID = regexp.MustCompile(`\A([A-Z0-9]{12,21})-[A-Z2-7]{26}\z`)

// RevokeSessions makes credentials no longer work that were issued before: a
// session and the registry passwords made with it, one password, or all sessions
// and passwords of a principal, also those made with its access keys, which go on
// working. It is in force at once here, and within a second elsewhere. The caller
// must be allowed berth:RevokeSession on the principal's ARN, in its account. Errors:
// NoSuchEntity, InvalidInput, LimitExceeded.
func (d *Directory) RevokeSessions(ctx context.Context, c access.Call, in Revoke) error {
	q := &request{call: c, service: own, event: "RevokeSession", params: params{}}
	var revoke func(Tx) error
	switch {
	case in.AccessKeyID != "" && in.Token == "" && in.Principal == "":
		q.params["accessKeyId"] = in.AccessKeyID
		revoke = func(tx Tx) error { return d.revokeSession(ctx, tx, q, in.AccessKeyID) }
	case in.Token != "" && in.AccessKeyID == "" && in.Principal == "":
		q.params["tokenId"] = in.Token
		revoke = func(tx Tx) error { return d.revokePassword(ctx, tx, q, in.Token) }
	case in.Principal != "" && in.AccessKeyID == "" && in.Token == "":
		q.params["principalArn"] = in.Principal
		revoke = func(tx Tx) error {
			e, err := d.openPrincipal(ctx, tx, q, in.Principal)
			if err != nil {
				return err
			}
			return tx.Revoke(e.Account, e.ID, d.time().Add(clockSkew))
		}
	default:
		revoke = func(Tx) error {
			if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
				return err
			}
			return errInput("One of accessKeyId, tokenId and principalArn must be given.")
		}
	}
	return d.update(ctx, q, revoke)
}

func (d *Directory) revokeSession(ctx context.Context, tx Tx, q *request, id string) error {
	var s *Session
	var owner *Entity
	var err error
	if isKeyID(id) {
		if s, err = tx.Session(id); err != nil {
			return err
		}
	}
	if s != nil && s.Account == q.call.Account {
		if owner, err = ownerOf(tx, s.Account, s.Owner); err != nil {
			return err
		}
	}
	if err := d.decideOwner(ctx, q, owner, "session "+id); err != nil {
		return err
	}
	if owner == nil {
		return errNoSuch("The session with the access key id %.128s cannot be found.", id)
	}
	return tx.DeleteSession(id)
}

func (d *Directory) revokePassword(ctx context.Context, tx Tx, q *request, id string) error {
	var owner *Entity
	if m := passwordID.FindStringSubmatch(id); m != nil {
		var err error
		if owner, err = ownerOf(tx, q.call.Account, m[1]); err != nil {
			return err
		}
	}
	if err := d.decideOwner(ctx, q, owner, "token "+id); err != nil {
		return err
	}
	if owner == nil {
		return errNoSuch("The token with the id %.128s cannot be found.", id)
	}
	_, revoked, err := tx.Revocation(owner.ID, d.time())
	if err != nil || slices.Contains(revoked, id) {
		return err
	}
	if len(revoked) >= maxRevoked {
		return errLimit("More than %d tokens of a principal cannot be revoked one by one: revoke all of them.", maxRevoked)
	}
	return tx.RevokePassword(owner.ID, id, d.time().Add(passwordLife+clockSkew))
}

// decideOwner decides a call about something of a principal's, which is nil if
// there is no such thing. A refusal calls it by its label.
func (d *Directory) decideOwner(ctx context.Context, q *request, owner *Entity, label string) error {
	q.label = label
	if owner == nil {
		return d.decide(ctx, q, q.call.Account, "*", nil)
	}
	return d.decide(ctx, q, owner.Account, owner.ARN(), owner.conditions())
}

// ownerOf returns the principal of an account that has an id, nil if there is none.
// That of the account's root is the account.
func ownerOf(tx ReadTx, account, id string) (*Entity, error) {
	if id == account {
		return rootEntity(account), nil
	}
	e, err := tx.EntityByID(id)
	if err != nil || e == nil || e.Account != account || e.Kind != User && e.Kind != Role {
		return nil, err
	}
	return e, nil
}

// rootEntity is an account's root as an entity, whose ARN is right.
func rootEntity(account string) *Entity {
	return &Entity{ID: account, Account: account, Kind: "root"}
}

// openPrincipal opens the user, the role or the root of an ARN and decides the
// call. Who is of another account is that account's business.
func (d *Directory) openPrincipal(ctx context.Context, tx ReadTx, q *request, arn string) (*Entity, error) {
	account, e, wrong := findPrincipal(tx, arn)
	if wrong != nil {
		if err := d.decide(ctx, q, q.call.Account, "*", nil); err != nil {
			return nil, err
		}
		return nil, wrong
	}
	conditions := map[string][]string{}
	if e != nil {
		conditions = e.conditions()
	}
	if err := d.decide(ctx, q, q.accountOf(account), arn, conditions); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, errNoSuch("The principal %.256s cannot be found.", arn)
	}
	return e, nil
}

// findPrincipal returns the account of an ARN, and the user, the role or the root
// that it is of, nil if there is none.
func findPrincipal(tx ReadTx, arn string) (string, *Entity, error) {
	a, ok := policy.ParseARN(arn)
	kind, name, _ := strings.Cut(a.Resource, "/")
	if !ok || a.Partition != "aws" || a.Service != "iam" || a.Region != "" || !accountID.MatchString(a.Account) ||
		strings.ContainsFunc(arn, notText) {
		return "", nil, errInput("%.128q is not the ARN of a user, a role or a root.", arn)
	}
	switch k := Kind(kind); k {
	case "root":
		there, err := tx.Account(a.Account)
		if err != nil || there == nil || name != "" {
			return a.Account, nil, err
		}
		return a.Account, rootEntity(a.Account), nil
	case User, Role:
		e, err := tx.Entity(a.Account, k, nameKey(name[strings.LastIndexByte(name, '/')+1:]))
		if err != nil || e == nil || e.ARN() != arn {
			return a.Account, nil, err
		}
		return a.Account, e, nil
	}
	return "", nil, errInput("%.128s is not the ARN of a user, a role or a root.", arn)
}

// accountOf is the account that decides a call about a principal of an account.
func (q *request) accountOf(account string) string {
	if q.above {
		return q.call.Account
	}
	return account
}

// ListSessions returns the sessions of a user, a role or a root that have not
// expired, by their ids. The caller must be allowed berth:ListSessions on the ARN.
// Errors: NoSuchEntity, InvalidInput, ValidationException.
func (d *Directory) ListSessions(ctx context.Context, c access.Call, principal string, p Page) (out []Session, next string, err error) {
	q := &request{call: c, service: own, event: "ListSessions", params: params{"principalArn": principal}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.openPrincipal(ctx, tx, q, principal)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, e.ID)
		if err != nil {
			return err
		}
		found, err := tx.Sessions(e.Account, e.ID, d.time(), l.After, l.Limit+1)
		out, next = page.Cut(l, found, func(s Session) string { return s.ID })
		return err
	})
	return out, next, err
}

package identity

import (
	"context"

	"berth/internal/access"
	"berth/internal/fault"
)

const (
	usualTemporary = 43200  // seconds that sessions of users last unless they are asked for otherwise
	maxTemporary   = 129600 // seconds, at most
	rootTemporary  = 3600   // seconds that those of roots last at most

	// maxOwnSessions is how many sessions of its own a user or a root has at once, and
	// of those that it vouches for. Whoever has a key may ask for them, and each is kept.
	maxOwnSessions = 1000
)

// GetSessionToken issues a session of the user or the root that asks, which has
// the same rights, save that it cannot call IAM, nor more of STS than AssumeRole
// and GetCallerIdentity. Who has long-lived credentials may ask that. Errors:
// AccessDenied for sessions, and for codes of devices, which nobody has;
// LimitExceeded.
func (d *Directory) GetSessionToken(ctx context.Context, c access.Call, seconds int64, mfa bool) (Credentials, error) {
	q := &request{call: c, service: "sts", event: getSessionToken, params: params{}, decided: true}
	if seconds != 0 {
		q.params["durationSeconds"] = seconds
	}
	err := ownCredentials(c, getSessionToken)
	if err == nil && mfa {
		err = errNoDevice()
	}
	if err != nil {
		d.auditor.Record(q.record(d.now(), err))
		return Credentials{}, err
	}
	return d.issue(ctx, q, c.Account, func(tx ReadTx) (Session, error) {
		return d.ofOwner(tx, c, getSessionToken, Terms{By: c.ARN}, seconds)
	})
}

// ownCredentials refuses temporary credentials.
func ownCredentials(c access.Call, operation string) error {
	if c.Session != nil || c.Type != access.User && c.Type != access.Root {
		return errSessionCall(operation, "session")
	}
	return nil
}

// errNoDevice refuses codes of devices for a second factor: there are none.
func errNoDevice() error {
	return fault.New(fault.Denied, "AccessDeniedException",
		"MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number is valid and associated with this user.")
}

// ofOwner returns a session of the user or the root that asks.
func (d *Directory) ofOwner(tx ReadTx, c access.Call, operation string, t Terms, seconds int64) (Session, error) {
	if seconds == 0 {
		seconds = usualTemporary
	}
	if seconds < minSession || seconds > maxTemporary {
		return Session{}, errSeconds(maxTemporary)
	}
	if c.Type == access.Root {
		seconds = min(seconds, rootTemporary)
	} else {
		e, err := tx.EntityByID(c.ID)
		if err != nil {
			return Session{}, err
		}
		if e == nil { // it has been deleted since the request was signed
			return Session{}, errUnknownKey()
		}
	}
	n, err := tx.CountSessions(c.Account, c.ID, d.time(), maxOwnSessions)
	if err != nil {
		return Session{}, err
	}
	if n == maxOwnSessions {
		return Session{}, errQuota("SessionsPerPrincipal", maxOwnSessions)
	}
	return d.lasting(Session{Account: c.Account, Owner: c.ID, Operation: operation, Terms: t}, seconds), nil
}

// FederationInput says what session of a federated user is asked for.
type FederationInput struct {
	Name       string
	Policy     string
	PolicyARNs []string
	Tags       []Tag
	Seconds    int64 // twelve hours if 0
}

// Federated is a session of a federated user.
type Federated struct {
	Credentials
	ARN, ID string // arn:aws:sts::123456789012:federated-user/NAME, 123456789012:NAME
	Packed  *int32
}

// GetFederationToken issues a session of somebody whom a user or a root vouches
// for: it may do what its session policies and the policies of the user allow, and
// cannot call IAM and STS. Errors: AccessDenied, ValidationException,
// MalformedPolicyDocument, PackedPolicyTooLarge, InvalidParameterValue,
// LimitExceeded.
func (d *Directory) GetFederationToken(ctx context.Context, c access.Call, in FederationInput) (Federated, error) {
	asked := AssumeRoleInput{SessionName: in.Name, Policy: in.Policy, PolicyARNs: in.PolicyARNs, Tags: in.Tags, Seconds: in.Seconds}
	q := &request{call: c, service: "sts", event: getFederationToken, params: asked.params(), context: asked.conditions()}
	delete(q.params, "roleArn")
	delete(q.params, "roleSessionName")
	delete(q.context, "sts:RoleSessionName")
	q.params["name"] = in.Name
	out := Federated{ARN: "arn:aws:sts::" + c.Account + ":federated-user/" + in.Name, ID: c.Account + ":" + in.Name}
	err := ownCredentials(c, getFederationToken)
	if err != nil {
		d.auditor.Record(q.record(d.now(), err))
		return Federated{}, err
	}
	out.Credentials, err = d.issue(ctx, q, c.Account, func(tx ReadTx) (Session, error) {
		if err := d.decide(ctx, q, c.Account, out.ARN, nil); err != nil {
			return Session{}, err
		}
		if len(in.Tags) > 0 {
			err := d.auth.Decide(ctx, access.Request{Caller: c.Caller, Action: "sts:TagSession", Account: c.Account, Resource: out.ARN, Context: q.context})
			if err != nil {
				return Session{}, err
			}
		}
		t, packed, err := asked.terms(tx, c.Account, Terms{})
		if err != nil {
			return Session{}, err
		}
		out.Packed, t.By = packed, c.ARN
		q.issued = params{"federatedUser": params{"arn": out.ARN, "federatedUserId": out.ID}}
		return d.ofOwner(tx, c, getFederationToken, t, in.Seconds)
	})
	if err != nil {
		return Federated{}, err
	}
	return out, nil
}

// GetAccessKeyInfo returns the account that a key belongs to, whichever it is.
// Errors: AccessDenied, ValidationException if there is no such key.
func (d *Directory) GetAccessKeyInfo(ctx context.Context, c access.Call, id string) (account string, err error) {
	q := &request{call: c, service: "sts", event: "GetAccessKeyInfo", params: params{"accessKeyId": id}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
			return err
		}
		if d.isRootKey(id) {
			account = d.account
			return nil
		}
		k, err := tx.AccessKey(id)
		if err != nil {
			return err
		}
		s, err := tx.Session(id)
		switch {
		case err != nil:
			return err
		case k != nil:
			account = k.Account
		case s != nil:
			account = s.Account
		default:
			return errValidation("Invalid access key ID.")
		}
		return nil
	})
	return account, err
}

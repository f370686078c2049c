package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

const (
	sessionPrefix = "ASIA"
	tokenSize     = 256 // random bytes of a session token
	expiredLife   = 24 * time.Hour
	expiredBatch  = 1000
)

// Session is a pair of temporary credentials as it is stored.
type Session struct {
	ID, Account string // the access key id
	Owner       string // the id of the role or the user, the account for its root
	Operation   string // that issued it: AssumeRole
	Sealed      []byte // the secret
	Token       []byte // SHA-256 of the session token
	IssuedAt    time.Time
	Expires     time.Time
	Terms       Terms
}

// Terms are what a session was issued with. They are stored as JSON.
type Terms struct {
	Name           string   `json:",omitempty"` // the role session's, or the federated user's
	SourceIdentity string   `json:",omitempty"`
	Policy         string   `json:",omitempty"` // the inline session policy
	PolicyARNs     []string `json:",omitempty"`
	Tags           []Tag    `json:",omitempty"` // given, and inherited by role chaining
	Transitive     []string `json:",omitempty"` // the keys of those that further sessions inherit
	Provider       string   `json:",omitempty"` // the ARN of a provider, and what its token says
	Subject        string   `json:",omitempty"`
	Audience       string   `json:",omitempty"`
	By             string   `json:",omitempty"` // the ARN of who asked for it
}

// SessionReader reads sessions and what was revoked. What is not there is nil.
type SessionReader interface {
	Session(id string) (*Session, error)
	// Sessions lists those of a principal that expire later than a time, by id.
	Sessions(account, owner string, alive time.Time, after string, limit int) ([]Session, error)
	// CountSessions counts them, up to a number.
	CountSessions(account, owner string, alive time.Time, most int) (int, error)
	// Revocation returns which passwords of a principal no longer work: those made
	// by then, and those with the ids, but for the ones that have expired by now.
	Revocation(owner string, now time.Time) (before time.Time, passwords []string, err error)
}

// SessionWriter changes sessions and what is revoked.
type SessionWriter interface {
	InsertSession(Session) error
	DeleteSession(id string) error
	// Revoke deletes the sessions of a principal, and makes passwords made by then no
	// longer work; those made until a microsecond later than the last time, if that
	// was not earlier.
	Revoke(account, owner string, before time.Time) error
	RevokePassword(owner, id string, until time.Time) error
	// DeleteExpired deletes sessions and revoked passwords that have expired by
	// then, a limited number of each.
	DeleteExpired(sessions, passwords time.Time, limit int) (int64, error)
}

// Credentials are temporary credentials. Secret and token are never shown again.
type Credentials struct {
	AccessKey
	Token   string
	Expires time.Time
}

// issue runs fn, which must decide the call and say what session to issue, in a
// transaction with that and the call's record. Calls that change the account take
// turns; one from elsewhere is decided before it waits for its turn, and then again.
// It invalidates nothing that is known: the session is new.
func (d *Directory) issue(ctx context.Context, q *request, account string, fn func(ReadTx) (Session, error)) (Credentials, error) {
	out, err := d.tryIssue(ctx, q, account, fn)
	if err != nil {
		d.auditor.Record(q.record(d.now(), err))
		return Credentials{}, err
	}
	return out, nil
}

func (d *Directory) tryIssue(ctx context.Context, q *request, account string, fn func(ReadTx) (Session, error)) (out Credentials, err error) {
	ask := func(tx ReadTx) (Session, error) {
		if err := d.stillActive(tx, q.call); err != nil {
			return Session{}, err
		}
		return fn(tx)
	}
	if account != q.call.Account { // who is refused must not make others wait
		err = d.store.View(ctx, func(tx ReadTx) error {
			_, err := ask(tx)
			return err
		})
		if err != nil {
			return Credentials{}, err
		}
	}
	err = d.store.Keep(ctx, func(tx Tx) error {
		if err := tx.LockAccount(account); err != nil {
			return err
		}
		s, err := ask(tx)
		if err != nil {
			return err
		}
		if !q.decided {
			return errUndecided
		}
		out = d.seal(&s)
		q.response = params{"credentials": params{"accessKeyId": s.ID, "expiration": s.Expires}}
		maps.Copy(q.response, q.issued)
		if err := tx.InsertSession(s); err != nil {
			return err
		}
		if account != q.call.Account && q.call.Account != "" { // both accounts have the record
			theirs := q.record(d.now(), nil)
			theirs.Account = account
			if err := tx.Record(theirs); err != nil {
				return err
			}
		}
		return tx.Record(q.record(d.now(), nil))
	})
	return out, err
}

// stillActive refuses a call that was signed with an access key that has been
// deleted, or made inactive, since. Sessions, and who signs nothing, are for others
// to check.
func (d *Directory) stillActive(tx ReadTx, c access.Call) error {
	if c.Session != nil || c.Type == access.WebIdentity || d.isRootKey(c.AccessKeyID) {
		return nil
	}
	k, err := tx.AccessKey(c.AccessKeyID)
	if err == nil && (k == nil || !k.Active) {
		err = errUnknownKey()
	}
	return err
}

// lasting gives a session the times of its life.
func (d *Directory) lasting(s Session, seconds int64) Session {
	s.IssuedAt = d.time()
	s.Expires = s.IssuedAt.Add(time.Duration(seconds) * time.Second).Truncate(time.Second)
	return s
}

// seal gives a session fresh credentials.
func (d *Directory) seal(s *Session) Credentials {
	secret, token := make([]byte, 30), make([]byte, tokenSize)
	rand.Read(secret) // never fails, see crypto/rand
	rand.Read(token)
	c := Credentials{
		AccessKey{sessionPrefix + rand.Text()[:16], base64.StdEncoding.EncodeToString(secret)}, base64.StdEncoding.EncodeToString(token), s.Expires,
	}
	sum := sha256.Sum256([]byte(c.Token))
	s.ID, s.Sealed, s.Token = c.ID, d.secrets.Seal([]byte(c.Secret), c.ID), sum[:]
	return c
}

func errExpired() error {
	return fault.New(fault.Unauthenticated, "ExpiredTokenException", "The security token included in the request is expired")
}

// readSession returns whom a session stands for, and its secret.
func (d *Directory) readSession(tx ReadTx, id string) (access.Caller, string, error) {
	s, err := tx.Session(id)
	if err != nil {
		return access.Caller{}, "", err
	}
	if s == nil {
		return access.Caller{}, "", errUnknownKey()
	}
	if !d.now().Before(s.Expires) {
		return access.Caller{}, "", errExpired()
	}
	secret, err := d.secrets.Open(s.Sealed, id)
	if err != nil {
		return access.Caller{}, "", err
	}
	c, err := d.callerOf(tx, s)
	if err != nil {
		return access.Caller{}, "", err
	}
	return c, string(secret), nil
}

// callerOf returns whom a session stands for.
func (d *Directory) callerOf(tx ReadTx, s *Session) (access.Caller, error) {
	c := rootOf(s.Account, s.ID)
	about := &access.Session{
		Owner: s.Owner, IssuedAt: s.IssuedAt, Expires: s.Expires, SourceIdentity: s.Terms.SourceIdentity, Provider: s.Terms.Provider,
		Limited: s.Operation == getSessionToken || s.Operation == getFederationToken,
	}
	copy(about.Token[:], s.Token)
	c.Session = about
	var err error
	if c.Revoked, err = d.revoked(tx, s.Owner); err != nil {
		return access.Caller{}, err
	}
	var policies access.Policies
	if s.Owner != s.Account {
		e, err := tx.EntityByID(s.Owner)
		if err != nil {
			return access.Caller{}, err
		}
		if e == nil {
			return access.Caller{}, errUnknownKey()
		}
		if policies, err = carried(tx, e); err != nil {
			return access.Caller{}, err
		}
		c.ARN, c.ID, c.Type, c.Policies = e.ARN(), e.ID, access.User, &policies
		if e.Kind == Role {
			about.Parent, about.ServiceLinked = e.ARN(), e.Service != ""
			c.ARN, c.ID, c.Type = assumedARN(e, s.Terms.Name), e.ID+":"+s.Terms.Name, access.AssumedRole
		}
	}
	if s.Operation == getFederationToken {
		about.Parent = c.ARN
		if s.Owner == s.Account {
			policies.Identity, err = appendBuiltIn(nil)
		}
		c.ARN = "arn:aws:sts::" + s.Account + ":federated-user/" + s.Terms.Name
		c.ID, c.Type, c.Policies = s.Account+":"+s.Terms.Name, access.FederatedUser, &policies
	}
	if err != nil {
		return access.Caller{}, err
	}
	return c, s.limit(tx, &policies)
}

// limit adds a session's policies and tags to those of its principal.
func (s *Session) limit(tx ReadTx, to *access.Policies) error {
	if s.Terms.Policy != "" {
		a, err := attached(policy.Session, "", s.Terms.Policy)
		if err != nil {
			return err
		}
		to.Session = append(to.Session, a)
	}
	for _, arn := range s.Terms.PolicyARNs {
		a, err := readManaged(tx, policy.Session, s.Account, arn)
		if err != nil {
			return err
		}
		to.Session = append(to.Session, a)
	}
	if len(s.Terms.Tags) == 0 {
		return nil
	}
	tags := map[string]string{}
	names := map[string]bool{}
	for _, t := range s.Terms.Tags {
		tags[t.Key] = t.Value
		names[nameKey(t.Key)] = true
	}
	for key, value := range to.Tags {
		if !names[nameKey(key)] {
			tags[key] = value
		}
	}
	to.Tags = tags
	return nil
}

func assumedARN(role *Entity, session string) string {
	return "arn:aws:sts::" + role.Account + ":assumed-role/" + role.Name + "/" + session
}

// appendBuiltIn appends the policy of an administrator, which a root has.
func appendBuiltIn(to []policy.Attached) ([]policy.Attached, error) {
	arn := builtInARN("/", "AdministratorAccess")
	a, err := attached(policy.Identity, arn, builtInDocument(builtIn(arn)))
	return append(to, a), err
}

// revoked returns which passwords of a principal no longer work, nil if all do.
func (d *Directory) revoked(tx ReadTx, owner string) (*access.Revoked, error) {
	before, ids, err := tx.Revocation(owner, d.time())
	if err != nil || before.IsZero() && len(ids) == 0 {
		return nil, err
	}
	out := &access.Revoked{Before: before, Tokens: map[string]bool{}}
	for _, id := range ids {
		out.Tokens[id] = true
	}
	return out, nil
}

// RemoveExpired removes sessions that expired more than a day ago, which until
// then are refused in other words than ones that never were, and revoked
// passwords that have expired. It does so in batches that are bounded.
func (d *Directory) RemoveExpired(ctx context.Context) error {
	for {
		var n int64
		err := d.store.KeepRelaxed(ctx, func(tx Tx) (err error) {
			n, err = tx.DeleteExpired(d.time().Add(-expiredLife), d.time(), expiredBatch)
			return err
		})
		if err != nil || n < expiredBatch {
			return err
		}
	}
}

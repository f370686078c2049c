package metadata

import (
	"database/sql"
	"encoding/json"
	"time"

	"berth/internal/identity"
)

const sessionColumns = `id, account, owner, operation, secret, token, terms, issued_at, expires_at`

func (tx *Tx) sessions(query string, args ...any) ([]identity.Session, error) {
	out := []identity.Session{}
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var s identity.Session
		err := rows.Scan(&s.ID, &s.Account, &s.Owner, &s.Operation, &s.Sealed, &s.Token, document{&s.Terms}, (*instant)(&s.IssuedAt), (*instant)(&s.Expires))
		out = append(out, s)
		return err
	})
	return out, err
}

// Session implements [identity.SessionReader].
func (tx *Tx) Session(id string) (*identity.Session, error) {
	found, err := tx.sessions(`SELECT `+sessionColumns+` FROM sessions WHERE id = $1`, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Sessions implements [identity.SessionReader].
func (tx *Tx) Sessions(account, owner string, alive time.Time, after string, limit int) ([]identity.Session, error) {
	return tx.sessions(`SELECT `+sessionColumns+` FROM sessions WHERE account = $1 AND owner = $2 AND expires_at > $3 AND id > $4 ORDER BY id LIMIT $5`,
		account, owner, micros(alive), after, limit)
}

// CountSessions implements [identity.SessionReader].
func (tx *Tx) CountSessions(account, owner string, alive time.Time, most int) (n int, err error) {
	_, err = tx.row(`SELECT COUNT(*) FROM (SELECT 1 FROM sessions WHERE account = $1 AND owner = $2 AND expires_at > $3 LIMIT $4) s`,
		[]any{account, owner, micros(alive), most}, &n)
	return n, err
}

// Revocation implements [identity.SessionReader].
func (tx *Tx) Revocation(owner string, now time.Time) (before time.Time, passwords []string, err error) {
	if _, err = tx.row(`SELECT before FROM revocations WHERE owner = $1`, []any{owner}, (*instant)(&before)); err != nil {
		return before, nil, err
	}
	passwords, err = tx.strings(`SELECT id FROM revoked_passwords WHERE owner = $1 AND expires_at > $2 ORDER BY id`, owner, micros(now))
	return before, passwords, err
}

// InsertSession implements [identity.SessionWriter].
func (tx *Tx) InsertSession(s identity.Session) error {
	terms, err := json.Marshal(s.Terms)
	if err != nil {
		return err
	}
	return tx.change(`INSERT INTO sessions (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		s.ID, s.Account, s.Owner, s.Operation, s.Sealed, s.Token, string(terms), micros(s.IssuedAt), micros(s.Expires))
}

// DeleteSession implements [identity.SessionWriter].
func (tx *Tx) DeleteSession(id string) error {
	return tx.change(`DELETE FROM sessions WHERE id = $1`, id)
}

// Revoke implements [identity.SessionWriter].
func (tx *Tx) Revoke(account, owner string, before time.Time) error {
	if err := tx.change(`DELETE FROM sessions WHERE account = $1 AND owner = $2`, account, owner); err != nil {
		return err
	}
	return tx.change(`INSERT INTO revocations (owner, before) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET before =
		CASE WHEN revocations.before < excluded.before THEN excluded.before ELSE revocations.before + 1 END`, owner, micros(before))
}

// RevokePassword implements [identity.SessionWriter].
func (tx *Tx) RevokePassword(owner, id string, until time.Time) error {
	return tx.change(`INSERT INTO revoked_passwords (owner, id, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, owner, id, micros(until))
}

// DeleteExpired implements [identity.SessionWriter].
func (tx *Tx) DeleteExpired(sessions, passwords time.Time, limit int) (int64, error) {
	n, err := tx.exec(`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, micros(sessions), limit)
	if err != nil {
		return 0, err
	}
	m, err := tx.exec(`DELETE FROM revoked_passwords WHERE (owner, id) IN
		(SELECT owner, id FROM revoked_passwords WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, micros(passwords), limit)
	return n + m, err
}

// Bindings implements [identity.BindingReader].
func (tx *Tx) Bindings(account string) ([]identity.Binding, error) {
	out := []identity.Binding{}
	err := tx.rows(`SELECT `+entityColumns+`, b.service, b.created_at FROM service_bindings b JOIN iam_entities e ON e.id = b.principal
		WHERE e.account = $1 ORDER BY e.kind, e.name_key, b.service`, []any{account}, func(rows *sql.Rows) error {
		var b identity.Binding
		var err error
		b.Principal, err = scanEntity(rows, &b.Service, (*instant)(&b.CreatedAt))
		out = append(out, b)
		return err
	})
	return out, err
}

// ServicesOf implements [identity.BindingReader].
func (tx *Tx) ServicesOf(principal string) ([]string, error) {
	return tx.strings(`SELECT service FROM service_bindings WHERE principal = $1 ORDER BY service`, principal)
}

// PutBinding implements [identity.BindingWriter].
func (tx *Tx) PutBinding(principal, service string, at time.Time) error {
	return tx.change(`INSERT INTO service_bindings (principal, service, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		principal, service, micros(at))
}

// DeleteBinding implements [identity.BindingWriter].
func (tx *Tx) DeleteBinding(principal, service string) (bool, error) {
	n, err := tx.exec(`DELETE FROM service_bindings WHERE principal = $1 AND service = $2`, principal, service)
	return n > 0, err
}

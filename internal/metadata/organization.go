package metadata

import (
	"database/sql"

	"berth/internal/identity"
)

// Organization implements [identity.OrganizationReader].
func (tx *Tx) Organization() (*identity.Organization, error) {
	var o identity.Organization
	found, err := tx.row(`SELECT id, management, types, version, created_at FROM organizations`, nil,
		&o.ID, &o.Management, document{&o.Types}, &o.Version, (*instant)(&o.CreatedAt))
	if err != nil || !found {
		return nil, err
	}
	return &o, nil
}

// Units implements [identity.OrganizationReader].
func (tx *Tx) Units() ([]identity.Unit, error) {
	return collect(tx, `SELECT id, parent, name, created_at FROM organization_units ORDER BY id`, func(u *identity.Unit) []any {
		return []any{&u.ID, &u.Parent, &u.Name, (*instant)(&u.CreatedAt)}
	})
}

// Members implements [identity.OrganizationReader].
func (tx *Tx) Members() ([]identity.Member, error) {
	return collect(tx, `SELECT m.account, m.parent, a.alias, m.joined_at FROM organization_members m JOIN accounts a ON a.id = m.account
		ORDER BY m.account`, func(m *identity.Member) []any {
		return []any{&m.Account, &m.Parent, &m.Alias, (*instant)(&m.JoinedAt)}
	})
}

// ControlPolicies implements [identity.OrganizationReader].
func (tx *Tx) ControlPolicies() ([]identity.ControlPolicy, error) {
	return collect(tx, `SELECT id, type, name, description, content FROM organization_policies ORDER BY id`, func(p *identity.ControlPolicy) []any {
		return []any{&p.ID, &p.Type, &p.Name, &p.Description, &p.Content}
	})
}

// ControlAttachments implements [identity.OrganizationReader].
func (tx *Tx) ControlAttachments() ([]identity.ControlAttachment, error) {
	return collect(tx, `SELECT target, policy FROM organization_attachments ORDER BY target, policy`, func(a *identity.ControlAttachment) []any {
		return []any{&a.Target, &a.Policy}
	})
}

// collect reads all rows of a query, each into the places that columns returns.
func collect[T any](tx *Tx, query string, columns func(*T) []any) ([]T, error) {
	var out []T
	err := tx.rows(query, nil, func(rows *sql.Rows) error {
		var v T
		err := rows.Scan(columns(&v)...)
		out = append(out, v)
		return err
	})
	return out, err
}

// AllAccounts implements [identity.OrganizationReader].
func (tx *Tx) AllAccounts() ([]string, error) {
	return collect(tx, `SELECT id FROM accounts ORDER BY id`, func(id *string) []any { return []any{id} })
}

// PutOrganization implements [identity.OrganizationWriter].
func (tx *Tx) PutOrganization(o identity.Organization) error {
	return tx.change(`INSERT INTO organizations (id, management, types, version, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET types = excluded.types`,
		o.ID, o.Management, marshal(o.Types), o.Version, micros(o.CreatedAt))
}

// ChangeOrganization implements [identity.OrganizationWriter].
func (tx *Tx) ChangeOrganization() error {
	return tx.change(`UPDATE organizations SET version = version + 1`)
}

// PutUnit implements [identity.OrganizationWriter].
func (tx *Tx) PutUnit(u identity.Unit) error {
	return tx.change(`INSERT INTO organization_units (id, parent, name, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name`, u.ID, u.Parent, u.Name, micros(u.CreatedAt))
}

// DeleteUnit implements [identity.OrganizationWriter].
func (tx *Tx) DeleteUnit(id string) error {
	if err := tx.change(`DELETE FROM organization_attachments WHERE target = $1`, id); err != nil {
		return err
	}
	return tx.change(`DELETE FROM organization_units WHERE id = $1`, id)
}

// PutMember implements [identity.OrganizationWriter].
func (tx *Tx) PutMember(m identity.Member) error {
	return tx.change(`INSERT INTO organization_members (account, parent, joined_at) VALUES ($1, $2, $3)
		ON CONFLICT (account) DO UPDATE SET parent = excluded.parent`, m.Account, m.Parent, micros(m.JoinedAt))
}

// PutControlPolicy implements [identity.OrganizationWriter].
func (tx *Tx) PutControlPolicy(p identity.ControlPolicy) error {
	return tx.change(`INSERT INTO organization_policies (id, type, name, description, content) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, content = excluded.content`,
		p.ID, string(p.Type), p.Name, p.Description, p.Content)
}

// DeleteControlPolicy implements [identity.OrganizationWriter].
func (tx *Tx) DeleteControlPolicy(id string) error {
	return tx.change(`DELETE FROM organization_policies WHERE id = $1`, id)
}

// AttachControl implements [identity.OrganizationWriter].
func (tx *Tx) AttachControl(a identity.ControlAttachment) error {
	return tx.change(`INSERT INTO organization_attachments (target, policy) VALUES ($1, $2) ON CONFLICT DO NOTHING`, a.Target, a.Policy)
}

// DetachControl implements [identity.OrganizationWriter].
func (tx *Tx) DetachControl(a identity.ControlAttachment) error {
	return tx.change(`DELETE FROM organization_attachments WHERE target = $1 AND policy = $2`, a.Target, a.Policy)
}

package metadata

import (
	"database/sql"
	"time"

	"berth/internal/registry"
)

// RepositoryCount implements [registry.QuotaReader].
func (tx *Tx) RepositoryCount(id registry.ID) (int64, error) {
	var n int64
	_, err := tx.row(`SELECT repositories FROM registry_usage WHERE account = $1 AND region = $2`, []any{id.Account, id.Region}, &n)
	return n, err
}

// TagCount implements [registry.QuotaReader].
func (tx *Tx) TagCount(image string, limit int64) (int64, error) {
	var n int64
	_, err := tx.row(`SELECT COUNT(*) FROM (SELECT 1 FROM tags WHERE image = $1 LIMIT $2) AS counted`, []any{image, limit}, &n)
	return n, err
}

// GrantedQuota implements [registry.QuotaReader].
func (tx *Tx) GrantedQuota(id registry.ID, code string) (int64, error) {
	var value int64
	_, err := tx.row(`SELECT value FROM granted_quotas WHERE account = $1 AND region = $2 AND code = $3`,
		[]any{id.Account, id.Region, code}, &value)
	return value, err
}

// GrantedQuotas implements [registry.QuotaReader].
func (tx *Tx) GrantedQuotas(code string) (map[registry.ID]int64, error) {
	out := map[registry.ID]int64{}
	err := tx.rows(`SELECT account, region, value FROM granted_quotas WHERE code = $1`, []any{code}, func(rows *sql.Rows) error {
		var id registry.ID
		var value int64
		err := rows.Scan(&id.Account, &id.Region, &value)
		out[id] = value
		return err
	})
	return out, err
}

// GrantQuota implements [registry.QuotaWriter].
func (tx *Tx) GrantQuota(id registry.ID, code string, value int64) error {
	return tx.change(`INSERT INTO granted_quotas (account, region, code, value) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, region, code) DO UPDATE SET value = excluded.value WHERE granted_quotas.value < excluded.value`,
		id.Account, id.Region, code, value)
}

const quotaRequestColumns = `id, account, region, code, desired, status, requester, created_at, updated_at`

// QuotaRequests implements [registry.QuotaReader].
func (tx *Tx) QuotaRequests(id registry.ID, f registry.QuotaRequestFilter, after string, limit int) ([]registry.QuotaRequest, error) {
	return tx.quotaRequests(`SELECT `+quotaRequestColumns+` FROM quota_requests
		WHERE account = $1 AND region = $2 AND id > $3 AND ($4 = '' OR code = $4) AND ($5 = '' OR status = $5) AND ($6 = '' OR id = $6)
			AND ($7 = '' OR requester = $7)
		ORDER BY id LIMIT $8`,
		id.Account, id.Region, after, f.Code, f.Status, f.RequestID, f.Requester, limit)
}

// AllQuotaRequests implements [registry.QuotaReader].
func (tx *Tx) AllQuotaRequests(f registry.QuotaRequestFilter, after string, limit int) ([]registry.QuotaRequest, error) {
	return tx.quotaRequests(`SELECT `+quotaRequestColumns+` FROM quota_requests
		WHERE id > $1 AND ($2 = '' OR code = $2) AND ($3 = '' OR status = $3) AND ($4 = '' OR id = $4) AND ($5 = '' OR requester = $5)
		ORDER BY id LIMIT $6`,
		after, f.Code, f.Status, f.RequestID, f.Requester, limit)
}

func (tx *Tx) quotaRequests(query string, args ...any) ([]registry.QuotaRequest, error) {
	var out []registry.QuotaRequest
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var r registry.QuotaRequest
		err := rows.Scan(&r.RequestID, &r.Account, &r.Region, &r.Code, &r.Desired, &r.Status, &r.Requester,
			(*instant)(&r.CreatedAt), (*instant)(&r.UpdatedAt))
		out = append(out, r)
		return err
	})
	return out, err
}

// InsertQuotaRequest implements [registry.QuotaWriter].
func (tx *Tx) InsertQuotaRequest(r *registry.QuotaRequest) error {
	return tx.change(`INSERT INTO quota_requests (`+quotaRequestColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.RequestID, r.Account, r.Region, r.Code, r.Desired, r.Status, r.Requester, micros(r.CreatedAt), micros(r.UpdatedAt))
}

// ApproveQuotaRequests implements [registry.QuotaWriter].
func (tx *Tx) ApproveQuotaRequests(id registry.ID, code string, value int64, at time.Time) error {
	return tx.change(`UPDATE quota_requests SET status = $5, updated_at = $6
		WHERE account = $1 AND region = $2 AND code = $3 AND desired <= $4 AND status = $7`,
		id.Account, id.Region, code, value, registry.QuotaApproved, micros(at), registry.QuotaPending)
}

// DenyQuotaRequest implements [registry.QuotaWriter].
func (tx *Tx) DenyQuotaRequest(requestID string, at time.Time) error {
	return tx.change(`UPDATE quota_requests SET status = $2, updated_at = $3 WHERE id = $1 AND status = $4`,
		requestID, registry.QuotaDenied, micros(at), registry.QuotaPending)
}

package metadata

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/audit"
	"berth/internal/registry"

	"github.com/google/uuid"
)

var (
	_ audit.Tx     = (*Tx)(nil)
	_ audit.ReadTx = (*Tx)(nil)
)

// Emit implements [registry.Journal].
func (tx *Tx) Emit(e registry.Event) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return tx.change(`INSERT INTO outbox (id, kind, account, region, repository, repository_id, created_at, payload)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		uuid.Must(uuid.NewV7()).String(), e.Kind, e.Ref.Account, e.Ref.Region, string(e.Ref.Name), e.RepositoryUID,
		micros(e.Time), string(payload))
}

// Record implements [registry.Journal].
func (tx *Tx) Record(r access.Record) error {
	id := audit.NewID()
	record, err := audit.Marshal(id, r)
	if err != nil {
		return err
	}
	return tx.change(`INSERT INTO audit_records (id, time, account, region, event, principal, resource, request_id, record)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		id, micros(r.Time), r.Account, r.Region, r.Event, r.Caller.ARN, r.Resource, r.Caller.RequestID, string(record))
}

// AddBatch implements [audit.Tx].
func (tx *Tx) AddBatch(b audit.Batch) error {
	err := tx.change(`INSERT INTO audit_batches (id, first_at, last_at, records, dropped, content) VALUES ($1, $2, $3, $4, $5, $6)`,
		b.ID, micros(b.First), micros(b.Last), b.Records, b.Dropped, b.Content)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(b.Decisions, decisionsAtOnce) {
		args := []any{b.ID}
		rows := make([]string, len(some))
		for i, d := range some {
			n := len(args)
			rows[i] = fmt.Sprintf("($%d, $1, $%d, $%d)", n+1, n+2, n+3)
			args = append(args, d.ID, d.Owner, d.Caller)
		}
		placeholders := strings.Join(rows, ", ")
		// A batch that seemed not to be stored, and was, is added again.
		if err := tx.change(`INSERT INTO decisions (id, batch, owner, caller) VALUES `+placeholders+`
			ON CONFLICT (id) DO NOTHING`, args...); err != nil {
			return err
		}
	}
	return nil
}

// decisionsAtOnce is how many decisions a statement adds.
const decisionsAtOnce = 500

// DecisionBatch implements [audit.ReadTx].
func (tx *Tx) DecisionBatch(id, account string) (content []byte, d audit.Decided, found bool, err error) {
	found, err = tx.row(`SELECT d.id, d.owner, d.caller, b.content FROM decisions d JOIN audit_batches b ON b.id = d.batch
		WHERE d.id = $1 AND (d.owner = $2 OR d.caller = $2)`, []any{id, account}, &d.ID, &d.Owner, &d.Caller, &content)
	return content, d, found, err
}

// AddUsage implements [registry.Journal].
func (tx *Tx) AddUsage(u registry.Usage) error {
	return tx.change(`INSERT INTO usage (repository, principal, day, account, region, name, pulls, bytes_out, bytes_stored)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (repository, principal, day) DO UPDATE SET pulls = usage.pulls + excluded.pulls,
			bytes_out = usage.bytes_out + excluded.bytes_out, bytes_stored = usage.bytes_stored + excluded.bytes_stored`,
		u.RepositoryUID, u.Principal, micros(u.Day), u.Ref.Account, u.Ref.Region, string(u.Ref.Name), u.Pulls, u.BytesOut, u.BytesStored)
}

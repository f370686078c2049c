package servertest

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// AuditRecords ends the server and returns the texts of all records that it has
// left.
func (s *Server) AuditRecords(t testing.TB) []string {
	t.Helper()
	s.Stop(t)
	driver, name := "sqlite", filepath.Join(s.Config.Data, databaseFile)
	if s.Config.Database != "" {
		driver, name = "pgx", s.Config.Database
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out []string
	for _, text := range column(t, db, "SELECT record FROM audit_records ORDER BY id") {
		out = append(out, string(text))
	}
	for _, packed := range column(t, db, "SELECT content FROM audit_batches ORDER BY id") {
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	}
	return out
}

func column(t testing.TB, db *sql.DB, query string) (out [][]byte) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v []byte
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

package metadata

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"berth/internal/fault"

	"github.com/jackc/pgx/v5/pgconn"
	sqlite3 "modernc.org/sqlite"
)

// outage returns err, marked if it says that the database is away or has no room: a
// transaction may have happened then or not. What its caller has cancelled is neither.
func outage(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	mark := markOf(err)
	if mark == nil || errors.Is(err, mark) {
		return err
	}
	return fmt.Errorf("%w: %w", mark, err)
}

func markOf(err error) error {
	var lite *sqlite3.Error
	if errors.As(err, &lite) {
		return markOfSQLite(lite.Code() & 0xff)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return markOfPostgres(pg.Code)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	for _, gone := range []error{errClosed, errUnsound, driver.ErrBadConn, sql.ErrConnDone, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, gone) {
			return fault.ErrAway
		}
	}
	if errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) {
		return fault.ErrAway
	}
	return nil
}

// The result codes of SQLite that are no fault of the query.
const (
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteReadOnly = 8
	sqliteIO       = 10
	sqliteFull     = 13
	sqliteCantOpen = 14
)

func markOfSQLite(code int) error {
	switch code {
	case sqliteFull:
		return fault.ErrFull
	case sqliteBusy, sqliteLocked, sqliteReadOnly, sqliteIO, sqliteCantOpen:
		return fault.ErrAway
	}
	return nil
}

// markOfPostgres goes by SQLSTATE: what is wrong with the connection, resources, the
// operator's intervention, the system, a server that only reads, and others that got in the
// way for too long.
func markOfPostgres(code string) error {
	switch {
	case code == "53100":
		return fault.ErrFull
	case code == "25006", code == "25P03", code == "40001", code == "40P01", code == "23503":
		return fault.ErrAway
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "57", "58":
		return fault.ErrAway
	}
	return nil
}

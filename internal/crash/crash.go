//go:build !crashpoints

// Package crash has a process end, as if it were killed, at a place of its code that a
// test names. Only what is built with the tag crashpoints does that: without it, nothing
// of this package is left in a program.
package crash

import "database/sql"

// Point is a place where the process may be killed: beside a step that changes what is
// stored. The name is that of the step, wherever it is made.
func Point(string) {}

// Statements returns a database in which there is a Point, of that name, after each
// statement that changes something.
func Statements(_ string, db *sql.DB) *sql.DB { return db }

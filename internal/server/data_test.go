package server_test

import (
	"strings"
	"testing"

	"berth/internal/server"
)

func TestThePasswordOfADatabaseIsNotTold(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:SECRET@host:5432/berth":                           "postgres://host:5432/berth",
		"postgres://host/berth?user=u&password=SECRET":                  "postgres://host/berth",
		"postgresql://u:SEC%40RET@[::1]/berth?sslmode=require#password": "postgresql://[::1]/berth",
		"postgres://u:SECRET%zz@host/berth":                             "postgres://...",
		"host=h password=SECRET":                                        "postgres://...",
		"postgres:SECRET":                                               "postgres://...",
	} {
		if got := server.DatabaseURL(url); got != want || strings.Contains(got, "SEC") {
			t.Errorf("of %s is told %s, want %s", url, got, want)
		}
	}
}

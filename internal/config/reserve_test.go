package config_test

import (
	"testing"

	"berth/internal/config"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int64{
		"": {1 << 30, 5}, "0": {0, 0}, "1024": {1024, 0}, "10GiB": {10 << 30, 0}, "3MiB": {3 << 20, 0}, "2TiB": {2 << 40, 0}, "7%": {0, 7}, "0%": {0, 0},
	} {
		bytes, percent, err := (&config.Config{DiskReserve: text}).Reserve()
		if got := [2]int64{bytes, percent}; got != want || err != nil {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "-1", "1GB", "91%", "5%GiB", "9999999999TiB", "GiB", "%"} {
		if _, _, err := (&config.Config{DiskReserve: text}).Reserve(); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

package disk_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"berth/internal/disk"
)

// The fullest file system counts, and each has a reserve of its own size.
func TestTheFullestFileSystemCounts(t *testing.T) {
	t.Parallel()
	var free = map[string]int64{"small": 50, "large": 5_000}
	var failing error
	w := disk.NewWatch([]string{"small", "large"}, disk.Reserve{Bytes: 300, Percent: 10}, 0, slog.New(slog.DiscardHandler), func(path string) (int64, int64, error) {
		return free[path], map[string]int64{"small": 100, "large": 10_000}[path], failing
	})
	for _, step := range []struct {
		small, large int64
		err          error
		want         disk.Level
		free, kept   int64
	}{
		{50, 5_000, nil, disk.Enough, 50, 10},
		{19, 5_000, nil, disk.Low, 19, 10},
		{10, 5_000, nil, disk.Low, 10, 10},
		{9, 5_000, nil, disk.Full, 9, 10},
		{50, 5_000, errors.New("no answer"), disk.Full, 9, 10}, // as before
		{50, 299, nil, disk.Full, 299, 300},
		{50, 599, nil, disk.Low, 50, 10},
		{50, 5_000, nil, disk.Enough, 50, 10},
	} {
		free["small"], free["large"], failing = step.small, step.large, step.err
		if got := w.Level(); got != step.want || w.HasRoom() != (step.want != disk.Full) {
			t.Errorf("%+v: level %d, room %t", step, got, w.HasRoom())
		}
		if free, kept := w.Free(); free != step.free || kept != step.kept {
			t.Errorf("%+v: %d are free and %d kept", step, free, kept)
		}
	}
}

// The system is not asked again within the time that is given.
func TestTheSystemIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	asked := 0
	w := disk.NewWatch([]string{"."}, disk.Reserve{Bytes: 1}, time.Hour, slog.New(slog.DiscardHandler), func(string) (int64, int64, error) {
		asked++
		return 0, 100, nil
	})
	for range 1000 {
		if w.HasRoom() {
			t.Fatal("there is no room")
		}
	}
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
}

func TestTheSystemTellsHowMuchIsFree(t *testing.T) {
	t.Parallel()
	w := disk.NewWatch([]string{t.TempDir()}, disk.Reserve{Bytes: 1}, time.Hour, slog.New(slog.DiscardHandler), nil)
	if free, _ := w.Free(); free <= 0 {
		t.Skipf("%d bytes are free: the system does not tell, or the disk is full", free)
	}
	if !w.HasRoom() {
		t.Error("there is no room for a byte")
	}
}

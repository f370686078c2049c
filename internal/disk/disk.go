// Package disk keeps a reserve of disk space: it says when there is so little room left
// that nothing more should be taken in.
package disk

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Reserve is how much of a file system is to stay free: a percentage of it, if that is not
// 0, but no more than a number of bytes, if that is not 0; else that number.
type Reserve struct{ Bytes, Percent int64 }

// of returns the reserve of a file system of that size, in bytes.
func (r Reserve) of(size int64) int64 {
	if r.Percent == 0 {
		return r.Bytes
	}
	n := size / 100 * r.Percent
	if r.Bytes > 0 {
		n = min(n, r.Bytes)
	}
	return n
}

// Level is how full file systems are.
type Level int32

// The levels.
const (
	Enough Level = iota
	Low          // less than twice the reserve is free
	Full         // less than the reserve is free
)

// Watch watches the file systems of some directories. It is safe for concurrent use.
type Watch struct {
	paths   []string
	reserve Reserve
	every   time.Duration
	log     *slog.Logger
	free    func(path string) (avail, size int64, err error)

	level   atomic.Int32
	least   atomic.Int64 // bytes that are free where the least are
	kept    atomic.Int64 // the reserve there
	checked atomic.Int64 // when, in nanoseconds since began
	began   time.Time
	mu      sync.Mutex // one looks at a time
}

// NewWatch returns a Watch that looks at the directories at most as often as that, and says
// in the log when it comes to another level. free may be nil; it is there for tests.
func NewWatch(paths []string, r Reserve, every time.Duration, log *slog.Logger, freeOf func(string) (avail, size int64, err error)) *Watch {
	if freeOf == nil {
		freeOf = free
	}
	w := &Watch{paths: paths, reserve: r, every: every, log: log, free: freeOf, began: time.Now()}
	w.checked.Store(-int64(every))
	w.Level()
	return w
}

// Level returns how full the fullest file system is. It hardly costs anything.
func (w *Watch) Level() Level {
	if len(w.paths) > 0 && int64(time.Since(w.began))-w.checked.Load() >= int64(w.every) && w.mu.TryLock() {
		w.look()
		w.mu.Unlock()
	}
	return Level(w.level.Load())
}

// HasRoom reports whether bytes can be taken in.
func (w *Watch) HasRoom() bool { return w.Level() < Full }

// Free returns how many bytes are free where the least are, and how many are to stay so.
func (w *Watch) Free() (free, reserve int64) {
	w.Level()
	return w.least.Load(), w.kept.Load()
}

// look looks at the file systems. One that cannot be looked at counts as before: bytes are
// refused by the writes that fail.
func (w *Watch) look() {
	was, level := Level(w.level.Load()), Enough
	first := true
	for _, path := range w.paths {
		avail, size, err := w.free(path)
		if err != nil {
			if !errors.Is(err, errors.ErrUnsupported) {
				w.log.Warn("how much room there is cannot be found out", "error", err)
			}
			level = max(level, was)
			continue
		}
		reserve := w.reserve.of(size)
		switch {
		case avail < reserve:
			level = Full
		case avail < 2*reserve:
			level = max(level, Low)
		}
		if first || avail-reserve < w.least.Load()-w.kept.Load() {
			w.least.Store(avail)
			w.kept.Store(reserve)
		}
		first = false
	}
	w.level.Store(int32(level))
	w.checked.Store(int64(time.Since(w.began)))
	if level == was {
		return
	}
	free, reserve := w.least.Load(), w.kept.Load()
	switch level {
	case Full:
		w.log.Warn("the disk is full but for its reserve: pushes are refused until something is deleted", "free", free, "reserve", reserve)
	case Low:
		w.log.Warn("the disk is nearly full", "free", free, "reserve", reserve)
	case Enough:
		w.log.Info("there is room on the disk again", "free", free, "reserve", reserve)
	}
}

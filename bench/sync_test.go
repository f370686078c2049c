//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// What a push must wait for is the disk. A small image is four blobs, a manifest and its
// tag, all durable when the client is told so: one sync for each, and one to spare for
// what writes the log into the database now and then.
func TestASmallImageCostsFewSyncs(t *testing.T) {
	t.Parallel()
	s := startTraced(t)
	s.push(t, 1, 20) // repositories, and what is made once
	const images = 100
	one := s.push(t, 1, images)
	eight := s.push(t, 8, images)
	t.Logf("syncs of an image: %.2f with one client, %.2f with eight", float64(one)/images, float64(eight)/images)
	if one > 6*images {
		t.Errorf("%d images of one client cost %d syncs, want at most %d", images, one, 6*images)
	}
	if one < 5*images {
		t.Errorf("%d images of one client cost %d syncs: fewer than there are answers, which come when what they say is durable", images, one)
	}
	if eight >= one {
		t.Errorf("%d images of eight clients cost %d syncs, want fewer than %d: those of one", images, eight, one)
	}
}

// traced is a Berth whose syncs are counted.
type traced struct {
	bench  *bench
	server *process
	trace  string // the file that has a line for each
	seed   int
}

// startTraced starts a Berth on SQLite under strace, which writes down each call that
// makes something durable when it returns, before the server goes on.
func startTraced(t *testing.T) *traced {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("strace is not installed: scripts/tools.sh does that")
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(strace, "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("nothing may be traced here: %v\n%s", err, out)
	}
	b, err := newBench(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	s := &traced{bench: b, trace: filepath.Join(b.dir, "trace")}
	b.under = []string{strace, "-D", "-f", "-qq", "-e", "signal=none", "-e", "trace=fsync,fdatasync,sync_file_range,msync,sync,syncfs", "-o", s.trace}
	if s.server, err = b.start(t.Context(), sealed, filepath.Join(b.dir, "data")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.server.stop)
	return s
}

// push pushes images and returns how many syncs there were.
func (s *traced) push(t *testing.T, clients, images int) int {
	t.Helper()
	s.seed++
	before := s.count(t)
	_, err := s.bench.load(t.Context(), s.server, s.seed, "-workload", "push-images", "-count", strconv.Itoa(images), "-conc", strconv.Itoa(clients))
	if err != nil {
		t.Fatal(err)
	}
	return s.count(t) - before
}

// count counts the calls that have succeeded.
func (s *traced) count(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(s.trace)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("= 0\n"))
}

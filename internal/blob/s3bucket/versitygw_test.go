package s3bucket

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/blob/buckettest"
)

// startVersity starts a real S3 server, if all tests are wanted, which ends with the
// test, and returns its URL.
func startVersity(t *testing.T) string {
	t.Helper()
	if os.Getenv("E2E_RING") != "all" {
		t.Skip("a real S3 server is for E2E_RING=all")
	}
	program, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("versitygw is not installed: scripts/tools.sh all does that")
	}
	dir := t.TempDir()
	for _, d := range []string{"data/" + buckettest.S3Bucket, "sidecar"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--port", address, "posix", "--sidecar", filepath.Join(dir, "sidecar"), filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=access", "ROOT_SECRET_KEY=the secret")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close() // it was opened for this
			return "http://" + address
		}
		if time.Now().After(end) {
			t.Fatalf("versitygw does not listen: %v", err)
		}
	}
}

func TestBucketOnARealServer(t *testing.T) {
	t.Parallel()
	url := startVersity(t)
	buckettest.Run(t, func(t *testing.T) blob.Bucket { return open(t, url) })
}

func TestFaultsOnARealServer(t *testing.T) {
	t.Parallel()
	faults(t, startVersity(t))
}

func TestSectionsOnARealServer(t *testing.T) {
	t.Parallel()
	sections(t, open(t, startVersity(t)), 12<<20, 24<<20, 27<<20+5)
}

func TestAPresignedURLOfARealServer(t *testing.T) {
	t.Parallel()
	presigned(t, open(t, startVersity(t)))
}

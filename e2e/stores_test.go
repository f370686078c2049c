//go:build unix

package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/blob/buckettest"
	"berth/internal/metadata/pgtest"

	"github.com/rogpeppe/go-internal/testscript"
)

// All scripts can be run on other stores than those of a new installation: with
// E2E_STORAGE=versitygw the layers are in that S3 server, in a bucket for each script, and
// with E2E_DATABASE=postgres each has a schema of PostgreSQL. Berth is told so in its
// environment.

// The credentials of an S3 store.
const (
	s3Key    = "s3-access-key"
	s3Secret = "the secret of the store"
)

// ownStorage is found in scripts that say themselves where the layers are.
var ownStorage = regexp.MustCompile(`(?m)^s3\b`)

// stores returns the variables of a script that tell its berth where the data is.
func stores(env *testscript.Env) ([]string, error) {
	t := env.T().(testing.TB)
	name := t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
	text, err := os.ReadFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		return nil, err
	}
	var vars []string
	if os.Getenv("E2E_DATABASE") == "postgres" {
		if err := os.Chmod(os.Getenv(dirVariable), 0o711); err != nil { // PostgreSQL is another user, whose socket is in there
			return nil, err
		}
		vars = append(vars, "BERTH_DATABASE="+pgtest.URL(t), "BERTH_MASTER_KEY="+strings.Repeat("2a", 32),
			"BERTH_ROOT_ACCESS_KEY_ID=AKIAROOTROOTROOTROOT", "BERTH_ROOT_SECRET_ACCESS_KEY="+strings.Repeat("ROOT", 10))
	}
	uploads := filepath.Join(env.WorkDir, "data/blobs/uploads")
	if os.Getenv("E2E_STORAGE") == "versitygw" && !ownStorage.Match(text) {
		endpoint, err := sharedStore()
		if err != nil {
			return nil, err
		}
		name = "script-" + name // a bucket's has at least three letters
		uploads = filepath.Join(sharedDir(), "data", name)
		if err := os.Mkdir(uploads, 0o700); err != nil {
			return nil, err
		}
		vars = append(vars, "BERTH_STORAGE=s3://"+name, "BERTH_S3_ENDPOINT="+endpoint, "BERTH_S3_REGION=us-east-1",
			"BERTH_S3_PATH_STYLE=true", "BERTH_S3_ACCESS_KEY_ID="+s3Key, "BERTH_S3_SECRET_ACCESS_KEY="+s3Secret)
	}
	env.Setenv("UPLOADS", uploads)
	env.Vars = append(env.Vars, vars...)
	return vars, nil
}

// sharedStore returns the URL of the store that all scripts use. It is started at the
// first call.
var sharedStore = sync.OnceValues(func() (string, error) {
	address, err := unusedAddress()
	if err != nil {
		return "", err
	}
	cmd, err := runVersity(sharedDir(), address)
	if err == nil {
		shared = append(shared, cmd)
	}
	return "http://" + address, err
})

func sharedDir() string { return filepath.Join(os.Getenv("TMPDIR"), "versitygw") }

// shared are processes that serve all scripts; endShared ends them.
var shared []*exec.Cmd

func endShared() {
	for _, cmd := range shared {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	}
}

// runVersity starts versitygw on a directory, and returns when it listens.
func runVersity(dir, address string) (*exec.Cmd, error) {
	for _, d := range []string{filepath.Join(dir, "data", buckettest.S3Bucket), filepath.Join(dir, "sidecar")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("versitygw", "--port", address, "posix", "--sidecar", filepath.Join(dir, "sidecar"), filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s3Key, "ROOT_SECRET_KEY="+s3Secret)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err := poll(time.Minute, func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		err = errors.Join(err, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		return nil, err
	}
	return cmd, nil
}

//go:build unix

package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// programs are commands that run the program of their name.
var programs = []string{
	"berth", "docker", "docker-compose", "podman", "buildah", "skopeo", "umoci", "ctr", "crane", "regctl", "oras",
	"helm", "curl", "jq", "openssl", "sh", "tar", "node", "/usr/bin/python3",
}

func commands() map[string]command {
	m := map[string]command{
		"serve": serve, "stopserver": stopServer, "killserver": killServer, "signal": signalServer,
		"aws": runAWS, "newaws": runNewAWS, "capture": capture, "until": until,
		"issuer": startIssuer, "idtoken": mint,
		"image": putImage, "images": putImages, "left": left, "awaitleft": awaitLeft, "clock": setClock, "age": setAge, "policy": putPolicy,
		"s3":     startS3,
		"asroot": runAsRoot, "task": putTask, "without": without, "trouble": putTrouble, "troubles": putTroubles,
	}
	for _, name := range programs {
		m[filepath.Base(name)] = func(ts *testscript.TestScript, neg bool, args []string) { run(ts, neg, name, args...) }
	}
	return m
}

// run runs a program, which must succeed, or must run and fail if neg.
func run(ts *testscript.TestScript, neg bool, name string, args ...string) {
	err := ts.Exec(name, args...)
	if e := (*exec.ExitError)(nil); err != nil && (!neg || !errors.As(err, &e)) {
		ts.Fatalf("%s: %v", name, err)
	}
	if err == nil && neg {
		ts.Fatalf("%s succeeded, want it to fail", name)
	}
}

// runAWS passes the endpoint as a flag: Debian's aws does not know the variable.
func runAWS(ts *testscript.TestScript, neg bool, args []string) {
	run(ts, neg, "aws", append([]string{"--endpoint-url", ts.Getenv("AWS_ENDPOINT_URL")}, args...)...)
}

// runNewAWS tells an aws that is installed in the user's home where that is. Its own
// home is the script's, as it remembers credentials there.
func runNewAWS(ts *testscript.TestScript, neg bool, args []string) {
	home := os.Getenv("HOME")
	run(ts, neg, "env", append([]string{
		"PYENV_ROOT=" + cmp.Or(os.Getenv("PYENV_ROOT"), filepath.Join(home, ".pyenv")), "PYTHONUSERBASE=" + filepath.Join(home, ".local"),
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", os.Getenv(awsVariable),
	}, args...)...)
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: capture NAME")
	}
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if text == "" {
		ts.Fatalf("the last command printed nothing")
	}
	ts.Setenv(args[0], text)
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until PROGRAM ARGS")
	}
	ts.Check(poll(time.Minute, func() error { return ts.Exec(args[0], args[1:]...) }))
}

// poll calls f until it returns nil or the time is over.
func poll(limit time.Duration, f func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v: %w", limit, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func condition(c string) (bool, error) {
	kind, name, _ := strings.Cut(c, ":")
	box := os.Getenv(sandboxVariable)
	switch {
	case c == "root":
		return box == asRoot, nil
	case c == "hosts":
		return box != asIs, nil
	case c == "engine":
		return daemon("docker", startEngine)
	case c == "buildkit":
		cmd := exec.Command("docker", "build", "--help")
		cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1")
		return cmd.Run() == nil, nil
	case c == "containerd":
		return daemon("ctr", startContainerd)
	case c == "directory":
		return os.Getenv("E2E_STORAGE") == "" && os.Getenv("E2E_DATABASE") == "", nil
	case c == "newaws":
		return os.Getenv(awsVariable) != "", nil
	case kind == "ring":
		return os.Getenv("E2E_RING") == name, nil
	case kind == "client":
		return installed(name)
	}
	return false, fmt.Errorf("there is no condition %q", c)
}

// daemon starts a daemon that needs root, once, and reports whether it runs.
func daemon(client string, start func() error) (bool, error) {
	if os.Getenv(sandboxVariable) != asRoot {
		return false, nil
	}
	if ok, err := installed(client); !ok {
		return false, err
	}
	err := start()
	return err == nil, err
}

// installed reports whether a client is there. A client that is missing in CI is
// an error: it would never be noticed that nothing is tested with it.
func installed(name string) (bool, error) {
	var err error
	switch name {
	case "boto3":
		err = exec.Command("/usr/bin/python3", "-c", "import boto3").Run()
	case "@aws-sdk/client-ecr":
		_, err = os.Stat(filepath.Join(os.Getenv("NODE_PATH"), name))
	default:
		_, err = exec.LookPath(name)
	}
	if err != nil && os.Getenv("CI") == "true" {
		return false, fmt.Errorf("%s is not installed, but CI=true: run scripts/tools.sh: %w", name, err)
	}
	return err == nil, nil
}

var awsVersion = regexp.MustCompile(`aws-cli/([0-9]+)\.([0-9]+)\.`)

// newAWS returns the first aws command that knows AWS_ENDPOINT_URL, or "".
func newAWS() string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		file := filepath.Join(dir, "aws")
		out, err := exec.Command(file, "--version").CombinedOutput()
		m := awsVersion.FindSubmatch(out)
		if err != nil || m == nil {
			continue
		}
		major, _ := strconv.Atoi(string(m[1]))
		minor, _ := strconv.Atoi(string(m[2]))
		if major == 1 && minor >= 29 || major == 2 && minor >= 13 || major > 2 {
			return file
		}
	}
	return ""
}

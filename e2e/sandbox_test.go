//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The tests start engines, servers and containers. They do so in namespaces of
// their own: no port, bridge or mount meets those of the machine, nothing reaches
// another one, and whatever was started ends when the tests end, even if they are
// killed. TestMain therefore runs the test binary a second time, inside.

// What the outer process tells the inner one.
const (
	sandboxVariable = "E2E_SANDBOX" // which of the sandboxes the tests are in
	dirVariable     = "E2E_DIR"     // the directory of the run
	pathVariable    = "E2E_PATH"    // the PATH of the scripts: sudo resets the other
	awsVariable     = "E2E_NEW_AWS" // an aws that knows AWS_ENDPOINT_URL, if there is one
)

// A sandbox is how to get into namespaces.
type sandbox struct {
	name   string
	prefix []string // of the command to run inside
}

const (
	asRoot = "root" // engines run in it
	asUser = "user" // looks like root but cannot run engines
	asIs   = "none" // no namespaces
)

var namespaces = []string{"unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}

// sandboxes are tried in this order.
var sandboxes = []sandbox{
	{asRoot, namespaces},
	{asRoot, append([]string{"sudo", "-n", "-E"}, namespaces...)},
	{asUser, append(slices.Clone(namespaces), "--user", "--map-root-user")},
}

// choose returns the first sandbox that can be had.
func choose() sandbox {
	for _, s := range sandboxes {
		if exec.Command(s.prefix[0], append(s.prefix[1:], "true")...).Run() == nil {
			return s
		}
	}
	return sandbox{name: asIs}
}

// enter builds what the tests need, runs the tests inside and returns the exit
// code. The inner process ends when its standard input does, so it cannot outlive
// this one.
func enter() int {
	dir, err := os.MkdirTemp("", "berth-e2e-")
	if err != nil {
		return failed(err)
	}
	if !keep() {
		defer os.RemoveAll(dir)
	}
	if err := build(dir); err != nil {
		return failed(err)
	}
	s := choose()
	args := append(slices.Clone(s.prefix), os.Args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), sandboxVariable+"="+s.name, dirVariable+"="+dir, pathVariable+"="+path(dir), awsVariable+"="+newAWS())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return failed(err)
	}
	defer alive.Close()
	err = cmd.Run()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) && e.Exited() {
		return e.ExitCode()
	}
	if err != nil {
		return failed(err)
	}
	return 0
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// keep reports whether the scripts' directories are to stay.
func keep() bool { return slices.Contains(os.Args, "-testwork") }

// build makes the programs of the run.
func build(dir string) error {
	programs := map[string]string{"berth": "berth/cmd/berth", "hello": "berth/e2e/hello"}
	if loadable() {
		programs["aws"] = "berth/e2e/aws"
	}
	for name, source := range programs {
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "bin", name), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return os.Mkdir(filepath.Join(dir, "work"), 0o755)
}

// path returns the PATH of the scripts: our programs, the clients that
// scripts/tools.sh builds, those of the system, and then whatever else is there.
func path(dir string) string {
	return strings.Join([]string{
		filepath.Join(dir, "bin"), filepath.Join(tools(), "bin"),
		"/usr/sbin", "/usr/bin", "/sbin", "/bin", os.Getenv("PATH"),
	}, string(os.PathListSeparator))
}

// tools is the directory of scripts/tools.sh.
func tools() string {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	return filepath.Join(cache, "berth/tools")
}

// hosts are names that lead to this machine inside. Scripts that serve on port
// 443 have an address each.
const hosts = `
127.0.0.1 123456789012.dkr.ecr.us-east-1.localhost 123456789012.dkr.ecr.eu-west-1.localhost
127.0.0.1 111122223333.dkr.ecr.us-east-1.localhost 999999999999.dkr.ecr.us-east-1.localhost
127.0.0.2 123456789012.dkr.ecr.us-east-1.amazonaws.com api.ecr.us-east-1.amazonaws.com
127.0.0.3 210987654321.dkr.ecr.eu-central-1.amazonaws.com
127.0.0.1 public.localhost
127.0.0.4 public.ecr.aws api.ecr-public.us-east-1.amazonaws.com
`

// inside prepares the sandbox and runs the tests in it.
func inside(m *testing.M) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = syscall.Kill(0, syscall.SIGKILL) // the group, in case there are no namespaces
		os.Exit(1)
	}()
	dir := os.Getenv(dirVariable)
	work := filepath.Join(dir, "work")
	for name, value := range map[string]string{
		"PATH": os.Getenv(pathVariable), "TMPDIR": work, "NODE_PATH": filepath.Join(tools(), "npm/node_modules"),
	} {
		if err := os.Setenv(name, value); err != nil {
			return failed(err)
		}
	}
	if os.Getenv(sandboxVariable) != asIs {
		if err := furnish(dir, work); err != nil {
			return failed(err)
		}
	}
	defer endShared()
	end, err := loadAWS()
	if err != nil {
		return failed(err)
	}
	defer end()
	return m.Run()
}

// furnish gives the namespaces a loopback interface, host names, and memory for
// all that is written.
func furnish(dir, work string) error {
	text, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "hosts")
	if err := os.WriteFile(file, append(text, hosts...), 0o644); err != nil {
		return err
	}
	commands := [][]string{{"ip", "link", "set", "lo", "up"}, {"mount", "--bind", file, "/etc/hosts"}}
	if !keep() {
		commands = append(commands, []string{"mount", "-t", "tmpfs", "tmpfs", work})
	}
	if os.Getenv(sandboxVariable) == asRoot {
		for _, d := range []string{"/run/containerd", "/var/lib/containers", "/etc/cni/net.d"} { // no setting changes these
			commands = append(commands, []string{"mkdir", "-p", d}, []string{"mount", "-t", "tmpfs", "tmpfs", d})
		}
	}
	for _, c := range commands {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}

//go:build unix

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// There is one Docker engine and one containerd for all scripts, started when the
// first needs it. They end with the sandbox.

// below returns a path in the directory of the run.
func below(elem ...string) string {
	return filepath.Join(append([]string{os.Getenv(dirVariable), "work"}, elem...)...)
}

func engineSocket() string     { return below("docker", "sock") }
func containerdSocket() string { return below("containerd", "sock") }

// startEngine starts dockerd. Nothing leaves the sandbox, so it needs no packet
// filter; published ports are forwarded by the engine's own proxy. The cgroup
// driver is the one that works without systemd.
var startEngine = sync.OnceValue(func() error {
	return start(exec.Command("dockerd", "--data-root", below("docker", "root"), "--exec-root", below("docker", "exec"),
		"--pidfile", below("docker", "pid"), "--host", "unix://"+engineSocket(), "--storage-driver", "overlay2",
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--iptables=false", "--ip6tables=false"),
		"docker", "--host", "unix://"+engineSocket(), "version")
})

// startContainerd starts containerd without what only kubelets need.
var startContainerd = sync.OnceValue(func() error {
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		below("containerd", "root"), below("containerd", "state"), containerdSocket())
	file := below("containerd", "config.toml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	return start(exec.Command("containerd", "--config", file), "ctr", "--address", containerdSocket(), "version")
})

// start starts a daemon and waits until a command that talks to it succeeds.
func start(daemon *exec.Cmd, ready ...string) error {
	var log bytes.Buffer
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	return poll(30*time.Second, func() error {
		select {
		case err := <-ended:
			return fmt.Errorf("%s has ended: %w\n%s", daemon.Path, err, log.String())
		default:
			return exec.Command(ready[0], ready[1:]...).Run()
		}
	})
}

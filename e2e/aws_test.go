//go:build unix

package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
)

// Python takes longer to load awscli than nearly all calls take to run. In scripts
// aws is therefore the command of the directory aws, which has each call run in a
// process that is forked from one that has awscli loaded. Nothing else differs, and
// a script that sets E2E_AWS to nothing does without.

// systemAWS is where Debian's package puts the program.
const systemAWS = "/usr/bin/aws"

// loadable reports whether the system's aws is a program in the system's Python.
func loadable() bool {
	text, err := os.ReadFile(systemAWS)
	return err == nil && bytes.HasPrefix(text, []byte("#!/usr/bin/python3\n")) && bytes.Contains(text, []byte("\nimport awscli.clidriver\n"))
}

// awsSocket is the path of the socket of the process that has awscli loaded, or "".
func awsSocket() string {
	if !loadable() {
		return ""
	}
	return below("aws")
}

// loadAWS starts that process, which clients may connect to from now on. The function
// that it returns ends it.
func loadAWS() (end func(), err error) {
	if !loadable() {
		return func() {}, nil
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: awsSocket(), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close() // once it has ended, clients are refused
	socket, err := l.File()
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	cmd := exec.Command("/usr/bin/python3", "aws/server.py")
	// What it would remember in a home fails: it has none.
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "HOME=/dev/null/home")
	cmd.Stdin, cmd.Stderr = socket, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}, nil
}

//go:build unix

// Command aws has the aws of the system run by server.py, which listens on the socket
// that E2E_AWS names. It runs that aws itself without the variable, and for a user
// with profiles or a role: awscli works out where it remembers their credentials when
// it is loaded.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	path := os.Getenv("E2E_AWS")
	if path == "" || remembers() {
		fail(syscall.Exec("/usr/bin/aws", os.Args, os.Environ()))
	}
	code, err := call(path)
	if err != nil {
		fail(err)
	}
	if code < 0 {
		fail(fmt.Errorf("ended by signal %d", -code))
	}
	os.Exit(code)
}

// remembers reports whether credentials may be, or may come to be, in the user's home.
func remembers() bool {
	for _, name := range []string{"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_ARN"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	_, err := os.Lstat(filepath.Join(os.Getenv("HOME"), ".aws"))
	return err == nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "aws, of the end-to-end tests:", err)
	os.Exit(125)
}

// call sends the server what this process was started with, and returns the exit
// code.
func call(path string) (int, error) {
	directory, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	environment := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		environment[name] = value
	}
	request, err := json.Marshal(map[string]any{"arguments": os.Args[1:], "environment": environment, "directory": directory})
	if err != nil {
		return 0, err
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return 0, err
	}
	n, _, err := conn.WriteMsgUnix(request, syscall.UnixRights(0, 1, 2), nil)
	if err != nil {
		return 0, err
	}
	if _, err := conn.Write(append(request[n:], '\n')); err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.TrimSpace(answer)))
}

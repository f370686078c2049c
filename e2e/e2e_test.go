//go:build unix

// Package e2e drives the berth binary with the clients that people use, as they
// use them. Each testdata/*.txtar is one story; what it proves is its first line.
//
// Beside the commands of testscript, and those in [programs], a script has
//
//	[engine]            a condition: a Docker engine runs (it is started if need be)
//	[buildkit]          a condition: docker can build with BuildKit
//	[containerd]        a condition: the same for containerd
//	[root]              a condition: the tests have the rights that engines need
//	[hosts]             a condition: names such as 123456789012.dkr.ecr.us-east-1.amazonaws.com
//	                    lead to 127.0.0.1
//	[client:NAME]       a condition: the client is installed; where CI=true it must be
//	[newaws]            a condition: there is an aws command that knows AWS_ENDPOINT_URL
//	[ring:all]          a condition: heavy clients are wanted too (E2E_RING=all)
//	[directory]         a condition: all data is in data/: see E2E_STORAGE and E2E_DATABASE
//
//	serve [dev] ARGS    start berth serve, or berth dev, on data/ and the script's own
//	                    port, and set the variables of berth env
//	s3 [versitygw|slow] start an S3 store and write s3.yaml, a configuration for it
//	stopserver          end it with SIGTERM; it must exit with 0
//	killserver          end it with SIGKILL
//	signal NAME         send it a signal: HUP
//	aws ARGS            aws --endpoint-url $AWS_ENDPOINT_URL ARGS
//	newaws ARGS         the newer aws, which is told by the variable alone
//	capture NAME        put what the last command printed into a variable
//	until PROGRAM ARGS  run a program until it succeeds, for a minute at most
//	clock +DURATION     put the clock of berth dev forward
//
//	issuer              start an issuer of identity tokens, $ISSUER, that issuer-ca.pem
//	                    vouches for; its keys are in issuer-keys.json
//	idtoken [-foreign] [-expired] FILE SHAPE NAME=VALUE...
//	                    write a token that looks like those of github, gitlab,
//	                    kubernetes or jenkins, with some claims as given
//
//	image REPOSITORY NAME TAG...       push a small image that is like no other
//	images FILE                        push those of a table: REPOSITORY DAYS NAME TAG...
//	left REPOSITORY NAME...            the repository has just these images
//	awaitleft REPOSITORY NAME...       it comes to have just these, in a minute at most
//	policy REPOSITORY RULE...          put a lifecycle policy that deletes by rules such as
//	                                   '1 prod* sinceImagePushed 14'
//	policy REPOSITORY FILE.json        put this one
//	! policy REPOSITORY FILE.json TEXT it is refused with a text
//
//	task ACTION...                     allow the role task these actions, and no others
//	asroot PROGRAM ARGS                run a program with the root's credentials
//	without ACTION PROGRAM ARGS        without one of them the program fails and names it
//	trouble TEXT REMEDY PROGRAM ARGS   the program fails with a text; the remedy helps
//	troubles FILE                      a document of these troubles is up to date
//
// What is set from the start: $HELLO is a program to make images of (see the
// directory hello), $UPLOADS a directory in which unfinished uploads grow, DOCKER_CONFIG
// and the like keep the logins of scripts apart, E2E_AWS has aws loaded once for all (see
// the directory aws).
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if os.Getenv(sandboxVariable) == "" {
		os.Exit(enter())
	}
	os.Exit(inside(m))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               setup,
		Cmds:                commands(),
		Condition:           condition,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
	})
}

// setup gives a script directories and settings of its own for each client that
// would otherwise use the machine's.
func setup(env *testscript.Env) error {
	vars, err := stores(env)
	if err != nil {
		return err
	}
	env.Values[serverKey{}] = &server{stores: vars}
	env.Values[namesKey{}] = imageNames{}
	env.Values[troublesKey{}] = &troubles{}
	env.Values[issuerKey{}] = &issuer{t: env.T().(testing.TB)}
	env.Defer(func() { tidy(env) })
	dir := func(name string) string { return filepath.Join(env.WorkDir, ".home", name) }
	for name, value := range map[string]string{
		"HOME":                      dir(""),
		"LANG":                      "C.UTF-8",
		"HELLO":                     filepath.Join(os.Getenv(dirVariable), "bin/hello"),
		"NODE_PATH":                 os.Getenv("NODE_PATH"),
		"DOCKER_HOST":               "unix://" + engineSocket(),
		"DOCKER_CONFIG":             dir("docker"),
		"CONTAINERD_ADDRESS":        containerdSocket(),
		"XDG_RUNTIME_DIR":           dir("run"),
		"CONTAINERS_CONF":           dir("containers.conf"),
		"CONTAINERS_STORAGE_CONF":   dir("storage.conf"),
		"AWS_EC2_METADATA_DISABLED": "true",
		"E2E_AWS":                   awsSocket(),
	} {
		env.Setenv(name, value)
	}
	for _, name := range []string{"docker", "run"} {
		if err := os.MkdirAll(dir(name), 0o700); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"containers.conf": fmt.Sprintf("[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\ntmp_dir=%q\nstatic_dir=%q\n", dir("run"), dir("libpod")),
		"storage.conf":    fmt.Sprintf("[storage]\ndriver=\"overlay\"\ngraphroot=%q\nrunroot=%q\n", dir("storage"), dir("run")),
	} {
		if err := os.WriteFile(dir(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

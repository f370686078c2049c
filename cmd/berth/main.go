// Command berth is a container registry that speaks Amazon ECR's API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// Little of the heap lives long: half the collections cost a few MiB.
		debug.SetGCPercent(200)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, unalias(os.Args), os.Environ(), stdio{os.Stdout, os.Stderr})
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "berth:", err)
		os.Exit(1)
	}
}

// stdio is where a command writes.
type stdio struct{ out, err io.Writer }

// exitCode ends the process with a code after the command has said why.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// run runs the command that args name.
func run(ctx context.Context, args, environ []string, io stdio) error {
	root := &cobra.Command{
		Use:           "berth",
		Short:         "Amazon ECR that you run yourself",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(environ, io), devCommand(environ, io), envCommand(environ, io), fsckCommand(environ, io), scrubCommand(environ, io), maintenanceCommand(environ, io),
		iamCommand(environ, io), lifecycleCommand(environ, io), storageCommand(environ, io), tagCommand(environ, io), imageCommand(environ, io), repositoryCommand(environ, io),
		accountCommand(environ, io), quotaCommand(environ, io), loginCommand(environ, io), versionCommand(io), sessionCommand(environ, io), tokenCommand(environ, io))
	root.AddCommand(keysCommand(environ, io), gcCommand(environ, io))
	root.AddCommand(backupCommand(environ, io), restoreCommand(environ, io))
	root.SetArgs(args)
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.AddCommand(dockerCredentialCommand(environ, io), credentialProviderCommand(environ, io), credentialsCommand(environ, io))
	return root.ExecuteContext(ctx)
}

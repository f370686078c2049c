package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"berth/internal/config"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func lifecycleCommand(environ []string, io stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lifecycle",
		Short: "Carry out lifecycle policies, or test them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(lifecycleRunCommand(environ, io), lifecycleBacktestCommand(environ, io))
	return cmd
}

func lifecycleRunCommand(environ []string, io stdio) *cobra.Command {
	var repository, output string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Carry out lifecycle policies now",
		Long: `Make the running server carry out lifecycle policies now, and print what was
done. Without this it does so by itself within seconds after a policy is put, and
every twelve hours.

The server is the one whose data directory is on this machine.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in server.LifecycleRequest
			if cmd.Flags().Changed("repository") {
				in.RepositoryName = &repository
			}
			var done server.LifecycleResponse
			if err := ask(cmd, environ, server.LifecyclePath, in, &done); err != nil {
				return err
			}
			var err error
			if output == "json" {
				err = json.NewEncoder(io.out).Encode(done)
			} else {
				err = printRuns(io.out, done)
			}
			return errors.Join(err, failedRuns(done))
		},
	}
	config.AddClientFlags(cmd.Flags())
	cmd.Flags().StringVar(&repository, "repository", "", "the repository; all that have a policy if it is not given")
	addOutput(cmd, &output)
	return cmd
}

func printRuns(w io.Writer, done server.LifecycleResponse) error {
	if len(done.Runs) == 0 {
		_, err := fmt.Fprintln(w, "no repository has a lifecycle policy")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REPOSITORY\tEXPIRED\tARCHIVED\tKEPT")
	for _, r := range done.Runs {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", r.Name, r.Expired, r.Archived, r.Kept)
	}
	return table.Flush()
}

// failedRuns says which policies were not carried out to the end.
func failedRuns(done server.LifecycleResponse) error {
	var errs []error
	for _, r := range done.Runs {
		if r.Error != "" {
			errs = append(errs, fmt.Errorf("repository %s: %s", r.Name, r.Error))
		}
	}
	return errors.Join(errs...)
}

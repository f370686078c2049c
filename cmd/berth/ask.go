package main

import (
	"io"
	"text/tabwriter"

	"berth/internal/config"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

// extensionCommand is a command that asks a running server for an operation that
// ECR does not have. perform is given what posts a document to a path.
func extensionCommand(environ []string, cmd *cobra.Command, perform func(ask asker, args []string) error) *cobra.Command {
	cmd.Long += "\n\nThe server is the one whose data directory is on this machine."
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := config.Load(cmd.Flags(), environ)
		if err != nil {
			return err
		}
		a, err := server.ReadAddress(c)
		if err != nil {
			return err
		}
		key, err := server.ReadRootKey(c, a)
		if err != nil {
			return err
		}
		return perform(func(path string, in, out any) error { return callServer(cmd.Context(), a, key, path, in, out) }, args)
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

// asker posts a document to an operation and reads the answer into out.
type asker func(path string, in, out any) error

// group is a command that has only others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(below...)
	return cmd
}

// addPublic adds the flag that chooses the public registry.
func addPublic(cmd *cobra.Command, public *bool) {
	cmd.Flags().BoolVar(public, "public-registry", false, "in the public registry")
}

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"berth/internal/config"
	"berth/internal/fsck"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func fsckCommand(environ []string, io stdio) *cobra.Command {
	var output string
	var repair bool
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check that all bytes are there and whole",
		Long: `Compare the database with the store: read and hash every object. Compare the
counts that quotas go by with what they count; --repair puts them right, and puts what
is missing or damaged into quarantine, so that clients that push it send its bytes.

The exit code is 1 if bytes are missing or damaged, or cannot be read. Orphans (bytes that nothing
refers to), abandoned uploads and wrong counts are reported, but nothing is lost
by them. The server must not be running.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), environ)
			if err != nil {
				return err
			}
			report, err := server.Fsck(cmd.Context(), c, server.FsckOptions{Progress: progress(io), Repair: repair})
			switch {
			case report == nil:
			case output == "json":
				err = errors.Join(err, json.NewEncoder(io.out).Encode(report))
			case err != nil:
				err = errors.Join(err, report.PrintProblems(io.out)) // it is no verdict
			default:
				err = report.Print(io.out)
			}
			if err == nil && report.Lost() > 0 {
				err = exitCode(1)
			}
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&repair, "repair", false, "put right counts that are wrong, and have what is damaged pushed again")
	addOutput(cmd, &output)
	return cmd
}

// progress reports every few seconds how far a check has come.
func progress(io stdio) func(*fsck.Report) {
	next := time.Now().Add(2 * time.Second)
	return func(r *fsck.Report) {
		if now := time.Now(); now.After(next) {
			next = now.Add(2 * time.Second)
			fmt.Fprintf(io.err, "%d objects, %d MiB checked\n", r.Objects, r.Bytes>>20)
		}
	}
}

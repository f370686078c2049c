package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"berth/internal/config"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func lifecycleBacktestCommand(environ []string, io stdio) *cobra.Command {
	var file, output string
	var days int
	cmd := &cobra.Command{
		Use:   "backtest REPOSITORY",
		Short: "Show what a lifecycle policy would have done over the last days",
		Long: `Show which images a lifecycle policy would have deleted or archived, had it been
carried out once a day over the last days, and which of them were pulled after
that. Nothing is changed.

Of the pulls of an image only the last one is known. A policy that counts pulls is
tested as if there had been no others.

The server is the one whose data directory is on this machine.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := server.BacktestRequest{RepositoryName: args[0], Days: &days}
			if file != "" {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				in.PolicyText = new(string(text))
			}
			var done server.BacktestResponse
			if err := ask(cmd, environ, server.BacktestPath, in, &done); err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(io.out).Encode(done)
			}
			return printBacktest(io.out, done)
		},
	}
	config.AddClientFlags(cmd.Flags())
	cmd.Flags().StringVar(&file, "policy", "", "a file with the policy; the repository's own if it is not given")
	cmd.Flags().IntVar(&days, "days", 90, "how many days to go back, at most 365")
	addOutput(cmd, &output)
	return cmd
}

func printBacktest(w io.Writer, b server.BacktestResponse) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(b.Images) > 0 {
		fmt.Fprintln(table, "WHEN\tACTION\tRULE\tIMAGE\tTAGS\tPUSHED\tNOW")
	}
	for _, i := range b.Images {
		now := []string{"deleted"}
		if i.StillThere {
			now[0] = "there"
		}
		if i.PulledLater {
			now = append(now, "pulled later, "+i.LastPull.Format(time.DateOnly))
		}
		rule := "-"
		if i.Rule > 0 {
			rule = fmt.Sprint(i.Rule)
		}
		tags := "-"
		if len(i.Tags) > 0 {
			tags = strings.Join(i.Tags, ",")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.At.Format(time.DateOnly), i.Action, rule, i.Digest, tags,
			i.PushedAt.Format(time.DateOnly), strings.Join(now, ", "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if b.Truncated {
		fmt.Fprintf(w, "... the first %d of them\n", len(b.Images))
	}
	_, err := fmt.Fprintf(w, "%s to %s: %d images would have been deleted, %d archived; %d of them were pulled later\n",
		b.From.Format(time.DateOnly), b.To.Format(time.DateOnly), b.Expiring, b.Transitioning, b.PulledLater)
	return err
}

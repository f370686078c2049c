package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"berth/internal/config"
	"berth/internal/registry"
	"berth/internal/server"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
)

func tagCommand(environ []string, io stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tag",
		Short: "Show where a tag has been, and move it back",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(tagHistoryCommand(environ, io), tagRollbackCommand(environ, io))
	return cmd
}

func tagHistoryCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "history REPOSITORY TAG",
		Short: "List which images a tag has been on",
		Long: `List which images a tag has been on, since when, and who put it there, the
newest first. The last 1,000 changes of a tag are kept.

The server is the one whose data directory is on this machine.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			all := server.TagHistoryResponse{Changes: []registry.TagChange{}}
			most := registry.TagHistoryLength
			for in := (server.TagHistoryRequest{RepositoryName: args[0], Tag: args[1], MaxResults: &most}); ; {
				var page server.TagHistoryResponse
				if err := ask(cmd, environ, server.TagHistoryPath, in, &page); err != nil {
					return err
				}
				all.Changes = append(all.Changes, page.Changes...)
				if in.NextToken = page.NextToken; in.NextToken == "" {
					break
				}
			}
			if output == "json" {
				return json.NewEncoder(io.out).Encode(all)
			}
			return printHistory(io.out, all.Changes)
		},
	}
	config.AddClientFlags(cmd.Flags())
	addOutput(cmd, &output)
	return cmd
}

func printHistory(w io.Writer, changes []registry.TagChange) error {
	if len(changes) == 0 {
		_, err := fmt.Fprintln(w, "there never was such a tag")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SINCE\tIMAGE\tBY")
	for _, c := range changes {
		on, by := string(c.Digest), c.Principal
		if on == "" {
			on = "(none)"
		}
		switch {
		case c.Policy:
			by = "(lifecycle policy)"
		case by == "":
			by = "(unknown)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.Time.Format(time.RFC3339), on, by)
	}
	return table.Flush()
}

func tagRollbackCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "rollback REPOSITORY TAG [DIGEST]",
		Short: "Put a tag back on an image that it was on before",
		Long: `Put a tag back on the image that it was on before the present one, or on one of
those before that, which is named by its digest. It is what a push of that image
under the tag would be: tags that cannot be moved stay where they are.

The server is the one whose data directory is on this machine.`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := server.TagRollbackRequest{RepositoryName: args[0], Tag: args[1]}
			if len(args) == 3 {
				in.Digest = new(digest.Digest(args[2]))
			}
			var done registry.Rollback
			if err := ask(cmd, environ, server.TagRollbackPath, in, &done); err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(io.out).Encode(done)
			}
			text := fmt.Sprintf("%s is on %s", done.Tag, done.Digest)
			if done.Previous != "" {
				text += ", it was on " + string(done.Previous)
			}
			_, err := fmt.Fprintln(io.out, text)
			return err
		},
	}
	config.AddClientFlags(cmd.Flags())
	addOutput(cmd, &output)
	return cmd
}

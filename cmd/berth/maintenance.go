package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"berth/internal/server"

	"github.com/spf13/cobra"
)

func maintenanceCommand(environ []string, io stdio) *cobra.Command {
	return group("maintenance", "Have all servers refuse changes, and take them again",
		maintenanceOnCommand(environ, io), maintenanceOffCommand(environ, io), maintenanceStatusCommand(environ, io))
}

func maintenanceOnCommand(environ []string, io stdio) *cobra.Command {
	var in server.MaintenanceOnRequest
	cmd := maintenanceTurn(environ, io, server.MaintenanceOnPath, &cobra.Command{
		Use:   "on",
		Short: "Refuse changes",
		Long: `Have the running server, and all others on its database, refuse changes: pushes, deletions,
policies, settings, users and keys, whoever asks. Images can be pulled, and all else that
only reads goes on, logins and temporary credentials too. Lifecycle policies, the removal of
garbage and whatever else changes by itself rest.

When the command ends, no server commits a change any more. Records of what was asked
for, and when images were pulled, are still written.`,
	}, func() any { return in })
	cmd.Flags().StringVar(&in.Reason, "reason", "", "what clients are told whose changes are refused")
	return cmd
}

func maintenanceOffCommand(environ []string, io stdio) *cobra.Command {
	return maintenanceTurn(environ, io, server.MaintenanceOffPath, &cobra.Command{
		Use:   "off",
		Short: "Take changes again",
		Long: `Have the running server, and all others on its database, take changes again. One that was
started with --read-only does so only when it is started again without.`,
	}, func() any { return server.MaintenanceRequest{} })
}

func maintenanceStatusCommand(environ []string, io stdio) *cobra.Command {
	return maintenanceTurn(environ, io, server.MaintenanceStatusPath, &cobra.Command{
		Use:   "status",
		Short: "Show whether changes are refused",
		Long:  "Show whether changes are refused, since when, by whom and why.",
	}, func() any { return server.MaintenanceRequest{} })
}

// maintenanceTurn is a command that posts a document and prints the answer.
func maintenanceTurn(environ []string, io stdio, path string, cmd *cobra.Command, in func() any) *cobra.Command {
	var output string
	cmd.Args = cobra.NoArgs
	cmd = extensionCommand(environ, cmd, func(ask asker, _ []string) error {
		var s server.MaintenanceResponse
		if err := ask(path, in(), &s); err != nil {
			return err
		}
		return printMaintenance(io.out, s, output)
	})
	addOutput(cmd, &output)
	return cmd
}

func printMaintenance(out io.Writer, s server.MaintenanceResponse, output string) error {
	if output == "json" {
		return json.NewEncoder(out).Encode(s)
	}
	text := "changes are taken"
	if s.ReadOnly {
		text = "changes are refused"
	}
	if !s.Since.IsZero() {
		text += fmt.Sprintf(" since %s by %s", s.Since.Local().Format(time.DateTime), s.Principal)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	if s.Option {
		text += "\nthe server was started with --read-only"
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

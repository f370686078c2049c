package main

import (
	"encoding/json"
	"fmt"

	"berth/internal/config"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func accountCommand(environ []string, io stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Make accounts",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(accountCreateCommand(environ, io))
	return cmd
}

func accountCreateCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "create [ID]",
		Short: "Make an account and print the access key of its root",
		Long: `Make an account in the running server and print the access key of its root, which
is never shown again. Without an id of twelve digits the account gets a random one.

The server is the one whose data directory is on this machine.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in server.AccountRequest
			if len(args) > 0 {
				in.AccountID = args[0]
			}
			var made server.AccountResponse
			if err := ask(cmd, environ, server.AccountPath, in, &made); err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(io.out).Encode(made)
			}
			_, err := fmt.Fprintf(io.out, "AWS_ACCOUNT_ID=%s\nAWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n",
				made.AccountID, made.AccessKeyID, made.SecretAccessKey)
			return err
		},
	}
	config.AddClientFlags(cmd.Flags())
	addOutput(cmd, &output)
	return cmd
}

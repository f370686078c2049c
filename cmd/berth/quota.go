package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"berth/internal/registry"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func quotaCommand(environ []string, io stdio) *cobra.Command {
	return group("quota", "Decide about requests for greater quotas", quotaListCommand(environ, io),
		quotaDecisionCommand(environ, io, "approve", "Give an account the quota that it asks for", server.QuotaApprovePath),
		quotaDecisionCommand(environ, io, "deny", "Deny a request for a greater quota", server.QuotaDenyPath))
}

func quotaListCommand(environ []string, io stdio) *cobra.Command {
	var all bool
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "list",
		Short: "List requests for greater quotas that wait",
		Long: `List the requests for greater quotas that wait to be approved or denied, the oldest
first. Accounts make them with aws service-quotas request-service-quota-increase.`,
		Args: cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		in := server.QuotaListRequest{Status: registry.QuotaPending}
		if all {
			in.Status = ""
		}
		list := server.QuotaListResponse{Requests: []server.QuotaRequest{}}
		for {
			var page server.QuotaListResponse
			if err := ask(server.QuotaListPath, in, &page); err != nil {
				return err
			}
			list.Requests = append(list.Requests, page.Requests...)
			if in.NextToken = page.NextToken; in.NextToken == "" {
				break
			}
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(list)
		}
		return printQuotaRequests(io.out, list.Requests)
	})
	cmd.Flags().BoolVar(&all, "all", false, "those that are approved or denied, too")
	addOutput(cmd, &output)
	return cmd
}

func printQuotaRequests(w io.Writer, requests []server.QuotaRequest) error {
	if len(requests) == 0 {
		_, err := fmt.Fprintln(w, "there are no requests")
		return err
	}
	t := table(w)
	fmt.Fprintln(t, "REQUEST\tACCOUNT\tREGION\tQUOTA\tVALUE\tSTATUS\tBY\tSINCE")
	for _, r := range requests {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.RequestID, r.AccountID, r.Region, r.Name, r.Desired, r.Status, r.Requester, r.CreatedAt.Format(time.RFC3339))
	}
	return t.Flush()
}

func quotaDecisionCommand(environ []string, io stdio, verb, short, path string) *cobra.Command {
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   verb + " REQUEST",
		Short: short,
		Long:  short + `. REQUEST is an id that berth quota list shows.`,
		Args:  cobra.ExactArgs(1),
	}, func(ask asker, args []string) error {
		var done server.QuotaRequest
		if err := ask(path, server.QuotaDecisionRequest{RequestID: args[0]}, &done); err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(done)
		}
		_, err := fmt.Fprintf(io.out, "%s: %s of account %s in %s: %d\n", done.Status, done.Name, done.AccountID, done.Region, done.Desired)
		return err
	})
	addOutput(cmd, &output)
	return cmd
}

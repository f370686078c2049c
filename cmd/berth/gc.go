package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"berth/internal/gc"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func gcCommand(environ []string, io stdio) *cobra.Command {
	return group("gc", "Look after the removal of what nothing reaches", gcRunCommand(environ, io), gcStatusCommand(environ, io), gcExplainCommand(environ, io))
}

func gcRunCommand(environ []string, io stdio) *cobra.Command {
	var output string
	var wait bool
	var in server.GCRunRequest
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "run",
		Short: "Remove now what nothing reaches",
		Long: `Have the running server remove what nothing reaches, which it also does by itself every
minute: deleted images and repositories that cannot be restored any more, layers that no
image refers to, and their bytes, an hour later. Pushes and pulls go on meanwhile. What
was done is done: a run that is interrupted goes on later.

With --full everything that is stored is looked through, too, for what nobody has noted.
The server does that once a day; there should be nothing.`,
		Args: cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		var asked server.GCRunResponse
		if err := ask(server.GCRunPath, in, &asked); err != nil {
			return err
		}
		for {
			var s server.GCStatusResponse
			if err := ask(server.GCStatusPath, server.GCStatusRequest{}, &s); err != nil {
				return err
			}
			if !wait || !s.Run.Running && s.Run.Served >= asked.Number {
				if err := printGC(io.out, s, output); err != nil {
					return err
				}
				if wait && s.Run.Error != "" {
					return exitCode(1)
				}
				return nil
			}
			if s.Run.Running {
				fmt.Fprintf(io.err, "%s: %d images, %d layers, %d objects removed\n", s.Run.Phase, s.Run.Images, s.Run.Layers, s.Run.Objects)
			}
			time.Sleep(gcPoll)
		}
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end of the run")
	cmd.Flags().BoolVar(&in.Full, "full", false, "also look through everything that is stored")
	addOutput(cmd, &output)
	return cmd
}

const gcPoll = 200 * time.Millisecond

func gcStatusCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "status",
		Short: "Show what was removed, and what waits for it",
		Long:  "Show how far the removal of what nothing reaches is, or what the last run has done, and what waits.",
		Args:  cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		var s server.GCStatusResponse
		if err := ask(server.GCStatusPath, server.GCStatusRequest{}, &s); err != nil {
			return err
		}
		return printGC(io.out, s, output)
	})
	addOutput(cmd, &output)
	return cmd
}

func printGC(w io.Writer, s gc.Status, output string) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(s)
	}
	what := "no run yet"
	switch {
	case s.Run.Running:
		what = "running since " + moment(s.Run.StartedAt) + ": " + s.Run.Phase
	case !s.Run.EndedAt.IsZero():
		what = fmt.Sprintf("the last run took %s and ended at %s", s.Run.EndedAt.Sub(s.Run.StartedAt).Round(time.Millisecond), moment(s.Run.EndedAt))
	}
	t := table(w)
	fmt.Fprintln(t, what)
	if s.Run.Error != "" {
		fmt.Fprintln(t, "it failed:", s.Run.Error)
	}
	fmt.Fprintln(t, "\tREPOSITORIES\tIMAGES\tLAYERS\tOBJECTS\tBYTES")
	fmt.Fprintf(t, "removed\t%d\t%d\t%d\t%d\t%d\n", s.Run.Repositories, s.Run.Images, s.Run.Layers, s.Run.Objects, s.Run.Bytes)
	fmt.Fprintf(t, "by all runs\t-\t%d\t%d\t%d\t%d\n", s.Run.Total.Images, s.Run.Total.Layers, s.Run.Total.Objects, s.Run.Total.Bytes)
	fmt.Fprintf(t, "waiting\t%d\t%d\t%d\t%d\t%d files\n", s.Queue.Repositories, s.Queue.Images, s.Queue.Layers, s.Queue.Objects, s.Queue.Keys)
	if s.Run.Found+s.Run.Orphans > 0 {
		fmt.Fprintf(t, "found that nobody had noted: %d layers and objects, %d files\n", s.Run.Found, s.Run.Orphans)
	}
	return t.Flush()
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func gcExplainCommand(environ []string, io stdio) *cobra.Command {
	var output string
	var in server.GCExplainRequest
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "explain DIGEST",
		Short: "Show why something is kept, or when and why it was removed",
		Long: `Show by what images and layers of a digest are kept, since when and until when, or when
they were removed, why, which repository had them last, and when the bytes go. Removals are
known for 30 days.`,
		Args: cobra.ExactArgs(1),
	}, func(ask asker, args []string) error {
		in.Digest = args[0]
		var e server.GCExplanation
		if err := ask(server.GCExplainPath, in, &e); err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(e)
		}
		return printKept(io.out, e)
	})
	cmd.Flags().StringVar(&in.Repository, "repository", "", "only in this repository")
	cmd.Flags().StringVar(&in.RegistryID, "registry-id", "", "whose repository that is (default: the administrator's)")
	cmd.Flags().StringVar(&in.Region, "registry-region", "", "the region of that (default: the server's)")
	addOutput(cmd, &output)
	return cmd
}

func printKept(w io.Writer, e gc.Explanation) error {
	if len(e.Kept)+len(e.Removed) == 0 {
		_, err := fmt.Fprintln(w, "nothing of that digest is kept, and nothing is known to have been removed")
		return err
	}
	t := table(w)
	for _, k := range e.Kept {
		line := []string{"kept", k.Kind, orDash(k.Holder), k.Text}
		if !k.Since.IsZero() {
			line = append(line, "since "+moment(k.Since))
		}
		if !k.Until.IsZero() {
			line = append(line, "until "+moment(k.Until))
		}
		fmt.Fprintln(t, strings.Join(line, "\t"))
	}
	for _, r := range e.Removed {
		bytes := ""
		switch {
		case r.BytesGone:
			bytes = "; its bytes are gone"
		case !r.BytesUntil.IsZero():
			bytes = "; its bytes go at " + moment(r.BytesUntil)
		}
		fmt.Fprintf(t, "removed\t%s\t%s\t%s\tat %s%s\n", r.Kind, orDash(r.Holder), r.Reason, moment(r.RemovedAt), bytes)
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

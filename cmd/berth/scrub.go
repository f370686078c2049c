package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"berth/internal/scrub"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func scrubCommand(environ []string, io stdio) *cobra.Command {
	return group("scrub", "Find damaged bytes while the server runs", scrubRunCommand(environ, io), scrubStatusCommand(environ, io))
}

func scrubRunCommand(environ []string, io stdio) *cobra.Command {
	var output string
	var wait bool
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "run",
		Short: "Have the server read all bytes that are stored",
		Long: `Have the running server read every object and hold it against its digest, as it does by
itself every scrub-interval, no faster than scrub-rate. A pass that is under way goes on.

What is missing or damaged goes into quarantine: it is served to nobody until its bytes
are had again, from a copy that another region or account of this server has, or from a
push. Clients that push are told that it is not there, and send it.

With --wait the exit code is 1 if something is in quarantine at the end.`,
		Args: cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		var s server.ScrubResponse
		if err := ask(server.ScrubRunPath, server.ScrubRequest{}, &s); err != nil {
			return err
		}
		for next := time.Now().Add(2 * time.Second); wait && s.Running; {
			time.Sleep(200 * time.Millisecond)
			if err := ask(server.ScrubStatusPath, server.ScrubRequest{}, &s); err != nil {
				return err
			}
			if now := time.Now(); now.After(next) && s.Pass != nil {
				next = now.Add(2 * time.Second)
				fmt.Fprintf(io.err, "%d objects, %d MiB read\n", s.Pass.Objects, s.Pass.Bytes>>20)
			}
		}
		return printScrub(io.out, s, output, wait)
	})
	addOutput(cmd, &output)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all is read")
	return cmd
}

func scrubStatusCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "status",
		Short: "Show what was read, and what is damaged",
		Long: `Show how far the server has come with reading all bytes that are stored, and which
objects are in quarantine. The exit code is 1 if there are any.`,
		Args: cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		var s server.ScrubResponse
		if err := ask(server.ScrubStatusPath, server.ScrubRequest{}, &s); err != nil {
			return err
		}
		return printScrub(io.out, s, output, true)
	})
	addOutput(cmd, &output)
	return cmd
}

// printScrub prints a status. Its error is the exit code 1 if something is damaged and
// that is asked for.
func printScrub(out io.Writer, s server.ScrubResponse, output string, asked bool) (err error) {
	if output == "json" {
		err = json.NewEncoder(out).Encode(s)
	} else {
		err = printScrubText(out, s)
	}
	if err == nil && asked && s.Damaged > 0 {
		err = exitCode(1)
	}
	return err
}

func printScrubText(out io.Writer, s server.ScrubResponse) error {
	lines := []string{}
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	counts := func(p *scrub.Pass) string {
		return fmt.Sprintf("%d objects with %d bytes read, %d found damaged, %d healed, %d under keys that cannot be used, %d unreadable",
			p.Objects, p.Bytes, p.Damaged, p.Healed, p.Locked, p.Unreadable)
	}
	if s.Pass != nil {
		add("under way since %s: %s", s.Pass.StartedAt.Local().Format(time.DateTime), counts(s.Pass))
	} else if s.Running {
		add("a pass begins")
	}
	if s.Last != nil {
		add("ended at %s: %s", s.Last.EndedAt.Local().Format(time.DateTime), counts(s.Last))
	}
	if !s.Next.IsZero() {
		add("the next pass begins at %s", s.Next.Local().Format(time.DateTime))
	}
	for _, d := range s.Objects {
		add("damaged %s in %s, %d bytes, since %s: %s", d.Digest, d.KeyDomain, d.Bytes, d.Since.Local().Format(time.DateTime), strings.Join(d.Repositories, ", "))
	}
	if s.Damaged == 0 {
		add("nothing is in quarantine")
	} else {
		add("%d objects are in quarantine: push their images again", s.Damaged)
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

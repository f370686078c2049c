package main

import (
	"encoding/json"
	"fmt"

	"berth/internal/server"

	"github.com/spf13/cobra"
)

func keysCommand(environ []string, io stdio) *cobra.Command {
	return group("keys", "Look after the keys that seal what is stored", rotateCommand(environ, io))
}

// rotation is what berth keys rotate prints at its end.
type rotation struct {
	Examined int    `json:"examined"`
	Resealed int    `json:"resealed"`
	Locked   int    `json:"locked"`
	Damaged  int    `json:"damaged"`
	Retired  bool   `json:"retired"`
	Master   string `json:"masterKeyId"`
}

func rotateCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "rotate",
		Short: "Seal anew what is sealed under earlier keys",
		Long: `Wrap the data keys of all objects and uploads anew, and seal secrets anew, wherever
that was done under an earlier master key or an earlier version of a KMS key. Nothing
is rewritten but these keys, and the server goes on meanwhile. What was done is done:
after an interruption, run it again.

To replace the master key, give the server the new one and name the old one among
old-master-keys (BERTH_OLD_MASTER_KEYS, or the configuration file). Where several
servers share a database, first name the new one there on all of them, so that each
can read what the others seal. Passwords, links and page tokens of the old key are
good as long as it is named.

Once it says that earlier master keys are retired, they can be taken out of
old-master-keys, after what was stored by then has been backed up. The exit code is 1
if they cannot.`,
		Args: cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		var done rotation
		for in := (server.RotateRequest{}); ; {
			var p server.RotateResponse
			if err := ask(server.RotatePath, in, &p); err != nil {
				return err
			}
			done.Examined += p.Examined
			done.Resealed += p.Resealed
			done.Locked += p.Locked
			done.Damaged += p.Damaged
			done.Retired, done.Master = p.Retired, p.Master
			if p.After == "" {
				break
			}
			fmt.Fprintf(io.err, "%s: %d looked at, %d sealed anew\n", p.Kind, done.Examined, done.Resealed)
			in.After = p.After
		}
		if err := printRotation(io, done, output); err != nil || done.Retired {
			return err
		}
		return exitCode(1)
	})
	addOutput(cmd, &output)
	return cmd
}

func printRotation(io stdio, done rotation, output string) error {
	if output == "json" {
		return json.NewEncoder(io.out).Encode(done)
	}
	verdict := "earlier master keys are retired: all is sealed under " + done.Master
	if !done.Retired {
		verdict = fmt.Sprintf("earlier master keys are still needed: of %d things the key cannot be used, %d are damaged", done.Locked, done.Damaged)
	}
	_, err := fmt.Fprintf(io.out, "%d looked at, %d sealed anew; %s\n", done.Examined, done.Resealed, verdict)
	return err
}

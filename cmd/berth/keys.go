package main

import (
	"encoding/json"
	"fmt"
	"time"

	"berth/internal/rotate"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func keysCommand(environ []string, io stdio) *cobra.Command {
	return group("keys", "Look after the keys that seal what is stored", rotateCommand(environ, io), wrapCommand(environ, io))
}

// rotation is what berth keys rotate prints at its end.
type rotation struct {
	Examined int    `json:"examined"`
	Resealed int    `json:"resealed"`
	Locked   int    `json:"locked"`
	Damaged  int    `json:"damaged"`
	Retired  bool   `json:"retired"`
	Master   string `json:"masterKeyId"`

	Blocked []rotate.Blocker `json:"blocked"`
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

To replace the master key of a server, give it the new one and name the old one among
old-master-keys (BERTH_OLD_MASTER_KEYS, or the configuration file), or its file in
old-master-key-files. Then run this.

Where several servers share a database, all must be able to read what any of them
seals. The order is:

 0. Every server runs this version. Earlier ones do not say which key they seal under,
    and nobody would wait for them.
 1. On every server, name the new key among old-master-keys. It is read, and not used
    for sealing yet.
 2. On every server, make the new key the master key, and name the old one among
    old-master-keys.
 3. Run this, once. It does not retire the old key while a server seals under it, and
    names that server. One that was killed counts as running for a quarter of an hour.
 4. Once it says that earlier master keys are retired, they can be taken out of
    old-master-keys, on all servers, after what was stored by then has been backed up:
    a backup from before needs the key of then.

Passwords, links and page tokens of an old key are good as long as it is named.

The exit code is 1 if earlier master keys are still needed; what for is said, with how
many there are, one of them, and why that one.`,
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
			done.Retired, done.Master, done.Blocked = p.Retired, p.Master, p.Blocked
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
		if done.Blocked == nil {
			done.Blocked = []rotate.Blocker{}
		}
		return json.NewEncoder(io.out).Encode(done)
	}
	verdict := "earlier master keys are retired: all is sealed under " + done.Master
	if !done.Retired {
		verdict = "earlier master keys are still needed"
	}
	if _, err := fmt.Fprintf(io.out, "%d looked at, %d sealed anew; %s\n", done.Examined, done.Resealed, verdict); err != nil {
		return err
	}
	for _, b := range done.Blocked {
		if _, err := fmt.Fprintln(io.out, "  "+blockedText(b, done.Master)); err != nil {
			return err
		}
	}
	return nil
}

// blockedText says what an earlier master key is needed for, and what to do.
func blockedText(b rotate.Blocker, master string) string {
	key := "the master key " + b.Master
	if b.Master == "" {
		key = "a master key that cannot be told"
	}
	if b.Kind == rotate.Servers {
		if b.Reason == rotate.Late {
			return fmt.Sprintf("a server that has ended has sealed under %s meanwhile: run this again", key)
		}
		return fmt.Sprintf("the server %s seals under %s, until %s at least: give it the master key %s, start it again, and then run this again; if it is gone for good, wait until then, and until PostgreSQL has given up its connections",
			b.Example, key, b.Until.UTC().Format(time.RFC3339), master)
	}
	what := map[rotate.Reason]string{
		rotate.Locked:  "the KMS key that is needed cannot be used: enable it and run this again",
		rotate.Damaged: "what is sealed does not open: see what berth fsck says; restore it from a backup, or delete it",
		rotate.Late:    "sealed under it meanwhile: run this again",
	}[b.Reason]
	return fmt.Sprintf("%d %s under %s, such as %s: %s", b.Count, b.Kind, key, b.Example, what)
}

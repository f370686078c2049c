package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"berth/internal/move"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func storageCommand(environ []string, io stdio) *cobra.Command {
	return group("storage", "Look after where layers are", migrateCommand(environ, io))
}

// migration is what berth storage migrate prints at its end.
type migration struct {
	From       string         `json:"from"`
	To         string         `json:"to"`
	Objects    int            `json:"objects"` // moved
	Bytes      int64          `json:"bytes"`
	Unverified int            `json:"unverified"` // of these, sealed under a key that cannot be used
	Failed     []move.Failure `json:"failed"`
	Unremoved  string         `json:"unremoved,omitempty"` // why something that was copied is still in From
	Left       move.Left      `json:"left"`                // in From
	Done       bool           `json:"done"`                // nothing will be in From any more
}

func migrateCommand(environ []string, io stdio) *cobra.Command {
	var output string
	var grace time.Duration
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "migrate",
		Short: "Move layers from the data directory to S3, or back",
		Long: `Have the running server move all layers from where its option storage-from says to
where storage says, key domain by key domain. Pushes and pulls go on meanwhile. Each
layer is copied, read back and held against its digest before the copy is used. Layers
that are sealed are copied as they are; one whose key cannot be used now is compared with
its copy only.

Start the server with storage and storage-from first: storage: s3://BUCKET/PREFIX and
storage-from: directory to move to S3, no storage and storage-from: s3://BUCKET/PREFIX to
move back. What was done is done: after an interruption, run it again. What was copied
stays where it was for an hour. Once nothing is left, storage-from can be taken out. A
backup of the database from before names bytes that are gone by then: make a new one.

The exit code is 1 if something is left: layers that are damaged or that a store does not
take, or uploads that were begun before and are under way, which end within a day.`,
		Args: cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		seconds := int64(grace / time.Second)
		done, err := migrate(io, ask, &seconds)
		if err != nil {
			return err
		}
		if output == "json" {
			err = json.NewEncoder(io.out).Encode(done)
		} else {
			err = done.print(io.out)
		}
		if err == nil && !done.Done {
			err = exitCode(1)
		}
		return err
	})
	cmd.Flags().DurationVar(&grace, "grace", move.Grace, "how long what was copied stays where it was, for those who are reading it")
	addOutput(cmd, &output)
	return cmd
}

// migrate takes steps until nothing more moves. Uploads that end meanwhile may leave
// objects behind it: then it begins again.
func migrate(io stdio, ask asker, grace *int64) (migration, error) {
	done := migration{}
	for moved := 1; moved > 0; {
		moved, done.Failed = 0, []move.Failure{}
		var all move.Left
		var bytes int64
		for in := (server.MigrateRequest{GraceSeconds: grace}); ; {
			var p server.MigrateResponse
			if err := ask(server.MigratePath, in, &p); err != nil {
				return done, err
			}
			done.add(p)
			moved, bytes = moved+p.Objects, bytes+p.Bytes
			if p.Left != nil {
				all = *p.Left
				all.Objects += int64(moved)
				all.Bytes += bytes
				done.Left = *p.Left
			}
			fmt.Fprintf(io.err, "%s to %s: %d of %d layers, %d of %d MiB moved\n", p.From, p.To, moved, all.Objects, (bytes+p.Copying)>>20, all.Bytes>>20)
			if p.After == nil {
				break
			}
			in.After = *p.After
		}
		if done.Left.Objects == int64(len(done.Failed)) {
			break
		}
	}
	done.Done = done.Left.Objects == 0 && done.Left.Uploads == 0
	return done, nil
}

func (m *migration) add(p server.MigrateResponse) {
	m.From, m.To = p.From, p.To
	m.Objects += p.Objects
	m.Bytes += p.Bytes
	m.Unverified += p.Unverified
	m.Unremoved = p.Unremoved
	m.Failed = append(m.Failed, p.Failed...)
}

func (m *migration) print(w io.Writer) error {
	for _, f := range m.Failed {
		if _, err := fmt.Fprintf(w, "%s stays: %s\n", f.Digest, f.Reason); err != nil {
			return err
		}
	}
	if m.Unverified > 0 {
		if _, err := fmt.Fprintf(w, "%d layers are sealed under keys that cannot be used: not held against their digests\n", m.Unverified); err != nil {
			return err
		}
	}
	verdict := "nothing is left: take storage-from out"
	switch {
	case !m.Done:
		verdict = fmt.Sprintf("%d layers and %d uploads are left: run it again", m.Left.Objects, m.Left.Uploads)
	case m.Unremoved != "":
		verdict = "nothing is left but what was copied. " + m.Unremoved
	case m.Left.Copied > 0:
		verdict = "nothing is left but what was copied, which goes at " + m.Left.Until.Local().Format(time.DateTime) + ": then take storage-from out"
	}
	_, err := fmt.Fprintf(w, "%d layers with %d bytes moved from %s to %s; %s\n", m.Objects, m.Bytes, m.From, m.To, verdict)
	return err
}

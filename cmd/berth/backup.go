package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"berth/internal/backup"
	"berth/internal/config"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func backupCommand(environ []string, io stdio) *cobra.Command {
	var output string
	var keep int
	cmd := &cobra.Command{
		Use:   "backup DIRECTORY",
		Short: "Back up a registry, whether it is running or not",
		Long: `Add a snapshot to the backup in a directory: the facts of one moment, and the layers
that they name. Give the options that the server has, and run it where the server's data
is. The server may go on, and so may pushes, pulls and deletes: no bytes are removed
while a backup is made.

Layers that are in the backup already are not copied again. After an interruption, run it
again. --keep N removes all but the last N snapshots, and the layers that only those had.

THE MASTER KEY IS NOT IN THE BACKUP, and without it the backup is worth nothing: what is
sealed is copied sealed. Keep a copy of DATA/master.key (or of what master-key-file names)
somewhere else, and one of DATA/root-key.json.

The exit code is 1 if layers are missing, not whole or not to be read. The snapshot is made
nevertheless, and names them: it has all others.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(cmd.Flags(), environ)
			if err == nil && keep < 0 {
				err = errors.New("keep: give a number of snapshots, or 0 to keep all")
			}
			if err != nil {
				return err
			}
			res, err := server.Backup(cmd.Context(), c, args[0], server.BackupOptions{Keep: keep, Berth: version, Progress: copying(io, "backed up")})
			if err == nil {
				err = show(io.out, output, res, printBackup)
			}
			if err == nil && len(res.Missing) > 0 {
				err = exitCode(1)
			}
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().IntVar(&keep, "keep", 0, "how many snapshots to keep, this one included (0: all)")
	addOutput(cmd, &output)
	cmd.AddCommand(backupListCommand(io), backupVerifyCommand(environ, io))
	return cmd
}

// show writes a result as JSON, or as print does.
func show[R any](w io.Writer, output string, r R, print func(io.Writer, R) error) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	return print(w, r)
}

// copying reports every few seconds how far something has come.
func copying(io stdio, done string) func(backup.Progress) {
	next := time.Now().Add(2 * time.Second)
	return func(p backup.Progress) {
		if now := time.Now(); now.After(next) {
			next = now.Add(2 * time.Second)
			fmt.Fprintf(io.err, "%d of %d objects, %d of %d MiB %s\n", p.Objects, p.AllObjects, p.Bytes>>20, p.AllBytes>>20, done)
		}
	}
}

func printBackup(w io.Writer, r *backup.Result) error {
	if err := printMissing(w, r.Missing); err != nil {
		return err
	}
	removed := ""
	if len(r.PrunedIDs) > 0 {
		removed = fmt.Sprintf("; %d snapshots and %d objects removed", len(r.PrunedIDs), r.PrunedObjects)
	}
	for _, warning := range r.Warnings {
		if _, err := fmt.Fprintln(w, "warning:", warning); err != nil {
			return err
		}
	}
	if r.NotAuthenticated != "" {
		if _, err := fmt.Fprintf(w, "not authenticated, so that restoring it takes --unauthenticated: %s\n", r.NotAuthenticated); err != nil {
			return err
		}
	}
	key := "nothing in it is sealed"
	if len(r.MasterKeys) > 0 {
		key = "it is worth nothing without the master key " + strings.Join(r.MasterKeys, " and ") + ", which is NOT in it: keep that somewhere else"
	}
	_, err := fmt.Fprintf(w, "snapshot %s: %d repositories, %d images, %d tags; %d objects copied (%d bytes), %d there already%s; %s\n",
		r.ID, r.Repositories, r.Images, r.Tags, r.Copied, r.CopiedBytes, r.Present, removed, key)
	return err
}

// printMissing names objects that are not there, and who has them.
func printMissing(w io.Writer, missing []backup.Missing) error {
	for _, m := range missing {
		var held []string
		for _, h := range m.Held {
			text := h.Repository
			if len(h.Tags) > 0 {
				text += ":" + strings.Join(h.Tags, ",")
			}
			held = append(held, text)
		}
		if len(held) == 0 {
			held = []string{"nobody"}
		}
		if _, err := fmt.Fprintf(w, "missing: %s: %s; in %s\n", m.Digest, m.Reason, strings.Join(held, " ")); err != nil {
			return err
		}
	}
	return nil
}

func backupListCommand(io stdio) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list DIRECTORY",
		Short: "List the snapshots of a backup",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := server.Snapshots(args[0])
			if err != nil {
				return err
			}
			return show(io.out, output, all, printSnapshots)
		},
	}
	addOutput(cmd, &output)
	return cmd
}

func printSnapshots(w io.Writer, all []backup.Manifest) error {
	t := table(w)
	fmt.Fprintln(t, "SNAPSHOT\tREPOSITORIES\tIMAGES\tTAGS\tMIB\tMISSING\tMASTER KEY\tAUTHENTICATED BY\tBERTH")
	for _, m := range all {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", m.ID, m.Repositories, m.Images, m.Tags, m.Bytes>>20, len(m.Missing), strings.Join(m.MasterKeys, ","), cmp.Or(m.AuthenticatedBy, "nobody"), m.Berth)
	}
	return t.Flush()
}

func backupVerifyCommand(environ []string, io stdio) *cobra.Command {
	var output, snapshot string
	var repair bool
	cmd := &cobra.Command{
		Use:   "verify DIRECTORY",
		Short: "Check that all of a backup is there and whole",
		Long: `Read and hash every object of a snapshot, the last one if none is given. Give the
options that the server has for its master key: without it, objects that are sealed are
only looked at for their sizes, and nothing shows that the snapshot is what the registry has
made. If the key shows that it is not, that is an error. The exit code is 1 if anything is missing or damaged.

--repair removes what is damaged from the backup, so that the next berth backup copies it
again: without, it takes a file of the right size for the one that it has copied.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(cmd.Flags(), environ)
			if err != nil {
				return err
			}
			verify := server.VerifyBackup
			if repair {
				verify = server.RepairBackup
			}
			v, err := verify(cmd.Context(), c, args[0], snapshot, copying(io, "verified"))
			if err == nil {
				err = show(io.out, output, v, printVerified)
			}
			if err == nil && len(v.Lost) > 0 {
				err = exitCode(1)
			}
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&repair, "repair", false, "remove objects that are damaged: the next backup copies them again")
	cmd.Flags().StringVar(&snapshot, "snapshot", "", "the snapshot's id (default: the last one)")
	addOutput(cmd, &output)
	return cmd
}

func printVerified(w io.Writer, v *server.Verification) error {
	if err := printMissing(w, v.Lost); err != nil {
		return err
	}
	verdict := "clean: all bytes are there and whole"
	switch {
	case len(v.Lost) > 0:
		verdict = fmt.Sprintf("%d objects are missing or damaged, and %d of them removed", len(v.Lost), v.Removed)
	case v.NoKey != "":
		verdict = fmt.Sprintf("all bytes are there; %d objects are sealed and only their sizes were looked at: %s", v.Sealed, v.NoKey)
	case v.Sealed > 0:
		verdict = fmt.Sprintf("all bytes are there; %d objects are sealed under keys that cannot be used, and only their sizes were looked at", v.Sealed)
	}
	if v.Authenticated {
		verdict += "; authentic"
	} else {
		verdict += "; " + v.NotAuthenticated
	}
	_, err := fmt.Fprintf(w, "snapshot %s: %d objects with %d bytes checked; %s\n", v.Snapshot, v.Objects, v.Bytes, verdict)
	return err
}

func restoreCommand(environ []string, io stdio) *cobra.Command {
	var output string
	var o server.RestoreOptions
	cmd := &cobra.Command{
		Use:   "restore DIRECTORY",
		Short: "Restore a registry from a backup",
		Long: `Restore a snapshot of the backup in a directory, the last one if none is given, to an
empty data directory, or to an empty PostgreSQL database, and an empty S3 bucket: wherever
the options say, whatever the backup was made of. After an interruption, run it again.

Put the master key in its place first (DATA/master.key, unless an option says otherwise),
and DATA/root-key.json, or the server makes another root key when it starts. Nothing is
written if the master key is not the one that the backup was sealed under.

Uploads that were not finished and temporary credentials are not restored. What was
revoked or deleted after the backup was made is as it was then.

The master key also shows that the snapshot is what the registry has made. One that was
changed since is refused, and one that no key shows to be authentic, unless
--unauthenticated is given: it has users and policies, and whoever has made it could have
made any.

If objects are missing from the backup they are named and the exit code is 1. Nothing is
restored then, unless --partial is given.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(cmd.Flags(), environ)
			if err != nil {
				return err
			}
			o.Progress = copying(io, "restored")
			res, err := server.Restore(cmd.Context(), c, args[0], o)
			if err == nil {
				err = show(io.out, output, res, printRestored)
			}
			if err == nil && len(res.Missing) > 0 {
				err = exitCode(1)
			}
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&o.Snapshot, "snapshot", "", "the snapshot's id (default: the last one)")
	cmd.Flags().BoolVar(&o.Trust, "unauthenticated", false, "restore a snapshot though nothing shows that this registry has made it")
	cmd.Flags().BoolVar(&o.Partial, "partial", false, "restore what is there, if objects are missing")
	addOutput(cmd, &output)
	return cmd
}

func printRestored(w io.Writer, r *server.Restored) error {
	if err := printMissing(w, r.Missing); err != nil {
		return err
	}
	verdict := fmt.Sprintf("restored in %.1f s: %d repositories, %d images, %d tags, %d objects; berth fsck reads and hashes all of it",
		r.Seconds, r.Repositories, r.Images, r.Tags, r.Objects+r.Present)
	if !r.Done {
		verdict = "not restored: objects are missing; --partial restores the others, or take another snapshot"
	}
	_, err := fmt.Fprintf(w, "snapshot %s of %s %s\n", r.Snapshot, r.TakenAt.Local().Format(time.DateTime), verdict)
	return err
}

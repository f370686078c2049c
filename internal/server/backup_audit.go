package server

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"berth/internal/access"
	"berth/internal/backup"
	"berth/internal/config"
	"berth/internal/metadata"
)

// recordPatience is how long a database may take for the record of a backup.
const recordPatience = 30 * time.Second

// operated is what an audit record says of a backup or a restore: nobody has called the
// server, somebody who can read what it stores has run a command.
type operated struct {
	Directory        string `json:"directory"`
	Snapshot         string `json:"snapshot,omitempty"`
	Objects          int64  `json:"objects"`
	Missing          int    `json:"missing"`
	Authenticated    bool   `json:"authenticated"`
	Host             string `json:"host,omitempty"`
	User             string `json:"user,omitempty"` // of the operating system
	NotAuthenticated string `json:"notAuthenticated,omitempty"`
}

// operation returns the record of a command that has ended.
func operation(c *config.Config, event, dir string, at time.Time, o operated, err error) access.Record {
	if path, err := filepath.Abs(dir); err == nil {
		dir = path
	}
	o.Directory = dir
	o.Host, _ = os.Hostname() // "" if it has none
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	r := access.Record{
		Time: at, Caller: access.Caller{Account: c.Account}, Service: "berth", Event: event, Account: c.Account, Region: c.Region,
		ReadOnly: event == "BackupRegistry", Details: o,
	}
	if err != nil {
		r.Error, r.Message = "Failed", err.Error()
	}
	return r
}

// recordBackup leaves a record of a backup, also of one that has failed.
func recordBackup(ctx context.Context, c *config.Config, source *metadata.Source, dir string, at time.Time, res *backup.Result, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer cancel()
	var o operated
	if res != nil {
		o = operated{Snapshot: res.ID, Objects: res.Objects, Missing: len(res.Missing), Authenticated: res.AuthenticatedBy != "", NotAuthenticated: res.NotAuthenticated}
	}
	if err := source.Record(ctx, operation(c, "BackupRegistry", dir, at, o, err)); err != nil {
		return fmt.Errorf("leave an audit record: %w", err)
	}
	return nil
}

// recordRestore leaves a record in a database that is about to be put in its place.
func recordRestore(ctx context.Context, c *config.Config, path, dir string, r *Restored) (err error) {
	db, err := metadata.SQLiteSource(ctx, path)
	if err != nil {
		return err
	}
	o := operated{Snapshot: r.Snapshot, Objects: r.Objects + r.Present, Missing: len(r.Missing), Authenticated: r.By != ""}
	err = db.Record(ctx, operation(c, "RestoreRegistry", dir, time.Now(), o, nil))
	if failure := db.Close(); err == nil {
		err = failure
	}
	return err
}

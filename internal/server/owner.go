package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth/internal/blob"
	"berth/internal/config"
	"berth/internal/metadata"
)

// A database has an id, and every place with layers has the id of the database that
// names them: what a database does not name is garbage, so that one which is empty, or
// another one's, would have all of it removed.

// owners is what the database is asked for its id with.
type owners interface {
	DatabaseID() (string, error)
	NameDatabase(id string) (string, error)
}

// claimPlaces has the places with layers be this database's, before anything is written
// there. It fails, and changes no place, if one is another's. The id is durable in the
// database before it is in a place: who is interrupted goes on with the same one.
func (s *Server) claimPlaces(ctx context.Context, places *blob.Places) error {
	store := metadata.For[owners, owners](s.db)
	var id string
	err := store.View(ctx, func(tx owners) (err error) {
		id, err = tx.DatabaseID()
		return err
	})
	if err == nil && id == "" {
		err = store.Keep(ctx, func(tx owners) (err error) {
			id, err = tx.NameDatabase(strings.ToLower(rand.Text()))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("the database's id: %w", err)
	}
	return claimFor(ctx, s.config, places, id)
}

// checkPlaces is claimPlaces for who only looks: places that are nobody's stay so.
func (s *Server) checkPlaces(ctx context.Context, places *blob.Places) error {
	var id string
	err := metadata.For[owners, owners](s.db).View(ctx, func(tx owners) (err error) {
		id, err = tx.DatabaseID()
		return err
	})
	if err != nil {
		return fmt.Errorf("the database's id: %w", err)
	}
	return checkFor(ctx, s.config, places, id)
}

// claimFor claims places for the database of an id.
func claimFor(ctx context.Context, c *config.Config, places *blob.Places, id string) error {
	if err := checkFor(ctx, c, places, id); err != nil {
		return err
	}
	for place, bucket := range places.At {
		owned, ok := bucket.(blob.Owned)
		if !ok {
			continue
		}
		is, err := owned.Claim(ctx, id)
		if err != nil {
			return fmt.Errorf("%s: say whose the layers are: %w", placeName(c, place), err)
		}
		if is != id {
			return errOwned(c, place, is, id)
		}
	}
	return nil
}

func checkFor(ctx context.Context, c *config.Config, places *blob.Places, id string) error {
	for place, bucket := range places.At {
		owned, ok := bucket.(blob.Owned)
		if !ok {
			continue
		}
		is, err := owned.Owner(ctx)
		if err != nil {
			return fmt.Errorf("%s: see whose the layers are: %w", placeName(c, place), err)
		}
		if is != "" && is != id {
			return errOwned(c, place, is, id)
		}
	}
	return nil
}

func errOwned(c *config.Config, place, is, id string) error {
	if id == "" {
		id = "none yet"
	}
	name := placeName(c, place)
	return fmt.Errorf("%s has the layers of another database: of %s, and the id of this one is %s. "+
		"--database, --data or --storage is wrong, or the database is lost: bring it back with berth restore, to an empty place. "+
		"If this database is to have the place, delete %s/owner by hand; all that it does not know of there is removed a week later", name, is, id, name)
}

// placeName is what a place is called.
func placeName(c *config.Config, place string) string {
	if place == blob.InDirectory {
		return filepath.Join(c.Data, blobsDir)
	}
	if c.Storage != "" {
		return c.Storage
	}
	return c.StorageFrom
}

// restoringID is the file with the id of the database that is being restored.
const restoringID = restoringDir + ".id"

// claimRestored claims the places for the database that is being restored, and returns
// its id. It is the same when an interrupted restore goes on.
func (s *Server) claimRestored(ctx context.Context, places *blob.Places) (string, error) {
	text, err := once(filepath.Join(s.config.Data, restoringID), func() ([]byte, error) { return []byte(strings.ToLower(rand.Text()) + "\n"), nil })
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(text))
	return id, claimFor(ctx, s.config, places, id)
}

// endRestored forgets the id: the database has it.
func (s *Server) endRestored() error { return os.Remove(filepath.Join(s.config.Data, restoringID)) }

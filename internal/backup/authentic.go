package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"berth/internal/durable"
)

// authenticFile says that a manifest is authentic, with the sum of the facts in it.
const authenticFile = "manifest.mac"

// Key authenticates manifests. It is derived from a master key, and implemented by package
// seal.
type Key interface {
	MAC(fields ...string) []byte
	Verify(mac []byte, fields ...string) bool
}

// Authenticator is a Key and the id of the master key that it is of.
type Authenticator struct {
	Key
	MasterKey string
}

// authentic is the JSON of authenticFile.
type authentic struct {
	MasterKey string `json:"masterKeyId"`
	MAC       []byte `json:"mac"` // HMAC-SHA256 of the bytes of the manifest
}

var (
	// ErrForged: a snapshot is not what the registry has made that it is said to be of.
	ErrForged = errors.New("it is not authentic: it was changed after it was made, or made by somebody else")
	// ErrUnauthenticated: it is not known who has made a snapshot.
	ErrUnauthenticated = errors.New("it is not authenticated")
)

// Authenticate holds the manifest of a snapshot against its MAC: the error is ErrForged if
// that is wrong. It is ErrUnauthenticated if there is none, or if known has no key for it:
// known returns nil for the id of a master key that is not to be had.
func (t *Target) Authenticate(id string, known func(masterKey string) Key) error {
	dir := filepath.Join(t.dir, snapshotsDir, id)
	a, err := readAuthentic(dir)
	if err != nil {
		return err
	}
	if a.MasterKey == "" {
		return fmt.Errorf("snapshot %s: %w: the backup was made without the master key", id, ErrUnauthenticated)
	}
	key := known(a.MasterKey)
	if key == nil {
		return fmt.Errorf("snapshot %s: %w without the master key %s", id, ErrUnauthenticated, a.MasterKey)
	}
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return err
	}
	if !key.Verify(a.MAC, string(text)) {
		return fmt.Errorf("snapshot %s: %w", id, ErrForged)
	}
	return nil
}

// readAuthentic returns what says that a snapshot is authentic, nothing if nothing does.
func readAuthentic(dir string) (a authentic, err error) {
	text, err := os.ReadFile(filepath.Join(dir, authenticFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Join(dir, authenticFile), err)
	}
	return a, err
}

// authenticate writes what says that a manifest, which is still to be written, is authentic.
func authenticate(dir string, manifest []byte, by *Authenticator) error {
	text, err := json.Marshal(authentic{by.MasterKey, by.MAC(string(manifest))})
	if err != nil {
		return err
	}
	return durable.Write(filepath.Join(dir, authenticFile), append(text, '\n'))
}

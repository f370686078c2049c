package server

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"berth/internal/config"
	"berth/internal/durable"
	"berth/internal/identity"

	"github.com/gofrs/flock"
)

// The files of a data directory. The layers are in a directory of their own.
const (
	lockFile     = "lock"
	masterFile   = "master.key"
	rootFile     = "root-key.json"
	databaseFile = "berth.db"
	blobsDir     = "blobs"
)

// ErrInUse is returned for a data directory that another process has open.
var ErrInUse = errors.New("another berth uses this data directory")

// lockData makes the data directory if it is not there and locks it until the
// file returned is closed or the process ends, however it ends.
func lockData(dir string) (*flock.Flock, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	l := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	return l, nil
}

// rootKeyFile is the JSON of the file that holds the root's access key.
type rootKeyFile struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// RootKey returns the access key of the default account's root: from the
// configuration, or from the data directory, where it is made at the first
// start.
func RootKey(c *config.Config) (identity.AccessKey, error) {
	if c.RootAccessKeyID != "" {
		return identity.AccessKey{ID: c.RootAccessKeyID, Secret: c.RootSecretAccessKey}, nil
	}
	path := filepath.Join(c.Data, rootFile)
	text, err := once(path, func() ([]byte, error) {
		b, err := json.MarshalIndent(rootKeyFile{newAccessKeyID(), newSecret()}, "", "  ")
		return append(b, '\n'), err
	})
	if err != nil {
		return identity.AccessKey{}, fmt.Errorf("root access key: %w", err)
	}
	return parseRootKey(path, text)
}

// ReadRootKey returns the access key that the server at an address goes by, as far
// as it is in the configuration or in the data directory. It makes none.
func ReadRootKey(c *config.Config, a Address) (identity.AccessKey, error) {
	if c.RootAccessKeyID != "" {
		return identity.AccessKey{ID: c.RootAccessKeyID, Secret: c.RootSecretAccessKey}, nil
	}
	if !a.OwnKey {
		return identity.AccessKey{}, errors.New("the server was given its root access key: give BERTH_ROOT_ACCESS_KEY_ID and BERTH_ROOT_SECRET_ACCESS_KEY here too")
	}
	path := filepath.Join(c.Data, rootFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return identity.AccessKey{}, err
	}
	return parseRootKey(path, text)
}

func parseRootKey(path string, text []byte) (identity.AccessKey, error) {
	var f rootKeyFile
	if err := json.Unmarshal(text, &f); err != nil || f.AccessKeyID == "" || f.SecretAccessKey == "" {
		return identity.AccessKey{}, fmt.Errorf("%s holds no access key: restore it, or remove it to have a new one made", path)
	}
	return identity.AccessKey{ID: f.AccessKeyID, Secret: f.SecretAccessKey}, nil
}

// newAccessKeyID returns an id in the form of AWS's.
func newAccessKeyID() string { return "AKIA" + rand.Text()[:16] }

// newSecret returns 240 random bits in forty characters.
func newSecret() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// once returns the content of a file that only its owner can read; if it is not
// there it is made, durably, with what create returns.
func once(path string, create func() ([]byte, error)) ([]byte, error) {
	text, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = create(); err != nil {
		return nil, err
	}
	if err := durable.Write(path, text); err != nil {
		return nil, err
	}
	return text, nil
}

// makeDir makes a directory and those that it is in, as far as they are not there,
// durably.
func makeDir(dir string) error {
	_, err := os.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(parent)
}

// databaseURL returns what of a database's URL anybody may read: where it is. A password
// may be before the @ or among the parameters.
func databaseURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return "postgres://..."
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

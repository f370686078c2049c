package credential

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Cache keeps passwords in a directory that only its owner may read, one file for
// each endpoint and access key:
//
//	<first half of the SHA-256 of endpoint, region, kind and access key id>.json
//
// Several processes can use it at the same time: files are replaced as a whole.
// What cannot be read is not there, and what cannot be written is not kept.
type Cache struct {
	Dir string // "" to keep nothing
}

type cacheKey struct {
	endpoint, region, accessKeyID string
	public                        bool
}

// entry is what a file holds.
type entry struct {
	Endpoint string `json:"endpoint"`
	Password
}

// maxEntry bounds what is read of a file, in bytes.
const maxEntry = 64 << 10

func (c Cache) file(k cacheKey) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{k.endpoint, k.region, strconv.FormatBool(k.public), k.accessKeyID}, "\n")))
	return filepath.Join(c.Dir, hex.EncodeToString(sum[:16])+".json")
}

// get returns the password that is kept under a key.
func (c Cache) get(k cacheKey) (Password, bool) {
	if c.Dir == "" {
		return Password{}, false
	}
	e, ok := read(c.file(k))
	return e.Password, ok && e.Endpoint == k.endpoint
}

// entryName is what the names of files are like. Others in the directory are not
// ours.
var entryName = regexp.MustCompile(`\A[0-9a-f]{32}\.json\z`)

// read reads a file that nobody but its owner could read, or have written.
func read(name string) (e entry, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return e, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !ownersOnly(info.Mode()) {
		return e, false
	}
	text, err := io.ReadAll(io.LimitReader(f, maxEntry))
	return e, err == nil && json.Unmarshal(text, &e) == nil && e.Secret != ""
}

// put keeps a password, and removes those that have expired.
func (c Cache) put(k cacheKey, p Password, now time.Time) {
	if c.Dir == "" || os.MkdirAll(c.Dir, 0o700) != nil {
		return
	}
	c.remove(func(e entry) bool { return !e.Expires.After(now) })
	text, err := json.Marshal(entry{k.endpoint, p})
	if err != nil {
		return
	}
	f, err := os.CreateTemp(c.Dir, "new-*") // with 0600
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), c.file(k))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

// Forget removes the passwords of an endpoint.
func (c Cache) Forget(endpoint string) {
	c.remove(func(e entry) bool { return e.Endpoint == endpoint })
}

// remove removes the entries that a function chooses.
func (c Cache) remove(choose func(entry) bool) {
	if c.Dir == "" {
		return
	}
	names, _ := filepath.Glob(filepath.Join(c.Dir, "*.json")) // a bad pattern has no files
	for _, name := range names {
		if !entryName.MatchString(filepath.Base(name)) {
			continue
		}
		if e, ok := read(name); ok && choose(e) {
			_ = os.Remove(name) // another process may have been first
		}
	}
}

package s3bucket

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"

	"berth/internal/blob"
)

// state is all that is known of a suspended upload. It is kept by the caller, as
// JSON.
type state struct {
	Version   int    `json:"v"`
	Size      int64  `json:"size"` // bytes received: of the parts and the tail
	multipart        // of the object
	Tail      tail   `json:"tail,omitzero"`
	Prior     string `json:"prior,omitempty"` // the generation of the tail before
}

// multipart is a multipart upload of the store.
type multipart struct {
	ID    string `json:"id,omitempty"` // "" if it has not begun
	Sums  bool   `json:"sums,omitempty"`
	Parts []part `json:"parts,omitempty"`
}

// part is a part of a multipart upload.
type part struct {
	ETag string `json:"e"`
	Sum  string `json:"s,omitempty"` // CRC-32C, if the upload has sums
}

// tail is the object that holds the bytes after the last part. There is none if
// its size is 0.
type tail struct {
	Generation string `json:"gen"`
	Size       int64  `json:"size"`
	Sum        string `json:"s"` // CRC-32C
}

const stateVersion = 1

// parseState reads the state of an upload that had size bytes.
func parseState(text []byte, size int64) (state, error) {
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.Version != stateVersion || s.Size != size {
		return state{}, blob.ErrUploadLost
	}
	return s, nil
}

func (s state) text() ([]byte, error) {
	s.Version = stateVersion
	return json.Marshal(s)
}

const (
	minPart = 5 << 20 // the least that S3 takes but for the last part
	midPart = 10 << 20
	maxPart = 16 << 20

	maxParts = 10_000

	// memory is what the parts of one upload may take.
	memory = 48 << 20
)

// plan says how large the parts of an object are: small at first, so that little has
// to be sent again, and growing, so that there are enough of them. After the last of
// its steps a part is a section: an object of its own, made of so many parts of the
// last step's size, which the store copies. So an object can be as large as a store
// allows while the memory that an upload takes stays the same.
type plan struct {
	steps   []step
	section int
}

type step struct{ parts, size int }

// standardPlan reaches 52 GiB before the first section, and more than 5 TiB with
// sections of 1.2 GiB.
var standardPlan = plan{[]step{{2000, minPart}, {2000, midPart}, {1500, maxPart}}, 75}

// size returns the size of part number n, counted from 1, or of a part of the section
// that it is.
func (p plan) size(n int) int {
	for _, s := range p.steps {
		if n -= s.parts; n <= 0 {
			return s.size
		}
	}
	return p.steps[len(p.steps)-1].size
}

// isSection reports whether part number n is a section.
func (p plan) isSection(n int) bool {
	for _, s := range p.steps {
		n -= s.parts
	}
	return n > 0
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumText returns a CRC as S3 writes it.
func sumText(crc uint32) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], crc)
	return base64.StdEncoding.EncodeToString(b[:])
}

func newGeneration() string { return random(8) }

// newKey returns a key that was never used.
func newKey() string { return random(16) }

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

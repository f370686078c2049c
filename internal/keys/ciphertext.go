package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// A ciphertext blob is
//
//	version (1 byte, 1) | key id (16) | number of the backing key (4, big endian) |
//	salt (16) | nonce (12) | ciphertext and tag
//
// sealed with AES-256-GCM under a key that HKDF-SHA256 derives from the backing key
// with the salt and the label "berth kms message". What comes before the ciphertext is
// authenticated, and after it a tuple of texts: what the blob is for, the key's ARN,
// and the encryption context by name. Each text has its length before it, and the
// tuple how many there are.
const (
	blobVersion = 1
	saltSize    = 16
	nonceSize   = 12
	saltAt      = 1 + 16 + 4
	nonceAt     = saltAt + saltSize
	blobHeader  = nonceAt + nonceSize
	tagSize     = 16
	backingSize = 32
	label       = "berth kms message"
)

// blobHead says which backing key of which key a ciphertext blob was made with.
type blobHead struct {
	key    string
	number uint32
}

// parseBlob reads the head of a ciphertext blob. Nothing in it is authentic yet.
func parseBlob(b []byte) (blobHead, bool) {
	if len(b) < blobHeader+tagSize || b[0] != blobVersion {
		return blobHead{}, false
	}
	id, err := uuid.FromBytes(b[1:17])
	return blobHead{id.String(), binary.BigEndian.Uint32(b[17:saltAt])}, err == nil
}

// encryptBlob returns a ciphertext blob.
func encryptBlob(h blobHead, backing, plain []byte, about []string) ([]byte, error) {
	id, err := uuid.Parse(h.key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, blobHeader, blobHeader+len(plain)+tagSize)
	out[0] = blobVersion
	copy(out[1:], id[:])
	binary.BigEndian.PutUint32(out[17:], h.number)
	rand.Read(out[saltAt:]) // never fails, see crypto/rand
	aead, err := messageKey(backing, out[saltAt:nonceAt])
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, out[nonceAt:blobHeader], plain, appendTuple(slices.Clone(out[:blobHeader]), about)), nil
}

// decryptBlob returns the plain text of a ciphertext blob whose head was read. Errors:
// InvalidCiphertextException.
func decryptBlob(backing, b []byte, about []string) ([]byte, error) {
	aead, err := messageKey(backing, b[saltAt:nonceAt])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, b[nonceAt:blobHeader], b[blobHeader:], appendTuple(slices.Clone(b[:blobHeader]), about))
	if err != nil {
		return nil, errCiphertext()
	}
	return plain, nil
}

func messageKey(backing, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, backing, salt, label, backingSize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func appendTuple(b []byte, texts []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(texts)))
	for _, t := range texts {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	return b
}

// What blobs are for: one never passes for another.
const (
	forCaller   = "encrypt"
	forService  = "wrap"
	contextSize = 8192 // bytes of an encryption context
)

// aboutContext is what a blob of a caller is bound to.
func aboutContext(arn string, using map[string]string) []string {
	out := []string{forCaller, arn}
	for _, name := range slices.Sorted(maps.Keys(using)) {
		out = append(out, name, using[name])
	}
	return out
}

// auditable returns what is recorded of an encryption context: nothing of one that is
// refused.
func auditable(using map[string]string) map[string]string {
	if checkContext(using) != nil {
		return nil
	}
	return using
}

// checkContext checks an encryption context. Condition keys do not tell names apart
// that differ in case only: there are none.
func checkContext(using map[string]string) error {
	size, seen := 0, map[string]bool{}
	for name, value := range using {
		size += len(name) + len(value)
		folded := strings.ToLower(name)
		if name == "" || seen[folded] {
			return errValidation("The names in an encryption context are not empty and differ in more than case.")
		}
		seen[folded] = true
	}
	if size > contextSize {
		return errValidation("The encryption context is longer than %d bytes.", contextSize)
	}
	return nil
}

// randomID returns 64 random hexadecimal digits.
func randomID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

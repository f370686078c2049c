package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

const testKey = "01234567-89ab-cdef-0123-456789abcdef"

// knownBlob was made with the backing key of 32 times 42, of "the plain text".
const knownBlob = "010123456789abcdef0123456789abcdef0000000783aaf0897170a62d00bc3baea3d1ec24cbaee4c3ad372d1ce10ef6a590111609f7362d89ddd811b7265461ef8d9311997f59b078c57bd6fed3e6"

func readKnown() []byte {
	b, _ := hex.DecodeString(knownBlob)
	return b
}

func TestAKnownBlobIsRead(t *testing.T) {
	about := aboutContext("arn", map[string]string{"a": "1"})
	h, ok := parseBlob(readKnown())
	plain, err := decryptBlob(bytes.Repeat([]byte{42}, 32), readKnown(), about)
	if !ok || h != (blobHead{testKey, 7}) || err != nil || string(plain) != "the plain text" {
		t.Errorf("the known blob is of %v and holds %q, %v", h, plain, err)
	}
}

// A blob is what the comment above its constants says: this reads it from that alone.
func TestABlobIsWhatIsDocumented(t *testing.T) {
	backing := bytes.Repeat([]byte{42}, 32)
	about := aboutContext("arn", map[string]string{"b": "2", "a": "1"})
	blob, err := encryptBlob(blobHead{testKey, 7}, backing, []byte("the plain text"), about)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := hex.DecodeString("0123456789abcdef0123456789abcdef")
	if blob[0] != 1 || !bytes.Equal(blob[1:17], id) || binary.BigEndian.Uint32(blob[17:21]) != 7 {
		t.Errorf("the head is %x", blob[:21])
	}
	key, err := hkdf.Key(sha256.New, backing, blob[21:37], "berth kms message", 32)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := aes.NewCipher(key)
	aead, _ := cipher.NewGCM(block)
	associated := append(bytes.Clone(blob[:49]), 6)
	for _, s := range []string{"encrypt", "arn", "a", "1", "b", "2"} {
		associated = append(append(associated, byte(len(s))), s...)
	}
	plain, err := aead.Open(nil, blob[37:49], blob[49:], associated)
	if err != nil || string(plain) != "the plain text" {
		t.Errorf("the blob holds %q, %v", plain, err)
	}
	other, err := encryptBlob(blobHead{testKey, 7}, backing, []byte("the plain text"), about)
	if err != nil || bytes.Equal(other[21:37], blob[21:37]) || bytes.Equal(other[37:49], blob[37:49]) {
		t.Errorf("two blobs have one salt or one nonce: %v", err)
	}
}

// FuzzBlob looks for blobs that are read although nobody has made them.
func FuzzBlob(f *testing.F) {
	backing := bytes.Repeat([]byte{42}, 32)
	good, about := readKnown(), aboutContext("arn", map[string]string{"a": "1"})
	for _, b := range [][]byte{nil, {1}, good, good[:len(good)-1], make([]byte, blobHeader+tagSize), append(bytes.Clone(good), 0)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseBlob(b)
		if !ok {
			return
		}
		if !uuidText.MatchString(h.key) {
			t.Errorf("parseBlob(%x) = the key %q", b, h.key)
		}
		if plain, err := decryptBlob(backing, b, about); err == nil && !bytes.Equal(b, good) {
			t.Errorf("%x holds %q", b, plain)
		}
	})
}

// Contexts that differ are bound differently, however their texts are cut.
func FuzzContext(f *testing.F) {
	f.Add("ab", "c", "a", "bc")
	f.Add("", "x", "x", "")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		one := appendTuple(nil, aboutContext("arn", map[string]string{a: b}))
		two := appendTuple(nil, aboutContext("arn", map[string]string{c: d}))
		if bytes.Equal(one, two) != (a == c && b == d) {
			t.Errorf("contexts {%q: %q} and {%q: %q}", a, b, c, d)
		}
	})
}

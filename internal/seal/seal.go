// Package seal derives keys from the one master key and uses them to seal and
// to authenticate small values: login tokens, page tokens, download links.
//
// It is pure. Layers are not sealed here but in package blob.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// MasterSize is the length of a master key in bytes.
const MasterSize = 32

// Master is the key that all others are derived from, by HKDF-SHA256 with a
// label for each purpose.
type Master struct {
	secret []byte
	id     [idSize]byte
	old    []*Master
}

const (
	version   = 1
	idSize    = 4
	nonceSize = 12
	header    = 1 + idSize + nonceSize
)

// ErrMaster is returned for text that is no master key.
var ErrMaster = errors.New("a master key is 32 bytes, as 64 hexadecimal digits or as base64")

// ErrOpen is returned for a value that was not sealed by this key for this
// context, or that has been altered. It never says more.
var ErrOpen = errors.New("sealed value is not authentic")

// NewMaster returns a master key from the system's random source.
func NewMaster() *Master {
	b := make([]byte, MasterSize)
	rand.Read(b) // never fails, see crypto/rand
	return fromSecret(b)
}

// ParseMaster reads a key as [Master.Text] writes it, or in hexadecimal. White
// space around it is ignored.
func ParseMaster(text []byte) (*Master, error) {
	text = bytes.TrimSpace(text)
	if b, err := hex.DecodeString(string(text)); err == nil && len(b) == MasterSize {
		return fromSecret(b), nil
	}
	if b, err := base64.StdEncoding.DecodeString(string(text)); err == nil && len(b) == MasterSize {
		return fromSecret(b), nil
	}
	return nil, ErrMaster
}

func fromSecret(b []byte) *Master {
	m := &Master{secret: b}
	copy(m.id[:], m.derive("key id", idSize))
	return m
}

// WithOld returns the master key with others that came before it: what they sealed
// and authenticated is still opened and verified, and nothing new is.
func (m *Master) WithOld(old ...*Master) *Master {
	return &Master{secret: m.secret, id: m.id, old: old}
}

// ID returns the name of the key that every sealed value has in it, in hexadecimal.
func (m *Master) ID() string { return hex.EncodeToString(m.id[:]) }

// IDs returns the names of the key and of those that came before it.
func (m *Master) IDs() []string {
	out := []string{m.ID()}
	for _, o := range m.old {
		out = append(out, o.ID())
	}
	return out
}

// Current reports whether a value was sealed under this master key and not under
// one that came before it. It does not look at anything else.
func (m *Master) Current(sealed []byte) bool { return IDOf(sealed) == m.ID() }

// Prefix returns how every value begins that is sealed under the master key, and no
// other does.
func (m *Master) Prefix() []byte { return append([]byte{version}, m.id[:]...) }

// IDOf returns the name of the master key that a value was sealed under, "" if it is
// no sealed value.
func IDOf(sealed []byte) string {
	if len(sealed) < header || sealed[0] != version {
		return ""
	}
	return hex.EncodeToString(sealed[1 : 1+idSize])
}

// Text returns the key in base64, for the file that keeps it.
func (m *Master) Text() []byte {
	return []byte(base64.StdEncoding.EncodeToString(m.secret))
}

func (m *Master) derive(purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, m.secret, nil, "berth "+purpose, n)
	if err != nil {
		panic(err) // only for lengths beyond 8,160 bytes
	}
	return b
}

// Key returns the key for one purpose. Values of one purpose never open, and
// never verify, under another.
func (m *Master) Key(purpose string) *Key {
	block, err := aes.NewCipher(m.derive(purpose+" seal", 32))
	if err != nil {
		panic(err) // only for a wrong key size
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for a block size other than AES's
	}
	k := &Key{id: m.id, aead: aead, mac: m.derive(purpose+" mac", 32)}
	for _, o := range m.old {
		k.old = append(k.old, o.Key(purpose))
	}
	return k
}

// Key seals and authenticates values of one purpose. It is safe for concurrent
// use.
type Key struct {
	id   [idSize]byte
	aead cipher.AEAD
	mac  []byte
	old  []*Key // of the master keys that came before
}

// Current reports whether a value was sealed under the present master key. It does
// not look at anything else.
func (k *Key) Current(sealed []byte) bool {
	return len(sealed) > idSize && bytes.Equal(sealed[1:1+idSize], k.id[:])
}

// Seal encrypts plain with AES-256-GCM and binds it to context, which must be
// given again to open it. The result is
//
//	version (1 byte, 1) | master key id (4) | nonce (12) | ciphertext and tag
//
// with version and key id authenticated too. One key may seal 2^32 values.
func (k *Key) Seal(plain []byte, context string) []byte {
	out := make([]byte, header, header+len(plain)+k.aead.Overhead())
	out[0] = version
	copy(out[1:], k.id[:])
	rand.Read(out[1+idSize : header])
	return k.aead.Seal(out, out[1+idSize:header], plain, k.associated(out, context))
}

// Open returns what [Key.Seal] was given, or [ErrOpen].
func (k *Key) Open(sealed []byte, context string) ([]byte, error) {
	if !k.Current(sealed) {
		for _, o := range k.old {
			if o.Current(sealed) {
				return o.Open(sealed, context)
			}
		}
	}
	if len(sealed) < header+k.aead.Overhead() || sealed[0] != version || !bytes.Equal(sealed[1:1+idSize], k.id[:]) {
		return nil, ErrOpen
	}
	plain, err := k.aead.Open(nil, sealed[1+idSize:header], sealed[header:], k.associated(sealed, context))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

func (k *Key) associated(sealed []byte, context string) []byte {
	return append(bytes.Clone(sealed[:1+idSize]), context...)
}

// MAC authenticates a tuple of fields with HMAC-SHA256. Each field is preceded
// by its length, so that no two tuples have the same input.
func (k *Key) MAC(fields ...string) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write(tuple(fields))
	return h.Sum(nil)
}

// Verify reports in constant time whether mac is the MAC of fields.
func (k *Key) Verify(mac []byte, fields ...string) bool {
	if hmac.Equal(mac, k.MAC(fields...)) {
		return true
	}
	for _, o := range k.old {
		if o.Verify(mac, fields...) {
			return true
		}
	}
	return false
}

// tuple encodes fields unambiguously: their number, then each with its length.
func tuple(fields []string) []byte {
	b := binary.AppendUvarint(nil, uint64(len(fields)))
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}

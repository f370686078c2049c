package server_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// This reads a store as docs/format.md describes it, with nothing of the program.

func formatKey(t *testing.T, secret, salt []byte, info string) cipher.AEAD {
	t.Helper()
	key, err := hkdf.Key(sha256.New, secret, salt, info, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm
}

func formatOpen(t *testing.T, gcm cipher.AEAD, nonce, sealed, bound []byte) []byte {
	t.Helper()
	plain, err := gcm.Open(nil, nonce, sealed, bound)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func formatNumber(t *testing.T, b *[]byte) int {
	t.Helper()
	n, k := binary.Uvarint(*b)
	if k <= 0 {
		t.Fatal("no number")
	}
	*b = (*b)[k:]
	return int(n)
}

// formatObject is a row of objects.
type formatObject struct {
	domain, digest, key, keyID string
	size, format               int
	envelope, content          []byte
}

// formatValue opens a sealed value of a purpose. master is the master key.
func formatValue(t *testing.T, master []byte, purpose, context string, value []byte) []byte {
	t.Helper()
	return formatOpen(t, formatKey(t, master, nil, "berth "+purpose+" seal"), value[5:17], value[17:], append(bytes.Clone(value[:5]), context...))
}

// formatBacking are sealed backing keys of KMS keys, by key and number, and their contexts.
type formatBacking map[string]struct {
	sealed  []byte
	context string
}

// unwrap opens what a KMS key has wrapped.
func (k formatBacking) unwrap(t *testing.T, master []byte, arn, about string, wrapped []byte) []byte {
	t.Helper()
	id, number := hex.EncodeToString(wrapped[1:17]), binary.BigEndian.Uint32(wrapped[17:21])
	of := k[fmt.Sprintf("%s %d", id, number)]
	backing := formatValue(t, master, "kms key", of.context, of.sealed)
	bound := append(bytes.Clone(wrapped[:49]), 3)
	for _, text := range []string{"wrap", arn, about} {
		bound = append(binary.AppendUvarint(bound, uint64(len(text))), text...)
	}
	return formatOpen(t, formatKey(t, backing, wrapped[21:37], "berth kms message"), wrapped[37:49], wrapped[49:], bound)
}

// read returns the object's bytes.
func (o formatObject) read(t *testing.T, master []byte, kms formatBacking, s *servertest.Server) []byte {
	t.Helper()
	parts := strings.SplitN(o.domain, "/", 4)
	rest := o.envelope[1:]
	var keys [][]byte
	for layer := range int(o.envelope[0]) {
		n := formatNumber(t, &rest)
		value := rest[:n]
		rest = rest[n:]
		context := fmt.Sprintf("berth object, format %d, layer %d\n%s\n%s\n%d", o.format, layer, o.domain, o.digest, o.size)
		if o.keyID == "" {
			keys = append(keys, formatValue(t, master, "data keys of "+parts[0]+"/"+parts[1], context, value))
		} else {
			keys = append(keys, kms.unwrap(t, master, o.keyID, context, value[1:]))
		}
	}
	list := rest
	for layer := len(keys) - 1; layer >= 0; layer-- {
		list = formatOpen(t, formatKey(t, keys[layer], nil, "berth pieces"), list[:12], list[12:], nil)
	}
	type piece struct {
		first int
		salt  []byte
	}
	var pieces []piece
	for range formatNumber(t, &list) {
		first := formatNumber(t, &list)
		pieces = append(pieces, piece{first, list[:16]})
		list = list[16:]
	}
	stored, chunk := o.content, len(o.content)
	if o.key != "" {
		key := strings.TrimPrefix(o.key, "s3:")
		stored = s.ReadFile(t, "objects/"+key[:2]+"/"+key)
		chunk = 65_536 + 16*len(keys)
	}
	var plain []byte
	for n := 0; len(stored) > 0; n++ {
		sealed := stored[:min(chunk, len(stored))]
		stored = stored[len(sealed):]
		for len(pieces) > 1 && pieces[1].first <= n {
			pieces = pieces[1:]
		}
		nonce := binary.BigEndian.AppendUint64(make([]byte, 4), uint64(n))
		for layer := len(keys) - 1; layer >= 0; layer-- {
			last := byte(0)
			if len(stored) == 0 {
				last = 1
			}
			bound := binary.BigEndian.AppendUint64([]byte{byte(o.format), byte(layer), last}, uint64(n))
			sealed = formatOpen(t, formatKey(t, keys[layer], pieces[0].salt, "berth chunks"), nonce, sealed, bound)
		}
		plain = append(plain, sealed...)
	}
	return plain
}

func TestAStoreCanBeReadByWhatIsDocumented(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	key := s.CreateKey(t)
	createSealed(t, s, "aes", types.EncryptionTypeAes256, nil)
	createSealed(t, s, "dsse", types.EncryptionTypeKmsDsse, &key)
	c := s.Login(t)
	for _, repository := range []string{"aes", "dsse"} {
		c.Push(t, repository, "v1", servertest.NewImage(1, 0, 1, 65_535, 65_536, 65_537, 131_072, 300_000))
		// One that came in several requests.
		whole := servertest.Bytes(9, 400_000)
		at := c.Do(t, "POST", "/v2/"+repository+"/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		for _, part := range [][]byte{whole[:10], whole[10:100_000], whole[100_000:100_001], whole[100_001:]} {
			at = c.Do(t, "PATCH", at, part).Want(t, 202).Header.Get("Location")
		}
		sum := sha256.Sum256(whole)
		c.Do(t, "PUT", at+"?digest=sha256:"+hex.EncodeToString(sum[:]), nil).Want(t, 201)
	}
	s.Stop(t)
	db, err := sql.Open("sqlite", filepath.Join(s.Config.Data, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kms := formatBacking{}
	materials, err := db.QueryContext(t.Context(), `SELECT key_id, number, id, sealed FROM kms_materials`)
	if err != nil {
		t.Fatal(err)
	}
	defer materials.Close()
	for materials.Next() {
		var key, id string
		var number int
		var sealed []byte
		if err := materials.Scan(&key, &number, &id, &sealed); err != nil {
			t.Fatal(err)
		}
		of := kms[fmt.Sprintf("%s %d", strings.ReplaceAll(key, "-", ""), number)]
		of.sealed, of.context = sealed, key+" "+id
		kms[fmt.Sprintf("%s %d", strings.ReplaceAll(key, "-", ""), number)] = of
	}
	rows, err := db.QueryContext(t.Context(), `SELECT key_domain, digest, key, key_id, size, format, wrapped_key, content FROM objects`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	master, _ := hex.DecodeString(s.Config.MasterKey) // it is hexadecimal
	read := map[string]int{}
	for rows.Next() {
		var o formatObject
		if err := rows.Scan(&o.domain, &o.digest, &o.key, &o.keyID, &o.size, &o.format, &o.envelope, &o.content); err != nil {
			t.Fatal(err)
		}
		plain := o.read(t, master, kms, s)
		if sum := sha256.Sum256(plain); o.digest != "sha256:"+hex.EncodeToString(sum[:]) || len(plain) != o.size {
			t.Errorf("%s of format %d reads as %d bytes of another digest", o.digest, o.format, len(plain))
		}
		read["format "+strconv.Itoa(o.format)]++
	}
	if read["format 1"] != 10 || read["format 2"] != 10 {
		t.Errorf("objects read: %v, want 10 of each format", read)
	}
}

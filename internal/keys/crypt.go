package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"

	"berth/internal/access"
)

// Use is how a call uses a key.
type Use struct {
	Key     string // its id, its ARN, an alias or an alias's ARN; "" where a ciphertext says
	Context map[string]string
	Tokens  []string // of grants
	DryRun  bool
}

func (u Use) params() params {
	return params{"keyId": u.Key, "encryptionContext": auditable(u.Context), "dryRun": u.DryRun}
}

// check returns what is wrong with the use, after the key was found to be usable.
func (k *Keyring) check(u Use, key *Key) error {
	if err := checkContext(u.Context); err != nil {
		return err
	}
	if err := k.checkTokens(u.Tokens); err != nil {
		return err
	}
	if err := key.usable(); err != nil {
		return err
	}
	if u.DryRun {
		return errDryRun()
	}
	return nil
}

// entered is a key that a call may use, with all its backing keys.
type entered struct {
	*Key
	materials []Material
}

// newest is the backing key that encrypts.
func (e entered) newest() Material { return e.materials[len(e.materials)-1] }

// algorithmKey is the condition key that has the algorithm, which is that of the keys,
// in the operations that name one.
const algorithmKey = "kms:EncryptionAlgorithm"

var algorithmic = []string{"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"}

// enterUse decides a call that uses a key and reads the key.
func (k *Keyring) enterUse(ctx context.Context, tx ReadTx, q *request, u Use, t target) (entered, error) {
	q.using = u.Context
	if slices.Contains(algorithmic, cmp.Or(q.action, q.event)) {
		q.set(algorithmKey, symmetric)
	}
	key, err := k.enter(ctx, tx, q, t)
	if err != nil {
		return entered{}, err
	}
	if err := k.check(u, key); err != nil {
		return entered{}, err
	}
	all, err := tx.KMSMaterials(key.ID)
	if err == nil && len(all) == 0 {
		err = errNoKey(key.ARN())
	}
	return entered{key, all}, err
}

// conclude leaves the record of a call that was decided by reading.
func (k *Keyring) conclude(q *request, err error) error {
	q.readOnly = true
	k.auditor.Record(q.record(k.now(), err))
	return err
}

// encrypt encrypts with the newest backing key.
func (k *Keyring) encrypt(ctx context.Context, e entered, plain []byte, about []string) ([]byte, error) {
	m := e.newest()
	backing, err := k.backing(ctx, m)
	if err != nil {
		return nil, err
	}
	return encryptBlob(blobHead{e.ID, m.Number}, backing, plain, about)
}

// decrypt decrypts what any of the backing keys has encrypted.
func (k *Keyring) decrypt(ctx context.Context, e entered, blob []byte, about []string) (plain []byte, material string, err error) {
	h, ok := parseBlob(blob)
	if !ok || h.key != e.ID {
		return nil, "", errCiphertext()
	}
	m, ok := numbered(e.materials, h.number)
	if !ok {
		return nil, "", errCiphertext()
	}
	backing, err := k.backing(ctx, m)
	if err != nil {
		return nil, "", err
	}
	plain, err = decryptBlob(backing, blob, about)
	return plain, m.ID, err
}

// Encrypted is a ciphertext and what made it.
type Encrypted struct {
	Blob     []byte
	Key      string // the ARN
	Material string // the id of the backing key
}

// Encrypt encrypts up to 4096 bytes. Errors: NotFoundException, DisabledException,
// KMSInvalidStateException, InvalidGrantTokenException, DryRunOperationException,
// ValidationException.
func (k *Keyring) Encrypt(ctx context.Context, c access.Call, u Use, plain []byte) (Encrypted, error) {
	return k.encryptFor(ctx, c, "Encrypt", u, func() ([]byte, error) { return plain, nil })
}

// encryptFor is a call that encrypts what make returns once the call was decided.
func (k *Keyring) encryptFor(ctx context.Context, c access.Call, event string, u Use, make func() ([]byte, error)) (out Encrypted, err error) {
	q := &request{call: c, event: event, params: u.params()}
	var e entered
	err = k.reading(ctx, q, func(tx ReadTx) error {
		t, err := k.find(tx, q, u.Key)
		if err == nil {
			e, err = k.enterUse(ctx, tx, q, u, t)
		}
		return err
	})
	var plain []byte
	if err == nil {
		plain, err = make()
	}
	if err == nil {
		out.Key, out.Material = e.ARN(), e.newest().ID
		out.Blob, err = k.encrypt(ctx, e, plain, aboutContext(e.ARN(), u.Context))
	}
	return out, k.conclude(q, err)
}

// GenerateDataKey returns so many random bytes and their ciphertext. Errors are those
// of Encrypt.
func (k *Keyring) GenerateDataKey(ctx context.Context, c access.Call, u Use, spec string, size int) (plain []byte, out Encrypted, err error) {
	return k.generate(ctx, c, "GenerateDataKey", u, spec, size)
}

// GenerateDataKeyWithoutPlaintext is GenerateDataKey without the bytes themselves.
func (k *Keyring) GenerateDataKeyWithoutPlaintext(ctx context.Context, c access.Call, u Use, spec string, size int) (Encrypted, error) {
	_, out, err := k.generate(ctx, c, "GenerateDataKeyWithoutPlaintext", u, spec, size)
	return out, err
}

var specSizes = map[string]int{"AES_256": 32, "AES_128": 16}

func (k *Keyring) generate(ctx context.Context, c access.Call, event string, u Use, spec string, size int) (plain []byte, out Encrypted, err error) {
	out, err = k.encryptFor(ctx, c, event, u, func() ([]byte, error) {
		if (spec == "") == (size == 0) {
			return nil, errValidation("Please specify either number of bytes or key spec.")
		}
		if spec != "" {
			size = specSizes[spec]
		}
		plain = make([]byte, size)
		rand.Read(plain)
		return plain, nil
	})
	return plain, out, err
}

// GenerateRandom returns so many random bytes. Errors: ValidationException.
func (k *Keyring) GenerateRandom(ctx context.Context, c access.Call, size int) ([]byte, error) {
	q := &request{call: c, event: "GenerateRandom", params: params{"numberOfBytes": size}}
	err := k.decide(ctx, q, c.Account, "*")
	if err == nil && size == 0 {
		err = errValidation("NumberOfBytes is required.")
	}
	if k.conclude(q, err) != nil {
		return nil, err
	}
	out := make([]byte, size)
	rand.Read(out)
	return out, nil
}

// Decrypted is a plain text and what was needed for it.
type Decrypted struct {
	Plain    []byte
	Key      string // the ARN
	Material string // the id of the backing key
}

// Decrypt decrypts a ciphertext. The encryption context must be that which it was made
// with. Errors: InvalidCiphertextException, IncorrectKeyException, and those of
// Encrypt.
func (k *Keyring) Decrypt(ctx context.Context, c access.Call, u Use, blob []byte) (out Decrypted, err error) {
	q := &request{call: c, event: "Decrypt", params: u.params()}
	var e entered
	err = k.reading(ctx, q, func(tx ReadTx) (err error) {
		e, err = k.enterCiphertext(ctx, tx, q, u, blob)
		return err
	})
	if err == nil {
		out.Key = e.ARN()
		out.Plain, out.Material, err = k.decrypt(ctx, e, blob, aboutContext(out.Key, u.Context))
	}
	return out, k.conclude(q, err)
}

// enterCiphertext is enterUse for the key that a ciphertext says it was made with, or
// that the call names: then it must be that.
func (k *Keyring) enterCiphertext(ctx context.Context, tx ReadTx, q *request, u Use, blob []byte) (entered, error) {
	h, ok := parseBlob(blob)
	if u.Key != "" {
		t, err := k.find(tx, q, u.Key)
		if err != nil {
			return entered{}, err
		}
		e, err := k.enterUse(ctx, tx, q, u, t)
		switch {
		case err != nil:
			return e, err
		case !ok:
			return e, errCiphertext()
		case h.key != e.ID:
			return e, errIncorrectKey()
		}
		return e, nil
	}
	if !ok {
		return entered{}, k.refuseCiphertext(ctx, q)
	}
	key, err := tx.KMSKey(h.key)
	if err != nil {
		return entered{}, err
	}
	t := target{account: q.call.Account, region: q.call.Region, arn: keyARN(q.call.Account, q.call.Region, h.key), missing: errCiphertext()}
	t.named = t.arn // whoever's the key is
	if key != nil && key.Region == q.call.Region {
		t.account, t.arn, t.key = key.Account, key.ARN(), key
	}
	return k.enterUse(ctx, tx, q, u, t)
}

// refuseCiphertext is for what is no ciphertext of ours.
func (k *Keyring) refuseCiphertext(ctx context.Context, q *request) error {
	if err := k.decide(ctx, q, q.call.Account, "*"); err != nil {
		return err
	}
	return errCiphertext()
}

// ReEncrypted is a ciphertext and which backing keys of which keys it was made from
// and with.
type ReEncrypted struct {
	Encrypted
	Source         string // the ARN
	SourceMaterial string
}

// ReEncrypt decrypts a ciphertext and encrypts it with another key or another
// encryption context. Who asks must be allowed both. Errors are those of Decrypt.
func (k *Keyring) ReEncrypt(ctx context.Context, c access.Call, from, to Use, blob []byte) (out ReEncrypted, err error) {
	q := &request{call: c, event: "ReEncrypt", params: params{
		"sourceKeyId": from.Key, "destinationKeyId": to.Key, "sourceEncryptionContext": auditable(from.Context), "destinationEncryptionContext": auditable(to.Context),
	}}
	dry := from.DryRun
	from.DryRun = false
	var source, dest entered
	err = k.reading(ctx, q, func(tx ReadTx) (err error) {
		t, err := k.find(tx, q, to.Key)
		if err != nil {
			return err
		}
		h, ok := parseBlob(blob)
		q.set("kms:ReEncryptOnSameKey", truth(ok && t.key != nil && t.key.ID == h.key))
		q.action = "ReEncryptFrom"
		if source, err = k.enterCiphertext(ctx, tx, q, from, blob); err != nil {
			return err
		}
		q.action = "ReEncryptTo"
		dest, err = k.enterUse(ctx, tx, q, to, t)
		return err
	})
	if err == nil {
		out.Source, out.Key, out.Material = source.ARN(), dest.ARN(), dest.newest().ID
		var plain []byte
		plain, out.SourceMaterial, err = k.decrypt(ctx, source, blob, aboutContext(out.Source, from.Context))
		if err == nil && dry {
			err = errDryRun()
		}
		if err == nil {
			out.Blob, err = k.encrypt(ctx, dest, plain, aboutContext(out.Key, to.Context))
		}
	}
	return out, k.conclude(q, err)
}

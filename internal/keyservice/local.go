package keyservice

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// localKeeper is a key that is in the URL itself, so that a test needs no service.
type localKeeper struct{ aead cipher.AEAD }

var _ keeper = localKeeper{}

func openLocal(u *url.URL) (keeper, error) {
	if _, err := parameters(u); err != nil {
		return nil, err
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(u.Host, "="))
	if err != nil || len(key) != 32 || u.Path != "" {
		return nil, errors.New("its key is not 32 bytes in the base64 of URLs")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return localKeeper{aead}, err
}

func (l localKeeper) encrypt(_ context.Context, plain []byte, id string) ([]byte, error) {
	return l.aead.Seal(nil, nil, plain, []byte(id)), nil
}

func (l localKeeper) decrypt(_ context.Context, wrapped []byte, id string) ([]byte, error) {
	plain, err := l.aead.Open(nil, nil, wrapped, []byte(id))
	if err != nil {
		return nil, errors.New("another key has wrapped it")
	}
	return plain, nil
}

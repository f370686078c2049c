package keyservice

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"os"
	"strconv"

	"github.com/hashicorp/vault/api"
)

// vaultKeeper is a key of Vault's transit engine.
type vaultKeeper struct {
	client      *api.Client
	engine, key string
}

var _ keeper = (*vaultKeeper)(nil)

// openVault finds Vault as its own tools do, by VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE,
// VAULT_CACERT and the like.
func openVault(u *url.URL) (keeper, error) {
	given, err := parameters(u, "engine")
	if err != nil {
		return nil, err
	}
	key, err := keyName(u)
	if err != nil {
		return nil, err
	}
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, c.Error
	}
	if skip, _ := strconv.ParseBool(os.Getenv(api.EnvVaultSkipVerify)); skip {
		return nil, errors.New("VAULT_SKIP_VERIFY would let anybody pose as Vault: give its certificate in VAULT_CACERT")
	}
	if os.Getenv(api.EnvVaultAddress) == "" && os.Getenv(api.EnvVaultAgentAddr) == "" {
		return nil, errors.New("VAULT_ADDR does not say where Vault is")
	}
	client, err := api.NewClient(c)
	if err != nil {
		return nil, errors.New("VAULT_ADDR is not http(s)://HOST[:PORT]")
	}
	return &vaultKeeper{client, cmp.Or(given["engine"], "transit"), key}, nil
}

// ask returns one text of the answer.
func (v *vaultKeeper) ask(ctx context.Context, operation, name, value, wanted string) (string, error) {
	secret, err := v.client.Logical().WriteWithContext(ctx, v.engine+"/"+operation+"/"+v.key, map[string]any{name: value})
	if err != nil {
		return "", err
	}
	if secret != nil {
		if text, ok := secret.Data[wanted].(string); ok {
			return text, nil
		}
	}
	return "", errors.New("its answer has no " + wanted)
}

func (v *vaultKeeper) encrypt(ctx context.Context, plain []byte, _ string) ([]byte, error) {
	text, err := v.ask(ctx, "encrypt", "plaintext", base64.StdEncoding.EncodeToString(plain), "ciphertext")
	return []byte(text), err
}

func (v *vaultKeeper) decrypt(ctx context.Context, wrapped []byte, _ string) ([]byte, error) {
	text, err := v.ask(ctx, "decrypt", "ciphertext", string(wrapped), "plaintext")
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("its answer is not base64") // and not err, which tells of it
	}
	return plain, nil
}

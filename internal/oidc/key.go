package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	minRSABits = 2048
	maxRSABits = 8192
	maxKeys    = 200
)

// algorithms says of each algorithm which keys are for it. A key is never used
// with another: that is how a public key would come to be a shared secret.
var algorithms = map[string]func(public any) bool{
	string(jose.RS256): func(public any) bool {
		k, ok := public.(*rsa.PublicKey)
		return ok && k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits && k.E >= 3 && k.E%2 == 1
	},
	string(jose.ES256): func(public any) bool {
		k, ok := public.(*ecdsa.PublicKey)
		return ok && k.Curve == elliptic.P256()
	},
}

// key is a key of an issuer, good for one algorithm.
type key struct {
	id, alg string
	public  any
}

// keyMembers are the members of a JWK that say what its key is. Certificates that
// come with it are not looked at.
var keyMembers = []string{"kty", "n", "e", "crv", "x", "y"}

// parseKeys returns the keys of a JWK set, RFC 7517, that can verify tokens. Others
// are left out: a set may have keys for other purposes.
func parseKeys(document []byte) ([]key, error) {
	set, err := parseObject(document)
	if err != nil {
		return nil, fmt.Errorf("the set of keys %w", err)
	}
	list, ok := set["keys"].([]any)
	if !ok {
		return nil, errors.New("the set of keys has no keys")
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("the set has more than %d keys", maxKeys)
	}
	var out []key
	for _, v := range list {
		if members, ok := v.(map[string]any); ok {
			out = append(out, parseKey(members)...)
		}
	}
	return out, nil
}

// parseKey returns no key or one.
func parseKey(members map[string]any) []key {
	id, _ := members["kid"].(string)
	if use, there := members["use"]; id == "" || there && use != "sig" {
		return nil
	}
	if ops, there := members["key_ops"]; there {
		if list, ok := ops.([]any); !ok || !slices.Contains(list, any("verify")) {
			return nil
		}
	}
	if _, private := members["d"]; private {
		return nil // whoever signs with it, it need not be the issuer
	}
	material := map[string]any{}
	for _, name := range keyMembers {
		if v, there := members[name]; there {
			material[name] = v
		}
	}
	text, err := json.Marshal(material)
	if err != nil {
		return nil
	}
	var k jose.JSONWebKey
	if k.UnmarshalJSON(text) != nil {
		return nil
	}
	for alg, fits := range algorithms {
		if want, there := members["alg"]; fits(k.Key) && (!there || want == alg) {
			return []key{{id, alg, k.Key}}
		}
	}
	return nil
}

// signedBy reports whether one of the keys has signed the token, whose algorithm
// theirs must be.
func (u *unverified) signedBy(keys []key) bool {
	signed, err := jose.ParseSignedCompact(u.text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(u.alg)})
	if err != nil {
		return false
	}
	for _, k := range keys {
		if k.alg != u.alg {
			continue
		}
		if _, err := signed.Verify(k.public); err == nil {
			return true
		}
	}
	return false
}

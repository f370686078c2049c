package oidc

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxToken is how many bytes a token has at most.
const MaxToken = 20_000

// Token is what a verified token says.
type Token struct {
	Issuer          string
	Subject         string
	Audience        []string // at least one
	AuthorizedParty string   // the claim azp; "" if there is none
	IssuedAt        time.Time
	ExpiresAt       time.Time

	// Claims has every claim that is a text, a number, a truth or a list of those,
	// as texts.
	Claims map[string][]string
	// Tags are the session tags that the claim https://aws.amazon.com/tags asks for.
	Tags map[string]string
	// TransitiveTags are the keys of those that are passed on from role to role.
	TransitiveTags []string
}

// unverified is a token that has the right form. Nobody has vouched for it.
type unverified struct {
	text   string
	alg    string // RS256 or ES256
	kid    string
	claims map[string]any
}

// Issuer returns the issuer that a token says it has. Nobody has vouched for it:
// it is good for finding out whom to ask. Errors: InvalidIdentityToken.
func Issuer(token string) (string, error) {
	u, err := parse(token)
	if err != nil {
		return "", err
	}
	return u.text1("iss")
}

var compact = regexp.MustCompile(`\A([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\z`)

// parse reads a token in the compact serialization of RFC 7515, with one
// signature.
func parse(token string) (*unverified, error) {
	if len(token) > MaxToken {
		return nil, errMalformed()
	}
	parts := compact.FindStringSubmatch(token)
	if parts == nil {
		return nil, errMalformed()
	}
	var documents [3][]byte
	for i, part := range parts[1:] {
		var err error
		if documents[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, errMalformed()
		}
	}
	header, err := parseObject(documents[0])
	if err != nil {
		return nil, errMalformed()
	}
	u := &unverified{text: token}
	if u.claims, err = parseObject(documents[1]); err != nil || anyTwice(u.claims) {
		return nil, errMalformed()
	}
	return u, u.readHeader(header)
}

// anyTwice reports whether two claims have the same name but for the case, which
// condition keys do not tell apart.
func anyTwice(claims map[string]any) bool {
	seen := make(map[string]bool, len(claims))
	for name := range claims {
		seen[strings.ToLower(name)] = true
	}
	return len(seen) < len(claims)
}

// readHeader takes the algorithm and the name of the key from the header. Keys
// and addresses of keys in it (jwk, jku, x5u, x5c) are never looked at.
func (u *unverified) readHeader(header map[string]any) error {
	for _, name := range []string{"crit", "b64", "zip", "enc"} {
		if _, there := header[name]; there {
			return errInvalid("The ID Token provided has the header %s, which is not supported.", name)
		}
	}
	if typ, there := header["typ"]; there {
		if text, ok := typ.(string); !ok || !strings.EqualFold(text, "JWT") {
			return errMalformed()
		}
	}
	u.alg, _ = header["alg"].(string)
	if _, ok := algorithms[u.alg]; !ok {
		return errInvalid("The ID Token provided must be signed with RS256 or ES256.")
	}
	u.kid, _ = header["kid"].(string)
	if u.kid == "" {
		return errInvalid("The ID Token provided does not say which key it is signed with (kid).")
	}
	return nil
}

// text1 returns a claim that is required and must be a text.
func (u *unverified) text1(name string) (string, error) {
	v, there := u.claims[name]
	if !there {
		return "", errMissing(name)
	}
	text, ok := v.(string)
	if !ok || text == "" || !clean(text) {
		return "", errInvalid("The claim %s is not valid.", name)
	}
	return text, nil
}

var wholeNumber = regexp.MustCompile(`\A[0-9]{1,12}\z`)

// time returns a claim that is a time in whole seconds.
func (u *unverified) time(name string) (seconds int64, there bool, err error) {
	v, there := u.claims[name]
	if !there {
		return 0, false, nil
	}
	n, ok := v.(json.Number)
	if !ok || !wholeNumber.MatchString(n.String()) {
		return 0, true, errInvalid("The claim %s is not a time in whole seconds.", name)
	}
	seconds, err = n.Int64()
	return seconds, true, err
}

// audience returns the claim aud.
func (u *unverified) audience() ([]string, error) {
	v, there := u.claims["aud"]
	if !there {
		return nil, errMissing("aud")
	}
	all, ok := v.([]any)
	if !ok {
		all = []any{v}
	}
	var out []string
	for _, v := range all {
		text, ok := v.(string)
		if !ok || text == "" || !clean(text) {
			return nil, errInvalid("The claim aud is not valid.")
		}
		out = append(out, text)
	}
	if out == nil {
		return nil, errInvalid("The claim aud is not valid.")
	}
	return out, nil
}

// token returns what the token says, all times unchecked.
func (u *unverified) token() (_ *Token, err error) {
	t := &Token{Claims: map[string][]string{}}
	if t.Issuer, err = u.text1("iss"); err != nil {
		return nil, err
	}
	if t.Subject, err = u.text1("sub"); err != nil {
		return nil, err
	}
	if t.Audience, err = u.audience(); err != nil {
		return nil, err
	}
	if _, there := u.claims["azp"]; there {
		if t.AuthorizedParty, err = u.text1("azp"); err != nil {
			return nil, err
		}
	}
	for name, v := range u.claims {
		if all, ok := texts(v); ok && clean(name) {
			t.Claims[name] = all
		}
	}
	if said, there := u.claims[sourceIdentityClaim]; there {
		if text, ok := said.(string); !ok || !sourceIdentity.MatchString(text) {
			return nil, errInvalid("The claim %s is not valid.", sourceIdentityClaim)
		}
	}
	return t, t.readTags(u.claims)
}

// texts returns the texts that a claim is made of.
func texts(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, clean(v)
	case json.Number:
		return []string{v.String()}, true
	case bool:
		return []string{strconv.FormatBool(v)}, true
	case []any:
		out := []string{}
		for _, e := range v {
			one, ok := texts(e)
			if _, list := e.([]any); !ok || list {
				return nil, false
			}
			out = append(out, one...)
		}
		return out, true
	}
	return nil, false
}

// clean reports whether a text has no control characters, which not every
// database takes.
func clean(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// The claims that ask for something of the session: who the person is for good,
// and tags.
const (
	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
	tagsClaim           = "https://aws.amazon.com/tags"
)

// What a session can have, as in AssumeRole's request.
var (
	sourceIdentity = regexp.MustCompile(`\A[\w+=,.@-]{2,64}\z`)
	tagKey         = regexp.MustCompile(`\A[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}\z`)
	tagValue       = regexp.MustCompile(`\A[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}\z`)
)

// readTags reads session tags, as a document or in names of claims:
//
//	{"principal_tags": {"Project": ["Automation"]}, "transitive_tag_keys": ["Project"]}
//	https://aws.amazon.com/tags/principal_tags/Project
//	https://aws.amazon.com/tags/transitive_tag_keys
func (t *Token) readTags(claims map[string]any) error {
	found := map[string]any{}
	var transitive any
	if v, there := claims[tagsClaim]; there {
		doc, ok := v.(map[string]any)
		if !ok {
			return errTags()
		}
		if v, there := doc["principal_tags"]; there {
			if found, ok = v.(map[string]any); !ok {
				return errTags()
			}
		}
		transitive = doc["transitive_tag_keys"]
	}
	for name, v := range claims {
		if key, ok := strings.CutPrefix(name, tagsClaim+"/principal_tags/"); ok {
			if _, twice := found[key]; twice {
				return errTags()
			}
			found[key] = v
		}
	}
	if v, there := claims[tagsClaim+"/transitive_tag_keys"]; there {
		if transitive != nil {
			return errTags()
		}
		transitive = v
	}
	for key, v := range found {
		values, ok := texts(v)
		if !ok || len(values) != 1 || !tagKey.MatchString(key) || !tagValue.MatchString(values[0]) {
			return errTags()
		}
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		t.Tags[key] = values[0]
	}
	if transitive != nil {
		var ok bool
		if t.TransitiveTags, ok = texts(transitive); !ok {
			return errTags()
		}
	}
	return nil
}

func errTags() error { return errInvalid("The claim %s is not valid.", tagsClaim) }

package seal

import (
	"encoding/base64"
	"strings"
)

// EncodeText writes sealed bytes or a MAC in base64 without padding, which URLs
// and headers can carry.
func EncodeText(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// DecodeText reads what [EncodeText] has written. Nothing else is read, not even
// another spelling of the same bytes: the standard library would skip line
// breaks. The error is [ErrOpen].
func DecodeText(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, ErrOpen
	}
	return b, nil
}

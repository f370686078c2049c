package aws

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"unicode/utf16"
	"unicode/utf8"
)

// string reads a string and returns its content without escapes.
func (s *scanner) string() ([]byte, error) {
	s.pos++
	start, escaped := s.pos, false
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			raw := s.data[start:s.pos:s.pos]
			s.pos++
			if !escaped {
				return raw, nil
			}
			return unescape(raw, start)
		case c == '\\':
			escaped = true
			s.pos += 2
		case c < ' ':
			return nil, s.unexpected()
		default:
			s.pos++
		}
	}
	return nil, s.unexpected()
}

// unescape returns raw, which was found at the given byte of the document,
// without its escapes.
func unescape(raw []byte, at int) ([]byte, error) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		j := bytes.IndexByte(raw[i:], '\\')
		if j < 0 {
			return append(out, raw[i:]...), nil
		}
		out = append(out, raw[i:i+j]...)
		i += j
		char, n := escape(raw[i:])
		if n == 0 {
			return nil, malformed("The request body is not valid JSON: bad escape at byte %d", at+i)
		}
		out = utf8.AppendRune(out, char)
		i += n
	}
	return out, nil
}

// escape reads the escape that raw starts with. It returns the character and
// the length of the escape, 0 if it is none.
func escape(raw []byte) (char rune, n int) {
	if raw[1] != 'u' {
		if i := bytes.IndexByte([]byte(`"\/bfnrt`), raw[1]); i >= 0 {
			return rune("\"\\/\b\f\n\r\t"[i]), 2
		}
		return 0, 0
	}
	first, ok := hex4(raw)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := hex4(raw[6:])
	if char = utf16.DecodeRune(first, second); !ok || char == utf8.RuneError {
		return 0, 0
	}
	return char, 12
}

// hex4 reads the \uXXXX that raw starts with.
func hex4(raw []byte) (rune, bool) {
	var b [2]byte
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	if _, err := hex.Decode(b[:], raw[2:6]); err != nil {
		return 0, false
	}
	return rune(binary.BigEndian.Uint16(b[:])), true
}

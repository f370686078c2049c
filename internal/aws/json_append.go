package aws

import (
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendString appends v as a JSON string. What is not Unicode becomes U+FFFD;
// the line separators that JavaScript does not have in strings are escaped.
func appendString(buf []byte, v string) []byte {
	buf = append(buf, '"')
	done := 0
	for i := 0; i < len(v); {
		c, size := rune(v[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(v[i:])
		}
		if plain(c, size) {
			i += size
			continue
		}
		buf = append(buf, v[done:i]...)
		buf = appendEscape(buf, c)
		i += size
		done = i
	}
	buf = append(buf, v[done:]...)
	return append(buf, '"')
}

// plain reports whether the character, which was read from size bytes, stands
// for itself in a JSON string.
func plain(c rune, size int) bool {
	switch {
	case c < ' ', c == '"', c == '\\', c == '\u2028', c == '\u2029':
		return false
	case c == utf8.RuneError:
		return size > 1
	}
	return true
}

func appendEscape(buf []byte, c rune) []byte {
	switch c {
	case '"', '\\':
		return append(buf, '\\', byte(c))
	case '\n':
		return append(buf, `\n`...)
	case '\r':
		return append(buf, `\r`...)
	case '\t':
		return append(buf, `\t`...)
	}
	return append(buf, '\\', 'u', hexDigits[c>>12&0xf], hexDigits[c>>8&0xf], hexDigits[c>>4&0xf], hexDigits[c&0xf])
}

// appendMillis appends milliseconds as seconds with up to three decimals.
func appendMillis(buf []byte, millis int64) []byte {
	if millis < 0 {
		buf, millis = append(buf, '-'), -millis
	}
	buf = strconv.AppendInt(buf, millis/1000, 10)
	fraction := millis % 1000
	if fraction == 0 {
		return buf
	}
	buf = append(buf, '.', byte('0'+fraction/100), byte('0'+fraction/10%10), byte('0'+fraction%10))
	for buf[len(buf)-1] == '0' {
		buf = buf[:len(buf)-1]
	}
	return buf
}

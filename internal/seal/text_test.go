package seal

import (
	"bytes"
	"testing"
)

func TestTextHasOneSpelling(t *testing.T) {
	for n := range 40 {
		b := bytes.Repeat([]byte{0xfb}, n)
		text := EncodeText(b)
		if got, err := DecodeText(text); err != nil || !bytes.Equal(got, b) {
			t.Errorf("DecodeText(%q) = %x, %v, want %x", text, got, err, b)
		}
		for _, other := range []string{text + "=", text + "==", text + "\n", "\r\n" + text, text + " ", text + "\x00"} {
			if got, err := DecodeText(other); err != ErrOpen {
				t.Errorf("DecodeText(%q) = %x, %v, want ErrOpen", other, got, err)
			}
		}
		for i := range len(text) {
			for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/") {
				other := text[:i] + string(c) + text[i+1:]
				if got, err := DecodeText(other); err == nil && bytes.Equal(got, b) && other != text {
					t.Errorf("DecodeText(%q) = DecodeText(%q)", other, text)
				}
			}
		}
	}
}

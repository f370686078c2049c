package seal

import (
	"bytes"
	"errors"
	"testing"
)

func TestSealOpensOnlyWithTheSameKeyPurposeAndContext(t *testing.T) {
	m := NewMaster()
	plain := []byte("the plain text")
	sealed := m.Key("token").Seal(plain, "us-east-1")

	got, err := m.Key("token").Open(sealed, "us-east-1")
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Open = %q, %v, want %q", got, err, plain)
	}
	refusals := map[string]func() ([]byte, error){
		"another context": func() ([]byte, error) { return m.Key("token").Open(sealed, "eu-west-1") },
		"another purpose": func() ([]byte, error) { return m.Key("page").Open(sealed, "us-east-1") },
		"another master":  func() ([]byte, error) { return NewMaster().Key("token").Open(sealed, "us-east-1") },
		"empty":           func() ([]byte, error) { return m.Key("token").Open(nil, "us-east-1") },
	}
	for name, open := range refusals {
		if got, err := open(); err != ErrOpen {
			t.Errorf("%s: Open = %q, %v, want ErrOpen", name, got, err)
		}
	}
}

func TestSealedValueWithAnyByteAlteredDoesNotOpen(t *testing.T) {
	k := NewMaster().Key("token")
	sealed := k.Seal([]byte("the plain text"), "")
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := k.Open(altered, ""); err != ErrOpen {
			t.Errorf("byte %d altered: Open error = %v, want ErrOpen", i, err)
		}
		if _, err := k.Open(sealed[:i], ""); err != ErrOpen {
			t.Errorf("cut to %d bytes: Open error = %v, want ErrOpen", i, err)
		}
	}
}

func TestMasterSurvivesItsText(t *testing.T) {
	m := NewMaster()
	again, err := ParseMaster(append(m.Text(), '\n'))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Key("x").Open(m.Key("x").Seal([]byte("y"), ""), ""); err != nil {
		t.Errorf("Open under the parsed key: %v", err)
	}
	for _, text := range []string{"", "short", string(m.Text()[:40])} {
		if _, err := ParseMaster([]byte(text)); err != ErrMaster {
			t.Errorf("ParseMaster(%q) error = %v, want ErrMaster", text, err)
		}
	}
}

// FuzzTuple looks for two different tuples with one encoding: the ambiguity
// that lets a signature for one link pass for another.
func FuzzTuple(f *testing.F) {
	f.Add("ab", "c", "a", "bc")
	f.Add("", "x", "x", "")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		same := a == c && b == d
		if bytes.Equal(tuple([]string{a, b}), tuple([]string{c, d})) != same {
			t.Errorf("tuple(%q, %q) and tuple(%q, %q): equal = %v, want %v", a, b, c, d, !same, same)
		}
		if bytes.Equal(tuple([]string{a, b}), tuple([]string{a + b})) {
			t.Errorf("tuple(%q, %q) equals tuple(%q)", a, b, a+b)
		}
	})
}

func TestEarlierMasterKeysOpenAndVerifyAndSealNothing(t *testing.T) {
	t.Parallel()
	old, now := NewMaster(), NewMaster()
	before, after, alone := old.Key("p"), now.WithOld(old).Key("p"), now.Key("p")
	sealed, mac := before.Seal([]byte("x"), "c"), before.MAC("f")
	if plain, err := after.Open(sealed, "c"); err != nil || string(plain) != "x" || !after.Verify(mac, "f") {
		t.Errorf("with the earlier key: %q, %v, %t, want what it sealed", plain, err, after.Verify(mac, "f"))
	}
	if _, err := alone.Open(sealed, "c"); !errors.Is(err, ErrOpen) || alone.Verify(mac, "f") {
		t.Errorf("without the earlier key: %v, want ErrOpen", err)
	}
	if _, err := after.Open(sealed, "d"); !errors.Is(err, ErrOpen) || after.Verify(mac, "g") {
		t.Errorf("of another context: %v, want ErrOpen", err)
	}
	if again := after.Seal([]byte("x"), "c"); !alone.Current(again) || after.Current(sealed) || IDOf(again) != now.ID() || IDOf(sealed) != old.ID() {
		t.Error("a value is not sealed under the present key")
	}
	if IDOf(nil) != "" || IDOf([]byte("no sealed value")) != "" || IDOf(make([]byte, 100)) != "" {
		t.Error("what is no sealed value names a key")
	}
}

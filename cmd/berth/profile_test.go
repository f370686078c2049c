package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSetProfile(t *testing.T) {
	t.Parallel()
	settings := []setting{{"aws_access_key_id", "NEW"}, {"aws_secret_access_key", "SECRET"}}
	const set = "aws_access_key_id = NEW\naws_secret_access_key = SECRET\n"
	for name, tt := range map[string]struct{ text, want string }{
		"no file":        {"", "[berth]\n" + set},
		"other profiles": {"# mine\n[default]\naws_access_key_id = A\n", "# mine\n[default]\naws_access_key_id = A\n\n[berth]\n" + set},
		"no last line":   {"[default]\naws_access_key_id = A", "[default]\naws_access_key_id = A\n\n[berth]\n" + set},
		"there already": {
			"[a]\naws_access_key_id=A\n[berth]\naws_access_key_id=OLD\nregion = eu-west-1\nAWS_SECRET_ACCESS_KEY : x\n\n[z]\naws_access_key_id=Z\n",
			"[a]\naws_access_key_id=A\n[berth]\n" + set + "region = eu-west-1\n\n[z]\naws_access_key_id=Z\n",
		},
		"there without an end": {"[berth]", "[berth]\n" + set},
		"spaces in the name":   {"[ berth ]\naws_access_key_id=OLD\n", "[ berth ]\n" + set},
		"a name that begins so": {
			"[berth-prod]\naws_access_key_id=P\n", "[berth-prod]\naws_access_key_id=P\n\n[berth]\n" + set,
		},
		"settings within settings": {
			"[berth]\ns3 =\n  aws_access_key_id = no\naws_access_key_id =\n  OLD\nx = y\n",
			"[berth]\n" + set + "s3 =\n  aws_access_key_id = no\nx = y\n",
		},
		"comments": {"[berth]\n# aws_access_key_id = old\n", "[berth]\n" + set + "# aws_access_key_id = old\n"},
		"a name twice": {
			"[berth]\naws_access_key_id = A\n[berth]\naws_access_key_id = B\n", "[berth]\n" + set + "[berth]\n",
		},
	} {
		if got := string(setProfile([]byte(tt.text), "berth", settings)); got != tt.want {
			t.Errorf("%s: setProfile = %q, want %q", name, got, tt.want)
		}
		if got := string(setProfile([]byte(tt.want), "berth", settings)); got != tt.want {
			t.Errorf("%s: setProfile once more = %q, want no change of %q", name, got, tt.want)
		}
	}
}

func TestSaveProfile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, ".aws", "credentials")
	if err := saveProfile(link, "berth", []setting{{"a", "1"}}); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(filepath.Dir(link)); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v, want it for nobody else", i.Mode(), err)
	}
	if err := os.Rename(link, real); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(real, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if err := saveProfile(link, "other", []setting{{"a", "2"}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(real)
	if want := "[berth]\na = 1\n\n[other]\na = 2\n"; err != nil || string(text) != want {
		t.Errorf("the file has %q, %v, want %q", text, err, want)
	}
	if i, err := os.Stat(real); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v, want it for nobody else", i.Mode(), err)
	}
	if i, err := os.Lstat(link); err != nil || i.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v, want it a link still", i.Mode(), err)
	}
	for _, name := range []string{"", " a", "a]", "a\nb"} {
		if err := saveProfile(real, name, nil); err == nil {
			t.Errorf("saveProfile of %q: no error", name)
		}
	}
	if err := saveProfile(real, "berth", []setting{{"a", "1\n[default]\nb = 2"}}); err == nil {
		t.Error("saveProfile of two lines: no error")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "real.*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

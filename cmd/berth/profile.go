package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/internal/config"
)

// credentialsFile is the file with the credentials of AWS tools.
func credentialsFile(environ []string) (string, error) {
	if file := config.Variable(environ, "AWS_SHARED_CREDENTIALS_FILE"); file != "" {
		return file, nil
	}
	home, err := os.UserHomeDir()
	if h := config.Variable(environ, "HOME"); h != "" {
		home, err = h, nil
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".aws", "credentials"), nil
}

// setting is a line of a profile.
type setting struct{ name, value string }

// saveProfile puts settings into a profile of a file, which nobody else can read
// then. All else in the file stays as it is, and whoever reads it sees the old
// settings or the new ones.
func saveProfile(file, profile string, settings []setting) error {
	if profile == "" || strings.TrimSpace(profile) != profile || strings.ContainsAny(profile, "[]\r\n") {
		return fmt.Errorf("%q is no name for a profile", profile)
	}
	for _, s := range settings {
		if strings.ContainsAny(s.value, "\r\n") {
			return fmt.Errorf("%s has more than one line", s.name)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real // a link stays a link
	}
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceFile(file, setProfile(text, profile, settings))
}

// replaceFile replaces a file at once.
func replaceFile(file string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// setProfile returns the text of a file of profiles with the settings in one of
// them, instead of those of the same names.
func setProfile(text []byte, profile string, settings []setting) []byte {
	var section bytes.Buffer
	for _, s := range settings {
		fmt.Fprintf(&section, "%s = %s\n", s.name, s.value)
	}
	var out bytes.Buffer
	inside, found, dropped := false, false, false
	for line := range bytes.Lines(text) {
		if name, ok := sectionName(line); ok {
			inside, dropped = name == profile, false
			out.Write(line)
			if inside && !found {
				found = true
				endLine(&out)
				out.Write(section.Bytes())
			}
			continue
		}
		if inside {
			continued := line[0] == ' ' || line[0] == '\t'
			dropped = continued && dropped || !continued && sets(line, settings)
		}
		if !dropped || !inside {
			out.Write(line)
		}
	}
	if !found {
		endLine(&out)
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "[%s]\n%s", profile, section.Bytes())
	}
	return out.Bytes()
}

// endLine ends the last line, if it has no end.
func endLine(b *bytes.Buffer) {
	if t := b.Bytes(); len(t) > 0 && t[len(t)-1] != '\n' {
		b.WriteByte('\n')
	}
}

func sectionName(line []byte) (string, bool) {
	if line[0] != '[' {
		return "", false
	}
	name, _, ok := strings.Cut(string(line[1:]), "]")
	return strings.TrimSpace(name), ok
}

// sets reports whether a line sets one of the settings.
func sets(line []byte, settings []setting) bool {
	i := bytes.IndexAny(line, "=:")
	if i < 0 {
		return false
	}
	name := strings.TrimSpace(string(line[:i]))
	return slices.ContainsFunc(settings, func(s setting) bool { return strings.EqualFold(s.name, name) })
}

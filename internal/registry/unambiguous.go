package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a manifest may nest: the deepest standard one, with a
// platform's list of features, has five levels.
const maxDepth = 32

// maxValues is how many values a manifest may have, of members and of elements.
// The greatest manifest has room for fewer in which each is of use.
const maxValues = 100_000

// members are the members of an object that some client understands, and those
// of the objects beneath them.
type members struct {
	names []string
	below map[string]*members
}

var (
	platformMembers   = &members{names: []string{"architecture", "os", "os.version", "os.features", "variant", "features"}}
	descriptorMembers = &members{
		names: []string{"mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"},
		below: map[string]*members{"platform": platformMembers},
	}
	manifestMembers = &members{
		names: []string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "blobs", "manifests",
			"subject", "annotations", "fsLayers", "history", "signatures"},
		below: map[string]*members{"config": descriptorMembers, "layers": descriptorMembers, "blobs": descriptorMembers,
			"manifests": descriptorMembers, "subject": descriptorMembers},
	}
)

// misspelt returns the member that a name differs from in case only: there are
// decoders, Go's among them, that take one for the other. A long s is an s in
// another case. m may be nil.
func (m *members) misspelt(name string) (string, bool) {
	if m == nil {
		return "", false
	}
	for _, exact := range m.names {
		if exact != name && strings.EqualFold(exact, name) {
			return exact, true
		}
	}
	return "", false
}

// under returns the members of the objects beneath a member, nil if they are
// free. m may be nil.
func (m *members) under(name string) *members {
	if m == nil {
		return nil
	}
	return m.below[name]
}

// checkUnambiguous returns an error unless data is one JSON object in UTF-8
// that every decoder reads the same way: no member twice, none that differs
// from a known one in case only, no great depth, not too many values.
func checkUnambiguous(data []byte) error {
	if !utf8.Valid(data) {
		return errManifest("Invalid JSON syntax")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	c := &ambiguity{dec: dec}
	t, err := dec.Token()
	if err != nil || t != json.Delim('{') {
		return errManifest("Invalid JSON syntax")
	}
	if err := c.object(manifestMembers, 1); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errManifest("Invalid JSON syntax")
	}
	return nil
}

type ambiguity struct {
	dec    *json.Decoder
	values int // that have been seen
}

// object checks an object whose opening brace has been read. known are the
// members that have a meaning in it; nil if it is free.
func (c *ambiguity) object(known *members, depth int) error {
	seen := map[string]bool{}
	for c.dec.More() {
		t, err := c.dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return errManifest("Invalid JSON syntax")
		}
		if seen[name] {
			return errManifest("the member '%.100s' is there twice", name)
		}
		seen[name] = true
		if exact, ok := known.misspelt(name); ok {
			return errManifest("the member '%.100s' is spelled '%s'", name, exact)
		}
		if err := c.value(known.under(name), depth+1); err != nil {
			return err
		}
	}
	return c.end()
}

func (c *ambiguity) value(known *members, depth int) error {
	if depth > maxDepth {
		return errManifest("the manifest is nested more than %d levels deep", maxDepth)
	}
	if c.values++; c.values > maxValues {
		return errManifest("the manifest has more than %d values", maxValues)
	}
	t, err := c.dec.Token()
	if err != nil {
		return errManifest("Invalid JSON syntax")
	}
	switch t {
	case json.Delim('{'):
		return c.object(known, depth)
	case json.Delim('['):
		for c.dec.More() {
			if err := c.value(known, depth+1); err != nil {
				return err
			}
		}
		return c.end()
	}
	return nil
}

// end reads a closing bracket.
func (c *ambiguity) end() error {
	if _, err := c.dec.Token(); err != nil {
		return errManifest("Invalid JSON syntax")
	}
	return nil
}

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

// manifestMembers and descriptorMembers are the members that some client
// understands, by their lower-case form.
var (
	manifestMembers = memberSet("schemaVersion", "mediaType", "artifactType", "config", "layers", "blobs", "manifests",
		"subject", "annotations", "fsLayers", "history", "signatures")
	descriptorMembers = memberSet("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType")
)

func memberSet(names ...string) map[string]string {
	m := make(map[string]string, len(names))
	for _, n := range names {
		m[strings.ToLower(n)] = n
	}
	return m
}

// checkUnambiguous returns an error unless data is one JSON object in UTF-8
// that every decoder reads the same way: no member twice, none that differs
// from a known one in case only, no great depth.
func checkUnambiguous(data []byte) error {
	if !utf8.Valid(data) {
		return errManifest("Invalid JSON syntax")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	c := ambiguity{dec}
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

type ambiguity struct{ dec *json.Decoder }

// object checks an object whose opening brace has been read. known are the
// members that have a meaning in it; nil if it is free.
func (c ambiguity) object(known map[string]string, depth int) error {
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
		if exact, ok := known[strings.ToLower(name)]; ok && exact != name {
			return errManifest("the member '%.100s' is spelled '%s'", name, exact)
		}
		if err := c.value(membersBelow(known, name), depth+1); err != nil {
			return err
		}
	}
	return c.end()
}

// membersBelow returns the members that have a meaning in the objects beneath a
// member.
func membersBelow(known map[string]string, name string) map[string]string {
	if _, manifest := known["schemaversion"]; manifest {
		switch name {
		case "config", "layers", "blobs", "manifests", "subject":
			return descriptorMembers
		}
	}
	return nil
}

func (c ambiguity) value(known map[string]string, depth int) error {
	if depth > maxDepth {
		return errManifest("the manifest is nested more than %d levels deep", maxDepth)
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
func (c ambiguity) end() error {
	if _, err := c.dec.Token(); err != nil {
		return errManifest("Invalid JSON syntax")
	}
	return nil
}

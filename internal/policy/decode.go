package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a document may nest: a policy has eight levels.
const maxDepth = 10

// maxEcho bounds what of a document an error repeats, in bytes.
const maxEcho = 100

// quote prints a text of a document, cut to a bounded length.
func quote(s string) string {
	if len(s) > maxEcho {
		s = strings.ToValidUTF8(s[:maxEcho], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}

// decode reads a JSON document that every decoder reads the same way: no member
// is there twice. Numbers are json.Number. The error is a reason, in words.
func decode(text string, depth int) (any, string) {
	if !utf8.ValidString(text) {
		return nil, "the document is not UTF-8"
	}
	if !json.Valid([]byte(text)) {
		return nil, "the document is not JSON"
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	return decodeValue(dec, depth)
}

func decodeValue(dec *json.Decoder, depth int) (any, string) {
	if depth == 0 {
		return nil, "the document nests too deeply"
	}
	t, err := dec.Token()
	if err != nil {
		return nil, "the document is not JSON"
	}
	switch t {
	case json.Delim('{'):
		out := map[string]any{}
		for dec.More() {
			name, _ := dec.Token() // valid JSON has a name here
			key, _ := name.(string)
			if _, twice := out[key]; twice {
				return nil, "the member " + quote(key) + " is there more than once"
			}
			v, reason := decodeValue(dec, depth-1)
			if reason != "" {
				return nil, reason
			}
			out[key] = v
		}
		_, _ = dec.Token()
		return out, ""
	case json.Delim('['):
		out := []any{}
		for dec.More() {
			v, reason := decodeValue(dec, depth-1)
			if reason != "" {
				return nil, reason
			}
			out = append(out, v)
		}
		_, _ = dec.Token()
		return out, ""
	}
	return t, ""
}

// object returns the members of an object that has none but those that are known.
func object(v any, known ...string) (map[string]any, string) {
	o, ok := v.(map[string]any)
	if !ok {
		return nil, "must be an object"
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, name) {
			return nil, "the member " + quote(name) + " is not known"
		}
	}
	return o, ""
}

// texts returns one text or a list of texts, at least one.
func texts(v any) ([]string, string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		return nil, "must not be empty"
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, "must be a text or a list of texts"
		}
		out = append(out, s)
	}
	return out, ""
}

// scalars returns one text, number or boolean or a list of such, as texts; at
// least one.
func scalars(v any) ([]string, string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		return nil, "must have a value"
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case bool:
			out = append(out, fmt.Sprint(v))
		case json.Number:
			out = append(out, v.String())
		default:
			return nil, "must have texts, numbers or booleans as values"
		}
	}
	return out, ""
}

package lifecycle

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a document may nest: a policy has five levels.
const maxDepth = 16

// decode reads a JSON document that every decoder reads the same way: no member
// is there twice. Numbers are json.Number.
func decode(text string) (any, error) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, errNoPolicy()
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	return decodeValue(dec, 1)
}

func errNoPolicy() error { return refuse("Could not map policyString into LifecyclePolicy.") }

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil || depth > maxDepth {
		return nil, errNoPolicy()
	}
	switch t {
	case json.Delim('{'):
		out := map[string]any{}
		for dec.More() {
			name, _ := dec.Token() // valid JSON has a name here
			key, _ := name.(string)
			if _, twice := out[key]; twice {
				return nil, refuse("the property %s is there more than once", list(key))
			}
			if out[key], err = decodeValue(dec, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return out, err
	case json.Delim('['):
		out := []any{}
		for dec.More() {
			v, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err = dec.Token()
		return out, err
	}
	return t, nil
}

// typeName returns the name that JSON Schema has for the type of a value.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case json.Number:
		if _, ok := whole(v); ok {
			return "integer"
		}
		return "number"
	}
	return "unknown"
}

// whole returns the value of a number without a fraction. Those beyond 64 bits
// are cut to them.
func whole(n json.Number) (int64, bool) {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || math.Trunc(f) != f {
		return 0, false
	}
	return int64(max(min(f, math.MaxInt64/2), math.MinInt64/2)), true
}

func errType(v any, allowed string) error {
	return refuse("instance type (%s) does not match any allowed primitive type (allowed: %s)", typeName(v), list(allowed))
}

// object returns the members of an object that has all that are required and
// none but those and the optional ones.
func object(v any, required []string, optional ...string) (map[string]any, error) {
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errType(v, "object")
	}
	var missing, unknown []string
	for _, name := range required {
		if _, there := o[name]; !there {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, refuse("object has missing required properties (%s)", list(missing...))
	}
	for name := range o {
		if !slices.Contains(required, name) && !slices.Contains(optional, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, refuse("object instance has properties which are not allowed by the schema: (%s)", list(unknown...))
	}
	return o, nil
}

// maxEcho bounds what of a value an error repeats, in characters.
const maxEcho = 100

// list prints names as ECR does: sorted, as a JSON list.
func list(names ...string) string {
	slices.Sort(names)
	quoted := make([]string, len(names))
	for i, n := range names {
		b, _ := json.Marshal(fmt.Sprintf("%.*s", maxEcho, n)) // a string can be encoded
		quoted[i] = string(b)
	}
	return "[" + strings.Join(quoted[:min(len(quoted), 20)], ", ") + "]"
}

// text returns a string.
func text(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", errType(v, "string")
	}
	return s, nil
}

// integer returns a number from 1 on.
func integer(v any) (int, error) {
	n, _ := v.(json.Number)
	i, ok := whole(n)
	switch {
	case !ok:
		return 0, errType(v, "integer")
	case i < 1:
		return 0, refuseOpen("numeric instance is lower than the required minimum (minimum: 1, found: %d)", i)
	case i > math.MaxInt32:
		return 0, refuseOpen("numeric instance is greater than the required maximum (maximum: %d, found: %d)", math.MaxInt32, i)
	}
	return int(i), nil
}

// oneOf returns a string that is one of those possible.
func oneOf(v any, possible ...string) (string, error) {
	s, err := text(v)
	if err == nil && !slices.Contains(possible, s) {
		err = refuse("instance value (%.*s) not found in enum :(possible values: %s)", maxEcho, s, list(possible...))
	}
	return s, err
}

// textList returns a list of strings that are not empty, each once; nil if v is.
func textList(v any, there bool) ([]string, error) {
	if !there {
		return nil, nil
	}
	l, ok := v.([]any)
	if !ok {
		return nil, errType(v, "array")
	}
	out := []string{}
	for _, v := range l {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		if s == "" {
			return nil, refuse(`string "" is too short (length: 0, required minimum: 1)`)
		}
		if slices.Contains(out, s) {
			return nil, refuse("array must not contain duplicate elements")
		}
		out = append(out, s)
	}
	return out, nil
}

package policy

import (
	"maps"
	"slices"
	"strings"
)

// Context holds what is known of a request: condition keys and their values. A
// key's case does not matter. The zero Context is empty, and ready to use.
type Context struct {
	values map[string][]string // by key in lower case; never an empty list
}

// NewContext returns a Context of keys and values. A key without values is not
// there. Values of keys that differ in case alone are put together, in the order
// of the keys.
func NewContext(values map[string][]string) Context {
	if len(values) == 0 {
		return Context{}
	}
	c := Context{make(map[string][]string, len(values))}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		c.Set(key, append(slices.Clone(c.Values(key)), values[key]...)...)
	}
	return c
}

// Set gives a key its values in place of those it has. Without values the key is
// removed. The Context keeps the slice. It must not be called while a decision
// is made.
func (c *Context) Set(key string, values ...string) {
	key = strings.ToLower(key)
	if len(values) == 0 {
		delete(c.values, key)
		return
	}
	if c.values == nil {
		c.values = map[string][]string{}
	}
	c.values[key] = values
}

// Values returns the values of a key, nil if it is not there.
func (c Context) Values(key string) []string { return c.values[strings.ToLower(key)] }

package aws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// Model holds what a service's model says about the inputs of its operations:
// which members there are and what their values must satisfy. It is immutable.
type Model struct {
	operations map[string]*modelOperation
	shapes     map[string]*shape
}

type modelOperation struct {
	Input  string   `json:"input"`
	Errors []string `json:"errors"`

	input *shape
}

type shape struct {
	Type    string   `json:"type"`
	Members []member `json:"members"` // of a structure, in the model's order
	Element string   `json:"element"` // of a list
	Min     *int64   `json:"min"`     // of a length or of a number
	Max     *int64   `json:"max"`
	Pattern string   `json:"pattern"`
	Enum    []string `json:"enum"`

	element *shape
	pattern *regexp.Regexp
}

type member struct {
	Name     string `json:"name"`
	Shape    string `json:"shape"`
	Required bool   `json:"required"`

	shape *shape
}

// The types of shapes that an input may be made of.
var shapeTypes = []string{"structure", "list", "string", "blob", "boolean", "integer", "long", "double"}

// ParseModel reads a condensed service model:
//
//	{
//	  "operations": {"<operation>": {"input": "<shape>", "errors": ["<exception>"]}},
//	  "shapes": {
//	    "<shape>": {"type": "structure", "members": [{"name": "", "shape": "", "required": true}]},
//	    "<shape>": {"type": "list", "element": "<shape>", "min": 1, "max": 100},
//	    "<shape>": {"type": "string", "min": 1, "max": 256, "pattern": "", "enum": []}
//	  }
//	}
//
// It fails on members it does not know, on shapes that are not there, and on
// patterns that do not compile.
func ParseModel(data []byte) (*Model, error) {
	var file struct {
		Operations map[string]*modelOperation `json:"operations"`
		Shapes     map[string]*shape          `json:"shapes"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("parse model: %w", err)
	}
	m := &Model{operations: file.Operations, shapes: file.Shapes}
	for name, s := range m.shapes {
		if err := m.link(s); err != nil {
			return nil, fmt.Errorf("parse model: shape %s: %w", name, err)
		}
	}
	for name, op := range m.operations {
		if op.input = m.shapes[op.Input]; op.input == nil || op.input.Type != "structure" {
			return nil, fmt.Errorf("parse model: operation %s: no input %q", name, op.Input)
		}
	}
	return m, nil
}

// link resolves the references of s and compiles its pattern.
func (m *Model) link(s *shape) (err error) {
	if !slices.Contains(shapeTypes, s.Type) {
		return fmt.Errorf("unknown type %q", s.Type)
	}
	for i := range s.Members {
		member := &s.Members[i]
		if member.shape = m.shapes[member.Shape]; member.shape == nil {
			return fmt.Errorf("member %s: no shape %q", member.Name, member.Shape)
		}
	}
	if s.Type == "list" {
		if s.element = m.shapes[s.Element]; s.element == nil {
			return fmt.Errorf("no element shape %q", s.Element)
		}
	}
	if s.Pattern != "" {
		// AWS matches the whole value. The models keep to what Java and RE2 have
		// in common.
		s.pattern, err = regexp.Compile(`\A(?:` + s.Pattern + `)\z`)
	}
	return err
}

// Operations returns the names of the operations in the model, sorted.
func (m *Model) Operations() []string {
	return slices.Sorted(maps.Keys(m.operations))
}

// inputOf returns the shape of an operation's input, nil if the model has no such
// operation.
func (m *Model) inputOf(operation string) *shape {
	if m == nil || m.operations[operation] == nil {
		return nil
	}
	return m.operations[operation].input
}

// declares reports whether the operation can answer with the exception.
func (m *Model) declares(operation, exception string) bool {
	if m == nil || m.operations[operation] == nil {
		return false
	}
	return slices.Contains(m.operations[operation].Errors, exception)
}

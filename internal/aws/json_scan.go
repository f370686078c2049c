package aws

import (
	"bytes"
	"unicode/utf8"

	"berth/internal/fault"
)

// The bounds of a JSON document. The largest legitimate input, a replication
// configuration with every list full, has about 6,000 elements in 6 levels.
const (
	maxDepth    = 32
	maxElements = 1 << 15
)

type kind uint8

const (
	kindNull kind = iota
	kindTrue
	kindFalse
	kindNumber
	kindString
	kindList
	kindObject
)

// A node is one value of a JSON document. A string without escapes, which is
// what large blobs are, shares its bytes with the document.
type node struct {
	kind kind
	name string // in an object, the name of the member
	raw  []byte // a string's content without escapes, a number's token
	str  string // raw as a string, once asked for
	size int    // the length of a decoded blob
	kids []node // the members of an object, the elements of a list
}

// text returns the content of a string or the token of a number. It copies once.
func (n *node) text() string {
	if n.str == "" && len(n.raw) > 0 {
		n.str = string(n.raw)
	}
	return n.str
}

// member returns the named member of an object, nil if it is absent or null.
func (n *node) member(name string) *node {
	for i := range n.kids {
		if n.kids[i].name == name && n.kids[i].kind != kindNull {
			return &n.kids[i]
		}
	}
	return nil
}

// parseJSON reads one JSON value that fills data. It refuses what encoding/json
// lets pass: a member named twice, in any object, and strings that are not
// Unicode. An empty document counts as {}.
func parseJSON(data []byte) (*node, error) {
	if !utf8.Valid(data) {
		return nil, malformed("The request body is not valid UTF-8")
	}
	s := scanner{data: data}
	s.space()
	if s.pos == len(data) {
		return &node{kind: kindObject}, nil
	}
	n, err := s.value(1)
	if err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(data) {
		return nil, s.unexpected()
	}
	return &n, nil
}

type scanner struct {
	data     []byte
	pos      int
	elements int
}

func malformed(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, codeSerialization, format, args...)
}

func (s *scanner) unexpected() error {
	if s.pos >= len(s.data) {
		return malformed("The request body is not valid JSON: it ends early")
	}
	return malformed("The request body is not valid JSON: unexpected character at byte %d", s.pos)
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// accept skips space and then c, and reports whether c was there.
func (s *scanner) accept(c byte) bool {
	s.space()
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) value(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, malformed("The request body is nested more than %d levels deep", maxDepth)
	}
	if s.elements++; s.elements > maxElements {
		return node{}, malformed("The request body has more than %d elements", maxElements)
	}
	s.space()
	if s.pos >= len(s.data) {
		return node{}, s.unexpected()
	}
	switch s.data[s.pos] {
	case '{':
		return s.object(depth)
	case '[':
		return s.list(depth)
	case '"':
		raw, err := s.string()
		return node{kind: kindString, raw: raw}, err
	case 't':
		return s.literal("true", kindTrue)
	case 'f':
		return s.literal("false", kindFalse)
	case 'n':
		return s.literal("null", kindNull)
	}
	return s.number()
}

func (s *scanner) literal(word string, k kind) (node, error) {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return node{}, s.unexpected()
	}
	s.pos += len(word)
	return node{kind: k}, nil
}

func (s *scanner) list(depth int) (node, error) {
	n := node{kind: kindList}
	s.pos++
	if s.accept(']') {
		return n, nil
	}
	for {
		kid, err := s.value(depth + 1)
		if err != nil {
			return n, err
		}
		n.kids = append(n.kids, kid)
		if s.accept(']') {
			return n, nil
		}
		if !s.accept(',') {
			return n, s.unexpected()
		}
	}
}

func (s *scanner) object(depth int) (node, error) {
	n := node{kind: kindObject}
	s.pos++
	if s.accept('}') {
		return n, nil
	}
	var names nameSet
	for {
		if s.space(); s.pos >= len(s.data) || s.data[s.pos] != '"' {
			return n, s.unexpected()
		}
		at := s.pos
		raw, err := s.string()
		if err != nil {
			return n, err
		}
		name := string(raw)
		if !names.add(n.kids, name) {
			return n, malformed("The request body names a member twice, at byte %d", at)
		}
		if !s.accept(':') {
			return n, s.unexpected()
		}
		kid, err := s.value(depth + 1)
		if err != nil {
			return n, err
		}
		kid.name = name
		n.kids = append(n.kids, kid)
		if s.accept('}') {
			return n, nil
		}
		if !s.accept(',') {
			return n, s.unexpected()
		}
	}
}

// A nameSet tells whether a name is new to an object. Most objects are so small
// that looking through their members is quickest.
type nameSet map[string]struct{}

func (set *nameSet) add(members []node, name string) bool {
	if len(members) < 16 {
		for i := range members {
			if members[i].name == name {
				return false
			}
		}
		return true
	}
	if *set == nil {
		*set = make(nameSet, 2*len(members))
		for i := range members {
			(*set)[members[i].name] = struct{}{}
		}
	}
	if _, dup := (*set)[name]; dup {
		return false
	}
	(*set)[name] = struct{}{}
	return true
}

// number reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number() (node, error) {
	start := s.pos
	s.skip('-')
	if !s.skip('0') && !s.digits() {
		return node{}, s.unexpected()
	}
	if s.skip('.') && !s.digits() {
		return node{}, s.unexpected()
	}
	if s.skip('e') || s.skip('E') {
		if !s.skip('+') {
			s.skip('-')
		}
		if !s.digits() {
			return node{}, s.unexpected()
		}
	}
	return node{kind: kindNumber, raw: s.data[start:s.pos]}, nil
}

func (s *scanner) skip(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

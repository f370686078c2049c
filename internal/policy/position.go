package policy

import (
	"encoding/json"
	"strings"
)

// Position is a place in a document: the line, and the character in it, counted
// from 1. The zero Position is not known.
type Position struct {
	Line   int32 `json:"line"`
	Column int32 `json:"column"`
}

// span is where a statement is: its first character, and the one after its last.
type span struct{ start, end Position }

// spans returns where the statements of a policy are in the text that it was read
// from, nil if there is none.
func (p *Policy) spans() []span {
	if p.text == "" {
		return nil
	}
	var out []span
	dec := json.NewDecoder(strings.NewReader(p.text))
	c := cursor{text: p.text, at: Position{1, 1}}
	_, _ = dec.Token() // the text has been read before: it is a document
	for dec.More() {
		key, _ := dec.Token()
		var value json.RawMessage
		if key != "Statement" {
			_ = dec.Decode(&value)
			continue
		}
		if c.isList(dec.InputOffset()) {
			_, _ = dec.Token()
		}
		for range p.statements {
			_ = dec.Decode(&value)
			end := dec.InputOffset()
			out = append(out, span{c.move(end - int64(len(value))), c.move(end)})
		}
		break
	}
	return out
}

// cursor goes through a text.
type cursor struct {
	text   string
	offset int64
	at     Position
}

// isList reports whether the value after a name that ends at an offset is a list.
func (c *cursor) isList(offset int64) bool {
	rest := strings.TrimLeft(c.text[offset:], " \t\r\n:")
	return strings.HasPrefix(rest, "[")
}

// move goes forward to an offset and returns the position there.
func (c *cursor) move(offset int64) Position {
	for _, r := range c.text[c.offset:offset] {
		c.at.Column++
		if r == '\n' {
			c.at.Line, c.at.Column = c.at.Line+1, 1
		}
	}
	c.offset = offset
	return c.at
}

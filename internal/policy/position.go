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

// locate notes where the statements of a policy are in the text that it was read
// from.
func (p *Policy) locate(text string) {
	dec := json.NewDecoder(strings.NewReader(text))
	c := cursor{text: text, at: Position{1, 1}}
	_, _ = dec.Token() // the text has been read before: it is a document
	for dec.More() {
		key, _ := dec.Token()
		var value json.RawMessage
		if key != "Statement" {
			_ = dec.Decode(&value)
			continue
		}
		for i := range p.statements {
			if i == 0 && c.isList(dec.InputOffset()) {
				_, _ = dec.Token()
			}
			_ = dec.Decode(&value)
			end := dec.InputOffset()
			p.statements[i].span = span{c.move(end - int64(len(value))), c.move(end)}
		}
		return
	}
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

package policy

import (
	"strings"
	"unicode/utf8"
)

// pattern is a text of a policy that may have wildcards and variables, compiled.
// A variable's value is literal: wildcards in it stand for themselves.
type pattern struct {
	source string  // as it is written
	text   string  // what the pattern means, if it has no pieces
	pieces []piece // nil if the pattern is a mere text
	start  bool    // whether the pattern is the text and then a star
	vars   bool    // whether one of the pieces is a variable
	all    bool    // whether it matches everything
	fold   fold
}

// fold says which texts are the same.
type fold int

const (
	exactly  fold = iota
	asAction      // letters of ASCII in either case; the pattern is in lower case
	anyCase       // all letters in either case; no wildcards
)

type pieceKind uint8

const (
	literal  pieceKind = iota
	star               // any characters, none included
	one                // one character
	variable           // the value of a key
)

type piece struct {
	kind     pieceKind
	text     string // of a literal; the default of a variable
	key      string // of a variable, in lower case
	fallback bool   // whether a variable has a default
}

// syntax says what is special in a text.
type syntax struct {
	wildcards bool // * and ?
	variables bool // ${key}, ${key, 'default'}, ${*}, ${?} and ${$}
	fold      fold
}

// compile reads a text. The error is a reason, in words.
func (s syntax) compile(text string) (pattern, string) {
	p := pattern{source: text, fold: s.fold}
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			p.pieces = append(p.pieces, piece{kind: literal, text: plain.String()})
			plain.Reset()
		}
	}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case s.variables && strings.HasPrefix(text[i:], "${"):
			v, length, reason := compileVariable(text[i:])
			if reason != "" {
				return p, reason
			}
			i += length
			if v.kind == literal {
				plain.WriteString(v.text)
				continue
			}
			flush()
			p.vars = true
			p.pieces = append(p.pieces, v)
			continue
		case s.wildcards && c == '*':
			flush()
			if n := len(p.pieces); n == 0 || p.pieces[n-1].kind != star {
				p.pieces = append(p.pieces, piece{kind: star})
			}
		case s.wildcards && c == '?':
			flush()
			p.pieces = append(p.pieces, piece{kind: one})
		case s.fold == asAction && 'A' <= c && c <= 'Z':
			plain.WriteByte(c + 'a' - 'A')
		default:
			plain.WriteByte(c)
		}
		i++
	}
	if p.pieces == nil {
		p.text = plain.String()
		return p, ""
	}
	flush()
	last := len(p.pieces) - 1
	p.all = last == 0 && p.pieces[0].kind == star
	if last == 1 && p.pieces[0].kind == literal && p.pieces[last].kind == star {
		p.start, p.text = true, p.pieces[0].text
	}
	return p, ""
}

// compileVariable reads the variable that text begins with, and returns how long
// it is. What stands for a special character is a literal.
func compileVariable(text string) (v piece, length int, reason string) {
	const open = len("${")
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return v, 0, "the variable that begins with ${ has no }"
	}
	if inner := text[open:end]; inner == "*" || inner == "?" || inner == "$" {
		return piece{kind: literal, text: inner}, end + 1, ""
	}
	key := text[open:end]
	if comma := strings.IndexByte(key, ','); comma >= 0 {
		key = key[:comma]
		rest := strings.TrimLeft(text[open+comma+1:], " ")
		value, after, closed := strings.Cut(strings.TrimPrefix(rest, "'"), "'")
		after = strings.TrimLeft(after, " ")
		if !strings.HasPrefix(rest, "'") || !closed || !strings.HasPrefix(after, "}") {
			return v, 0, "a variable's default must be in single quotes, as in ${aws:username, 'nobody'}"
		}
		v.text, v.fallback = value, true
		end = len(text) - len(after)
	}
	key = strings.TrimSpace(key)
	if !isKey(key) || strings.ContainsAny(key, "'${*?") {
		return v, 0, "a variable must hold a condition key, as in ${aws:username}"
	}
	v.kind, v.key = variable, strings.ToLower(key)
	return v, end + 1, ""
}

// isKey reports whether a text has the form of a condition key: a prefix and a name.
func isKey(s string) bool {
	prefix, name, ok := strings.Cut(s, ":")
	return ok && prefix != "" && name != ""
}

// match reports whether the pattern matches all of a text. It takes time
// proportional to the product of their lengths at most. If a variable has no
// value, the pattern matches nothing and unclear is true.
func (p *pattern) match(text string, c Context) (ok, unclear bool) {
	switch {
	case p.all:
		return true, false
	case p.pieces == nil:
		switch p.fold {
		case asAction:
			return len(text) == len(p.text) && hasPrefixFold(text, p.text), false
		case anyCase:
			return strings.EqualFold(text, p.text), false
		}
		return text == p.text, false
	case p.start:
		return p.begins(text, p.text), false
	case p.vars:
		for i := range p.pieces {
			if q := &p.pieces[i]; q.kind == variable {
				if _, known := q.resolve(c); !known {
					return false, true
				}
			}
		}
	}
	if p.fold == anyCase {
		return p.equalFold(text, c), false
	}
	return p.glob(text, c), false
}

// glob matches piece by piece. When it is stuck it goes back to the latest star
// only, and lets that take one more character: if any choice for the stars
// before can work, the one that was made does.
func (p *pattern) glob(text string, c Context) bool {
	next, at := 0, 0
	starNext, starAt := -1, 0
	for {
		if next < len(p.pieces) {
			q := &p.pieces[next]
			if q.kind == star {
				next++
				if next == len(p.pieces) {
					return true
				}
				starNext, starAt = next, at
				continue
			}
			if next == starNext && at == starAt && q.kind == literal && p.fold == exactly {
				// A star takes all up to the next place where the literal is.
				n := strings.Index(text[at:], q.text)
				if n < 0 {
					return false
				}
				starAt, at = at+n, at+n
			}
			if n := p.prefix(q, text[at:], c); n >= 0 {
				at += n
				next++
				continue
			}
		} else if at == len(text) {
			return true
		}
		if starNext < 0 || starAt == len(text) {
			return false
		}
		_, n := utf8.DecodeRuneInString(text[starAt:])
		starAt += n
		next, at = starNext, starAt
	}
}

// prefix returns how many bytes of a text the piece takes, -1 if it does not match.
func (p *pattern) prefix(q *piece, text string, c Context) int {
	s := q.text
	switch q.kind {
	case one:
		if text == "" {
			return -1
		}
		_, n := utf8.DecodeRuneInString(text)
		return n
	case variable:
		s, _ = q.resolve(c)
	}
	if p.begins(text, s) {
		return len(s)
	}
	return -1
}

// begins reports whether a text begins with a part of the pattern.
func (p *pattern) begins(text, part string) bool {
	if p.fold == asAction {
		return hasPrefixFold(text, part)
	}
	return strings.HasPrefix(text, part)
}

// equalFold compares literals and variables with a text, in any case.
func (p *pattern) equalFold(text string, c Context) bool {
	for i := range p.pieces {
		s := p.pieces[i].text
		if p.pieces[i].kind == variable {
			s, _ = p.pieces[i].resolve(c)
		}
		for s != "" {
			_, n := utf8.DecodeRuneInString(s)
			_, m := utf8.DecodeRuneInString(text)
			if m == 0 || !strings.EqualFold(s[:n], text[:m]) {
				return false
			}
			s, text = s[n:], text[m:]
		}
	}
	return text == ""
}

// resolve returns the value of a variable: that of its key, if it has exactly
// one, else the default.
func (q *piece) resolve(c Context) (string, bool) {
	if v := c.values[q.key]; len(v) == 1 {
		return v[0], true
	}
	return q.text, q.fallback
}

// hasPrefixFold reports whether text begins with prefix, which is in lower case.
func hasPrefixFold(text, prefix string) bool {
	if len(text) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

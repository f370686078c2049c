package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	maxDocument      = 131_072 // characters, white space included
	maxDocumentDepth = 20
)

// checkDocument checks a policy document: it is the one place that does. Errors:
// MalformedPolicyDocument.
func checkDocument(text string) error {
	if len(text) > maxDocument || !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		return errMalformed("Syntax errors in policy.")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	depth := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && depth == 0 {
			break
		}
		if err != nil {
			return errMalformed("Syntax errors in policy.")
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDocumentDepth {
			return errMalformed("Syntax errors in policy.")
		}
	}
	if !json.Valid([]byte(text)) { // more than one value
		return errMalformed("Syntax errors in policy.")
	}
	return nil
}

// documentSize is what limits count of a document: the characters outside of
// strings that are no white space, and all those in strings.
func documentSize(text string) int {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return utf8.RuneCountInString(text)
	}
	return utf8.RuneCount(b.Bytes())
}

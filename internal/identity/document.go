package identity

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"berth/internal/policy"
)

const maxDocument = 131_072 // bytes, white space included

// checkDocument checks a policy document of a kind: it is the one place that does.
// Errors: MalformedPolicyDocument.
func checkDocument(kind policy.Kind, text string) error {
	if len(text) > maxDocument {
		return errMalformed("The policy is too long.")
	}
	_, err := policy.Parse(text, policy.Options{Kind: kind})
	return err
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

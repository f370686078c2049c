package aws

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestParseModelRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for name, data := range map[string]string{
		"not JSON":        `{`,
		"unknown member":  `{"operations":{},"shapes":{"A":{"type":"string","exclusiveMin":1}}}`,
		"unknown type":    `{"operations":{},"shapes":{"A":{"type":"map"}}}`,
		"missing member":  `{"operations":{},"shapes":{"A":{"type":"structure","members":[{"name":"b","shape":"B"}]}}}`,
		"missing element": `{"operations":{},"shapes":{"A":{"type":"list"}}}`,
		"missing input":   `{"operations":{"Do":{"input":"A","errors":[]}},"shapes":{}}`,
		"bad pattern":     `{"operations":{},"shapes":{"A":{"type":"string","pattern":"(?=a)"}}}`,
	} {
		if _, err := ParseModel([]byte(data)); err == nil {
			t.Errorf("ParseModel of a model with %s succeeded", name)
		}
	}
}

func TestModelsHaveEveryOperation(t *testing.T) {
	if got := len(ecrModel(t).Operations()); got != 62 {
		t.Errorf("ecr model has %d operations, want 62", got)
	}
	if got := len(readModel(t, "ecrpublic/model.json").Operations()); got != 23 {
		t.Errorf("ecrpublic model has %d operations, want 23", got)
	}
}

// The SDK has operations that the model lacks, never the other way round.
func TestEveryInputOfTheModelDecodes(t *testing.T) {
	m := ecrModel(t)
	sdk := make(map[string]sdkOperation)
	for _, op := range ecrOperations() {
		sdk[op.name] = op
	}
	for _, name := range m.Operations() {
		t.Run(name, func(t *testing.T) {
			op, ok := sdk[name]
			if !ok {
				t.Fatal("the SDK does not have it")
			}
			input := m.operations[name].input
			sameMembers(t, input, op.input)
			for _, full := range []bool{false, true} {
				data, err := json.Marshal(sample(t, input, full))
				if err != nil {
					t.Fatal(err)
				}
				into := newValue(op.input)
				doc, err := decodeJSON(data, into)
				if err != nil {
					t.Fatalf("decode %s: %v", data, err)
				}
				if err := m.check(name, doc); err != nil {
					t.Fatalf("check %s: %v", data, err)
				}
				if full {
					noneZero(t, reflect.ValueOf(into).Elem())
				}
			}
		})
	}
}

// sameMembers fails unless structure and Go type have the same members.
func sameMembers(t *testing.T, s *shape, typ reflect.Type) {
	t.Helper()
	fields := 0
	for i := range typ.NumField() {
		if isMember(typ.Field(i)) {
			fields++
		}
	}
	if fields != len(s.Members) {
		t.Errorf("%s has %d members, the model %d", typ, fields, len(s.Members))
	}
	for _, m := range s.Members {
		f, ok := typ.FieldByName(upperFirst(m.Name))
		if !ok {
			t.Errorf("%s has no field for %s", typ, m.Name)
			continue
		}
		inner, ft := m.shape, f.Type
		if inner.Type == "list" {
			inner, ft = inner.element, ft.Elem()
		}
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if inner.Type == "structure" {
			sameMembers(t, inner, ft)
		}
	}
}

// noneZero fails if a member is not set.
func noneZero(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		noneZero(t, v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			noneZero(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); isMember(f) {
				if v.Field(i).IsZero() {
					t.Errorf("%s.%s was not set", v.Type(), f.Name)
				}
				noneZero(t, v.Field(i))
			}
		}
	}
}

// Values that satisfy the patterns of the models, most general last.
var sampleTexts = []string{
	"123456789012",
	"us-east-1",
	"team/app",
	"sha256:0123456789abcdef",
	"01234567-89ab-cdef-0123-456789abcdef",
	"arn:aws:iam::123456789012:role/puller",
	"arn:aws:signer:us-east-1:123456789012:/signing-profiles/release",
	"arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/hub",
	"arn:aws:kms:us-east-1:123456789012:key/0123abcd",
	strings.Repeat("x", 100),
}

// sample returns a value of the shape: with required members only and lists as
// short as they may be, or with everything.
func sample(t *testing.T, s *shape, full bool) any {
	t.Helper()
	least := int64(0)
	if s.Min != nil {
		least = *s.Min
	}
	if full {
		least = max(least, 1)
	}
	switch s.Type {
	case "structure":
		doc := make(map[string]any)
		for _, m := range s.Members {
			if full || m.Required {
				doc[m.Name] = sample(t, m.shape, full)
			}
		}
		return doc
	case "list":
		all := make([]any, least)
		for i := range all {
			all[i] = sample(t, s.element, full)
		}
		return all
	case "boolean":
		return true
	case "integer", "long":
		return least
	case "blob":
		return base64.StdEncoding.EncodeToString(make([]byte, least))
	}
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	for _, text := range sampleTexts {
		v := validator{limit: 1}
		if v.text(text, s, &path{name: "sample"}); len(v.found) == 0 {
			return text
		}
	}
	t.Fatalf("no sample for pattern %q", s.Pattern)
	return nil
}

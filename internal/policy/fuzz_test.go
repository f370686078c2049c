package policy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"berth/internal/policy"

	"golang.org/x/tools/txtar"
)

// Any document is parsed or refused, whatever its kind. What is parsed means the
// same when its JSON is written another way, and decides alike each time.
func FuzzDocuments(f *testing.F) {
	archives, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			var kinds map[string]any
			if filepath.Base(file.Name) != "policies" || json.Unmarshal(file.Data, &kinds) != nil {
				continue
			}
			for _, v := range kinds {
				b, _ := json.Marshal(v)
				f.Add(string(b), uint8(len(b)), "ecr:PutImage", "arn:aws:ecr:us-east-1:123456789012:repository/a", "k:s", "v")
			}
		}
	}
	f.Add(`{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": "123456789012"}, "NotAction": "a:*", "Condition": {"StringLike": {"k:s": "${k:s, 'd'}*"}}}}`, uint8(3), "a:b", "*", "k:s", "")
	f.Fuzz(func(t *testing.T, text string, kind uint8, action, resource, key, value string) {
		k := policy.Kind(kind%9) + policy.Identity
		p, err := policy.Parse(text, policy.Options{Kind: k})
		if err != nil {
			return
		}
		var v any
		dec := json.NewDecoder(bytes.NewReader([]byte(text)))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("what was parsed is not JSON: %v", err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		q, err := policy.Parse(string(again), policy.Options{Kind: k})
		if err != nil && len(again) <= 10240 { // escapes make it longer
			t.Fatalf("Parse(%s) = %v, but %s was parsed", again, err, text)
		}
		for _, principal := range []policy.Principal{
			{},
			{Type: policy.User, ARN: "arn:aws:iam::123456789012:user/u", Account: "123456789012"},
			{Type: policy.AssumedRole, ARN: "arn:aws:sts::123456789012:assumed-role/r/s", Parent: "arn:aws:iam::123456789012:role/r", Account: "123456789012"},
			{Type: policy.Service, Name: "lambda.amazonaws.com"},
		} {
			r := policy.Request{Principal: principal, Action: action, Resource: resource, ResourceAccount: "123456789012",
				Context: policy.NewContext(map[string][]string{key: {value}, "k:l": {value, "x"}})}
			first := policy.Decide(&r, attach(k, p))
			if second := policy.Decide(&r, attach(k, p)); first != second {
				t.Fatalf("Decide = %+v, then %+v", first, second)
			}
			if q != nil {
				if other := policy.Decide(&r, attach(k, q)); first != other {
					t.Fatalf("Decide = %+v, of the same document written another way %+v", first, other)
				}
			}
		}
	})
}

// attach makes a policy one of its kind, with an allow beside it where that is
// needed for its statements to matter.
func attach(k policy.Kind, p *policy.Policy) *policy.Policies {
	list := []policy.Attached{{Policy: p}}
	switch k {
	case policy.Boundary:
		return &policy.Policies{Identity: list, Boundary: list}
	case policy.Session:
		return &policy.Policies{Identity: list, Session: list}
	case policy.Repository:
		return &policy.Policies{Repository: list}
	case policy.Registry:
		return &policy.Policies{Registry: list}
	case policy.Trust:
		return &policy.Policies{Trust: list}
	case policy.Key:
		return &policy.Policies{Key: list}
	case policy.Endpoint:
		return &policy.Policies{Identity: list, Endpoint: list}
	case policy.ServiceControl:
		return &policy.Policies{Identity: list, ServiceControl: [][]policy.Attached{list}}
	case policy.ResourceControl:
		return &policy.Policies{Repository: list, ResourceControl: [][]policy.Attached{list}}
	}
	return &policy.Policies{Identity: list}
}

// A condition that an operator takes is decided for any value as the oracle does.
func FuzzConditionValues(f *testing.F) {
	var names []string
	for _, c := range operatorCases {
		for _, name := range []string{c.operator, c.negated} {
			if name == "" {
				continue
			}
			names = append(names, name)
			for _, v := range append(c.yes, c.no...) {
				for _, want := range astexts(c.value) {
					f.Add(uint16(len(names)-1), want, v, v)
				}
			}
		}
	}
	for _, v := range vars {
		f.Add(uint16(8), v, "a", "b")
	}
	f.Fuzz(func(t *testing.T, operator uint16, want, have, other string) {
		name := names[int(operator)%len(names)]
		condition, err := json.Marshal(map[string]any{name: map[string]any{"k:x": want}})
		if err != nil {
			t.Fatal(err)
		}
		text := `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": ` + string(condition) + `}}`
		p, err := policy.Parse(text, policy.Options{Kind: policy.Identity})
		if err != nil {
			return
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		context := map[string][]string{"k:x": {have}, "k:s": {other}, "k:l": {have, other}}
		r := policy.Request{Principal: policy.Principal{Type: policy.User, ARN: "arn:aws:iam::123456789012:user/u", Account: "123456789012"},
			Action: "ecr:PutImage", Resource: "*", ResourceAccount: "123456789012", Context: policy.NewContext(context)}
		o := &oracle{request: r, context: context, policies: map[policy.Kind][][]map[string]any{policy.Identity: {{doc}}}}
		got := policy.Decide(&r, &policy.Policies{Identity: []policy.Attached{{Policy: p}}})
		if !utf8.ValidString(have) || !utf8.ValidString(other) {
			return // which characters they have is not defined
		}
		if allowed, _, _ := o.decide(); got.Allowed != allowed {
			t.Errorf("%s of %q: Decide says %t, the oracle %t", condition, have, got.Allowed, allowed)
		}
	})
}

func FuzzQuestions(f *testing.F) {
	f.Add([]byte(`{"request": {"principal": "*", "action": "a:b", "resource": "*", "context": {"a:b": [1, true, "x"]}}, "policies": {"identity": [{"name": "n", "document": {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}], "serviceControl": [[]]}}`))
	f.Add([]byte(`{"request": {"principal": {"arn": "arn:aws:sts::123456789012:assumed-role/r/s"}, "action": "a:b", "resource": "*"}}`))
	if b, err := os.ReadFile("testdata/trust.txtar"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		q, err := policy.ParseQuestion(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		if d := q.Decide(); d != q.Decide() {
			t.Errorf("Decide is not always %+v", d)
		}
	})
}

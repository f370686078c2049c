package aws

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"berth/internal/fault"
)

// Whatever the body, a request gets an answer, and not one of ours to blame.
func FuzzDecodeJSON(f *testing.F) {
	for _, doc := range []string{
		``, `{}`, `null`, `[`, `{"repositoryName":"app"}`, `{"repositoryName":"\ud83d\ude00","tags":[{"Key":"a","Value":null}]}`,
		`{"imageScanningConfiguration":{"scanOnPush":true},"encryptionConfiguration":{}}`,
		`{"layerPartBlob":"YQ==","partFirstByte":-1,"partLastByte":9223372036854775808}`,
		`{"a":1,"a":2}`, `{"replicationConfiguration":{"rules":[{"destinations":[{}]}]}}`, `{"maxResults":1e9,"filter":{"tagStatus":""}}`,
	} {
		f.Add(doc)
	}
	m := ecrModel(f)
	operations := ecrOperations()
	f.Fuzz(func(t *testing.T, doc string) {
		n, err := parseJSON([]byte(doc))
		syntax := err != nil && (strings.Contains(err.Error(), "unexpected character") || strings.Contains(err.Error(), "ends early"))
		if valid := json.Valid([]byte(doc)); strings.Trim(doc, " \t\r\n") != "" && (err == nil && !valid || syntax && valid) {
			t.Errorf("parseJSON(%q) = %v, encoding/json finds it valid: %t", doc, err, valid)
		}
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("parseJSON(%q) = %v", doc, err)
		}
		if n == nil {
			return
		}
		for _, op := range operations {
			in := newValue(op.input)
			n, err := decodeJSON([]byte(doc), in)
			if err == nil {
				err = m.check(op.name, n)
			}
			if err != nil && fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s of %q = %v", op.name, doc, err)
			}
			if err != nil {
				continue
			}
			if out, err := encodeJSON(in); err != nil || !json.Valid(out) {
				t.Errorf("encodeJSON of %q = %q, %v", doc, out, err)
			}
		}
	})
}

func FuzzDecodeQuery(f *testing.F) {
	for _, form := range []string{
		"", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a&DurationSeconds=900",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&PolicyArns.member.1.arn=a&PolicyArns.member.2=",
		"Action.x=1&Version..=2", "Map.entry.1.key=a&Map.entry.1.value=1", "Time=2024-01-01T00:00:00Z&Flag=true&Blob=YQ==", "%=&;",
	} {
		f.Add(form)
	}
	front := &front{
		withWebIdentity: func(caller, *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
			return nil, nil
		},
		createRepository: func(*ecr.CreateRepositoryInput) (*ecr.CreateRepositoryOutput, error) { return nil, nil },
	}
	h := front.handler(f, nil)
	f.Fuzz(func(t *testing.T, form string) {
		if p, err := parseForm([]byte(form)); err == nil {
			for _, into := range []any{&queryKinds{}, &sts.AssumeRoleInput{}} {
				if err := decodeQuery(p, into, nil); err != nil && fault.KindOf(err) != fault.Invalid {
					t.Errorf("decodeQuery(%q) = %v", form, err)
				}
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, call{contentType: "application/x-www-form-urlencoded", scope: "-", body: form}.request(t))
		if w.Code >= 500 {
			t.Errorf("answer to %q = %d", form, w.Code)
		}
	})
}

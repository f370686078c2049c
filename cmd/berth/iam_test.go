package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const question = `{"request": {"principal": "arn:aws:iam::123456789012:user/u", "action": "ecr:PutImage",
	"resource": "arn:aws:ecr:us-east-1:123456789012:repository/app"},
	"policies": {"identity": {"name": "push", "document": {"Statement": {"Sid": "all", "Effect": "Allow", "Action": "ecr:*", "Resource": "*"}}}}}`

func TestIAMEvaluate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		document, out, err string
		code               int
	}{
		"allowed": {document: question, out: `"allowed": true`},
		"denied":  {document: strings.Replace(question, `"Allow"`, `"Deny"`, 1), out: `"sid": "all"`, code: 1},
		"nothing": {document: `{"request": {"principal": "*", "action": "ecr:PutImage", "resource": "*"}}`, out: `"reason": "no-allow"`, code: 1},
		"wrong":   {document: strings.Replace(question, `"Allow"`, `"allow"`, 1), err: "policies: identity: statement 1, Effect: must be Allow or Deny\n", code: 2},
		"no JSON": {document: `{`, err: "the document is not JSON\n", code: 2},
	} {
		file := filepath.Join(t.TempDir(), "question.json")
		if err := os.WriteFile(file, []byte(c.document), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{"iam", "evaluate", "--file", file}, nil, stdio{&out, &errs})
		var code exitCode
		if errors.As(err, &code); int(code) != c.code || err != nil && code == 0 {
			t.Errorf("%s: exit %v, want %d", name, err, c.code)
		}
		if !strings.Contains(out.String(), c.out) || !strings.HasSuffix(errs.String(), c.err) || (c.err == "") != (errs.Len() == 0) {
			t.Errorf("%s: printed %q and %q, want %q and %q", name, &out, &errs, c.out, c.err)
		}
	}
}

func TestIAMEvaluateReadsStandardInput(t *testing.T) {
	t.Parallel()
	q, err := readQuestion(strings.NewReader(question), "-")
	if err != nil || !q.Decide().Allowed {
		t.Errorf("readQuestion: %v", err)
	}
}

// A mistake in the command is not a denial.
func TestIAMEvaluateWithoutADocument(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--file", "none.json"}, {"--flie", "x"}, {"--file"}, {"x"}} {
		var out, errs bytes.Buffer
		err := run(t.Context(), append([]string{"iam", "evaluate"}, args...), nil, stdio{&out, &errs})
		if err != badQuestion || errs.Len() == 0 || out.Len() != 0 {
			t.Errorf("%q: %v, printed %q and %q", args, err, &out, &errs)
		}
	}
}

package policy

import "testing"

func TestARNs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ARN{
		"arn:aws:ecr:us-east-1:123456789012:repository/team/app": {"aws", "ecr", "us-east-1", "123456789012", "repository/team/app"},
		"arn:aws:iam::123456789012:root":                         {"aws", "iam", "", "123456789012", "root"},
		"arn:aws:s3:::bucket/key":                                {"aws", "s3", "", "", "bucket/key"},
		"arn:aws-cn:a:b:c:d:e:f":                                 {"aws-cn", "a", "b", "c", "d:e:f"},
	} {
		got, ok := ParseARN(text)
		if got != want || !ok {
			t.Errorf("ParseARN(%q) = %+v, %t, want %+v", text, got, ok, want)
		}
		if got.String() != text {
			t.Errorf("ParseARN(%q).String() = %q, want the same", text, got)
		}
	}
	for _, text := range []string{"", "arn", "arn:aws:iam::123456789012", "arn:aws:iam::123456789012:", "arn::iam:::x", "arn:aws::::x", "ARN:aws:iam:::x", " arn:aws:iam:::x"} {
		if got, ok := ParseARN(text); ok || got != (ARN{}) {
			t.Errorf("ParseARN(%q) = %+v, %t, want none", text, got, ok)
		}
	}
}

package registry

import "testing"

func TestASessionHasTheSubjectOfItsRole(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]string{
		"arn:aws:iam::123456789012:user/u":                    "arn:aws:iam::123456789012:user/u",
		"arn:aws:iam::123456789012:user/path/u":               "arn:aws:iam::123456789012:user/path/u",
		"arn:aws:iam::123456789012:root":                      "arn:aws:iam::123456789012:root",
		"arn:aws:iam::123456789012:role/r":                    "arn:aws:iam::123456789012:role/r",
		"arn:aws:iam::123456789012:role/a/path/r":             "arn:aws:iam::123456789012:role/r",
		"arn:aws:sts::123456789012:assumed-role/r/session":    "arn:aws:iam::123456789012:role/r",
		"arn:aws:sts::123456789012:assumed-role/r/session/x":  "arn:aws:iam::123456789012:role/r",
		"arn:aws-cn:sts::123456789012:assumed-role/r/session": "arn:aws-cn:iam::123456789012:role/r",
		"arn:aws:sts::210987654321:assumed-role/r/session":    "arn:aws:iam::210987654321:role/r",
		"arn:aws:sts::123456789012:federated-user/r":          "arn:aws:sts::123456789012:federated-user/r",
		"arn:aws:iam::123456789012:assumed-role/r/session":    "arn:aws:iam::123456789012:assumed-role/r/session",
		"arn:aws:iam::123456789012:role":                      "arn:aws:iam::123456789012:role/",
		"":                                                    "",
		"anonymous":                                           "anonymous",
	} {
		if got := PullTimeSubject(arn); got != want {
			t.Errorf("PullTimeSubject(%q) = %q, want %q", arn, got, want)
		}
	}
}

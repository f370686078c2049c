package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/internal/fault"
	"berth/internal/policy"
)

const (
	inIdentity   = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "s3:*", "Resource": "*"%s}]}`
	inRepository = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*"}, {"Effect": "Deny", "Action": "s3:*"%s}]}`
)

func in(document, members string) string {
	if members != "" {
		members = ", " + members
	}
	return strings.Replace(document, "%s", members, 1)
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	statement := func(members string) string { return `{"Statement": [{"Effect": "Deny", ` + members + `}]}` }
	const rest = `"Action": "ecr:*", "Resource": "*"`
	principal := func(p string) string { return `"Principal": ` + p }
	for _, c := range []struct {
		kind policy.Kind
		text string
		want string // the reason, "" if the document is good
	}{
		{policy.Identity, in(inIdentity, ""), ""},
		{policy.Identity, in(inIdentity, `"Sid": "A1", "Condition": {}`), ""},
		{policy.Identity, ``, "the document is not JSON"},
		{policy.Identity, "\xff", "the document is not UTF-8"},
		{policy.Identity, `{} {}`, "the document is not JSON"},
		{policy.Identity, `[]`, "the policy: must be an object"},
		{policy.Identity, `{"Statement": [], "Statement": []}`, `the member "Statement" is there more than once`},
		{policy.Identity, strings.Repeat("[", 11) + strings.Repeat("]", 11), "the document nests too deeply"},
		{policy.Identity, strings.Repeat("[", 100000) + strings.Repeat("]", 100000), "the document is longer than 131072 bytes"},
		{policy.Identity, `{"Version": "2020-01-01", "Statement": []}`, "Version: must be 2012-10-17 or 2008-10-17"},
		{policy.Identity, `{"Version": 2012, "Statement": []}`, "Version: must be 2012-10-17 or 2008-10-17"},
		{policy.Identity, `{"Id": 1, "Statement": []}`, "Id: must be a text"},
		{policy.Identity, `{"statement": []}`, `the policy: the member "statement" is not known`},
		{policy.Identity, `{}`, "Statement: must be a statement or a list of at least one"},
		{policy.Identity, `{"Statement": []}`, "Statement: must be a statement or a list of at least one"},
		{policy.Identity, `{"Statement": [1]}`, "statement 1: must be an object"},
		{policy.Identity, in(inIdentity, `"Extra": 1`), `statement 2: the member "Extra" is not known`},
		{policy.Identity, in(inIdentity, `"Sid": "a b"`), "statement 2, Sid: must be a text of letters and digits"},
		{policy.Identity, `{"Statement": [{"Sid": "a", "Effect": "Deny", ` + rest + `}, {"Sid": "a", "Effect": "Deny", ` + rest + `}]}`, `statement 2, Sid: "a" is there more than once`},
		{policy.Identity, in(inIdentity, principal(`"*"`)), "statement 2, Principal: must not be in a policy of this kind (identity)"},
		{policy.Identity, in(inIdentity, `"NotResource": "*"`), "statement 2, Resource: must not be there together with NotResource"},
		{policy.Identity, in(inIdentity, `"NotAction": "*"`), "statement 2, Action: must not be there together with NotAction"},
		{policy.Identity, `{"Statement": {"Effect": "allow", ` + rest + `}}`, "statement 1, Effect: must be Allow or Deny"},
		{policy.Identity, `{"Statement": {` + rest + `}}`, "statement 1, Effect: must be Allow or Deny"},
		{policy.Identity, statement(`"Resource": "*"`), "statement 1, Action: is missing"},
		{policy.Identity, statement(`"Action": [], "Resource": "*"`), "statement 1, Action: must not be empty"},
		{policy.Identity, statement(`"Action": ["ecr:*", 1], "Resource": "*"`), "statement 1, Action: must be a text or a list of texts"},
		{policy.Identity, statement(`"Action": "PutImage", "Resource": "*"`), `statement 1, Action: "PutImage" is not an action, as in ecr:PutImage or ecr:*`},
		{policy.Identity, statement(`"Action": "e*:PutImage", "Resource": "*"`), `statement 1, Action: "e*:PutImage" is not an action, as in ecr:PutImage or ecr:*`},
		{policy.Identity, statement(`"Action": "ecr:*"`), "statement 1, Resource: is missing"},
		{policy.Identity, statement(`"Action": "ecr:*", "Resource": "repository/x"`), `statement 1, Resource: "repository/x" is neither an ARN nor "*"`},
		{policy.Identity, statement(`"Action": "ecr:*", "Resource": "arn:aws:ecr:${x"`), ""}, // the old version has no variables
		{policy.Identity, in(inIdentity, `"Condition": 1`), "statement 2, Condition: must be an object"},
		{policy.Identity, in(inIdentity, `"Condition": {"StringLikes": {}}`), `statement 2, Condition: there is no operator "StringLikes"`},
		{policy.Identity, in(inIdentity, `"Condition": {"NullIfExists": {}}`), `statement 2, Condition: there is no operator "NullIfExists"`},
		{policy.Identity, in(inIdentity, `"Condition": {"ForAnyValue:Null": {}}`), `statement 2, Condition: there is no operator "ForAnyValue:Null"`},
		{policy.Identity, in(inIdentity, `"Condition": {"ForAnyValue:ForAllValues:StringEquals": {}}`), `statement 2, Condition: there is no operator "ForAnyValue:ForAllValues:StringEquals"`},
		{policy.Identity, in(inIdentity, `"Condition": {"Bool": []}`), "statement 2, Condition: Bool must be an object"},
		{policy.Identity, in(inIdentity, `"Condition": {"Bool": {"x": true}}`), `statement 2, Condition: Bool: "x" is not a condition key, as in aws:SourceIp`},
		{policy.Identity, in(inIdentity, `"Condition": {"Bool": {"a:x": null}}`), "statement 2, Condition: Bool, a:x: must have texts, numbers or booleans as values"},
		{policy.Identity, in(inIdentity, `"Condition": {"Bool": {"a:x": []}}`), "statement 2, Condition: Bool, a:x: must have a value"},
		{policy.Identity, in(inIdentity, `"Condition": {"Bool": {"a:x": "yes"}}`), `statement 2, Condition: Bool, a:x: "yes" is neither true nor false`},
		{policy.Identity, in(inIdentity, `"Condition": {"NumericEquals": {"a:x": "1e3"}}`), `statement 2, Condition: NumericEquals, a:x: "1e3" is not a number (digits, a minus before and a point in between at most)`},
		{policy.Identity, in(inIdentity, `"Condition": {"NumericEquals": {"a:x": "${a:y}"}}`), `statement 2, Condition: NumericEquals, a:x: "${a:y}" is not a number (digits, a minus before and a point in between at most)`},
		{policy.Identity, in(inIdentity, `"Condition": {"DateEquals": {"a:x": "2026-02-30"}}`), `statement 2, Condition: DateEquals, a:x: "2026-02-30" is neither a date as in 2026-01-31T23:59:59Z nor seconds since 1970`},
		{policy.Identity, in(inIdentity, `"Condition": {"DateEquals": {"a:x": 1769860800000}}`), `statement 2, Condition: DateEquals, a:x: "1769860800000" is neither a date as in 2026-01-31T23:59:59Z nor seconds since 1970`},
		{policy.Identity, in(inIdentity, `"Condition": {"IpAddress": {"a:x": "10.0.0.0/33"}}`), `statement 2, Condition: IpAddress, a:x: "10.0.0.0/33" is neither an address nor a network as in 203.0.113.0/24`},
		{policy.Identity, in(inIdentity, `"Condition": {"BinaryEquals": {"a:x": "A"}}`), `statement 2, Condition: BinaryEquals, a:x: "A" is not base64`},
		{policy.Identity, in(inIdentity, `"Condition": {"ArnLike": {"a:x": "arn:aws:iam"}}`), `statement 2, Condition: ArnLike, a:x: "arn:aws:iam" is not an ARN of six segments, as in arn:aws:iam::123456789012:role/*`},
		{policy.Identity, in(inIdentity, `"Condition": {"ArnLike": {"a:x": "arn:aws:s3:${a:y}:b"}}`), `statement 2, Condition: ArnLike, a:x: "arn:aws:s3:${a:y}:b" is not an ARN of six segments, as in arn:aws:iam::123456789012:role/*`},
		{policy.Identity, in(inIdentity, `"Condition": {"StringLike": {"a:x": "${a:y"}}`), `statement 2, Condition: StringLike, a:x: "${a:y" the variable that begins with ${ has no }`},
		{policy.Identity, in(inIdentity, `"Condition": {"StringLike": {"a:x": "${y}"}}`), `statement 2, Condition: StringLike, a:x: "${y}" a variable must hold a condition key, as in ${aws:username}`},
		{policy.Identity, in(inIdentity, `"Condition": {"StringLike": {"a:x": "${a:y, d}"}}`), `statement 2, Condition: StringLike, a:x: "${a:y, d}" a variable's default must be in single quotes, as in ${aws:username, 'nobody'}`},
		{policy.ServiceControl, in(inIdentity, ""), ""},
		{policy.Repository, in(inRepository, principal(`{"AWS": ["123456789012", "arn:aws:iam::123456789012:user/a/b"], "Service": "ecs-tasks.amazonaws.com", "Federated": "accounts.google.com"}`)), ""},
		{policy.Repository, in(inRepository, principal(`"*", "Sid": "any text", "Resource": "*"`)), ""},
		{policy.Repository, in(inRepository, ``), "statement 2, Principal: is missing"},
		{policy.Repository, in(inRepository, principal(`"alice"`)), `statement 2, Principal: is neither "*" nor an object of AWS, Service and Federated: must be an object`},
		{policy.Repository, in(inRepository, principal(`{}`)), "statement 2, Principal: names nobody"},
		{policy.Repository, in(inRepository, principal(`{"AWS": []}`)), "statement 2, Principal: AWS must not be empty"},
		{policy.Repository, in(inRepository, principal(`{"CanonicalUser": "x"}`)), "statement 2, Principal: CanonicalUser is for Amazon S3 only; name the account"},
		{policy.Repository, in(inRepository, principal(`{"AWS": "12345"}`)), `statement 2, Principal: AWS "12345" is neither *, an account's id nor the ARN of an account's root, a user, a role or a session`},
		{policy.Repository, in(inRepository, principal(`{"AWS": "arn:aws:iam::123456789012:group/g"}`)), `statement 2, Principal: AWS "arn:aws:iam::123456789012:group/g" is neither *, an account's id nor the ARN of an account's root, a user, a role or a session`},
		{policy.Repository, in(inRepository, principal(`{"AWS": "arn:aws:iam::123456789012:role/*"}`)), `statement 2, Principal: AWS "arn:aws:iam::123456789012:role/*" has a wildcard: a principal is * or named in full (a condition on aws:PrincipalArn can have wildcards)`},
		{policy.Repository, in(inRepository, principal(`{"Service": "*"}`)), `statement 2, Principal: Service "*" is not the name of a service, as in ecs-tasks.amazonaws.com`},
		{policy.Repository, `{"Statement": {"Effect": "Allow", "NotPrincipal": "*", "Action": "*"}}`, "statement 1, NotPrincipal: is only for statements that deny, and not for trust policies"},
		{policy.Trust, `{"Statement": {"Effect": "Deny", "NotPrincipal": "*", "Action": "*"}}`, "statement 1, NotPrincipal: is only for statements that deny, and not for trust policies"},
		{policy.Registry, in(inRepository, principal(`"*"`)), "statement 1, Resource: is missing"},
		{policy.Trust, in(inIdentity, principal(`"*"`)), "statement 1, Principal: is missing"},
		{policy.Trust, statement(principal(`"*", `) + rest), "statement 1, Resource: must not be in a policy of this kind (trust)"},
		{policy.Trust, statement(principal(`{"AWS": "arn:aws:sts::123456789012:assumed-role/r/s"}, "Action": "sts:AssumeRole"`)), ""},
		{policy.ResourceControl, statement(principal(`{"AWS": "123456789012"}, `) + rest), `statement 1, Principal: must be Principal with "*" in a resource control policy`},
		{policy.ResourceControl, statement(principal(`"*", `) + rest), ""},
		{policy.Endpoint, statement(rest), "statement 1, Principal: is missing"},
	} {
		_, err := policy.Parse(c.text, policy.Options{Kind: c.kind})
		var cause *policy.SyntaxError
		if errors.As(err, &cause) != (err != nil) {
			t.Errorf("Parse(%.200s) = %v, without a cause", c.text, err)
			continue
		}
		got := ""
		if err != nil {
			got = cause.Error()
		}
		if got != c.want {
			t.Errorf("Parse(%.200s): %q, want %q", c.text, got, c.want)
		}
	}
}

func TestResourceControlPoliciesOnlyLimit(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]string{
		`"Effect":"Deny","Action":["ecr:*","sts:AssumeRole"]`: "",
		`"Effect":"Allow","Action":"ecr:*"`:                   "statement 1, Effect: must be Deny",
		`"Effect":"Deny","NotAction":"ecr:*"`:                 "statement 1, NotAction: must be Action",
		`"Effect":"Deny","Action":["ecr:*","*"]`:              `statement 1, Action: "*" is not an action of one service`,
		`"Effect":"Deny","Action":"*:*"`:                      `statement 1, Action: "*:*" is not an action of one service`,
	} {
		text := `{"Statement":{"Principal":"*","Resource":"*",` + members + `}}`
		_, err := policy.Parse(text, policy.Options{Kind: policy.ResourceControl, Limits: true})
		got := ""
		if cause := (*policy.SyntaxError)(nil); errors.As(err, &cause) {
			got = cause.Error()
		}
		if got != want {
			t.Errorf("Parse(%s): %q, want %q", text, got, want)
		}
		if _, err := policy.Parse(text, policy.Options{Kind: policy.ResourceControl}); err != nil {
			t.Errorf("Parse(%s) of AWS's own = %v", text, err)
		}
	}
}

func TestErrorsAreThoseOfTheAPIs(t *testing.T) {
	t.Parallel()
	for kind, want := range map[policy.Kind]string{
		policy.Repository:      "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
		policy.Registry:        "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'",
		policy.Identity:        "MalformedPolicyDocument: statement 1: must be an object",
		policy.Boundary:        "MalformedPolicyDocument: statement 1: must be an object",
		policy.Session:         "MalformedPolicyDocument: statement 1: must be an object",
		policy.Trust:           "MalformedPolicyDocument: statement 1: must be an object",
		policy.ServiceControl:  "MalformedPolicyDocumentException: statement 1: must be an object",
		policy.ResourceControl: "MalformedPolicyDocumentException: statement 1: must be an object",
		policy.Key:             "MalformedPolicyDocumentException: statement 1: must be an object",
		policy.Endpoint:        "InvalidPolicyDocument: statement 1: must be an object",
	} {
		_, err := policy.Parse(`{"Statement": [1]}`, policy.Options{Kind: kind})
		f, ok := fault.As(err)
		if !ok || f.Kind != fault.Invalid || f.Code+": "+f.Message != want {
			t.Errorf("%s: %v, want %s", kind, err, want)
		}
	}
	long := `{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*"}}` + strings.Repeat(" ", 10240)
	if _, err := policy.Parse(long, policy.Options{Kind: policy.Repository}); err == nil {
		t.Error("a repository policy of more than 10,240 bytes was parsed")
	}
}

func TestActionsCanBeChecked(t *testing.T) {
	t.Parallel()
	known := []string{"ecr:PutImage", "ecr:BatchGetImage"}
	for action, ok := range map[string]bool{"ecr:PutImage": true, "ECR:putimage": true, "ecr:*": true, "*": true, "ecr:Batch*": true, "ecr:Put": false, "ecr:Z*": false, "s3:*": false} {
		_, err := policy.Parse(`{"Statement": {"Effect": "Deny", "NotAction": "`+action+`", "Resource": "*"}}`, policy.Options{Kind: policy.Identity, Actions: known})
		if (err == nil) != ok {
			t.Errorf("%s: %v, want valid %t", action, err, ok)
		}
	}
}

func TestWhatADocumentNames(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse(`{"Statement": [
		{"Effect": "Allow", "Principal": {"AWS": ["123456789012", "*", "arn:aws:iam::123456789012:user/a"], "Service": "lambda.amazonaws.com"}, "Action": ["ecr:Get*", "ecr:PutImage"]},
		{"Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:root"}, "NotAction": "*"}]}`, policy.Options{Kind: policy.Repository})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Actions(), []string{"ecr:Get*", "ecr:PutImage", "*"}; !slices.Equal(got, want) {
		t.Errorf("Actions = %q, want %q", got, want)
	}
	if got, want := p.Principals(), []string{"arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:user/a", "arn:aws:iam::111122223333:root"}; !slices.Equal(got, want) {
		t.Errorf("Principals = %q, want %q", got, want)
	}
}

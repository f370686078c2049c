//go:build unix

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the documents that scripts generate")

// troublesKey finds the troubles of a script.
type troublesKey struct{}

// troubles is what a script has seen go wrong, and the actions that its task is
// allowed.
type troubles struct {
	allowed []string
	seen    []trouble
}

// trouble is one thing that goes wrong.
type trouble struct{ says, step, remedy string }

func troublesOf(ts *testscript.TestScript) *troubles { return ts.Value(troublesKey{}).(*troubles) }

// putTask allows the task these actions, and no others.
func putTask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: task ACTION...")
	}
	troublesOf(ts).allowed = args
	allowTask(ts, args)
}

// allowTask gives the role of the task its policy, as the root.
func allowTask(ts *testscript.TestScript, actions []string) {
	document, err := json.Marshal(map[string]any{
		"Version": "2012-10-17", "Statement": map[string]any{"Effect": "Allow", "Action": append([]string{"sts:GetCallerIdentity"}, actions...), "Resource": "*"},
	})
	ts.Check(err)
	s := serverOf(ts)
	c := iam.New(iam.Options{
		Region: ts.Getenv("AWS_REGION"), BaseEndpoint: aws.String(ts.Getenv("AWS_ENDPOINT_URL")),
		Credentials: credentials.NewStaticCredentialsProvider(s.key, s.secret, ""),
	})
	_, err = c.PutRolePolicy(context.Background(), &iam.PutRolePolicyInput{
		RoleName: aws.String("task"), PolicyName: aws.String("registry"), PolicyDocument: aws.String(string(document)),
	})
	ts.Check(err)
}

// runAsRoot runs a program with the credentials of the root.
func runAsRoot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: asroot PROGRAM ARGS")
	}
	s := serverOf(ts)
	root := map[string]string{"AWS_ACCESS_KEY_ID": s.key, "AWS_SECRET_ACCESS_KEY": s.secret, "AWS_SESSION_TOKEN": ""}
	for name, value := range root {
		root[name] = ts.Getenv(name)
		ts.Setenv(name, value)
	}
	commands()[args[0]](ts, false, args[1:])
	for name, value := range root {
		ts.Setenv(name, value)
	}
}

// without runs a program while one of the task's actions is not allowed. It must
// fail and name the action.
func without(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: without ACTION PROGRAM ARGS")
	}
	t, action := troublesOf(ts), args[0]
	i := slices.Index(t.allowed, action)
	if i < 0 {
		ts.Fatalf("the task is not allowed %s anyway", action)
	}
	allowTask(ts, slices.Delete(slices.Clone(t.allowed), i, i+1))
	remedy := "Allow `" + action + "` on the repository, in a policy of the role or in the repository's."
	if action == "ecr:GetAuthorizationToken" {
		remedy = "Allow `" + action + "` on `*`, in a policy of the role: no repository's policy can."
	}
	putTrouble(ts, false, append([]string{"not authorized to perform: " + action + " on resource", remedy}, args[1:]...))
	allowTask(ts, t.allowed)
}

// putTrouble runs a program that must fail with a text, and keeps the line with
// the text and what helps.
func putTrouble(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: trouble TEXT REMEDY PROGRAM ARGS")
	}
	text, remedy, program, args := args[0], args[1], args[2], args[3:]
	step := append([]string{program}, args...)
	if program == "aws" {
		args = append([]string{"--endpoint-url", ts.Getenv("AWS_ENDPOINT_URL")}, args...)
	}
	run(ts, true, program, args...)
	said := strings.Split(strings.ReplaceAll(ts.ReadFile("stdout")+"\n"+ts.ReadFile("stderr"), "\r", "\n"), "\n")
	i := slices.IndexFunc(said, func(line string) bool { return strings.Contains(line, text) })
	if i < 0 {
		ts.Fatalf("%s fails without %q", program, text)
	}
	line := said[i] // what clients put before it differs from version to version
	if j := strings.Index(line, "User: "); j >= 0 {
		line = line[j:]
	} else {
		line = line[strings.Index(line, text):]
	}
	t := troublesOf(ts)
	t.seen = append(t.seen, trouble{general(ts, line), stepName(step), remedy})
}

var (
	stepOption = regexp.MustCompile(`\A[-/{\[=:0-9A-Z]|[/:=.]`)
	anyDigest  = regexp.MustCompile(`sha256:[0-9a-f]{12,64}`)
)

// stepName is a command without its arguments: docker push.
func stepName(words []string) string {
	if i := slices.IndexFunc(words[1:], stepOption.MatchString); i >= 0 {
		words = words[:i+1]
	}
	return strings.Join(words, " ")
}

// general takes out of a line what is of this run alone.
func general(ts *testscript.TestScript, line string) string {
	line = strings.NewReplacer(
		ts.Getenv("ECR_REGISTRY"), "REGISTRY",
		"arn:aws:sts::123456789012:assumed-role/task/build", "ROLE",
		"arn:aws:ecr:us-east-1:123456789012:repository/", "REPOSITORY/",
	).Replace(strings.TrimSpace(line))
	return anyDigest.ReplaceAllString(line, "DIGEST")
}

// putTroubles holds a document against what the script has seen.
func putTroubles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: troubles FILE")
	}
	name := filepath.Join("..", args[0])
	want := document(troublesOf(ts).seen)
	if *update {
		ts.Check(os.WriteFile(name, []byte(want), 0o600))
	}
	got, err := os.ReadFile(name)
	ts.Check(err)
	if string(got) != want {
		ts.Fatalf("%s is not what was seen; go test ./e2e -run %s -update writes it:\n%s", args[0], ts.Name(), want)
	}
}

const troublesHead = `# Troubleshooting

What clients print when something is missing or wrong, by the text, and what
helps. A test provokes each of these with the client that is named and writes
this page; in its texts, REGISTRY stands for the registry's host, ROLE for the
ARN of who asks, REPOSITORY/ for what the ARN of a repository begins with.

A push needs six actions: ` + "`ecr:BatchCheckLayerAvailability`, `ecr:InitiateLayerUpload`,\n`ecr:UploadLayerPart`, `ecr:CompleteLayerUpload`, `ecr:PutImage` and\n`ecr:BatchGetImage`" + `. A pull needs two: ` + "`ecr:BatchGetImage` and\n`ecr:GetDownloadUrlForLayer`" + `. To log in takes ` + "`ecr:GetAuthorizationToken`" + ` besides.

| What it says | When | What helps |
|---|---|---|
`

// document is the page about troubles.
func document(seen []trouble) string {
	seen = slices.SortedStableFunc(slices.Values(seen), func(a, b trouble) int { return cmp.Or(cmp.Compare(a.says, b.says), cmp.Compare(a.step, b.step)) })
	var b strings.Builder
	b.WriteString(troublesHead)
	for _, t := range slices.Compact(seen) {
		b.WriteString("| `" + cell(t.says) + "` | `" + t.step + "` | " + cell(t.remedy) + " |\n")
	}
	return b.String()
}

// cell keeps a text in one cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"berth/internal/policy"

	"github.com/spf13/cobra"
)

func iamCommand(environ []string, io stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "iam",
		Short: "Look into policies, bind principals to services",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(bindingCommands(environ, io)...)
	cmd.AddCommand(iamEvaluateCommand(io), iamExplainCommand(environ, io), iamDecisionCommand(environ, io))
	return cmd
}

// badQuestion is the exit code of berth iam evaluate if it could not decide.
const badQuestion = exitCode(2)

func iamEvaluateCommand(io stdio) *cobra.Command {
	var file string
	undecided := func(err error) error {
		fmt.Fprintln(io.err, "berth:", err)
		return badQuestion
	}
	cmd := &cobra.Command{
		Use:   "evaluate --file DOCUMENT",
		Short: "Decide a request by policies",
		Long: `Decide the request in a document by the policies in it, and print the decision
as JSON. No server is asked, and nothing but the document counts: the context has
the keys that it gives, and no others.

The document is JSON:

  {
    "request": {
      "principal": "arn:aws:iam::123456789012:user/alice",
      "action": "ecr:PutImage",
      "resource": "arn:aws:ecr:us-east-1:123456789012:repository/app",
      "context": {"aws:SourceIp": "203.0.113.7", "aws:TagKeys": ["a", "b"]}
    },
    "policies": {"identity": [{"name": "push", "document": {...}}], "repository": {...}}
  }

The principal is an ARN, the name of a service, "*" for nobody, or an object with
arn, parent (the ARN of a session's role), account, name, type and serviceLinked.
The request may have resourceAccount, and rootRepairs for the root's right to
replace a repository's policy that shuts everybody out. Kinds of policies are
identity, boundary, session, repository, registry, trust, key, endpoint, and, as lists
of levels, serviceControl and resourceControl.

The exit code is 0 if the request is allowed, 1 if it is denied, and 2 if there is
no decision, because the document is wrong or cannot be read.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return undecided(err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := readQuestion(cmd.InOrStdin(), file)
			if err != nil {
				return undecided(err)
			}
			d := q.Decide()
			enc := json.NewEncoder(io.out)
			enc.SetIndent("", "  ")
			if err := enc.Encode(d); err != nil {
				return undecided(err)
			}
			if !d.Allowed {
				return exitCode(1)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the document; - for standard input")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return undecided(err) })
	return cmd
}

// readQuestion reads the document in a file, or in stdin if that is "-".
func readQuestion(stdin io.Reader, file string) (*policy.Question, error) {
	if file == "" {
		return nil, errors.New("--file must be given")
	}
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, policy.MaxQuestion+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	q, err := policy.ParseQuestion(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return q, nil
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"berth/internal/audit"
	"berth/internal/config"
	"berth/internal/policy"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func iamExplainCommand(environ []string, io stdio) *cobra.Command {
	var in server.ExplainRequest
	var keys []string
	var output string
	cmd := &cobra.Command{
		Use:   "explain --principal ARN --action ACTION --resource ARN",
		Short: "Say whether a principal may do something, and why",
		Long: `Say whether a user, a role or a root may do something now, and what each policy
has to say: which statements are about it, and what comes of their conditions. The
policies and tags of the resource count, as they do when it is asked for.

Nothing is known of the request but what --context says, as in
--context aws:SourceIp=203.0.113.7; a key that is given again has several values.
Keys that policies ask for and that are not known are listed.

The server is the one whose data directory is on this machine. The exit code is 0
if it is allowed, 1 if it is denied, and 2 if there is no decision.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			undecided := func(err error) error {
				fmt.Fprintln(io.err, "berth:", err)
				return badQuestion
			}
			var err error
			if in.Context, err = contextOf(keys); err != nil {
				return undecided(err)
			}
			var out server.ExplainResponse
			if err := ask(cmd, environ, server.ExplainPath, in, &out); err != nil {
				return undecided(err)
			}
			if output == "json" {
				enc := json.NewEncoder(io.out)
				enc.SetIndent("", "  ")
				err = enc.Encode(out)
			} else {
				err = printExplained(io.out, out)
			}
			if err == nil && !out.Allowed {
				return exitCode(1)
			}
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&in.Principal, "principal", "", "the ARN of a user, a role or a root")
	cmd.Flags().StringVar(&in.Action, "action", "", "the action, as in ecr:PutImage")
	cmd.Flags().StringVar(&in.Resource, "resource", "*", "the ARN of the resource, or *")
	cmd.Flags().StringArrayVar(&keys, "context", nil, "a condition key and its value, as in aws:SourceIp=203.0.113.7; again for more")
	for _, name := range []string{"principal", "action"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is such a flag
		}
	}
	addOutput(cmd, &output)
	return cmd
}

// contextOf reads condition keys and their values.
func contextOf(list []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, s := range list {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("context: %q is not KEY=VALUE", s)
		}
		out[key] = append(out[key], value)
	}
	return out, nil
}

func printExplained(w io.Writer, out server.ExplainResponse) error {
	verdict := "denied"
	if out.Allowed {
		verdict = "allowed"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", verdict, because(out.Explanation, out.Action))
	if out.Message != "" {
		fmt.Fprintln(&text, out.Message)
	}
	printExplanation(&text, out.Explanation)
	_, err := io.WriteString(w, printable(text.String()))
	return err
}

// printable returns a text without what could do more to a terminal than print.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// because says in a line what decided.
func because(e policy.Explanation, action string) string {
	switch {
	case e.Reason == policy.AccountRoot:
		return "because the account's root may"
	case e.Reason == policy.Everybody:
		return "because everybody may"
	case e.By.Statement == 0:
		return strings.TrimSpace(e.Because(action))
	}
	text := "by " + place(e.By)
	if e.With.Statement > 0 {
		text += " with " + place(e.With)
	}
	return text
}

// place says where a statement is.
func place(s policy.Source) string {
	text := fmt.Sprintf("statement %d", s.Statement)
	if s.Sid != "" {
		text += fmt.Sprintf(" (%s)", s.Sid)
	}
	return text + " of " + policyName(s.Kind, s.Level, s.Policy)
}

func policyName(k policy.Kind, level int, name string) string {
	text := k.String()
	if level > 0 {
		text += fmt.Sprintf(" of level %d", level)
	}
	if name != "" {
		text += " " + name
	}
	return text
}

// printExplanation lists what every policy says.
func printExplanation(w io.Writer, e policy.Explanation) {
	for _, p := range e.Policies {
		fmt.Fprintf(w, "\n%s\n", policyName(p.Kind, p.Level, p.Policy))
		if len(p.Statements) == 0 {
			fmt.Fprintln(w, "  no statement is about this action and resource")
		}
		for _, s := range p.Statements {
			fmt.Fprintf(w, "  statement %d", s.Statement)
			if s.Sid != "" {
				fmt.Fprintf(w, " (%s)", s.Sid)
			}
			fmt.Fprintf(w, ": %s, %s\n", s.Effect, applies(s))
			for _, c := range s.Conditions {
				fmt.Fprintf(w, "    %s %s %q, the request has %q: %t\n", c.Operator, c.Key, c.Values, c.Request, c.Holds)
			}
		}
		if len(p.Missing) > 0 {
			fmt.Fprintf(w, "  not known of the request: %s\n", strings.Join(p.Missing, ", "))
		}
	}
	if e.Cut {
		fmt.Fprintln(w, "\nThe explanation was too long to be kept whole.")
	}
}

func applies(s policy.StatementTestimony) string {
	switch {
	case s.Hidden:
		return "which reads tags of the other account"
	case s.Applies:
		return "applies"
	case !s.Principal:
		return "is for other principals"
	}
	return "its conditions are not met"
}

func iamDecisionCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "decision ID",
		Short: "Say why a request was refused",
		Long: `Say who was refused what, when, and why, by the id that is in the header
X-Berth-Decision-Id of the refusal, and in the detail of the distribution API's.

The server is the one whose data directory is on this machine.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out audit.Decision
			if err := ask(cmd, environ, server.DecisionPath, server.DecisionRequest{DecisionID: args[0]}, &out); err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(io.out)
				enc.SetIndent("", "  ")
				return enc.Encode(out)
			}
			return printDecision(io.out, out)
		},
	}
	config.AddFlags(cmd.Flags())
	addOutput(cmd, &output)
	return cmd
}

func printDecision(w io.Writer, d audit.Decision) error {
	var e policy.Explanation
	if err := json.Unmarshal(d.Explanation, &e); err != nil {
		return fmt.Errorf("the explanation: %w", err)
	}
	var text strings.Builder
	t := table(&text)
	for _, row := range [][2]string{
		{"refused", because(e, d.Action)}, {"principal", d.Principal}, {"action", d.Action}, {"resource", d.Resource}, {"operation", d.Operation},
		{"time", d.Time.Format(time.RFC3339)}, {"from", d.SourceIP}, {"client", fmt.Sprintf("%q", d.UserAgent)}, {"request", d.RequestID},
	} {
		fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	printExplanation(&text, e)
	_, err := io.WriteString(w, printable(text.String()))
	return err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"berth/internal/config"
	"berth/internal/identity"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func envCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print what makes the AWS tools in a shell talk to this registry",
		Long: `Print shell commands that make the AWS tools talk to the registry whose data
directory is on this machine:

  eval "$(berth env)"

An aws command that is too old to know AWS_ENDPOINT_URL is wrapped in a function
that passes --endpoint-url.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, key, err := running(cmd, environ)
			if err != nil {
				return err
			}
			vars := variables(a, key)
			if output == "json" {
				m := map[string]string{}
				for _, v := range vars {
					m[v.name] = v.value
				}
				return json.NewEncoder(io.out).Encode(m)
			}
			_, err = fmt.Fprint(io.out, script(vars, needsWrapper(cmd.Context())))
			return err
		},
	}
	config.AddClientFlags(cmd.Flags())
	addOutput(cmd, &output)
	return cmd
}

// addOutput adds the flag that chooses between text and JSON.
func addOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", "text", "text or json")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *output != "text" && *output != "json" {
			return fmt.Errorf("output: %q is neither text nor json", *output)
		}
		return nil
	}
}

type variable struct{ name, value string }

func variables(a server.Address, key identity.AccessKey) []variable {
	return []variable{
		{"AWS_ENDPOINT_URL", a.Endpoint},
		{"AWS_ACCESS_KEY_ID", key.ID},
		{"AWS_SECRET_ACCESS_KEY", key.Secret},
		{"AWS_REGION", a.Region},
		{"AWS_DEFAULT_REGION", a.Region},
		{"AWS_ACCOUNT_ID", a.Account},
		{"ECR_REGISTRY", a.Registry},
	}
}

// script returns the commands for a POSIX shell.
func script(vars []variable, wrap bool) string {
	var b bytes.Buffer
	for _, v := range vars {
		fmt.Fprintf(&b, "export %s=%s\n", v.name, quote(v.value))
	}
	b.WriteString("unset AWS_SESSION_TOKEN AWS_PROFILE AWS_IGNORE_CONFIGURED_ENDPOINT_URLS\n")
	if wrap {
		b.WriteString("aws() { command aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"; }\n")
	}
	return b.String()
}

// quote quotes a word for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

var awsVersion = regexp.MustCompile(`aws-cli/([0-9]+)\.([0-9]+)\.`)

// needsWrapper reports whether the aws command on this machine does not know
// AWS_ENDPOINT_URL, which came with 2.13.0 and 1.29.0.
func needsWrapper(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "aws", "--version").CombinedOutput()
	return err == nil && tooOld(string(out))
}

func tooOld(version string) bool {
	m := awsVersion.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1]) // digits
	minor, _ := strconv.Atoi(m[2])
	return major == 1 && minor < 29 || major == 2 && minor < 13
}

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"berth/internal/server"

	"github.com/spf13/cobra"
)

func sessionCommand(environ []string, io stdio) *cobra.Command {
	return group("session", "List temporary credentials, and revoke them",
		sessionListCommand(environ, io), sessionRevokeCommand(environ))
}

func sessionListCommand(environ []string, io stdio) *cobra.Command {
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "list PRINCIPAL",
		Short: "List the sessions of a user, a role or a root",
		Long:  `List the sessions of a user, a role or a root, which is named by its ARN, that have not expired.`,
		Args:  cobra.ExactArgs(1),
	}, func(ask asker, args []string) error {
		all := server.SessionsResponse{Sessions: []server.Session{}}
		for in := (server.SessionsRequest{PrincipalARN: args[0]}); ; {
			var page server.SessionsResponse
			if err := ask(server.SessionsPath, in, &page); err != nil {
				return err
			}
			all.Sessions = append(all.Sessions, page.Sessions...)
			if in.NextToken = page.NextToken; in.NextToken == "" {
				break
			}
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(all)
		}
		return printSessions(io.out, all.Sessions)
	})
	addOutput(cmd, &output)
	return cmd
}

func printSessions(w io.Writer, sessions []server.Session) error {
	if len(sessions) == 0 {
		_, err := fmt.Fprintln(w, "there are no sessions")
		return err
	}
	t := table(w)
	fmt.Fprintln(t, "ACCESS KEY ID\tSESSION\tISSUED\tEXPIRES\tTO")
	for _, s := range sessions {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.AccessKeyID, s.Name, s.IssuedAt.Format(time.RFC3339), s.ExpiresAt.Format(time.RFC3339), s.IssuedTo)
	}
	return t.Flush()
}

func sessionRevokeCommand(environ []string) *cobra.Command {
	var in server.RevokeRequest
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "revoke [ACCESS-KEY-ID]",
		Short: "Revoke sessions and registry passwords",
		Long: `Make credentials that were issued before now no longer work: the session with an
access key id, and the registry passwords made with it; with --token one registry
password, by the id that berth token gave; or with --principal all sessions and
registry passwords of the user, the role or the root with an ARN, also those made
with its access keys. The access keys themselves go on working.`,
		Args: cobra.MaximumNArgs(1),
	}, func(ask asker, args []string) error {
		if len(args) == 1 {
			in.AccessKeyID = args[0]
		}
		return ask(server.RevokePath, in, &struct{}{})
	})
	cmd.Flags().StringVar(&in.TokenID, "token", "", "the id of a registry password")
	cmd.Flags().StringVar(&in.PrincipalARN, "principal", "", "the ARN of a user, a role or a root")
	return cmd
}

func tokenCommand(environ []string, io stdio) *cobra.Command {
	var life time.Duration
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "token",
		Short: "Print a registry password that works for a shorter time",
		Long: `Print a registry password of the root's, for docker login with the user AWS, that
works for a shorter time than the usual twelve hours. With --output json its id is
printed, too, by which berth session revoke --token can revoke it.`,
		Args: cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		var made server.TokenResponse
		if err := ask(server.TokenPath, server.TokenRequest{LifetimeSeconds: int64(life / time.Second)}, &made); err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(made)
		}
		b, err := base64.StdEncoding.DecodeString(made.AuthorizationToken)
		_, password, ok := strings.Cut(string(b), ":")
		if err != nil || !ok {
			return errors.New("the server has answered with something that is no token")
		}
		_, err = fmt.Fprintln(io.out, password)
		return err
	})
	cmd.Flags().DurationVar(&life, "lifetime", time.Hour, "how long it works, from 1m to 12h")
	addOutput(cmd, &output)
	return cmd
}

// bindingCommands are those below berth iam that bind principals to services.
func bindingCommands(environ []string, io stdio) []*cobra.Command {
	bind := func(use, short, long, path string) *cobra.Command {
		return extensionCommand(environ, &cobra.Command{Use: use + " PRINCIPAL SERVICE", Short: short, Long: long, Args: cobra.ExactArgs(2)},
			func(ask asker, args []string) error {
				return ask(path, server.BindingRequest{PrincipalARN: args[0], Service: args[1]}, &struct{}{})
			})
	}
	var output string
	list := extensionCommand(environ, &cobra.Command{
		Use: "service-bindings [ACCOUNT]", Short: "List who acts for which service",
		Long: `List the users and roles of an account that act for a service.`, Args: cobra.MaximumNArgs(1),
	}, func(ask asker, args []string) error {
		var in server.BindingsRequest
		if len(args) == 1 {
			in.AccountID = args[0]
		}
		var out server.BindingsResponse
		if err := ask(server.BindingsPath, in, &out); err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(out)
		}
		t := table(io.out)
		fmt.Fprintln(t, "PRINCIPAL\tSERVICE\tSINCE")
		for _, b := range out.Bindings {
			fmt.Fprintf(t, "%s\t%s\t%s\n", b.PrincipalARN, b.Service, b.CreatedAt.Format(time.RFC3339))
		}
		return t.Flush()
	})
	addOutput(list, &output)
	return []*cobra.Command{
		bind("bind-service", "Let a user or a role act for a service", `Let the user or the role with an ARN act for a service, as in ecs-tasks.amazonaws.com:
it may then assume the roles of its account that trust the service. So an agent that
runs tasks gets their task roles.`, server.BindingPath),
		bind("unbind-service", "Undo bind-service", `Let the user or the role with an ARN act for a service no longer. Sessions that it
has got go on working.`, server.UnbindingPath),
		list,
	}
}

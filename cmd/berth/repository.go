package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"berth/internal/server"

	"github.com/spf13/cobra"
)

func repositoryCommand(environ []string, io stdio) *cobra.Command {
	return group("repository", "Restore deleted repositories, protect them against deletion",
		repositoryDeletedCommand(environ, io), repositoryRestoreCommand(environ, io),
		protectionCommand(environ, io, "protect", "Protect a repository against deletion", true),
		protectionCommand(environ, io, "unprotect", "Allow that a protected repository is deleted", false))
}

func repositoryDeletedCommand(environ []string, io stdio) *cobra.Command {
	var in server.DeletedRepositoriesRequest
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "deleted",
		Short: "List deleted repositories that can be restored",
		Long:  `List the deleted repositories that can be restored, the last first.`,
		Args:  cobra.NoArgs,
	}, func(ask asker, _ []string) error {
		all := server.DeletedRepositoriesResponse{Repositories: []server.DeletedRepository{}}
		for {
			var page server.DeletedRepositoriesResponse
			if err := ask(server.DeletedRepositoriesPath, in, &page); err != nil {
				return err
			}
			all.Repositories = append(all.Repositories, page.Repositories...)
			if in.NextToken = page.NextToken; in.NextToken == "" {
				break
			}
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(all)
		}
		return printDeletedRepositories(io.out, all.Repositories)
	})
	addPublic(cmd, &in.Public)
	addOutput(cmd, &output)
	return cmd
}

func printDeletedRepositories(w io.Writer, repos []server.DeletedRepository) error {
	if len(repos) == 0 {
		_, err := fmt.Fprintln(w, "no deleted repository can be restored")
		return err
	}
	t := table(w)
	fmt.Fprintln(t, "REPOSITORY\tUID\tCREATED\tDELETED\tRESTORABLE UNTIL\tDELETED BY")
	for _, r := range repos {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Name, r.UID, r.CreatedAt.Format(time.RFC3339), deletion(r.Deletion))
	}
	return t.Flush()
}

func repositoryRestoreCommand(environ []string, io stdio) *cobra.Command {
	var in server.RestoreRepositoryRequest
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "restore NAME",
		Short: "Restore a deleted repository",
		Long:  `Restore a deleted repository with all that was in it. No other may have its name.`,
		Args:  cobra.ExactArgs(1),
	}, func(ask asker, args []string) error {
		in.RepositoryName = args[0]
		var done server.RestoreRepositoryResponse
		if err := ask(server.RestoreRepositoryPath, in, &done); err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(done)
		}
		_, err := fmt.Fprintf(io.out, "%s is restored\n", done.Name)
		return err
	})
	cmd.Flags().StringVar(&in.UID, "uid", "", "of several that had that name, the one meant; the last one if it is not given")
	addPublic(cmd, &in.Public)
	addOutput(cmd, &output)
	return cmd
}

// protectionCommand sets the protection of a repository.
func protectionCommand(environ []string, io stdio, verb, short string, enabled bool) *cobra.Command {
	in := server.ProtectionRequest{Enabled: &enabled}
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Long: short + `. Nobody can delete a protected
repository, by force either; its images can be deleted.`,
		Args: cobra.ExactArgs(1),
	}, func(ask asker, args []string) error {
		in.RepositoryName = args[0]
		var done server.ProtectionResponse
		if err := ask(server.ProtectionPath, in, &done); err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(done)
		}
		state := map[bool]string{true: "is protected against deletion", false: "can be deleted"}[done.Enabled]
		_, err := fmt.Fprintln(io.out, done.Name, state)
		return err
	})
	addPublic(cmd, &in.Public)
	addOutput(cmd, &output)
	return cmd
}

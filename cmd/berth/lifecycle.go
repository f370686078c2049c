package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"berth/internal/config"
	"berth/internal/identity"
	"berth/internal/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/spf13/cobra"
)

func lifecycleCommand(environ []string, io stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lifecycle",
		Short: "Carry out lifecycle policies, or test them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(lifecycleRunCommand(environ, io), lifecycleBacktestCommand(environ, io))
	return cmd
}

func lifecycleRunCommand(environ []string, io stdio) *cobra.Command {
	var repository, output string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Carry out lifecycle policies now",
		Long: `Make the running server carry out lifecycle policies now, and print what was
done. Without this it does so by itself within seconds after a policy is put, and
every twelve hours.

The server is the one whose data directory is on this machine.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in server.LifecycleRequest
			if cmd.Flags().Changed("repository") {
				in.RepositoryName = &repository
			}
			var done server.LifecycleResponse
			if err := ask(cmd, environ, server.LifecyclePath, in, &done); err != nil {
				return err
			}
			var err error
			if output == "json" {
				err = json.NewEncoder(io.out).Encode(done)
			} else {
				err = printRuns(io.out, done)
			}
			return errors.Join(err, failedRuns(done))
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&repository, "repository", "", "the repository; all that have a policy if it is not given")
	addOutput(cmd, &output)
	return cmd
}

func printRuns(w io.Writer, done server.LifecycleResponse) error {
	if len(done.Runs) == 0 {
		_, err := fmt.Fprintln(w, "no repository has a lifecycle policy")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REPOSITORY\tEXPIRED\tARCHIVED\tKEPT")
	for _, r := range done.Runs {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", r.Name, r.Expired, r.Archived, r.Kept)
	}
	return table.Flush()
}

// failedRuns says which policies were not carried out to the end.
func failedRuns(done server.LifecycleResponse) error {
	var errs []error
	for _, r := range done.Runs {
		if r.Error != "" {
			errs = append(errs, fmt.Errorf("repository %s: %s", r.Name, r.Error))
		}
	}
	return errors.Join(errs...)
}

// ask posts a document to an operation of the running server whose data directory
// is on this machine, as the root, and reads the answer into out. The command must
// have the flags of the configuration.
func ask(cmd *cobra.Command, environ []string, path string, in, out any) error {
	c, err := config.Load(cmd.Flags(), environ)
	if err != nil {
		return err
	}
	a, err := server.ReadAddress(c)
	if err != nil {
		return err
	}
	key, err := server.ReadRootKey(c, a)
	if err != nil {
		return err
	}
	return callServer(cmd.Context(), a, key, path, in, out)
}

// callServer posts a document to an operation of a running server, signed with
// the root's key, and reads the answer into out.
func callServer(ctx context.Context, a server.Address, key identity.AccessKey, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(a.Endpoint, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(hash[:]), "ecr", a.Region, time.Now()); err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var failure struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if json.Unmarshal(text, &failure) != nil || failure.Type == "" {
			return fmt.Errorf("the server answers %s: %.200s", res.Status, text)
		}
		return fmt.Errorf("%s: %s", failure.Type, failure.Message)
	}
	return json.Unmarshal(text, out)
}

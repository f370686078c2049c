package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// running returns where the server is whose data directory is on this machine, and
// the key of its root. The command must have the flags of clients.
func running(cmd *cobra.Command, environ []string) (a server.Address, key identity.AccessKey, err error) {
	c, err := config.Load(cmd.Flags(), environ)
	if err != nil {
		return a, key, err
	}
	if a, err = server.ReadAddress(c); err != nil {
		return a, key, err
	}
	key, err = server.ReadRootKey(c, a)
	return a, key, err
}

// ask posts a document to an operation of that server, as the root, and reads the
// answer into out.
func ask(cmd *cobra.Command, environ []string, path string, in, out any) error {
	a, key, err := running(cmd, environ)
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

// extensionCommand is a command that asks a running server for an operation that
// ECR does not have. perform is given what posts a document to a path.
func extensionCommand(environ []string, cmd *cobra.Command, perform func(ask asker, args []string) error) *cobra.Command {
	cmd.Long += "\n\nThe server is the one whose data directory is on this machine."
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return perform(func(path string, in, out any) error { return ask(cmd, environ, path, in, out) }, args)
	}
	config.AddClientFlags(cmd.Flags())
	return cmd
}

// asker posts a document to an operation and reads the answer into out.
type asker func(path string, in, out any) error

// group is a command that has only others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(below...)
	return cmd
}

// addPublic adds the flag that chooses the public registry.
func addPublic(cmd *cobra.Command, public *bool) {
	cmd.Flags().BoolVar(public, "public-registry", false, "in the public registry")
}

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

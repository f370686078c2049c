package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"berth/internal/config"
	"berth/internal/credential"

	"github.com/spf13/cobra"
)

// aliases are the names by which other programs call berth, with the command that
// each stands for.
var aliases = map[string]string{
	"docker-credential-berth":   "docker-credential",
	"berth-credential-provider": "credential-provider",
}

// unalias returns the arguments of a process with the command that it was called by.
func unalias(args []string) []string {
	if command, ok := aliases[strings.TrimSuffix(filepath.Base(args[0]), ".exe")]; ok {
		return append([]string{command}, args[1:]...)
	}
	return args[1:]
}

// askTimeout bounds what a program waits for a password. The kubelet gives up after
// a minute.
const askTimeout = 45 * time.Second

const whereTo = `The AWS APIs are asked at the same host, over TLS unless that is this machine; with the
credentials that the AWS tools would use. ~/.config/berth/credential.yaml says otherwise:

  registries:
    - host: "*.dkr.ecr.*.example.com"    # * is any text without a dot
      endpoint: https://api.example.com  # of the AWS APIs
      region: eu-west-1
      profile: berth                     # of the AWS tools' files
      public: true                       # the host is that of public registries

So does a variable: BERTH_CREDENTIAL_ENDPOINTS=HOST=URL,HOST=URL. Only host is required.`

func dockerCredentialCommand(environ []string, io stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "docker-credential " + strings.Join(credential.DockerVerbs, "|"),
		Short: "Give docker, podman and others passwords of a registry, as a credential helper",
		Long: `Give docker, podman, crane and others passwords of a registry by Docker's protocol
for credential helpers. A link named docker-credential-berth to this program, on PATH,
is such a helper:

  ln -s "$(command -v berth)" /usr/local/bin/docker-credential-berth

with this in ~/.docker/config.json, and the host configured as below:

  {"credHelpers": {"123456789012.dkr.ecr.us-east-1.example.com": "berth"}}

` + whereTo + `

Hosts get no answer that are neither configured there, nor in AWS_ENDPOINT_URL or
AWS_ENDPOINT_URL_ECR, nor Amazon's. Passwords are kept in
~/.cache/berth/credential until half of their life is over, or until they are erased.
BERTH_CREDENTIAL_CACHE names another directory, or is off.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "version" {
				_, err := fmt.Fprintln(io.out, "docker-credential-berth", version)
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			c, err := config.LoadClient(environ)
			if err == nil {
				source := &credential.Source{Cache: credential.Cache{Dir: c.Cache}}
				err = (&credential.Docker{Config: c, Source: source}).Run(ctx, args[0], cmd.InOrStdin(), io.out)
			}
			if err == nil {
				return nil
			}
			// Clients show what is on standard output.
			if _, err := fmt.Fprintln(io.out, err); err != nil {
				return err
			}
			return exitCode(1)
		},
	}
}

func credentialProviderCommand(environ []string, io stdio) *cobra.Command {
	k := credential.Kubelet{}
	cmd := &cobra.Command{
		Use:   "credential-provider",
		Short: "Give the kubelet passwords of a registry, as a credential provider",
		Long: `Give the kubelet passwords of a registry by its protocol for credential providers: a
CredentialProviderRequest on standard input is answered on standard output. It is run
by the kubelet, which finds it under the provider's name in the directory of
--image-credential-provider-bin-dir, with the providers of --image-credential-provider-config:

  apiVersion: kubelet.config.k8s.io/v1
  kind: CredentialProviderConfig
  providers:
    - name: berth
      apiVersion: credentialprovider.kubelet.k8s.io/v1
      args: [credential-provider]
      matchImages: ["*.dkr.ecr.*.example.com"]
      defaultCacheDuration: 1h

` + whereTo + `

With tokenAttributes in its configuration the kubelet sends the token of the pod's
service account. It is exchanged, by AssumeRoleWithWebIdentity, for the role that the
account's annotation ` + credential.RoleAnnotation + ` names, or eks.amazonaws.com/role-arn, or else
--role-arn; without any of them there is no password. The password is then one of that
role, and never one of the node.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			var err error
			if k.Config, err = config.LoadClient(environ); err != nil {
				return err
			}
			k.Source = &credential.Source{} // the kubelet keeps passwords
			return k.Run(ctx, cmd.InOrStdin(), io.out)
		},
	}
	cmd.Flags().StringVar(&k.RoleARN, "role-arn", "", "role of service accounts that have no annotation")
	cmd.Flags().DurationVar(&k.Duration, "duration", 0, "how long a session of a service account's role is (default: an hour)")
	return cmd
}

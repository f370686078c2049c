package main

import (
	"cmp"
	"context"
	"errors"
	"os"

	"berth/internal/config"
	"berth/internal/durable"
	"berth/internal/keyservice"
	"berth/internal/seal"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func wrapCommand(environ []string, io stdio) *cobra.Command {
	var from, fromService, to string
	cmd := &cobra.Command{
		Use:   "wrap",
		Short: "Have a key service wrap a master key",
		Long: `Make a master key and have the key service wrap it: only the wrapped form is
printed, or written to --to, and it is worth nothing to who cannot ask the service.
With --from it is the key of that file, as it is or wrapped. The data stays as it is
then: the key is the same. The service is asked to unwrap the key, too.

  berth keys wrap --master-key-service 'awskms:///alias/berth?region=eu-west-1' --to new.key
  berth keys wrap --master-key-service hashivault://berth --from data/master.key --to wrapped.key

A server is told of both: --master-key-file and --master-key-service.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), environ)
			if err != nil {
				return err
			}
			if c.MasterKeyService == "" {
				return errors.New("say with --master-key-service which service wraps the key")
			}
			m, err := keyToWrap(cmd.Context(), from, cmp.Or(fromService, c.MasterKeyService))
			if err != nil {
				return err
			}
			s, err := keyservice.Open(cmd.Context(), c.MasterKeyService)
			if err != nil {
				return err
			}
			text, err := s.Wrap(cmd.Context(), m)
			if err != nil {
				return err
			}
			return writeWrapped(io, to, append(text, '\n'))
		},
	}
	config.AddClientFlags(cmd.Flags())
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(all)
	cmd.Flags().AddFlag(all.Lookup("master-key-service"))
	cmd.Flags().StringVar(&from, "from", "", "file with the key to wrap (default: a new key)")
	cmd.Flags().StringVar(&fromService, "from-service", "", "URL of the service that the key of --from is wrapped by (default: the same)")
	cmd.Flags().StringVar(&to, "to", "", "file to write, which must not be there (default: standard output)")
	return cmd
}

// keyToWrap returns the key of a file, or a new one if none is named.
func keyToWrap(ctx context.Context, file, service string) (*seal.Master, error) {
	if file == "" {
		return seal.NewMaster(), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !keyservice.Wrapped(text) {
		return seal.ParseMaster(text)
	}
	s, err := keyservice.Open(ctx, service)
	if err != nil {
		return nil, err
	}
	return s.Unwrap(ctx, text)
}

func writeWrapped(io stdio, file string, text []byte) error {
	if file == "" {
		_, err := io.out.Write(text)
		return err
	}
	return durable.WriteNew(file, text)
}

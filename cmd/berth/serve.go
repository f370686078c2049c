package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"berth/internal/config"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

func serveCommand(environ []string, io stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the registry",
		Long: `Serve the registry from a data directory.

Every flag is also a variable (BERTH_LISTEN) and a key of the configuration file
(listen). Flags override variables, variables override the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), environ)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, server.Options{}, io, nil)
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

// serve serves until ctx ends. prepare, if not nil, is called before the first
// request can come.
func serve(ctx context.Context, c *config.Config, o server.Options, io stdio, prepare func(*server.Server) error) error {
	log, flush, err := newLogger(c, io.err)
	if err != nil {
		return err
	}
	defer flush()
	o.Log = log
	listeners, err := server.Listen(c)
	if err != nil {
		return err
	}
	s, err := server.Open(ctx, c, o)
	if err != nil {
		return errors.Join(err, listeners.Close())
	}
	if prepare != nil {
		err = prepare(s)
	}
	if err == nil {
		log.Info("serving", "address", c.Listen, "data", c.Data, "account", c.Account, "region", c.Region)
		guide(io.out, c, s.Address())
		err = s.Serve(ctx, listeners, hangups())
	}
	err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// hangups returns a channel of SIGHUPs.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// newLogger returns a logger as configured and what writes out its last lines.
func newLogger(c *config.Config, w io.Writer) (*slog.Logger, func(), error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, nil, fmt.Errorf("log-level: %q is none of debug, info, warn, error", c.LogLevel)
	}
	buffered := newLogWriter(w)
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(buffered, options)
	if c.LogFormat == "json" {
		h = slog.NewJSONHandler(buffered, options)
	}
	return slog.New(h), buffered.close, nil
}

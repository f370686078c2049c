package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"berth/internal/access"
	"berth/internal/config"
	"berth/internal/registry"
	"berth/internal/server"

	"github.com/spf13/cobra"
)

// clockPath is where scripts read and set the clock of berth dev.
const clockPath = "/_berth/v1/clock"

func devCommand(environ []string, io stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Serve a throw-away registry with a clock that scripts can set",
		Long: `Serve a registry that is gone when the command ends.

A push to a repository that does not exist creates it. The clock that tokens,
leases and records go by can be set, and does not go back:

  curl -X PUT --data +11h59m http://127.0.0.1:5000` + clockPath + `
  curl -X PUT --data 2030-01-01T00:00:00Z http://127.0.0.1:5000` + clockPath + `

Signatures are held against the real time, so that clients go on working.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), environ)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("data") {
				if c.Data, err = os.MkdirTemp("", "berth-dev-"); err != nil {
					return err
				}
				defer os.RemoveAll(c.Data)
			}
			return dev(cmd.Context(), c, io)
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().Lookup("data").Usage = "directory to use and keep, instead of one that is removed at the end"
	return cmd
}

func dev(ctx context.Context, c *config.Config, io stdio) error {
	var clock clock
	o := server.Options{Now: clock.now, Dev: map[string]http.Handler{clockPath: &clock}}
	return serve(ctx, c, o, io, func(s *server.Server) error {
		clock.onMove(s.Registry().WakeLifecycle)
		root := access.Caller{Account: c.Account, ARN: "arn:aws:iam::" + c.Account + ":root", ID: c.Account, Type: access.Root}
		_, err := s.Registry().CreateRepositoryCreationTemplate(ctx, root, registry.ID{Account: c.Account, Region: c.Region}, registry.Template{
			Prefix: "ROOT", AppliedFor: []string{registry.CreateOnPush}, Mutability: registry.Mutability{Mode: registry.Mutable},
		})
		if err != nil && !strings.HasPrefix(err.Error(), "TemplateAlreadyExistsException") {
			return err
		}
		return nil
	})
}

// clock is the real time, put forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration // guarded by mu
	moved func()        // guarded by mu; nil, or called when the clock was set
}

func (c *clock) onMove(moved func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = moved
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// set puts the clock forward, by a duration or to a time.
func (c *clock) set(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved != nil {
		defer c.moved()
	}
	if d, ok := strings.CutPrefix(text, "+"); ok {
		by, err := time.ParseDuration(d)
		if err != nil || by < 0 {
			return fmt.Errorf("%q is no duration such as +11h59m", text)
		}
		c.ahead += by
		return nil
	}
	to, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("%q is neither a time such as 2030-01-01T00:00:00Z nor a duration such as +11h59m", text)
	}
	ahead := time.Until(to)
	if ahead < c.ahead {
		return fmt.Errorf("the clock does not go back")
	}
	c.ahead = ahead
	return nil
}

// ServeHTTP answers GET with the time, and sets it on PUT.
func (c *clock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 100))
		if err == nil {
			err = c.set(strings.TrimSpace(string(text)))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	} else if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, PUT")
		http.Error(w, "GET reads the clock, PUT sets it", http.StatusMethodNotAllowed)
		return
	}
	fmt.Fprintln(w, c.now().UTC().Format(time.RFC3339))
}

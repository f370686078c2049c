//go:build unix

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/blob/buckettest"
	"berth/internal/metadata/pgtest"
	"berth/internal/server"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

var namespaces atomic.Int64

// newScript returns a script in repositories that no other has.
func newScript(large int) []step { return script(fmt.Sprintf("n%d", namespaces.Add(1)), large) }

// small and large are sizes of layers: less than a part in S3, and more.
const (
	small = 70_000
	large = 6 << 20
)

// worlds returns all worlds, or those that take the least time, and of the schema's
// versions some. The first is the one for kills at any moment.
func worlds(t *testing.T, all bool, r *rand.Rand) []*world {
	t.Helper()
	s3 := buckettest.StartFakeS3(t)
	empty := prepared(t, "empty", plain, newPlayer(nil))
	played := newPlayer(append(newScript(small), secrets()...))
	full := prepared(t, "full", plain, played)
	out := []*world{
		pushing("directory", empty, plain, small),
		{name: "first start", env: keyless, players: func() []*player { return nil }, fresh: true},
		pushing("S3", empty, inS3(s3), large),
		rotating(full, played),
		collecting(empty),
		moving(s3, full, played),
	}
	schemas := schemas(t, empty)
	if !all {
		r.Shuffle(len(schemas), func(i, j int) { schemas[i], schemas[j] = schemas[j], schemas[i] })
		return append(out, schemas[:3]...)
	}
	out = append(out, schemas...)
	t.Run("PostgreSQL", func(inner *testing.T) { // which ends here if there is none
		_ = pgtest.URL(inner)
		out = append(out, inPostgres(t))
	})
	return out
}

// prepared makes a data directory by playing steps and returns it.
func prepared(t *testing.T, name string, env func(string) []string, p *player) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	l := &life{world: &world{name: name, env: env}, dir: dir, players: []*player{p}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if killed, err := l.serve(0); killed || err != nil {
		t.Fatalf("%s: %t, %v", name, killed, err)
	}
	return dir
}

func pushing(name, from string, env func(string) []string, large int) *world {
	return &world{
		name: name, from: from, env: env,
		players: func() []*player { return []*player{newPlayer(newScript(large))} },
		more:    func() []step { return newScript(large) },
	}
}

// plain has everything in the data directory.
func plain(dir string) []string { return environment(dir) }

// keyless has the server make its keys.
func keyless(dir string) []string {
	return []string{"BERTH_DATA=" + dir, "BERTH_LISTEN=127.0.0.1:0", "GOMAXPROCS=2", "HOME=" + dir}
}

// inPostgres has the facts in PostgreSQL, each data directory's in a schema of its own.
// What is done with bytes is the same there.
func inPostgres(t *testing.T) *world {
	var mu sync.Mutex
	urls := map[string]string{}
	w := pushing("PostgreSQL", "", func(dir string) []string {
		mu.Lock()
		defer mu.Unlock()
		if urls[dir] == "" {
			urls[dir] = pgtest.URL(t)
		}
		return environment(dir, "BERTH_DATABASE="+urls[dir])
	}, small)
	w.only = func(p pair) bool { return strings.HasPrefix(p.point, "metadata.") }
	return w
}

// inS3 has layers in a store, each data directory's below a prefix of its own.
func inS3(endpoint string) func(string) []string {
	return func(dir string) []string { return environment(dir, storage(endpoint, dir)...) }
}

func storage(endpoint, dir string) []string {
	return []string{
		"BERTH_STORAGE=s3://" + buckettest.S3Bucket + strings.ReplaceAll(dir, "//", "/"), "BERTH_S3_ENDPOINT=" + endpoint, "BERTH_S3_PATH_STYLE=true",
		"BERTH_S3_ACCESS_KEY_ID=access", "BERTH_S3_SECRET_ACCESS_KEY=the secret",
	}
}

// secrets are what is sealed besides layers and manifests: the keys of a user and of
// KMS, and an upload that goes on.
func secrets() []step {
	name := "user"
	return []step{
		{name: "make secrets", do: func(c *client) error {
			ctx, users := context.Background(), iam.NewFromConfig(c.config())
			if _, err := users.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
				return err
			}
			if _, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name}); err != nil {
				return err
			}
			_, err := kms.NewFromConfig(c.config()).CreateKey(ctx, &kms.CreateKeyInput{})
			return err
		}},
	}
}

// after returns players that know what others have done, and go on with steps.
func after(played *player, steps func() []step) func() []*player {
	return func() []*player {
		p := newPlayer(nil)
		p.begun = true
		for thing, is := range played.ledger.sure {
			p.ledger.sure[thing] = is
		}
		p.add(steps())
		return []*player{p}
	}
}

// rotating replaces the master key. In the end the new one must do.
func rotating(from string, played *player) *world {
	env := func(dir string) []string {
		return environment(dir, "BERTH_MASTER_KEY="+newer, "BERTH_OLD_MASTER_KEYS="+master)
	}
	rotate := step{name: "rotate keys", do: func(c *client) error {
		var p server.RotateResponse
		for in := (server.RotateRequest{}); ; in.After = p.After {
			p = server.RotateResponse{}
			if err := c.ask(server.RotatePath, in, &p); err != nil {
				return err
			}
			if p.After == "" {
				break
			}
		}
		if !p.Retired || p.Damaged > 0 || p.Locked > 0 {
			return fmt.Errorf("the last step of rotating: %+v", p)
		}
		return nil
	}}
	return &world{
		name: "keys rotate", from: from, env: env, players: after(played, func() []step { return []step{rotate, rotate} }),
		end: func(l *life) error {
			alone := &life{world: &world{env: func(dir string) []string { return environment(dir, "BERTH_MASTER_KEY="+newer) }}, dir: l.dir, players: l.players}
			return alone.finish()
		},
	}
}

// moving moves layers to S3. In the end the directory must not be needed.
func moving(s3, from string, played *player) *world {
	env := func(dir string) []string {
		return environment(dir, append(storage(s3, dir), "BERTH_STORAGE_FROM=directory")...)
	}
	move := step{name: "move layers", do: func(c *client) error {
		for in := (server.MigrateRequest{GraceSeconds: new(int64(1))}); ; {
			var p server.MigrateResponse
			if err := c.ask(server.MigratePath, in, &p); err != nil {
				return err
			}
			if len(p.Failed) > 0 || p.Unremoved != "" {
				return fmt.Errorf("a step of moving: %+v", p)
			}
			if p.After != nil {
				in.After = *p.After
				continue
			}
			if p.Left != nil && p.Left.Objects == 0 && p.Left.Copied == 0 {
				return nil
			}
			in.After = server.MigrateRequest{}.After
			time.Sleep(100 * time.Millisecond) // for what was copied stays for a second
		}
	}}
	return &world{
		name: "storage migrate", from: from, env: env, players: after(played, func() []step { return []step{move} }),
		end: func(l *life) error {
			alone := &life{world: &world{env: inS3(s3)}, dir: l.dir, players: l.players}
			return alone.finish()
		},
	}
}

package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// sharing starts a server on the database of another one.
func sharing(t *testing.T, first *servertest.Server, configure func(*config.Config)) *servertest.Server {
	t.Helper()
	return servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		data := c.Data
		*c = *first.Config
		c.Data = data
		configure(c)
	}})
}

// Pushers are under way on all servers when one of them is told. Once it has answered, what
// is in the database stays, and what was sent from then on is refused.
func TestNothingIsCommittedOnceTheSwitchIsOn(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{S3: true}, func(t *testing.T, s *servertest.Server) {
		servers := []*servertest.Server{s}
		if s.Config.Database != "" {
			servers = append(servers, sharing(t, s, func(*config.Config) {}))
		}
		s.CreateRepository(t, "app")
		var pushed, refused atomic.Int64
		for round := range 3 {
			var on atomic.Bool
			ctx, stop := context.WithCancel(t.Context())
			var pushers sync.WaitGroup
			for i := range 6 {
				c := servers[i%len(servers)].Login(t)
				pushers.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						before := on.Load()
						body := fmt.Appendf(nil, "%d %d %d", round, i, n)
						r := c.Do(t, "POST", "/v2/app/blobs/uploads/?digest="+digest.FromBytes(body).String(), body)
						switch {
						case r.Status == 201 && !before:
							pushed.Add(1)
						case r.Status == 405 && strings.Contains(r.Message(), "read-only mode for maintenance"):
							refused.Add(1)
						default:
							t.Errorf("a push = %d %s (on: %t)", r.Status, r.Body, before)
						}
					}
				})
			}
			for was := pushed.Load(); pushed.Load() < was+20; {
				time.Sleep(time.Millisecond)
			}
			maintain(t, servers[round%len(servers)], server.MaintenanceOnPath, `{}`)
			on.Store(true)
			at := facts(t, s)
			for was := refused.Load(); refused.Load() < was+20; {
				time.Sleep(time.Millisecond)
			}
			stop()
			pushers.Wait()
			if diff := cmp.Diff(at, facts(t, s)); diff != "" {
				t.Errorf("something was changed after the switch was on (-then +later):\n%s", diff)
			}
			maintain(t, servers[(round+1)%len(servers)], server.MaintenanceOffPath, `{}`)
			for _, s := range servers {
				if err := s.Server().RefreshMaintenance(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Logf("%d pushes, %d refusals", pushed.Load(), refused.Load())
		for _, s := range servers[1:] {
			s.Stop(t)
		}
	})
}

// What arrives of an upload stops with the switch, and the upload goes on after it.
func TestAnUploadOutlivesReadOnlyMode(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		upload := c.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		first := bytes.Repeat([]byte("a"), 100_000)
		c.Do(t, "PATCH", upload, first).Want(t, 202)
		r, w := io.Pipe()
		go func() {
			_, _ = w.Write(first)
			maintain(t, s, server.MaintenanceOnPath, `{}`)
			_, _ = w.Write(first)
			_ = w.Close()
		}()
		res := c.Send(t, "PATCH", upload, r)
		if res.Status != 405 {
			t.Errorf("PATCH = %d %s, want 405", res.Status, res.Body)
		}
		c.Do(t, "PUT", upload+"?digest="+digest.FromBytes(first).String(), nil).Want(t, 405)
		c.Do(t, "DELETE", upload, nil).Want(t, 405)
		maintain(t, s, server.MaintenanceOffPath, `{}`)
		c.Do(t, "PUT", upload+"?digest="+digest.FromBytes(first).String(), nil).Want(t, 201)
	})
}

// What a pull needs goes on: logins, temporary credentials, links; and what is kept about
// that. What goes on by itself rests.
func TestPullsGoOnInReadOnlyMode(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		img := servertest.NewImage(1, 10)
		s.Login(t).Push(t, "app", "v1", img)
		user := s.CreateUserOf(t, s.AWS(), "other", servertest.Allow("sts:AssumeRole"))
		role := s.CreateRole(t, s.AWS(), "puller", trustHome, servertest.Allow("*"))
		maintain(t, s, server.MaintenanceOnPath, `{"reason":"r"}`)
		s.Restart(t) // which changes nothing
		s.Clock.Advance(time.Hour)
		out, err := sts.NewFromConfig(user).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("pull")})
		if err != nil {
			t.Fatal(err)
		}
		pulled(t, s, "app", img)
		s.LoginAs(t, s.AsSession(out.Credentials)).Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)
		if err := s.Server().Registry().FlushUsage(t.Context()); err != nil {
			t.Error(err)
		}
		d, err := s.ECR().DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("app")})
		if err != nil || d.ImageDetails[0].LastRecordedPullTime == nil {
			t.Errorf("DescribeImages = %v, %v, want the time of the pull", d, err)
		}
		if got := maintain(t, s, server.MaintenanceStatusPath, `{}`); !got.ReadOnly || got.Reason != "r" || got.Option {
			t.Errorf("status = %+v", got)
		}
		if status, text := call(t, s, "DeleteRepository", `{"repositoryName":"app","force":true}`); status != 400 || !strings.Contains(text, "ReadOnlyException") {
			t.Errorf("DeleteRepository = %d %s", status, text)
		}
		records := strings.Join(s.AuditRecords(t), "\n") // of a server that has ended
		for _, want := range []string{"StartMaintenance", "GetMaintenance", "AssumeRole"} {
			if !strings.Contains(records, want) {
				t.Errorf("there is no record of %s", want)
			}
		}
	})
}

// A server that was started so refuses changes whatever the switch says, and says how that
// ends; the others on its database do not.
func TestAServerCanBeStartedReadOnly(t *testing.T) {
	t.Parallel()
	first := servertest.Start(t, servertest.Options{Postgres: true, S3: true})
	first.CreateRepository(t, "app")
	img := servertest.NewImage(1, 10)
	first.Login(t).Push(t, "app", "v1", img)
	s := sharing(t, first, func(c *config.Config) { c.ReadOnly = true })
	pulled(t, s, "app", img)
	const text = "The registry was started in read-only mode. Nothing can be changed; images can be pulled."
	if r := s.Login(t).Do(t, "POST", "/v2/app/blobs/uploads/", nil); r.Status != 405 || r.Code() != "UNSUPPORTED" || r.Message() != text {
		t.Errorf("a push = %d %s", r.Status, r.Body)
	}
	if status, body := s.PostAs(t, s.AWS(), server.MaintenanceOffPath, `{}`); status != 400 || !strings.Contains(body, "start it again without") {
		t.Errorf("off = %d %s", status, body)
	}
	if got := maintain(t, s, server.MaintenanceStatusPath, `{}`); !got.ReadOnly || !got.Option {
		t.Errorf("status = %+v", got)
	}
	first.Login(t).Push(t, "app", "v2", servertest.NewImage(2, 10))
	maintain(t, s, server.MaintenanceOnPath, `{}`) // for all
	first.Login(t).Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 405)
	maintain(t, first, server.MaintenanceOffPath, `{}`)
	first.Login(t).Push(t, "app", "v3", servertest.NewImage(3, 10))
	s.Stop(t)
}

// What a first start has to write is nobody's change.
func TestTheFirstStartCanBeReadOnly(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.ReadOnly = true }}, func(t *testing.T, s *servertest.Server) {
		if got := maintain(t, s, server.MaintenanceStatusPath, `{}`); !got.ReadOnly {
			t.Errorf("status = %+v", got)
		}
	})
}

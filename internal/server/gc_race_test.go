package server_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/gc"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pushersInEachWay is how many push in each way while garbage is removed.
const pushersInEachWay = 4

// A digest is garbage when a round begins, and is pushed again, mounted and relied on, in
// every way and on two servers, while both remove garbage. Whoever was told that it is
// there can push an image with it.
func TestWhatIsRemovedIsNotPushedMountedOrReliedOnAtTheSameTime(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		t.Run(fmt.Sprintf("postgres %t", postgres), func(t *testing.T) {
			t.Parallel()
			servers := removing(t, postgres)
			for _, name := range []string{"source", "pushed", "mounted", "asked"} {
				servers[0].CreateRepository(t, name)
			}
			var removed int64
			images := []servertest.Image{inLayers(1, 3), servertest.NewImage(2, 10, 20, 30)}
			for round := range 5 {
				collect(t, servers[0]) // images of the round before: what follows is about layers
				for _, img := range images {
					servers[0].Login(t).PushBlobs(t, "source", img)
				}
				for _, s := range servers { // not so far that a server counts as gone
					s.Clock.Advance(3 * time.Second)
				}
				removed += storm(t, servers, images, round)
				for _, repository := range []string{"pushed", "mounted", "asked"} {
					for _, img := range images {
						pulled(t, servers[len(servers)-1], repository, img)
						deleteImage(t, servers[0], repository, img.Digest)
					}
				}
			}
			if removed == 0 {
				t.Error("nothing was removed while all that was pushed")
			}
			for _, s := range servers[1:] {
				s.Stop(t)
			}
			for range 2 { // what images let go of, and then its bytes
				servers[0].Clock.Advance(2 * time.Hour)
				collect(t, servers[0])
			}
			if n := servers[0].Stored(t); n != 0 {
				t.Errorf("the bucket holds %d things, want none", n)
			}
			t.Logf("%d objects were removed", removed)
			servers[0].CheckData(t)
		})
	}
}

// removing returns servers on one database, two if it can be shared, where everything
// that is deleted is garbage at once.
func removing(t *testing.T, postgres bool) []*servertest.Server {
	t.Helper()
	first := servertest.Start(t, servertest.Options{Postgres: postgres, S3: true, Configure: func(c *config.Config) {
		c.DeletedRetention, c.GCGrace, c.GCLease, c.GCShare = "0", "0", "1s", 100
	}})
	if !postgres {
		return []*servertest.Server{first}
	}
	second := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		data := c.Data
		*c = *first.Config
		c.Data = data
	}})
	first.Clock.Advance(second.Clock.Now().Sub(first.Clock.Now())) // which began later
	return []*servertest.Server{first, second}
}

// storm pushes images in every way while garbage is removed, and returns how many
// objects were.
func storm(t *testing.T, servers []*servertest.Server, images []servertest.Image, round int) (removed int64) {
	t.Helper()
	clients := make([]*servertest.Client, pushersInEachWay)
	for i := range clients {
		clients[i] = servers[i%len(servers)].Login(t)
	}
	ctx, stop := context.WithCancel(t.Context())
	var removing, pushing sync.WaitGroup
	var mu sync.Mutex
	for _, s := range servers {
		removing.Go(func() {
			for ctx.Err() == nil {
				run, err := s.Server().Garbage().Collect(t.Context(), false)
				if err != nil && !errors.Is(err, gc.ErrLost) {
					t.Errorf("collecting garbage: %v", err)
					return
				}
				mu.Lock()
				removed += run.Objects
				mu.Unlock()
			}
		})
	}
	for i := range pushersInEachWay {
		c := clients[i]
		img := images[i/len(servers)%len(images)]
		late := rand.N(60 * time.Millisecond) // so that they meet in every phase
		for repository, way := range map[string]func(*testing.T, *servertest.Client, string, []byte){"pushed": pushLayer, "mounted": mountLayer, "asked": askForLayer} {
			pushing.Go(func() {
				time.Sleep(late)
				for _, b := range append(img.Layers[:len(img.Layers):len(img.Layers)], img.Config) {
					way(t, c, repository, b)
				}
				if r := c.PushManifest(t, repository, img.Digest.String(), ocispec.MediaTypeImageManifest, img.Manifest); r.Status != 201 {
					t.Errorf("round %d, %s: %d %s", round, repository, r.Status, r.Body)
				}
			})
		}
	}
	pushing.Wait()
	stop()
	removing.Wait()
	return removed
}

func pushLayer(t *testing.T, c *servertest.Client, repository string, b []byte) {
	r := c.Do(t, "POST", "/v2/"+repository+"/blobs/uploads/?digest="+digest.FromBytes(b).String(), b, "Content-Type", "application/octet-stream")
	if r.Status != 201 {
		t.Errorf("push to %s: %d %s", repository, r.Status, r.Body)
	}
}

func mountLayer(t *testing.T, c *servertest.Client, repository string, b []byte) {
	d := digest.FromBytes(b).String()
	r := c.Do(t, "POST", "/v2/"+repository+"/blobs/uploads/?mount="+d+"&from=source", nil)
	if r.Status == 202 { // it is not there any more
		r = c.Do(t, "PUT", r.Header.Get("Location")+"?digest="+d, b, "Content-Type", "application/octet-stream")
	}
	if r.Status != 201 {
		t.Errorf("mount to %s: %d %s", repository, r.Status, r.Body)
	}
}

func askForLayer(t *testing.T, c *servertest.Client, repository string, b []byte) {
	r := c.Do(t, "HEAD", "/v2/"+repository+"/blobs/"+digest.FromBytes(b).String(), nil)
	if r.Status == 404 {
		pushLayer(t, c, repository, b)
	} else if r.Status != 200 {
		t.Errorf("HEAD in %s: %d", repository, r.Status)
	}
}

// interrupted is a store that fails from its n-th change on, before it or after.
type interrupted struct {
	gc.Store
	left  int
	after bool
}

var errInterrupted = errors.New("interrupted by the test")

func (i *interrupted) Relaxed(ctx context.Context, fn func(gc.Tx) error) error {
	if i.left--; i.left == 0 && i.after {
		return errors.Join(i.Store.Relaxed(ctx, fn), errInterrupted)
	}
	if i.left <= 0 {
		return errInterrupted
	}
	return i.Store.Relaxed(ctx, fn)
}

// Wherever a run ends, the next one goes on, and what is kept is whole all the while.
func TestAnInterruptedRunIsGoneOnWith(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		s.CreateRepository(t, "old")
		keep := inLayers(1, 2)
		c := s.Login(t)
		c.Push(t, "app", "keep", keep)
		for i := range 4 {
			img := inLayers(uint64(10+i), 1)
			c.Push(t, "app", fmt.Sprint("v", i), img)
			c.Push(t, "old", fmt.Sprint("v", i), img)
			deleteImage(t, s, "app", img.Digest)
		}
		c.Push(t, "old", "keep", keep)
		deleteRepository(t, s, "old")
		positions := 0
		for ended := false; !ended; positions++ {
			s.Clock.Advance(8 * day) // also past the lease of the run before
			o := s.Server().Garbage().Options
			o.Slices, o.Store = 2, &interrupted{Store: o.Store, left: 4 + positions/4, after: positions%2 == 0}
			_, err := gc.New(o).Collect(t.Context(), true)
			if ended = err == nil; !ended && !errors.Is(err, errInterrupted) {
				t.Fatal(err)
			}
			pulled(t, s, "app", keep)
			if positions > 300 {
				t.Fatal("it never comes to an end")
			}
		}
		s.Clock.Advance(2 * day)
		collect(t, s)
		s.Clock.Advance(2 * day)
		collect(t, s)
		if n := s.Stored(t); n != 2 {
			t.Errorf("the bucket holds %d things, want the two layers", n)
		}
		t.Logf("%d positions", positions)
		s.CheckData(t)
	})
}

// Of two servers one works at a time, and the other takes over when it is gone.
func TestAServerTakesOverFromOneThatIsGone(t *testing.T) {
	t.Parallel()
	servers := removing(t, true)
	servers[0].CreateRepository(t, "app")
	servers[0].Login(t).PushBlob(t, "app", servertest.Bytes(1, 70_000))
	for _, s := range servers {
		s.Clock.Advance(3 * time.Second)
	}
	o := servers[0].Server().Garbage().Options
	o.Store = &interrupted{Store: o.Store, left: 3}
	if _, err := gc.New(o).Collect(t.Context(), false); !errors.Is(err, errInterrupted) {
		t.Fatal(err)
	}
	if _, err := servers[1].Server().Garbage().Collect(t.Context(), false); !errors.Is(err, gc.ErrLost) {
		t.Errorf("a second run at once = %v, want %v", err, gc.ErrLost)
	}
	servers[1].Clock.Advance(2 * time.Minute)
	if run := collect(t, servers[1]); run.Objects != 1 {
		t.Errorf("the run after it has removed %+v, want one object", run.Removed)
	}
}

// busy is a store where something happens after each step of a run.
type busy struct {
	gc.Store
	do func()
}

func (b *busy) Relaxed(ctx context.Context, fn func(gc.Tx) error) error {
	err := b.Store.Relaxed(ctx, fn)
	b.do()
	return err
}

// What is let go of while a run goes on is for the next one: a run comes to its end, and
// to its later phases, however much that is.
func TestARunEndsWhileMoreIsDeleted(t *testing.T) {
	t.Parallel()
	all := func(c *config.Config) { c.DeletedRetention, c.GCGrace, c.GCLease = "0", "0", "1s" }
	servertest.Each(t, servertest.Options{Configure: all}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		const most = 50
		n := 0
		more := func() {
			if n == most {
				return
			}
			n++
			img := servertest.NewImage(uint64(n), 100)
			c.Push(t, "app", "v1", img)
			deleteImage(t, s, "app", img.Digest)
			c.PushBlob(t, "app", servertest.Bytes(uint64(n), 200))
			s.Clock.Advance(2 * time.Second)
		}
		more()
		o := s.Server().Garbage().Options
		o.Store = &busy{o.Store, more}
		run, err := gc.New(o).Collect(t.Context(), true)
		if err != nil || n == most {
			t.Errorf("after %d deletions a run has done %+v, %v", n, run, err)
		}
	})
}

// A server whose lease has run out while it removed bytes leaves what is said of the run
// that has taken over.
func TestARunThatWasTakenOverSaysNothing(t *testing.T) {
	t.Parallel()
	servers := removing(t, true)
	o := servers[0].Server().Garbage().Options
	second := gc.Run{}
	o.Bytes = func(context.Context) error {
		servers[1].Clock.Advance(2 * time.Minute)
		second = collect(t, servers[1])
		return nil
	}
	if _, err := gc.New(o).Collect(t.Context(), false); !errors.Is(err, gc.ErrLost) {
		t.Errorf("the first run = %v, want %v", err, gc.ErrLost)
	}
	var status gc.Status
	ask(t, servers[1], "/_berth/v1/gc/status", `{}`, &status)
	if status.Run.StartedAt != second.StartedAt || status.Run.Runs != second.Runs {
		t.Errorf("it is said of the last run: %+v, want %+v", status.Run, second)
	}
}

// A run is not taken over however long it takes to remove bytes.
func TestARunKeepsItsLease(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{S3: true}, func(t *testing.T, s *servertest.Server) {
		o := s.Server().Garbage().Options
		o.Now, o.Lease = time.Now, 300*time.Millisecond
		other := gc.New(o)
		o.Bytes = func(context.Context) error {
			for began := time.Now(); time.Since(began) < 4*o.Lease; time.Sleep(o.Lease / 10) {
				if _, err := other.Collect(t.Context(), false); !errors.Is(err, gc.ErrLost) {
					t.Errorf("a second run after %v = %v, want %v", time.Since(began), err, gc.ErrLost)
					break
				}
			}
			return nil
		}
		if _, err := gc.New(o).Collect(t.Context(), false); err != nil {
			t.Error(err)
		}
	})
}

// A run that somebody asks for is made by the server itself, and is told of.
func TestARunIsAskedFor(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.DeletedRetention, c.GCGrace = "0", "0" }})
	s.CreateRepository(t, "app")
	img := inLayers(1, 1)
	s.Login(t).Push(t, "app", "v1", img)
	why := func(d digest.Digest, want string) {
		t.Helper()
		var e gc.Explanation
		ask(t, s, "/_berth/v1/gc/explain", `{"digest":"`+d.String()+`"}`, &e)
		var got []string
		for _, k := range e.Kept {
			got = append(got, k.Kind+": "+k.Text)
		}
		for _, r := range e.Removed {
			got = append(got, "removed "+r.Kind+": "+r.Reason)
		}
		if text := strings.Join(got, "\n"); !strings.Contains(text, want) {
			t.Errorf("%s is explained by\n%s\nwant %s", d, text, want)
		}
	}
	layer := digest.FromBytes(img.Layers[0])
	why(img.Digest, "image: tag v1")
	why(layer, "layer: image "+img.Digest.String()+" refers to it: tag v1")
	deleteImage(t, s, "app", img.Digest)
	s.Clock.Advance(day)
	var asked struct{ Number int64 }
	ask(t, s, "/_berth/v1/gc/run", `{}`, &asked)
	var status gc.Status
	for asked.Number == 0 || status.Run.Served < asked.Number || status.Run.Running {
		if ask(t, s, "/_berth/v1/gc/status", `{}`, &status); t.Context().Err() != nil {
			t.Fatal("the run does not end")
		}
	}
	if status.Run.Images != 1 || status.Run.Layers != 2 || status.Run.Objects != 3 || status.Queue.Keys != 1 || status.Run.Error != "" {
		t.Errorf("the run has done %+v, and there wait %+v", status.Run, status.Queue)
	}
	why(img.Digest, "removed image: it had been deleted, and the time to restore it was over")
	why(layer, "removed layer: no image of the repository referred to it any more")
	why(layer, "removed object: no image refers to the layer")
	s.Restart(t)
	why(layer, "removed object: ")
	refused(t, s, "/_berth/v1/gc/explain", `{"digest":"a\u0000b"}`, "InvalidParameterException", "digest")
}

package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"berth/internal/rotate"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// ending is a database that goes away with one transaction: before its commit, or after
// it without saying so. That is all that the end of a process can look like.
type ending struct {
	rotate.Store
	left  *int // transactions until then
	after bool
}

var errEnded = errors.New("the process has ended")

func (e ending) run(do func() error) error {
	*e.left--
	switch {
	case *e.left > 0:
		return do()
	case *e.left == 0 && e.after:
		if err := do(); err != nil {
			return err
		}
	}
	return errEnded
}

func (e ending) View(ctx context.Context, fn func(rotate.Tx) error) error {
	return e.run(func() error { return e.Store.View(ctx, fn) })
}

func (e ending) Update(ctx context.Context, fn func(rotate.Tx) error) error {
	return e.run(func() error { return e.Store.Update(ctx, fn) })
}

// rotateUntilItEnds takes steps until one fails, and reports whether one did.
func rotateUntilItEnds(t *testing.T, s *servertest.Server) bool {
	t.Helper()
	for after := ""; ; {
		in, _ := json.Marshal(server.RotateRequest{After: after}) // a text
		status, text := s.PostAs(t, s.AWS(), server.RotatePath, string(in))
		var p server.RotateResponse
		if status != 200 {
			return true
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if after = p.After; after == "" {
			return false
		}
	}
}

// Wherever rotating is interrupted, everything can be read with both keys, and to rotate
// again ends it.
func TestAnInterruptedRotationIsGoneOnWith(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Errors: true})
	th := makeThings(t, s)
	positions := 0
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			replaceMaster(t, s)
			left := n
			s.Server().WrapRotation(func(inner rotate.Store) rotate.Store { return ending{inner, &left, after} })
			if !rotateUntilItEnds(t, s) {
				break
			}
			positions++
			at := fmt.Sprintf("interrupted at transaction %d, after its commit: %t,", n, after)
			s.Restart(t)
			th.check(t, s, at)
			if _, last := rotateAll(t, s); !last.Retired {
				t.Fatalf("%s rotating again ends with %+v", at, last)
			}
			s.Config.OldMasterKeys = nil
			s.Restart(t)
			th.check(t, s, at+" and rotated again,")
			if t.Failed() {
				return
			}
		}
	}
	if positions < 2*(2*len(sealedCounts)+2) {
		t.Errorf("rotating was interrupted at %d positions", positions)
	}
	t.Logf("interrupted at %d positions, unreadable = 0", positions)
	th.finish(t, s)
	s.CheckData(t)
}

// What is pushed while keys are replaced is kept, and needs the new key alone.
func TestNothingIsLostThatIsPushedDuringRotation(t *testing.T) {
	t.Parallel()
	const clients, pushes, parts = 4, 4, 5
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		var begun [clients]string // uploads, under the earlier key
		layer := func(client int) []byte { return servertest.Bytes(uint64(1000+client), (parts+1)*70_000) }
		for i := range begun {
			begun[i] = c.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
			begun[i] = c.Do(t, "PATCH", begun[i], layer(i)[:70_000]).Want(t, 202).Header.Get("Location")
		}
		image := func(client, push int) servertest.Image {
			return servertest.NewImage(uint64(100*client+push+1), 70_000, 10)
		}
		replaceMaster(t, s)
		c = s.Login(t)
		var pushers, rotator sync.WaitGroup
		var over atomic.Bool
		rotator.Go(func() {
			for !over.Load() {
				rotateAll(t, s)
			}
		})
		for i := range clients {
			pushers.Go(func() {
				for p := range max(pushes, parts) {
					if p < parts {
						begun[i] = c.Do(t, "PATCH", begun[i], layer(i)[(p+1)*70_000:(p+2)*70_000]).Want(t, 202).Header.Get("Location")
					}
					if p < pushes {
						c.Push(t, "app", fmt.Sprintf("v%d-%d", i, p), image(i, p))
					}
				}
			})
		}
		pushers.Wait()
		over.Store(true)
		rotator.Wait()
		if _, last := rotateAll(t, s); !last.Retired {
			t.Fatalf("the last step = %+v", last)
		}
		s.Config.OldMasterKeys = nil
		s.Restart(t)
		c = s.Login(t)
		for i := range clients {
			for p := range pushes {
				pulls(t, s, "app", image(i, p), fmt.Sprintf("v%d-%d", i, p))
			}
			d := digest.FromBytes(layer(i)).String()
			c.Do(t, "PUT", begun[i]+"?digest="+d, nil).Want(t, 201)
			if got := c.Do(t, "GET", "/v2/app/blobs/"+d, nil); !bytes.Equal(got.Body, layer(i)) {
				t.Errorf("a layer that was pushed under two keys reads back changed: %d", got.Status)
			}
		}
		s.CheckData(t)
	})
}

// A request that began before an upload's keys were sealed anew does not bring the
// earlier ones back.
func TestAnUploadThatIsReceivedDuringRotationNeedsTheNewKeyAlone(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		layer := servertest.Bytes(1, 20<<20) // more than sockets hold
		begun := c.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		begun = c.Do(t, "PATCH", begun, layer[:100_000]).Want(t, 202).Header.Get("Location")
		replaceMaster(t, s)
		c = s.Login(t)
		body, rest := io.Pipe()
		var sender sync.WaitGroup
		sender.Go(func() { begun = c.Send(t, "PATCH", begun, body).Want(t, 202).Header.Get("Location") })
		if _, err := rest.Write(layer[100_000 : 19<<20]); err != nil {
			t.Fatal(err)
		}
		if done, last := rotateAll(t, s); !last.Retired || done["uploads"] != 1 {
			t.Errorf("while it is received: %v, %+v", done, last)
		}
		if _, err := rest.Write(layer[19<<20:]); err != nil || rest.Close() != nil {
			t.Fatal(err)
		}
		sender.Wait()
		s.Config.OldMasterKeys = nil
		s.Restart(t)
		c = s.Login(t)
		c.Do(t, "PUT", begun+"?digest="+digest.FromBytes(layer).String(), nil).Want(t, 201)
		s.CheckData(t)
	})
}

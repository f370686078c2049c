package server_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/blob/dirbucket"
	"berth/internal/config"
	"berth/internal/servertest"
)

// opening are files where something happens before one is opened.
type opening struct {
	dirbucket.Files
	before *atomic.Pointer[func()]
}

func (o opening) OpenFile(name string, flag int) (dirbucket.File, error) {
	if do := o.before.Swap(nil); do != nil {
		(*do)()
	}
	return o.Files.OpenFile(name, flag)
}

// Bytes that are removed between the look at where they are and the look at them: the layer
// is not there, or it has been pushed again and has others.
func TestBytesGoWhileALayerIsOpened(t *testing.T) {
	t.Parallel()
	var before atomic.Pointer[func()]
	s := servertest.Start(t, servertest.Options{
		Configure: func(c *config.Config) { c.DeletedRetention, c.GCGrace, c.GCLease, c.GCDelay = "0", "0", "1s", "0" },
		Files:     func(f dirbucket.Files) dirbucket.Files { return opening{f, &before} },
	})
	if s.Config.Storage != "" {
		t.Skip("layers are in no directory")
	}
	s.CreateRepository(t, "app")
	c, img := s.Login(t), inLayers(1, 1)
	layer := "/v2/app/blobs/" + servertest.Descriptor("", img.Layers[0]).Digest.String()
	for _, again := range []bool{false, true} {
		c.Push(t, "app", "v1", img)
		gone := func() {
			deleteImage(t, s, "app", img.Digest)
			s.Clock.Advance(2 * time.Second)
			if run := collect(t, s); run.Objects != 3 {
				t.Errorf("a run has removed %+v, want the layer, the configuration and the manifest", run.Removed)
			}
			if again {
				c.Push(t, "app", "v1", img)
			}
		}
		before.Store(&gone)
		want := http.StatusNotFound
		if again {
			want = http.StatusOK
		}
		if r := c.Do(t, "GET", layer, nil); r.Status != want {
			t.Errorf("pushed again: %t: a pull is answered %d %s, want %d", again, r.Status, r.Body, want)
		}
	}
}

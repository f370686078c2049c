package server_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/blob/buckettest"
	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// archive is a server whose archived layers have a class of their own, in an S3 store
// behind a proxy.
type archive struct {
	*servertest.Server
	store string // its URL
	proxy *buckettest.Proxy
	hold  atomic.Pointer[hold]
}

func eachArchive(t *testing.T, test func(*testing.T, *archive), change ...func(*config.Config)) {
	t.Helper()
	for _, postgres := range []bool{false, true} {
		t.Run(fmt.Sprintf("postgres %t", postgres), func(t *testing.T) {
			t.Parallel()
			a := &archive{}
			fake := buckettest.FakeS3()
			store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if h := a.hold.Load(); h != nil {
					h.wait(r)
				}
				fake.ServeHTTP(w, r)
			}))
			t.Cleanup(store.Close)
			a.store, a.proxy = store.URL, buckettest.StartProxy(t, store.URL)
			a.Server = servertest.Start(t, servertest.Options{Postgres: postgres, S3: true, Configure: func(c *config.Config) {
				c.S3Endpoint, c.S3ArchiveClass, c.Seal = a.proxy.URL, "GLACIER_IR", "off"
				for _, f := range change {
					f(c)
				}
			}})
			a.CreateRepository(t, "app")
			test(t, a)
		})
	}
}

// setClass archives an image, or brings it back.
func (a *archive) setClass(t *testing.T, tag, target string) {
	t.Helper()
	status, text := call(t, a.Server, "UpdateImageStorageClass", `{"repositoryName":"app","imageId":{"imageTag":"`+tag+`"},"targetStorageClass":"`+target+`"}`)
	if status != 200 {
		t.Fatalf("UpdateImageStorageClass = %d %s", status, text)
	}
	if err := a.Server.Server().Registry().ActivateImages(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// run has layers change their class, when all leases have ended.
func (a *archive) run(t *testing.T) {
	t.Helper()
	a.Clock.Advance(5 * time.Hour)
	if err := a.Server.Server().ChangeClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// find returns the classes of the layers in S3, by their sizes.
func (a *archive) find(t *testing.T) map[int64]string {
	t.Helper()
	found := map[int64]string{}
	for e, err := range a.Server.Server().Bucket().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		key := strings.TrimPrefix(e.Key, "s3:")
		resp, err := http.Head(a.store + "/" + buckettest.S3Bucket + "/objects/" + key[:2] + "/" + key)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		class := cmp.Or(resp.Header.Get("X-Amz-Storage-Class"), "STANDARD")
		if found[e.Size] != "" {
			class = "both"
		}
		found[e.Size] = class
	}
	return found
}

// want fails the test unless the layers are in those classes, and nowhere else, when what
// was copied is gone.
func (a *archive) want(t *testing.T, when string, want map[int64]string) {
	t.Helper()
	a.Clock.Advance(time.Hour)
	if err := a.Server.Server().RemoveMoved(t.Context()); err != nil {
		t.Error(err)
	}
	if got := a.find(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s the classes are %v, want %v", when, got, want)
	}
}

const standard, cheap = "STANDARD", "GLACIER_IR"

func TestLayersThatOnlyArchivedImagesHaveChangeTheirClass(t *testing.T) {
	t.Parallel()
	eachArchive(t, func(t *testing.T, a *archive) {
		c := a.Login(t)
		one, two := servertest.NewImage(1, 300_000, 1000, 100_000), servertest.NewImage(2, 400_000)
		shared := servertest.Bytes(9, 200_000)
		one, two = with(one, shared), with(two, shared)
		c.Push(t, "app", "one", one)
		c.Push(t, "app", "two", two)
		a.setClass(t, "one", "ARCHIVE")
		if err := a.Server.Server().ChangeClasses(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.want(t, "while somebody relies on the layers", map[int64]string{100_000: standard, 200_000: standard, 300_000: standard, 400_000: standard})
		a.run(t)
		if got := a.find(t)[300_000]; got != "both" {
			t.Errorf("for those who read it the layer is in the class %s, want both", got)
		}
		a.want(t, "when one is archived", map[int64]string{100_000: standard, 200_000: standard, 300_000: cheap, 400_000: standard})
		a.setClass(t, "two", "ARCHIVE")
		a.run(t)
		a.want(t, "when both are archived", map[int64]string{100_000: standard, 200_000: cheap, 300_000: cheap, 400_000: cheap})
		a.CheckData(t)

		a.setClass(t, "one", "STANDARD")
		c = a.Login(t)
		for _, l := range one.Layers { // at once, wherever they are
			if got := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(l).String(), nil).Want(t, 200).Body; !bytes.Equal(got, l) {
				t.Error("a layer differs from what was pushed")
			}
		}
		a.run(t)
		back := map[int64]string{100_000: standard, 200_000: standard, 300_000: standard, 400_000: cheap}
		a.want(t, "when one is back", back)
		a.run(t) // has nothing to do
		a.want(t, "after another run", back)
		a.CheckData(t)
	})
}

// with returns the image with another layer.
func with(img servertest.Image, layer []byte) servertest.Image {
	var m struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType"`
		Config        any    `json:"config"`
		Layers        []any  `json:"layers"`
	}
	if err := json.Unmarshal(img.Manifest, &m); err != nil {
		panic(err) // it was made here
	}
	m.Layers = append(m.Layers, servertest.Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer))
	img.Manifest, img.Layers = servertest.JSON(m), append(img.Layers, layer)
	img.Digest = digest.FromBytes(img.Manifest)
	return img
}

func TestALayerComesBackForWhoeverNeedsIt(t *testing.T) {
	t.Parallel()
	eachArchive(t, func(t *testing.T, a *archive) {
		archived, back := map[int64]string{300_000: cheap}, map[int64]string{300_000: standard}
		img := servertest.NewImage(1, 300_000)
		a.Login(t).Push(t, "app", "v1", img)
		a.setClass(t, "v1", "ARCHIVE")
		a.run(t)
		a.want(t, "in the archive", archived)

		a.CreateRepository(t, "other")
		a.Login(t).Push(t, "other", "v1", img)
		a.run(t)
		a.want(t, "with an active image in another repository", back)

		a.Login(t).Do(t, "DELETE", manifestPath("other", img.Digest.String()), nil).Want(t, 202)
		a.Clock.Advance(24 * time.Hour)
		a.run(t)
		a.want(t, "when that is deleted", archived)

		restore := `{"repositoryName":"other","imageDigest":"` + img.Digest.String() + `"}`
		mustAsk[server.RestoreImageResponse](t, a.Server, server.RestoreImagePath, restore)
		a.run(t)
		a.want(t, "when that is restored", back)

		deleteRepository(t, a.Server, "other")
		a.Clock.Advance(24 * time.Hour)
		a.run(t)
		a.want(t, "when its repository is deleted, which may be restored", back)
		a.Login(t).Push(t, "app", "v1", img)
		a.run(t)
		a.want(t, "when it is pushed again", back)
		a.CheckData(t)
	})
}

func TestWhatWasArchivedBeforeThereWasAClassFollows(t *testing.T) {
	t.Parallel()
	eachArchive(t, func(t *testing.T, a *archive) {
		a.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 300_000))
		a.setClass(t, "v1", "ARCHIVE")
		a.Config.S3ArchiveClass = "STANDARD_IA"
		a.Restart(t)
		a.run(t)
		a.want(t, "with a class", map[int64]string{300_000: "STANDARD_IA"})

		a.Config.S3ArchiveClass = ""
		a.Restart(t)
		a.setClass(t, "v1", "STANDARD")
		a.Login(t).Do(t, "GET", manifestPath("app", "v1"), nil).Want(t, 200)
		a.want(t, "without a class again", map[int64]string{300_000: "STANDARD_IA"})
		a.Config.S3ArchiveClass = cheap
		a.Restart(t)
		a.Clock.Advance(24 * time.Hour)
		a.run(t)
		a.want(t, "with another one", map[int64]string{300_000: standard})
		a.CheckData(t)
	}, func(c *config.Config) { c.S3ArchiveClass = "" })
}

func TestAStoreThatDoesNotCopyIsAskedAgain(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"CopyObject", "HeadObject"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			eachArchive(t, func(t *testing.T, a *archive) {
				for i, tag := range []string{"a", "b", "c", "d"} {
					a.Login(t).Push(t, "app", tag, servertest.NewImage(uint64(i), 300_000+i))
					a.setClass(t, tag, "ARCHIVE")
				}
				a.Clock.Advance(5 * time.Hour)
				a.proxy.Plan(buckettest.Always(operation, buckettest.Denied))
				err := a.Server.Server().ChangeClasses(t.Context())
				if err == nil || strings.Count(err.Error(), "stays in its class") != 3 {
					t.Errorf("without %s: %v, want 3 layers that stay", operation, err)
				}
				a.proxy.Plan(nil)
				a.Clock.Advance(10 * time.Minute)
				a.run(t)
				a.want(t, "when the store copies again", map[int64]string{300_000: cheap, 300_001: cheap, 300_002: cheap, 300_003: cheap})
				a.CheckData(t)
			})
		})
	}
}

// Whatever happens to an object while the store copies it, it is where it should be in the
// end, once, and can be read.
func TestAnObjectThatChangesWhileItIsCopied(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		meanwhile func(t *testing.T, a *archive, img servertest.Image)
		want      string
	}{
		"brought back": {func(t *testing.T, a *archive, _ servertest.Image) { a.setClass(t, "v1", "STANDARD") }, standard},
		"pushed elsewhere": {func(t *testing.T, a *archive, img servertest.Image) {
			a.CreateRepository(t, "other")
			a.Login(t).Push(t, "other", "v1", img)
		}, standard},
		"copied by another process": {func(t *testing.T, a *archive, _ servertest.Image) {
			a.Clock.Advance(10 * time.Minute) // its lease has ended
			if err := a.Server.Server().AnotherClasses().Run(t.Context()); err != nil {
				t.Error(err)
			}
		}, cheap},
		"copied for so long that the copy is removed": {func(t *testing.T, a *archive, _ servertest.Image) {
			a.Clock.Advance(49 * time.Hour)
			if err := a.Server.Server().RemoveMoved(t.Context()); err != nil {
				t.Error(err)
			}
		}, cheap},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachArchive(t, func(t *testing.T, a *archive) {
				img := servertest.NewImage(1, 300_000)
				a.Login(t).Push(t, "app", "v1", img)
				a.setClass(t, "v1", "ARCHIVE")
				a.Clock.Advance(5 * time.Hour)
				h := &hold{operation: "CopyObject", arrived: make(chan struct{}), release: make(chan struct{})}
				a.hold.Store(h)
				ended := make(chan error)
				go func() { ended <- a.Server.Server().ChangeClasses(t.Context()) }()
				<-h.arrived
				test.meanwhile(t, a, img)
				close(h.release)
				if err := <-ended; err != nil {
					t.Error(err)
				}
				for range 2 {
					a.Clock.Advance(time.Hour)
					a.run(t)
				}
				a.want(t, "in the end", map[int64]string{300_000: test.want})
				a.CheckData(t)
			})
		})
	}
}

// A process ends while the store copies. The next one goes on, and nothing is left.
func TestAProcessThatEndsWhileItCopiesLeavesNothing(t *testing.T) {
	t.Parallel()
	eachArchive(t, func(t *testing.T, a *archive) {
		a.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 300_000))
		a.setClass(t, "v1", "ARCHIVE")
		a.Clock.Advance(5 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		a.proxy.Plan(func(r *http.Request) buckettest.Fault {
			if buckettest.Operation(r) != "CopyObject" {
				return buckettest.NoFault
			}
			cancel()
			return buckettest.LostAnswer
		})
		if err := a.Server.Server().ChangeClasses(ctx); err == nil {
			t.Error("the run succeeded")
		}
		a.proxy.Plan(nil)
		a.run(t)
		a.Clock.Advance(48 * time.Hour)
		a.want(t, "in the end", map[int64]string{300_000: cheap})
		a.CheckData(t)
	})
}

func TestAReaderIsNotDisturbedByAChangeOfClass(t *testing.T) {
	t.Parallel()
	eachArchive(t, func(t *testing.T, a *archive) {
		a.Config.S3Redirects = "on"
		a.Restart(t)
		img := servertest.NewImage(1, 6<<20)
		c := a.Login(t)
		c.Push(t, "app", "v1", img)
		url := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil).Want(t, 307).Header.Get("Location")
		for e, err := range a.Server.Server().Bucket().List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := a.Server.Server().Bucket().Open(t.Context(), e.Key)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			half := make([]byte, 3<<20)
			if _, err := io.ReadFull(r, half); err != nil {
				t.Fatal(err)
			}
			a.setClass(t, "v1", "ARCHIVE")
			a.run(t)
			a.proxy.Plan(buckettest.Once("GetObject", buckettest.Reset)) // it has to ask again
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, img.Layers[0]) {
				t.Errorf("the reader got %d bytes, %v", len(got), err)
			}
		}
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, img.Layers[0]) {
			t.Errorf("the URL gives %s, %d bytes, %v", resp.Status, len(got), err)
		}
		a.want(t, "afterwards", map[int64]string{6 << 20: cheap})
	})
}

//go:build unix

package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"berth/internal/server"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// collecting removes what was deleted a moment ago, and what it alone had.
func collecting(from string) *world {
	return &world{
		name: "garbage collection", from: from,
		env: func(dir string) []string {
			return environment(dir, "BERTH_DELETED_RETENTION=0", "BERTH_GC_GRACE=0s", "BERTH_GC_LEASE=1s", "BERTH_GC_SHARE=100")
		},
		only:    func(p pair) bool { return p.point == "gc.step" }, // the rest is how it is asked how far it is
		players: func() []*player { return []*player{newPlayer(garbage(fmt.Sprintf("n%d", namespaces.Add(1))))} },
	}
}

// garbage pushes two images that share a layer and deletes one; of another repository
// nothing stays. What is deleted is gone at once, the layers when they are collected.
func garbage(under string) []step {
	app, gone := under+"/app", under+"/gone"
	config, shared, small, medium := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","n":%d}`, rand.Uint64()), random(100_000), random(9_000), random(90_000)
	stays, goes := manifest(config, shared), manifest(config, shared, small, medium)
	const image = ocispec.MediaTypeImageManifest
	removed := manifest(config, medium)
	loose := []string{layerIn(app, small), layerIn(app, medium)}
	collect := step{name: "collect garbage", changes: facts{}, do: func(c *client) error { return collected(c, small, medium) }}
	for _, thing := range loose {
		collect.changes[thing] = ""
	}
	return []step{
		createRepository(app), createRepository(gone),
		pushLayer(app, config, 1), pushLayer(app, shared, 2), pushLayer(app, small, 1), pushLayer(app, medium, 1),
		putImage(app, stays, image, "stays"), putImage(app, goes, image, "goes"),
		mount(gone, app, config), mount(gone, app, medium), putImage(gone, removed, image, "v1"),
		call("delete repository", func(ctx context.Context, e *ecr.Client) error {
			_, err := e.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &gone, Force: true})
			return err
		}, facts{
			"repository " + gone: "", imageIn(gone, removed): "", "tag " + gone + " v1": "", layerIn(gone, config): "", layerIn(gone, medium): "",
		}),
		deleteImageFreeing(app, goes, "goes", loose), collect,
		pushLayer(app, medium, 2), putImage(app, manifest(config, medium), image, "again"),
	}
}

// deleteImageFreeing deletes an image whose layers may go from then on.
func deleteImageFreeing(name string, manifest []byte, tag string, frees []string) step {
	of := digest.FromBytes(manifest).String()
	s := deleteImage(name, types.ImageIdentifier{ImageDigest: &of}, facts{imageIn(name, manifest): "", "tag " + name + " " + tag: ""})
	s.frees = frees
	return s
}

// collected has garbage removed until nothing has any of the layers.
func collected(c *client, layers ...[]byte) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var run server.GCRunResponse
		if err := c.ask(server.GCRunPath, server.GCRunRequest{Full: true}, &run); err != nil {
			return err
		}
		for s := (server.GCStatusResponse{}); s.Run.Served < run.Number || s.Run.Running; {
			if err := c.ask(server.GCStatusPath, server.GCStatusRequest{}, &s); err != nil {
				return err
			}
		}
		kept := 0
		for _, l := range layers {
			var e server.GCExplanation
			if err := c.ask(server.GCExplainPath, server.GCExplainRequest{Digest: digest.FromBytes(l).String()}, &e); err != nil {
				return err
			}
			kept += len(e.Kept)
		}
		if kept == 0 {
			return nil
		}
	}
	return errors.New("garbage stays")
}

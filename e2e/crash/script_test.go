//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"

	"berth/internal/server"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// step is something that a client asks for. It can be asked for again if it was not
// acknowledged and has not been done.
type step struct {
	name    string
	do      func(*client) error
	changes facts    // all at once
	frees   []string // things that it makes change later, each by itself, until a step says how they are
}

// things are the names of things in the order of facts.
func layerIn(name string, content []byte) string {
	return "layer " + name + " " + digest.FromBytes(content).String()
}
func imageIn(name string, manifest []byte) string {
	return "image " + name + " " + digest.FromBytes(manifest).String()
}

// random returns n bytes that are like no others.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())})
	_, _ = r.Read(b) // never fails
	return b
}

// upload pushes a layer in pieces, and goes on where it was after the server has died.
type upload struct {
	name    string
	content []byte
	pieces  int
	sum     digest.Digest // that is claimed
	want    int           // status of the end

	location string
	offset   int  // acknowledged
	asked    int  // where a piece ends that is on its way
	ending   bool // the end was asked for
}

func (u *upload) do(c *client) error {
	if err := u.resume(c); err != nil {
		return err
	}
	if u.location == "" {
		*u = upload{name: u.name, content: u.content, pieces: u.pieces, sum: u.sum, want: u.want}
		a, err := c.want(202, "POST", "/v2/"+u.name+"/blobs/uploads/", nil)
		if err != nil {
			return err
		}
		u.at(a)
	}
	for u.offset < len(u.content)*(u.pieces-1)/u.pieces {
		u.asked = min(u.offset+len(u.content)/u.pieces, len(u.content))
		a, err := c.want(202, "PATCH", u.location, u.content[u.offset:u.asked], "Content-Range", fmt.Sprintf("%d-%d", u.offset, u.asked-1))
		if err != nil {
			return err
		}
		u.at(a)
		u.offset = u.asked
	}
	again := u.ending
	u.asked, u.ending = len(u.content), true
	end, err := c.do("PUT", u.location+"?digest="+url.QueryEscape(u.sum.String()), u.content[u.offset:])
	switch {
	case err != nil:
		return err
	case end.status == 404 && again: // its bytes had become an object that nobody was told of
		u.location = ""
		return u.do(c)
	case end.status != u.want:
		return fmt.Errorf("PUT %s = %d %s, want %d", u.location, end.status, end.body, u.want)
	}
	u.location = ""
	return nil
}

// at notes where the upload goes on. The server's port is another one when it has been
// started again.
func (u *upload) at(a answer) {
	if to, err := url.Parse(a.header.Get("Location")); err == nil {
		u.location = to.Path
	}
}

// resume finds out how far the upload has come: as far as was acknowledged, or as was
// asked for. If its end was asked for, it may be gone.
func (u *upload) resume(c *client) error {
	if u.location == "" {
		return nil
	}
	a, err := c.do("GET", u.location, nil)
	if err != nil {
		return err
	}
	if a.status == 404 && u.ending {
		u.location = ""
		return nil
	}
	if a.status != 204 {
		return fmt.Errorf("an upload of which %d bytes were acknowledged: %d %s", u.offset, a.status, a.body)
	}
	var last int
	if _, err := fmt.Sscanf(a.header.Get("Range"), "0-%d", &last); err != nil {
		return fmt.Errorf("range %q: %w", a.header.Get("Range"), err)
	}
	if last++; last == 1 {
		last = 0
	}
	if last != u.offset && last != u.asked {
		return fmt.Errorf("an upload has %d bytes; %d were acknowledged, and %d asked for", last, u.offset, u.asked)
	}
	u.offset = last
	return nil
}

func pushLayer(name string, content []byte, pieces int) step {
	u := &upload{name: name, content: content, pieces: pieces, sum: digest.FromBytes(content), want: 201}
	return step{name: "push a layer", do: u.do, changes: facts{layerIn(name, content): "whole"}}
}

// pushParts pushes a layer as docker does not and ECR's API does.
func pushParts(name string, content []byte) step {
	do := func(c *client) error {
		e, ctx := c.ecr(), context.Background()
		begun, err := e.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: &name})
		if err != nil {
			return called(err)
		}
		if _, err := e.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{
			RepositoryName: &name, UploadId: begun.UploadId, PartFirstByte: new(int64(0)), PartLastByte: new(int64(len(content) - 1)), LayerPartBlob: content,
		}); err != nil {
			return called(err)
		}
		_, err = e.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{
			RepositoryName: &name, UploadId: begun.UploadId, LayerDigests: []string{digest.FromBytes(content).String()},
		})
		return called(err)
	}
	return step{name: "push a layer in parts", do: do, changes: facts{layerIn(name, content): "whole"}}
}

// request is a step that is one request.
func request(name string, status int, method, path string, body []byte, changes facts, header ...string) step {
	return step{name: name, changes: changes, do: func(c *client) error {
		_, err := c.want(status, method, path, body, header...)
		return err
	}}
}

// putImage puts a manifest under tags.
func putImage(name string, manifest []byte, mediaType string, tags ...string) step {
	changes := facts{imageIn(name, manifest): "whole"}
	reference := digest.FromBytes(manifest).String()
	for _, tag := range tags {
		changes["tag "+name+" "+tag] = reference
		reference = tag
	}
	return request("put image", 201, "PUT", "/v2/"+name+"/manifests/"+reference, manifest, changes, "Content-Type", mediaType)
}

// call is a step that is one call of ECR's.
func call(name string, do func(context.Context, *ecr.Client) error, changes facts, frees ...string) step {
	return step{name: name, changes: changes, frees: frees, do: func(c *client) error { return called(do(context.Background(), c.ecr())) }}
}

func createRepository(name string) step {
	return call("create repository", func(ctx context.Context, e *ecr.Client) error {
		_, err := e.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &name})
		return err
	}, facts{"repository " + name: "there"})
}

func deleteImage(name string, id types.ImageIdentifier, changes facts) step {
	return call("delete image", func(ctx context.Context, e *ecr.Client) error {
		out, err := e.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: &name, ImageIds: []types.ImageIdentifier{id}})
		if err == nil && len(out.Failures) > 0 {
			err = fmt.Errorf("%s: %s", out.Failures[0].FailureCode, *out.Failures[0].FailureReason)
		}
		return err
	}, changes)
}

// manifest returns the manifest of an image like no other.
func manifest(config []byte, layers ...[]byte) []byte {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: descriptor(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{},
		Annotations: map[string]string{"n": fmt.Sprint(rand.Uint64())},
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, descriptor(ocispec.MediaTypeImageLayerGzip, l))
	}
	return encode(m)
}

func descriptor(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// script returns what a client does that has repositories of its own, below a name.
// Layers are kept in the database and in the bucket, and one is of a size that is given.
func script(under string, large int) []step {
	app, other, old, gone := under+"/app", under+"/other", under+"/old", under+"/gone"
	config, small, medium, parts, once := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","n":%d}`, rand.Uint64()), random(9_000), random(300_000), random(150_000), random(100_000)
	one, two, three := manifest(config, small, medium), manifest(config, small, parts, once), manifest(config, medium)
	const image = ocispec.MediaTypeImageManifest
	index := encode(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{descriptor(image, one), descriptor(image, two)},
	})
	referrer := manifestOf(one, config)
	steps := []step{
		createRepository(app), createRepository(other),
		pushLayer(app, config, 1), pushLayer(app, small, 1), pushLayer(app, medium, 3), pushLayer(app, random(large), 3), pushParts(app, parts),
		request("push a layer in one request", 201, "POST", "/v2/"+app+"/blobs/uploads/?digest="+url.QueryEscape(digest.FromBytes(once).String()), once, facts{layerIn(app, once): "whole"}),
		putImage(app, one, image, "v1"), putImage(app, two, image, "v2"),
		putImage(app, one, image, "latest"), putImage(app, two, image, "latest"), putImage(app, one, image, "latest"),
		putImage(app, referrer, image),
		{name: "push another layer than is said", do: (&upload{name: app, content: random(300_000), pieces: 2, sum: digest.FromBytes(small), want: 400}).do},
		{name: "cancel an upload", do: cancelled(app, random(300_000))},
		{name: "push a layer that is there", do: pushLayer(app, medium, 2).do},
		mount(other, app, medium), pushLayer(other, config, 1), putImage(other, three, image, "m"),
		call("make tags immutable", func(ctx context.Context, e *ecr.Client) error {
			_, err := e.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: &other, ImageTagMutability: types.ImageTagMutabilityImmutable})
			return err
		}, facts{"mutability " + other: "IMMUTABLE"}),
		request("move a tag that does not move", 400, "PUT", "/v2/"+other+"/manifests/m", manifest(config, medium), nil, "Content-Type", image),
		putImage(app, index, ocispec.MediaTypeImageIndex, "all"),
		deleteImage(app, types.ImageIdentifier{ImageTag: new("latest")}, facts{"tag " + app + " latest": ""}),
		deleteImage(app, types.ImageIdentifier{ImageDigest: new(digest.FromBytes(index).String())}, facts{imageIn(app, index): "", "tag " + app + " all": ""}),
		restoreImage(app, index, "all"),
	}
	steps = append(steps, expire(old, app, config, medium)...)
	whole := facts{"repository " + gone: "there", imageIn(gone, one): "whole", "tag " + gone + " v1": digest.FromBytes(one).String()}
	nothing := facts{}
	for thing := range whole {
		nothing[thing] = ""
	}
	for _, l := range [][]byte{config, small, medium} {
		whole[layerIn(gone, l)], nothing[layerIn(gone, l)] = "whole", ""
	}
	return append(steps, createRepository(gone), mount(gone, app, config), mount(gone, app, small), mount(gone, app, medium), putImage(gone, one, image, "v1"),
		call("delete repository", func(ctx context.Context, e *ecr.Client) error {
			_, err := e.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &gone, Force: true})
			return err
		}, nothing),
		step{name: "restore repository", changes: whole, do: func(c *client) error {
			var out server.RestoreRepositoryResponse
			return c.ask(server.RestoreRepositoryPath, server.RestoreRepositoryRequest{Target: server.Target{RepositoryName: gone}}, &out)
		}},
	)
}

// manifestOf returns an image that names another as its subject.
func manifestOf(subject, config []byte) []byte {
	of := descriptor(ocispec.MediaTypeImageManifest, subject)
	return encode(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.berth.note",
		Config: descriptor(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{}, Subject: &of, Annotations: map[string]string{"n": "1"},
	})
}

func mount(name, from string, content []byte) step {
	path := "/v2/" + name + "/blobs/uploads/?mount=" + url.QueryEscape(digest.FromBytes(content).String()) + "&from=" + url.QueryEscape(from)
	return request("mount", 201, "POST", path, nil, facts{layerIn(name, content): "whole"})
}

// cancelled is an upload that ends before its end.
func cancelled(name string, content []byte) func(*client) error {
	return func(c *client) error {
		u := upload{name: name}
		a, err := c.want(202, "POST", "/v2/"+name+"/blobs/uploads/", nil)
		if err != nil {
			return err
		}
		u.at(a)
		if _, err := c.want(202, "PATCH", u.location, content); err != nil {
			return err
		}
		_, err = c.want(204, "DELETE", u.location, nil)
		return err
	}
}

func restoreImage(name string, manifest []byte, tag string) step {
	of := digest.FromBytes(manifest)
	return step{name: "restore image", changes: facts{imageIn(name, manifest): "whole", "tag " + name + " " + tag: string(of)}, do: func(c *client) error {
		var out server.RestoreImageResponse
		return c.ask(server.RestoreImagePath, server.RestoreImageRequest{Target: server.Target{RepositoryName: name}, Digest: of}, &out)
	}}
}

// expire pushes images to a repository and has a lifecycle policy keep the last.
func expire(name, from string, config, layer []byte) []step {
	steps := []step{createRepository(name), mount(name, from, config), mount(name, from, layer)}
	run := step{name: "carry out lifecycle policies", changes: facts{}, do: func(c *client) error {
		var out server.LifecycleResponse
		err := c.ask(server.LifecyclePath, server.LifecycleRequest{RepositoryName: &name}, &out)
		if err == nil && (len(out.Runs) != 1 || out.Runs[0].Error != "") {
			err = fmt.Errorf("lifecycle run: %+v", out)
		}
		return err
	}}
	for _, tag := range []string{"l1", "l2", "l3"} {
		m := manifest(config, layer)
		steps = append(steps, putImage(name, m, ocispec.MediaTypeImageManifest, tag))
		if tag != "l3" {
			run.changes[imageIn(name, m)], run.changes["tag "+name+" "+tag] = "", ""
		}
	}
	var frees []string
	for thing := range run.changes {
		frees = append(frees, thing)
	}
	text := `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`
	put := call("put lifecycle policy", func(ctx context.Context, e *ecr.Client) error {
		_, err := e.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: &name, LifecyclePolicyText: &text})
		return err
	}, facts{"policy " + name: "there"}, frees...)
	return append(steps, put, run)
}

// player is a client that carries out steps, one after the other.
type player struct {
	ledger ledger
	steps  []step
	next   int
	begun  bool // it may have asked a server that has died
}

// newPlayer returns one that knows that nothing of what its steps make is there.
func newPlayer(steps []step) *player {
	p := &player{ledger: ledger{sure: facts{}, free: map[string]bool{}}}
	p.add(steps)
	return p
}

// add gives it more to do.
func (p *player) add(steps []step) {
	p.steps = append(p.steps, steps...)
	for _, s := range steps {
		for thing := range s.changes {
			if _, known := p.ledger.sure[thing]; !known {
				p.ledger.sure[thing] = ""
			}
		}
	}
}

// play goes on until all steps are done, or errGone. It looks first whether all is there
// that was acknowledged.
func (p *player) play(c *client) error {
	if p.begun {
		if err := p.look(c); err != nil {
			return err
		}
	}
	p.begun = true
	for p.next < len(p.steps) {
		s := &p.steps[p.next]
		p.ledger.ask(s)
		if err := s.do(c); err != nil {
			return fmt.Errorf("step %d, %s: %w", p.next, s.name, err)
		}
		p.ledger.acknowledge()
		p.next++
	}
	return nil
}

// look compares what is there with the ledger.
func (p *player) look(c *client) error {
	done, err := p.ledger.settle((&view{c, map[string]string{}}).look)
	if err != nil && !errors.Is(err, errGone) {
		return fmt.Errorf("after step %d, %s: %w", p.next, p.steps[min(p.next, len(p.steps)-1)].name, err)
	}
	if done {
		p.next++
	}
	return err
}

// encode encodes a document that can be encoded.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

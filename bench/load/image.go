package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
)

const (
	mtManifest = "application/vnd.oci.image.manifest.v1+json"
	mtIndex    = "application/vnd.oci.image.index.v1+json"
	mtConfig   = "application/vnd.oci.image.config.v1+json"
	mtLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	mtEmpty    = "application/vnd.oci.empty.v1+json"
)

// image is a small deterministic image: image i of a seed is always the same.
type image struct {
	config   []byte
	layers   [][]byte
	manifest []byte
	digest   string
}

func makeImage(o options, i int) image {
	var im image
	rng := rand.New(rand.NewPCG(o.seed, uint64(i)))
	hexes := make([]byte, 448)
	fill(rng, hexes)
	im.config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"p":"%x"}}}`, hexes)
	type desc struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	m := struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType"`
		Config        desc   `json:"config"`
		Layers        []desc `json:"layers"`
	}{SchemaVersion: 2, MediaType: mtManifest, Config: desc{mtConfig, digestOf(im.config), len(im.config)}, Layers: []desc{}}
	for range o.layers {
		l := make([]byte, o.layerSize)
		fill(rng, l)
		im.layers = append(im.layers, l)
		m.Layers = append(m.Layers, desc{mtLayer, digestOf(l), len(l)})
	}
	im.manifest, _ = json.Marshal(m)
	im.digest = digestOf(im.manifest)
	return im
}

func (g *gen) imageRepo(i int) string { return fmt.Sprintf("%s/img/r%02d", g.o.repo, i%20) }

func (g *gen) pushImage(ctx context.Context, repo, tag string, im image) (int64, error) {
	var n int64
	for _, b := range append([][]byte{im.config}, im.layers...) {
		dg := digestOf(b)
		if g.o.headFirst {
			st, _, err := g.do(ctx, "HEAD", "/v2/"+repo+"/blobs/"+dg, nil, 0, nil)
			if err == nil && st == 200 {
				continue
			}
		}
		if err := g.pushReader(ctx, repo, bytes.NewReader(b), int64(len(b)), dg); err != nil {
			return n, err
		}
		n += int64(len(b))
	}
	return n + int64(len(im.manifest)), g.putManifest(ctx, repo, tag, mtManifest, im.manifest)
}

func pushImages(ctx context.Context, g *gen) (func(context.Context), error) {
	ims := make([]image, g.o.count)
	for i := range ims {
		ims[i] = makeImage(g.o, i)
	}
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			return g.pushImage(ctx, g.imageRepo(i), "t"+strconv.Itoa(i), ims[i])
		})
	}, nil
}

func deleteImages(ctx context.Context, g *gen) (func(context.Context), error) {
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			im := makeImage(g.o, i)
			st, _, err := g.do(ctx, "DELETE", "/v2/"+g.imageRepo(i)+"/manifests/"+im.digest, nil, 0, nil)
			return 0, expect(st, err, 202, 200)
		})
	}, nil
}

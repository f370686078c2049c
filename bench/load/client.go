package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

type reply struct {
	header http.Header
	body   []byte
}

func (g *gen) request(ctx context.Context, method, ref string, body io.Reader, n int64, hdr http.Header) (*http.Response, error) {
	u, err := g.base.Parse(ref)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = n
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	for k, v := range hdr {
		req.Header[k] = v
	}
	if g.o.user != "" {
		req.SetBasicAuth(g.o.user, g.o.password)
	}
	return g.client.Do(req)
}

func (g *gen) do(ctx context.Context, method, ref string, body io.Reader, n int64, hdr http.Header) (int, reply, error) {
	resp, err := g.request(ctx, method, ref, body, n, hdr)
	if err != nil {
		return 0, reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, reply{resp.Header, b}, err
}

var bufs = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

func (g *gen) discard(ctx context.Context, method, ref string, hdr http.Header) (int, int64, error) {
	resp, err := g.request(ctx, method, ref, nil, 0, hdr)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	b := bufs.Get().(*[]byte)
	defer bufs.Put(b)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, *b)
	return resp.StatusCode, n, err
}

// get downloads and checks only the length: hashing would charge the client's
// SHA-256 to a machine it shares with the server.
func (g *gen) get(ctx context.Context, ref string, want int64) (int64, error) {
	st, n, err := g.discard(ctx, "GET", ref, nil)
	if err := expect(st, err, 200); err != nil {
		return n, err
	}
	if n != want {
		return n, fmt.Errorf("got %d bytes, want %d", n, want)
	}
	return n, nil
}

func expect(st int, err error, want ...int) error {
	if err != nil {
		return err
	}
	if !slices.Contains(want, st) {
		return fmt.Errorf("status %d, want %v", st, want)
	}
	return nil
}

func (g *gen) startUpload(ctx context.Context, repo string) (string, error) {
	st, rep, err := g.do(ctx, "POST", "/v2/"+repo+"/blobs/uploads/", nil, 0, nil)
	if err := expect(st, err, 202); err != nil {
		return "", fmt.Errorf("POST upload: %w", err)
	}
	return rep.header.Get("Location"), nil
}

func withDigest(loc, dg string) string {
	sep := "?"
	if strings.Contains(loc, "?") {
		sep = "&"
	}
	return loc + sep + "digest=" + url.QueryEscape(dg)
}

func (g *gen) pushReader(ctx context.Context, repo string, r io.Reader, n int64, dg string) error {
	loc, err := g.startUpload(ctx, repo)
	if err != nil {
		return err
	}
	st, rep, err := g.do(ctx, "PUT", withDigest(loc, dg), r, n, nil)
	if err := expect(st, err, 201); err != nil {
		return fmt.Errorf("PUT blob: %w %s", err, rep.body)
	}
	return nil
}

func (g *gen) pushChunked(ctx context.Context, repo string, b *content, dg string) error {
	loc, err := g.startUpload(ctx, repo)
	if err != nil {
		return err
	}
	r := b.reader()
	for off := int64(0); off < b.size; {
		n := min(g.o.chunk, b.size-off)
		h := http.Header{"Content-Range": {fmt.Sprintf("%d-%d", off, off+n-1)}}
		st, rep, err := g.do(ctx, "PATCH", loc, io.LimitReader(r, n), n, h)
		if err := expect(st, err, 202); err != nil {
			return fmt.Errorf("PATCH: %w %s", err, rep.body)
		}
		loc = rep.header.Get("Location")
		off += n
	}
	st, rep, err := g.do(ctx, "PUT", withDigest(loc, dg), nil, 0, nil)
	if err := expect(st, err, 201); err != nil {
		return fmt.Errorf("PUT: %w %s", err, rep.body)
	}
	return nil
}

func (g *gen) putManifest(ctx context.Context, repo, ref, mt string, body []byte) error {
	st, rep, err := g.do(ctx, "PUT", "/v2/"+repo+"/manifests/"+ref, bytes.NewReader(body), int64(len(body)), http.Header{"Content-Type": {mt}})
	if err := expect(st, err, 201); err != nil {
		return fmt.Errorf("PUT manifest: %w %s", err, rep.body)
	}
	return nil
}

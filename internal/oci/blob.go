package oci

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// getBlob answers GET of a blob, ranges included.
func (f *Front) getBlob(c *call) error {
	content, err := f.registry.OpenLayer(c.r.Context(), c.caller, c.ref, digest.Digest(c.route.ref))
	if err != nil {
		return err
	}
	defer content.Close()
	f.serveContent(c.w, c.r, content)
	return nil
}

// serveContent sends a layer, or where it is. It hands on the reader itself, so that
// the kernel can send a file. What cannot be read is reported, and the client gets
// too few bytes.
func (f *Front) serveContent(w http.ResponseWriter, r *http.Request, content *registry.Content) {
	h := w.Header()
	h.Set("Docker-Content-Digest", string(content.Digest))
	if content.URL != "" {
		h.Set("Location", content.URL)
		h.Set("Cache-Control", "no-store") // the URL works for a while, and for everybody
		h.Set("Content-Length", "0")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	h.Set("ETag", `"`+string(content.Digest)+`"`)
	h.Set("Cache-Control", cacheDigest)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	http.ServeContent(w, r, "", time.Time{}, content.Reader)
	if failing, ok := content.Reader.(interface{ Err() error }); ok && failing.Err() != nil {
		f.fail(r, fmt.Errorf("read %s: %w", content.Digest, failing.Err()))
	}
}

// headBlob answers HEAD of a blob. Who is told that it exists may rely on it for
// a while.
func (f *Front) headBlob(c *call) error {
	layers, _, err := f.registry.BatchCheckLayerAvailability(c.r.Context(), c.caller,
		registry.BatchCheckLayerAvailabilityInput{Ref: c.ref, Digests: []string{c.route.ref}})
	if err != nil {
		return err
	}
	l := layers[0] // the digest has been checked: there is no failure
	if !l.Available {
		return fault.New(fault.NotFound, "LayersNotFoundException", "blob unknown to registry")
	}
	h := c.w.Header()
	h.Set("Docker-Content-Digest", c.route.ref)
	h.Set("ETag", `"`+c.route.ref+`"`)
	h.Set("Cache-Control", cacheDigest)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(l.Size, 10))
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// deleteBlob answers DELETE of a blob that no manifest uses.
func (f *Front) deleteBlob(c *call) error {
	if err := f.registry.DeleteLayer(c.r.Context(), c.caller, c.ref, digest.Digest(c.route.ref)); err != nil {
		return err
	}
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

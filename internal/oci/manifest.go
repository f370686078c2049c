package oci

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// How long an answer may be kept: content under its digest for ever, content
// under a tag only to be asked for again.
const (
	cacheDigest = "private, max-age=31536000, immutable"
	cacheTag    = "no-cache"
)

func (c *call) imageID() registry.ImageID {
	if c.route.isDigest() {
		return registry.ImageID{Digest: digest.Digest(c.route.ref)}
	}
	return registry.ImageID{Tag: c.route.ref}
}

// getManifest answers GET and HEAD of a manifest.
func (f *Front) getManifest(c *call) error {
	images, failures, err := f.registry.BatchGetImage(c.r.Context(), c.caller, registry.BatchGetImageInput{
		Ref: c.ref, IDs: []registry.ImageID{c.imageID()}, Accept: accepted(c.r), Probe: c.r.Method == http.MethodHead,
	})
	if err != nil {
		return err
	}
	if len(failures) > 0 {
		return imageFailure(failures[0])
	}
	img := images[0]
	h := c.w.Header()
	h.Set("Docker-Content-Digest", string(img.Digest))
	h.Set("ETag", `"`+string(img.Digest)+`"`)
	h.Set("Cache-Control", cacheTag)
	if c.route.isDigest() {
		h.Set("Cache-Control", cacheDigest)
	}
	if matches(c.r.Header.Get("If-None-Match"), img.Digest) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", img.MediaType)
	h.Set("Content-Length", strconv.FormatInt(img.ManifestSize, 10))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodGet {
		_, _ = c.w.Write(img.Manifest) // if the client has gone away, nobody is left to tell
	}
	return nil
}

// matches reports whether an If-None-Match header names the digest.
func matches(header string, d digest.Digest) bool {
	if header == "" {
		return false
	}
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || strings.Trim(tag, `"`) == string(d) {
			return true
		}
	}
	return false
}

// maxAccepted bounds the media types that are taken from a request.
const maxAccepted = 20

// accepted returns the media types that a client says it understands.
func accepted(r *http.Request) []string {
	var out []string
	for _, h := range r.Header.Values("Accept") {
		for t := range strings.SplitSeq(h, ",") {
			if len(out) == maxAccepted {
				return out
			}
			t, _, _ = strings.Cut(t, ";")
			out = append(out, strings.TrimSpace(t[:min(len(t), 255)]))
		}
	}
	return out
}

// imageFailure turns a failure of a batch of one into an error.
func imageFailure(f registry.ImageFailure) error {
	switch f.Code {
	case registry.ImageNotFound, registry.ImageInaccessible:
		return fault.New(fault.NotFound, "ImageNotFoundException", "%s", f.Reason)
	case registry.InvalidImageTag:
		return fault.New(fault.NotFound, "ImageNotFoundException", "Requested image not found")
	case registry.KmsError:
		return fault.New(fault.Conflict, "KmsException", "%s", f.Reason)
	case registry.ImageReferencedByManifestSet:
		return fault.New(fault.Conflict, f.Code, "%s", f.Reason)
	}
	return fault.New(fault.Invalid, "InvalidParameterException", "%s", f.Reason)
}

// putManifest answers PUT of a manifest.
func (f *Front) putManifest(c *call) error {
	in := registry.PutImageInput{Ref: c.ref, MediaType: c.r.Header.Get("Content-Type"), Again: true}
	in.Read = func() ([]byte, error) { return f.readManifest(c.w, c.r) }
	if c.route.isDigest() {
		in.Digest = digest.Digest(c.route.ref)
		in.Tags = c.r.URL.Query()["tag"]
	} else {
		in.Tags = []string{c.route.ref}
	}
	for _, t := range in.Tags {
		if !registry.ValidTag(t) {
			return errTag
		}
	}
	if len(in.Tags) > maxTagParameters {
		return &wireError{answer{"UNSUPPORTED", http.StatusRequestURITooLong}, "at most 100 tags can be pushed at once"}
	}
	img, err := f.registry.PutImage(c.r.Context(), c.caller, in)
	if err != nil {
		return err
	}
	h := c.w.Header()
	if img.Subject != "" {
		h.Set("OCI-Subject", string(img.Subject))
	}
	if c.route.isDigest() {
		for _, t := range in.Tags {
			h.Add("OCI-Tag", t)
		}
	}
	h.Set("Docker-Content-Digest", string(img.Digest))
	h.Set("Location", "/v2/"+c.name()+"/manifests/"+string(img.Digest))
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

const maxTagParameters = 100

// readManifest reads a body of at most the size of a manifest.
func (f *Front) readManifest(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit, exceeded := f.registry.ManifestLimit()
	if r.ContentLength > limit {
		return nil, exceeded()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if e := (*http.MaxBytesError)(nil); errors.As(err, &e) {
		return nil, exceeded()
	}
	if err != nil {
		return nil, errBody(err)
	}
	return body, nil
}

// deleteImage answers DELETE of a manifest: by digest the image with all its
// tags, by tag that tag, and the image with its last one.
func (f *Front) deleteImage(c *call) error {
	_, failures, err := f.registry.BatchDeleteImage(c.r.Context(), c.caller, registry.BatchDeleteImageInput{
		Ref: c.ref, IDs: []registry.ImageID{c.imageID()},
	})
	if err != nil {
		return err
	}
	if len(failures) > 0 {
		return imageFailure(failures[0])
	}
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

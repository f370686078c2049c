package oci

import (
	"context"
	"net/http"
	"regexp"
	"strconv"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// startUpload answers POST: a mount, a blob in one request, or the start of an
// upload.
func (f *Front) startUpload(c *call) error {
	q := c.r.URL.Query()
	if a := q.Get("digest-algorithm"); a != "" && a != "sha256" && a != "sha512" {
		return invalid("DIGEST_INVALID", "the digest algorithm is not supported: "+quote(a))
	}
	if d := q.Get("mount"); d != "" {
		return f.mount(c, d, q.Get("from"))
	}
	d := q.Get("digest")
	if d == "" {
		return f.newUpload(c)
	}
	if !registry.ValidDigest(d) {
		return errDigest(d)
	}
	if c.r.ContentLength == 0 && digest.Digest(d).Algorithm().FromBytes(nil) != digest.Digest(d) {
		return f.newUpload(c) // the bytes are to follow
	}
	return f.pushLayer(c, digest.Digest(d))
}

// mount mounts a blob, or else starts an upload.
func (f *Front) mount(c *call, d, from string) error {
	if !registry.ValidDigest(d) {
		return errDigest(d)
	}
	in := registry.MountLayerInput{Ref: c.ref, Digest: digest.Digest(d)}
	if from != "" {
		name, here, err := f.mountSource(c, from)
		if err != nil {
			return err
		}
		if !here {
			return f.newUpload(c)
		}
		in.From = name
	}
	id, err := f.registry.MountLayer(c.r.Context(), c.caller, in)
	if err != nil {
		return err
	}
	if id == "" {
		c.created(in.Digest)
		return nil
	}
	c.started(id)
	return nil
}

func (f *Front) newUpload(c *call) error {
	id, err := f.registry.InitiateLayerUpload(c.r.Context(), c.caller, c.ref)
	if err != nil {
		return err
	}
	c.started(id)
	return nil
}

// started says where a new upload is.
func (c *call) started(id string) {
	c.route.ref = id
	c.progress(http.StatusAccepted, 0)
}

// progress says where an upload is and how far it has come.
func (c *call) progress(status int, size int64) {
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.name()+"/blobs/uploads/"+c.route.ref)
	h.Set("Docker-Upload-UUID", c.route.ref)
	h.Set("Range", "0-"+strconv.FormatInt(max(size-1, 0), 10))
	if status != http.StatusNoContent {
		h.Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
}

// created says where a new blob is.
func (c *call) created(d digest.Digest) {
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.name()+"/blobs/"+string(d))
	h.Set("Docker-Content-Digest", string(d))
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
}

// appendUpload answers PATCH: the next bytes of an upload.
func (f *Front) appendUpload(c *call) error {
	size, err := f.receive(c)
	if err != nil {
		return err
	}
	c.progress(http.StatusAccepted, size)
	return nil
}

// receive moves the request's body into the upload.
func (f *Front) receive(c *call) (int64, error) {
	in, err := c.announced()
	if err != nil {
		return 0, err
	}
	size, err := f.registry.AppendUpload(c.r.Context(), c.caller, in, body{c.r.Body})
	return size, ofBody(err)
}

// announced returns where the request's body belongs, and how long it will be.
func (c *call) announced() (registry.AppendUploadInput, error) {
	in := registry.AppendUploadInput{Ref: c.ref, UploadID: c.route.ref, First: -1, Length: c.r.ContentLength}
	header := c.r.Header.Get("Content-Range")
	if header == "" {
		return in, nil
	}
	first, last, err := parseContentRange(header)
	if err != nil {
		return in, err
	}
	in.First = first
	if in.Length < 0 {
		in.Length = last - first + 1
	}
	if in.Length != last-first+1 {
		return in, invalid("SIZE_INVALID", "Content-Range and Content-Length do not agree")
	}
	return in, nil
}

// finishUpload answers PUT: the last bytes of an upload, if any, and its digest.
func (f *Front) finishUpload(c *call) error {
	d := c.r.URL.Query().Get("digest")
	if !registry.ValidDigest(d) {
		return errDigest(d)
	}
	if c.r.ContentLength != 0 || c.r.Header.Get("Content-Range") != "" {
		return f.pushLayer(c, digest.Digest(d))
	}
	// The bytes are here and durable: the client's going away now must not
	// leave a finished object that nobody has recorded.
	ctx := context.WithoutCancel(c.r.Context())
	in := registry.CompleteUploadInput{Ref: c.ref, UploadID: c.route.ref, Digest: digest.Digest(d)}
	if err := f.registry.CompleteUpload(ctx, c.caller, in); err != nil {
		return err
	}
	c.created(in.Digest)
	return nil
}

// pushLayer takes the last bytes of an upload, or all of them, from the body.
func (f *Front) pushLayer(c *call, d digest.Digest) error {
	in, err := c.announced()
	if err != nil {
		return err
	}
	push := registry.PushLayerInput{AppendUploadInput: in, Digest: d}
	if err := f.registry.PushLayer(c.r.Context(), c.caller, push, body{c.r.Body}); err != nil {
		return ofBody(err)
	}
	c.created(d)
	return nil
}

// uploadStatus answers GET of an upload.
func (f *Front) uploadStatus(c *call) error {
	size, err := f.registry.UploadSize(c.r.Context(), c.caller, c.ref, c.route.ref)
	if err != nil {
		return err
	}
	c.progress(http.StatusNoContent, size)
	return nil
}

// cancelUpload answers DELETE of an upload.
func (f *Front) cancelUpload(c *call) error {
	if err := f.registry.CancelUpload(c.r.Context(), c.caller, c.ref, c.route.ref); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

var contentRange = regexp.MustCompile(`\A(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]{1,18}|\*))?\z`)

// parseContentRange reads first-last, as the specification has it; the form of
// RFC 9110, bytes first-last/size, is taken too.
func parseContentRange(s string) (first, last int64, err error) {
	m := contentRange.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, invalid("BLOB_UPLOAD_INVALID", "malformed Content-Range: "+quote(s))
	}
	first, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
	last, _ = strconv.ParseInt(m[2], 10, 64)
	if last < first {
		return 0, 0, &wireError{answer{"BLOB_UPLOAD_INVALID", http.StatusRequestedRangeNotSatisfiable}, "Content-Range ends before it begins"}
	}
	return first, last, nil
}

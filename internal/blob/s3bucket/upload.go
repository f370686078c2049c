package s3bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"berth/internal/blob"
	"berth/internal/crash"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// maxParallel is how many parts of one upload are on their way at once, if memory
// allows.
const maxParallel = 4

// errTooLarge is returned for an object that has more parts than the store takes.
var errTooLarge = errors.New("the object is too large for the store")

// upload is an object in the making. Parts are sent while the next one is filled.
type upload struct {
	bucket *Bucket
	// The writer's methods have no context of their own. What has been received
	// must become durable though the client is gone: this one is never cancelled.
	// Each request ends by itself.
	ctx  context.Context
	wait context.Context // of the request: for memory it waits no longer than its client
	key  string
	path string

	state   state   // with all parts, those included that are on their way
	section section // what follows them; closed when the upload is suspended
	buffer  buffer  // what follows it
	before  []byte  // the state that the upload was opened with
	dirty   bool    // something was written since
	closed  bool
	sole    bool

	mu     sync.Mutex
	landed sync.Cond // on mu; a part has arrived, or has not
	flying int       // parts on their way; guarded by mu
	bytes  int       // that they hold; guarded by mu
	err    error     // of the first part that failed; guarded by mu
}

// Upload implements [blob.Bucket].
func (b *Bucket) Upload(ctx context.Context, key string, size int64, text []byte) (blob.Writer, error) {
	path, err := b.objectPath(key)
	if err != nil {
		return nil, err
	}
	u := &upload{bucket: b, ctx: context.WithoutCancel(ctx), wait: ctx, key: key, path: path, before: text}
	u.landed.L = &u.mu
	if size == 0 {
		return u, nil
	}
	if u.state, err = parseState(text, size); err != nil {
		return nil, err
	}
	if err := u.readTail(ctx); err != nil {
		u.bucket.buffers.put(&u.buffer)
		return nil, err
	}
	return u, nil
}

// isObject reports whether the object is there, made of the multipart upload. Its key
// is never used for anything else: an answer was lost, or the upload was finished
// before.
func (u *upload) isObject() bool {
	size, _, err := u.bucket.head(u.ctx, u.path)
	return err == nil && size == u.state.Size
}

// readTail fills the buffer with the tail of the upload.
func (u *upload) readTail(ctx context.Context) error {
	t := u.state.Tail
	if t.Size == 0 {
		return nil
	}
	r := &reader{bucket: u.bucket, ctx: ctx, path: u.bucket.uploadPath(u.key, t.Generation), size: t.Size}
	defer r.Close()
	_, err := io.Copy(filler{u}, r)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrDamaged) || errors.Is(err, io.ErrShortWrite) || err == nil && u.buffer.sum() != t.Sum {
		return blob.ErrUploadLost
	}
	return err
}

// filler fills the buffer of an upload with no more than a part has.
type filler struct{ *upload }

func (f filler) Write(p []byte) (int, error) { return f.fill(p) }

func (u *upload) fill(p []byte) (int, error) {
	return u.bucket.buffers.fill(u.wait, &u.buffer, p, u.partSize())
}

// partSize is how large the part is that the buffer becomes.
func (u *upload) partSize() int { return u.bucket.plan.size(len(u.state.Parts) + 1) }

// Write implements [blob.Writer].
func (u *upload) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		u.dirty = true
		k, err := u.fill(p)
		u.state.Size += int64(k)
		n, p = n+k, p[k:]
		if err == nil && u.buffer.size == u.partSize() {
			err = u.send()
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// send sends the buffer on its way as the next part, of the object or of a section.
func (u *upload) send() error {
	next := len(u.state.Parts) + 1
	if next > maxParts {
		return errTooLarge
	}
	path, to := u.path, &u.state.multipart
	if u.bucket.plan.isSection(next) {
		if u.section.path == "" {
			u.section.path = u.bucket.uploadPath(u.key, newGeneration())
		}
		u.section.add(&u.buffer)
		path, to = u.section.path, &u.section.multipart
	}
	if err := u.begin(path, to); err != nil {
		return err
	}
	if err := u.await(u.buffer.size + u.bucket.plan.size(next+1)); err != nil {
		return err
	}
	full := u.buffer
	u.buffer = buffer{}
	u.mu.Lock()
	to.Parts = append(to.Parts, part{})
	number := len(to.Parts)
	u.flying++
	u.bytes += full.size
	u.mu.Unlock()
	go u.sendPart(path, to, number, full)
	if to == &u.section.multipart && number == u.bucket.plan.section {
		return u.closeSection()
	}
	return nil
}

// begin starts a multipart upload unless it has begun.
func (u *upload) begin(path string, m *multipart) error {
	if m.ID != "" {
		return nil
	}
	o := u.bucket.options
	in := &s3.CreateMultipartUploadInput{
		Bucket: u.bucket.name, Key: &path, ContentType: aws.String(contentType),
		ServerSideEncryption: types.ServerSideEncryption(o.Encryption), SSEKMSKeyId: optional(o.EncryptionKey),
	}
	if path == u.path {
		in.StorageClass = types.StorageClass(o.StorageClass)
	}
	switch {
	case o.NoChecksums:
	case path == u.path:
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	default:
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32
	}
	out, err := u.bucket.client.CreateMultipartUpload(u.ctx, in)
	if err != nil {
		return failed(err)
	}
	m.ID, m.Sums = aws.ToString(out.UploadId), !o.NoChecksums
	return nil
}

// await waits until so many bytes more may be held in memory.
func (u *upload) await(more int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.err == nil && u.flying > 0 && (u.flying >= maxParallel || u.bytes+more > memory) {
		u.landed.Wait()
	}
	return u.err
}

// land waits until no part is on its way.
func (u *upload) land() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.flying > 0 {
		u.landed.Wait()
	}
	return u.err
}

// sendPart sends one part and says how that went. The buffer is given back.
func (u *upload) sendPart(path string, to *multipart, number int, full buffer) {
	sent, err := u.put(path, to.ID, to.Sums, number, &full)
	size := full.size
	u.bucket.buffers.put(&full)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.flying--
	u.bytes -= size
	if err != nil && u.err == nil {
		u.err = err
	}
	to.Parts[number-1] = sent
	u.landed.Broadcast()
}

func (u *upload) put(path, id string, sums bool, number int, p *buffer) (part, error) {
	in := &s3.UploadPartInput{
		Bucket: u.bucket.name, Key: &path, UploadId: &id, PartNumber: aws.Int32(int32(number)),
		Body: p.body(), ContentLength: aws.Int64(int64(p.size)),
	}
	var sent part
	switch {
	case !sums:
	case path == u.path:
		sent.Sum = p.sum()
		in.ChecksumCRC32C = &sent.Sum
	default:
		sent.Sum = sumText(p.crc(0, crc32.IEEETable))
		in.ChecksumCRC32 = &sent.Sum
	}
	out, err := u.bucket.client.UploadPart(u.ctx, in, u.bucket.unsigned)
	if err != nil {
		return part{}, failed(fmt.Errorf("part %d: %w", number, err))
	}
	crash.Point("s3.part")
	sent.ETag = aws.ToString(out.ETag)
	return sent, nil
}

// failed returns a request's error, as ErrUploadLost if the upload cannot go on after
// it: nothing that the state before says has changed.
func failed(err error) error {
	switch {
	case err == nil:
		return nil
	case isLost(err):
		return fmt.Errorf("%w: %w", blob.ErrUploadLost, err)
	}
	return fmt.Errorf("%w: %w", blob.ErrNotDone, err)
}

// Suspend implements [blob.Writer].
func (u *upload) Suspend() ([]byte, error) {
	defer u.Close()
	if err := u.closeSection(); err != nil {
		return nil, err
	}
	if err := u.land(); err != nil {
		return nil, err
	}
	if !u.dirty {
		return u.before, nil
	}
	// The caller has come back with the state that names this tail: the one
	// before it is not asked for any more.
	outdated := u.state.Prior
	u.state.Prior = u.state.Tail.Generation
	u.state.Tail = tail{}
	if u.buffer.size > 0 {
		t := tail{Generation: newGeneration(), Size: int64(u.buffer.size), Sum: u.buffer.sum()}
		if err := u.bucket.put(u.ctx, u.bucket.uploadPath(u.key, t.Generation), &u.buffer, ""); err != nil {
			return nil, failed(err)
		}
		crash.Point("s3.tail")
		u.state.Tail = t
	}
	if outdated != "" {
		_ = u.bucket.remove(u.ctx, u.bucket.uploadPath(u.key, outdated)) // if it stays, Uploads finds it
	}
	return u.state.text()
}

// Finish implements [blob.Writer]. A multipart upload makes an object only once. A PUT
// replaces what is there, even long after it was sent: its key is its own.
func (u *upload) Finish() (string, error) {
	defer u.Close()
	if u.state.ID != "" {
		return u.key, u.makeObject()
	}
	key := u.key
	if !u.sole {
		key = newKey()
	}
	path, err := u.bucket.objectPath(key)
	if err != nil {
		return "", err
	}
	err = u.bucket.put(u.ctx, path, &u.buffer, types.StorageClass(u.bucket.options.StorageClass))
	crash.Point("s3.finish")
	return key, failed(err)
}

// Sole implements [blob.Sole].
func (u *upload) Sole() { u.sole = true }

// Settle implements [blob.Reapable].
func (b *Bucket) Settle(ctx context.Context, key string, text []byte) error {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	var all error
	for _, generation := range []string{s.Tail.Generation, s.Prior} {
		if generation != "" {
			all = errors.Join(all, b.remove(ctx, b.uploadPath(key, generation)))
		}
	}
	return all
}

func (u *upload) makeObject() error {
	err := u.sendRest()
	if err == nil {
		err = failed(u.complete(u.path, &u.state.multipart))
		crash.Point("s3.finish")
	}
	if err != nil && u.isObject() {
		return nil
	}
	return err
}

// sendRest sends what is left as the last part, and waits until all parts are there.
func (u *upload) sendRest() error {
	if u.buffer.size > 0 {
		if err := u.send(); err != nil {
			return err
		}
	}
	return errors.Join(u.closeSection(), u.land())
}

// complete makes an object of the parts.
func (u *upload) complete(path string, m *multipart) error {
	parts := make([]types.CompletedPart, len(m.Parts))
	for i, p := range m.Parts {
		parts[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: aws.String(p.ETag)}
		if path == u.path {
			parts[i].ChecksumCRC32C = optional(p.Sum)
		} else {
			parts[i].ChecksumCRC32 = optional(p.Sum)
		}
	}
	_, err := u.bucket.client.CompleteMultipartUpload(u.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: u.bucket.name, Key: &path, UploadId: &m.ID, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// Close implements [blob.Writer].
func (u *upload) Close() error {
	if u.closed {
		return nil
	}
	u.closed = true
	_ = u.land() // the error is that of an earlier call, or nobody's any more
	u.bucket.buffers.put(&u.buffer)
	return nil
}

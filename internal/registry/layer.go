package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/crash"
	"berth/internal/fault"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

// standardLease is how long an answer "this layer exists" holds against garbage
// collection, if nothing else is said. A lease is raised when less than half of it is
// left, so that asking again and again writes nothing.
const standardLease = 4 * time.Hour

// Layer is a blob that a repository holds: a layer, or an image's configuration.
type Layer struct {
	Repository string // its UID
	Digest     digest.Digest
	ObjectUID  string
	Object     blob.Object // where the bytes are; without Content unless asked for by Layer
	MediaType  string      // as an image of the repository names it; "" if none does
	Archived   bool        // images refer to it, and all of them are in the archive
	Cheap      bool        // its bytes are in the storage class of archived ones
	LeaseUntil time.Time
}

// LayerAvailability is what BatchCheckLayerAvailability says of one layer.
type LayerAvailability struct {
	Digest    digest.Digest
	Available bool
	Archived  bool // the images that refer to it are, and it with them
	Size      int64
	MediaType string
}

// LayerFailure says why a layer could not be looked for.
type LayerFailure struct {
	Digest string
	Code   string
	Reason string
}

// BatchCheckLayerAvailabilityInput is what BatchCheckLayerAvailability is asked
// for.
type BatchCheckLayerAvailabilityInput struct {
	Ref
	Digests []string `json:"layerDigests"`
}

// BatchCheckLayerAvailability says which layers the repository holds, and keeps
// those for a while, so that who was told of one may rely on it. For callers who
// only may read because everybody may, it keeps nothing. A digest that the
// repository does not hold is an answer, not a failure. Errors:
// RepositoryNotFoundException.
func (r *Registry) BatchCheckLayerAvailability(ctx context.Context, c access.Caller, in BatchCheckLayerAvailabilityInput) ([]LayerAvailability, []LayerFailure, error) {
	q := request{caller: c, event: "BatchCheckLayerAvailability", ref: in.Ref, params: in, readOnly: true}
	for {
		out, failures, held, err := r.layerAvailability(ctx, q, in)
		if err != nil {
			return nil, nil, err
		}
		if c.Type == access.Anonymous || in.Public() && c.Account != in.Account {
			return out, failures, nil // who cannot push has nothing to rely on
		}
		if sure, err := r.lease(ctx, held); err != nil || sure {
			return out, failures, err
		}
		q.admitted = true // what was found is gone: look again
	}
}

// layerAvailability is BatchCheckLayerAvailability without leases. It also returns the
// layers that are there.
func (r *Registry) layerAvailability(ctx context.Context, q request, in BatchCheckLayerAvailabilityInput) (out []LayerAvailability, failures []LayerFailure, due []*Layer, err error) {
	err = r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		out, failures, due = nil, nil, nil
		for _, d := range in.Digests {
			if f := checkLayerDigest(d); f != nil {
				failures = append(failures, *f)
				continue
			}
			a := LayerAvailability{Digest: digest.Digest(d)}
			l, err := tx.Layer(repo.UID, a.Digest)
			if err != nil {
				return err
			}
			if l != nil && !l.Object.Damaged { // else it is to be pushed again
				a.Available, a.Archived, a.Size, a.MediaType = !l.Archived, l.Archived, l.Object.Size, l.MediaType
				due = append(due, l)
			}
			out = append(out, a)
		}
		return nil
	})
	return out, failures, due, err
}

func checkLayerDigest(d string) *LayerFailure {
	switch {
	case d == "":
		return &LayerFailure{d, MissingLayerDigest, "Invalid request parameters: layer digest cannot be null"}
	case !ValidDigest(d):
		return &LayerFailure{d, InvalidLayerDigest, "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"}
	}
	return nil
}

// lease raises the leases of those layers that have less than half left, before anybody
// is told of them. It reports whether all are still there. The leases are durable: what
// is removed goes by them, also after a loss of power.
func (r *Registry) lease(ctx context.Context, layers []*Layer) (sure bool, err error) {
	now := r.now()
	var due []*Layer
	for _, l := range layers {
		if l.LeaseUntil.Sub(now) < r.leaseLife/2 {
			due = append(due, l)
		}
	}
	if len(due) == 0 {
		return true, nil
	}
	// All in the same order: who raises the same ones must not wait for each other.
	slices.SortFunc(due, func(a, b *Layer) int { return cmp.Compare(a.Digest, b.Digest) })
	err = r.store.Keep(ctx, func(tx Tx) error {
		sure = true
		for _, l := range due {
			there, err := tx.LeaseLayer(l, now.Add(r.leaseLife))
			if err != nil {
				return err
			}
			sure = sure && there
		}
		return nil
	})
	return sure, err
}

// Content is a layer's bytes, open for reading, or where they are.
type Content struct {
	blob.Reader // nil if there is a URL
	Digest      digest.Digest
	Size        int64
	URL         string // whoever has it can GET the bytes there for a while; or ""
}

// Close releases the bytes.
func (c *Content) Close() error {
	if c.Reader == nil {
		return nil
	}
	return c.Reader.Close()
}

// redirectLife is how long the URL of a content works: long enough for a client that
// has to wait before it follows.
const redirectLife = 20 * time.Minute

// OpenLayer opens the bytes of a layer that the repository holds, whether or not
// an image refers to it, as the distribution API does. The caller must be
// allowed ecr:GetDownloadUrlForLayer and must close the content, which may be no
// more than a URL. It counts as bytes out. Errors: RepositoryNotFoundException, LayersNotFoundException,
// InvalidParameterException, ThrottlingException, KmsException.
func (r *Registry) OpenLayer(ctx context.Context, c access.Caller, ref Ref, d digest.Digest) (*Content, error) {
	var l *Layer
	q := request{caller: c, event: "GetDownloadUrlForLayer", ref: ref, params: layerParams{ref, d}, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if err := r.crowd.within(c, r.now()); err != nil {
			return err
		}
		var err error
		l, err = wholeLayer(tx, repo, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.openContent(ctx, ref, l, c.ARN, r.redirects)
}

// layerParams are the audited parameters of calls about one layer.
type layerParams struct {
	Ref
	Digest digest.Digest `json:"layerDigest"`
}

func layerOf(tx ReadTx, repo *Repository, d digest.Digest) (*Layer, error) {
	if err := checkDigest("layerDigest", string(d)); err != nil {
		return nil, err
	}
	l, err := tx.Layer(repo.UID, d)
	if err != nil {
		return nil, err
	}
	if l == nil || l.Archived {
		return nil, errLayerNotFound(repo.Ref, d)
	}
	return l, nil
}

// wholeLayer is layerOf for who wants the bytes, or goes by their being there: of a
// damaged layer they are not.
func wholeLayer(tx ReadTx, repo *Repository, d digest.Digest) (*Layer, error) {
	l, err := layerOf(tx, repo, d)
	if err == nil && l.Object.Damaged {
		err = errLayerDamaged(repo.Ref, d)
	}
	return l, err
}

// openContent opens a layer that is there, or was a moment ago: if its bytes are gone since, it is
// asked once more where they are.
func (r *Registry) openContent(ctx context.Context, ref Ref, l *Layer, principal string, redirect bool) (*Content, error) {
	for {
		c, err := r.openBytes(ctx, ref, l, principal, redirect)
		if !errors.Is(err, blob.ErrNotFound) {
			return c, err
		}
		var now *Layer
		if failed := r.store.View(ctx, func(tx ReadTx) error {
			var err error
			now, err = tx.Layer(l.Repository, l.Digest)
			return err
		}); failed != nil {
			return nil, failed
		}
		switch {
		case now == nil || now.Archived:
			return nil, errLayerNotFound(ref, l.Digest)
		case now.Object.Damaged:
			return nil, errLayerDamaged(ref, l.Digest)
		case now.Object.Key == l.Object.Key:
			return nil, err // they are missing
		}
		l = now
	}
}

func (r *Registry) openBytes(ctx context.Context, ref Ref, l *Layer, principal string, redirect bool) (*Content, error) {
	c := &Content{Digest: l.Digest, Size: l.Object.Size}
	var err error
	if redirect {
		c.URL, err = r.blobs.URL(ctx, l.Object, redirectLife)
	}
	if err == nil && c.URL == "" {
		c.Reader, err = r.blobs.Open(ctx, l.Object)
	}
	if errors.Is(err, blob.ErrNotDone) {
		return nil, errStoreAway(err)
	}
	if r.suspect != nil && !l.Object.Damaged && (errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrDamaged)) {
		r.suspect(l.ObjectUID)
	}
	if err != nil {
		return nil, errKey(err)
	}
	r.meter.add(Usage{Ref: ref, RepositoryUID: l.Repository, Principal: principal, BytesOut: l.Object.Size})
	return c, nil
}

// DeleteLayer makes the repository hold a layer no more. An image must not refer
// to it. The caller must be allowed ecr:BatchDeleteImage. It is the distribution
// API's DELETE of a blob, which ECR does not have. Errors:
// RepositoryNotFoundException, LayersNotFoundException, LayerInUseException,
// InvalidParameterException.
func (r *Registry) DeleteLayer(ctx context.Context, c access.Caller, ref Ref, d digest.Digest) error {
	q := request{caller: c, event: "BatchDeleteImage", ref: ref, params: layerParams{ref, d}, lock: LockChange}
	return r.update(ctx, q, func(tx Tx, repo *Repository) error {
		l, err := layerOf(tx, repo, d)
		if err != nil {
			return err
		}
		used, err := tx.LayerInUse(repo.UID, d)
		if err != nil {
			return err
		}
		if used {
			return errLayerInUse(ref, d)
		}
		return tx.UnlinkLayer(ref, l, r.now())
	})
}

// MountLayerInput is what MountLayer is asked for.
type MountLayerInput struct {
	Ref
	Digest digest.Digest  `json:"layerDigest"`
	From   RepositoryName `json:"from,omitempty"` // "" to look in all repositories
}

// maxMountSources bounds how many repositories are tried as a source.
const maxMountSources = 100

// MountLayer makes the repository hold a layer that another repository of the
// same registry and key domain holds already. If it does not, it starts an upload
// as InitiateLayerUpload does and returns its id: both are one call. It
// mounts only if the caller may read the layer there
// (ecr:GetDownloadUrlForLayer) and the account setting BLOB_MOUNTING is not
// DISABLED; it says nothing of which of these was wanting. The caller must be
// allowed ecr:InitiateLayerUpload. Errors: RepositoryNotFoundException,
// InvalidParameterException, LimitExceededException, KmsException.
func (r *Registry) MountLayer(ctx context.Context, c access.Caller, in MountLayerInput) (upload string, err error) {
	q := request{caller: c, event: "InitiateLayerUpload", ref: in.Ref, params: in, lock: LockAdd, create: true}
	err = r.update(ctx, q, func(tx Tx, repo *Repository) error {
		upload = ""
		if err := checkDigest("layerDigest", string(in.Digest)); err != nil {
			return err
		}
		mounted := false
		source, err := r.mountSource(ctx, tx, repo, in, c)
		if err == nil && source != nil {
			mounted, err = r.mount(tx, repo, source)
		}
		if err != nil || mounted {
			return err
		}
		upload = uuid.NewString()
		return r.startUpload(tx, repo, upload, c)
	})
	return upload, err
}

// mount makes a repository hold a layer of another one. It reports whether that is
// still there.
func (r *Registry) mount(tx Tx, repo *Repository, source *Layer) (mounted bool, err error) {
	if err := r.admitImage(tx, repo); err != nil {
		return false, err
	}
	err = r.admitLayer(tx, repo, source.Digest, func() error {
		var err error
		mounted, err = tx.LinkObject(repo, source, r.now(), r.now().Add(r.leaseLife))
		crash.Point("layer.mount")
		return err
	})
	return mounted, err
}

// mountSource returns a layer of that digest that the caller may mount, or nil.
func (r *Registry) mountSource(ctx context.Context, tx ReadTx, repo *Repository, in MountLayerInput, c access.Caller) (*Layer, error) {
	setting, err := tx.Setting(in.ID, BlobMounting)
	if err != nil || setting == "DISABLED" {
		return nil, err
	}
	holders := []Ref{{in.ID, in.From}}
	if in.From == "" {
		if holders, err = tx.LayerHolders(in.ID, repo.KeyDomain(), in.Digest, maxMountSources); err != nil {
			return nil, err
		}
	}
	for _, ref := range holders {
		q := request{caller: c, event: "GetDownloadUrlForLayer", ref: ref, readOnly: true}
		source, err := r.open(ctx, tx, q)
		if k := kindOf(err); k == fault.Denied || k == fault.NotFound || fault.CodeOf(err) == "KmsException" {
			continue
		}
		if err != nil {
			return nil, err
		}
		if source.KeyDomain() != repo.KeyDomain() {
			continue
		}
		l, err := tx.Layer(source.UID, in.Digest)
		if err != nil {
			return nil, err
		}
		if l != nil && !l.Archived && !l.Object.Damaged && r.blobs.Fits(l.Object, repo.Domain()) {
			return l, nil
		}
	}
	return nil, nil
}

// kindOf is fault.KindOf for an error that may be nil.
func kindOf(err error) fault.Kind {
	if err == nil {
		return -1
	}
	return fault.KindOf(err)
}

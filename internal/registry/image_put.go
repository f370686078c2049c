package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/crash"

	"github.com/opencontainers/go-digest"
)

// PutImageInput is what PutImage is asked for.
type PutImageInput struct {
	Ref
	Manifest []byte `json:"-"`
	// Read, if it is set, returns the manifest. It is called for those only who may
	// push, and its errors are returned as they are.
	Read      func() ([]byte, error) `json:"-"`
	MediaType string                 `json:"imageManifestMediaType,omitempty"` // "" if the manifest names its own
	Tags      []string               `json:"imageTags,omitempty"`              // none leaves the image untagged
	Digest    digest.Digest          `json:"imageDigest,omitempty"`            // "" to have it computed with SHA-256
	// Again allows the image to be there already with these tags, as the
	// distribution API does and ECR's does not.
	Again bool `json:"-"`

	sealed sealedManifest
}

// sealedManifest is a manifest as it is to be stored, and what is taken out of it.
type sealedManifest struct {
	object      blob.Object
	annotations []byte // of a referrer; nil if they are not sealed
}

// sealManifest makes the manifest ready to be stored in repositories of a key
// domain. It must have been parsed. Errors: KmsException.
func (r *Registry) sealManifest(ctx context.Context, d blob.Domain, in *PutImageInput, m *Manifest) (s sealedManifest, err error) {
	if s.object, err = r.blobs.Seal(ctx, d, in.Digest, in.Manifest); err != nil {
		return s, errKey(err)
	}
	if m.Subject == nil || len(m.Annotations) == 0 {
		return s, nil
	}
	text, err := json.Marshal(m.Annotations)
	if err != nil {
		return s, err
	}
	s.annotations, err = r.blobs.SealValue(ctx, annotationsOf(d, in.Digest), text)
	return s, errKey(err)
}

// annotationsOf names the annotations of a referrer.
func annotationsOf(d blob.Domain, of digest.Digest) blob.Value {
	return blob.Value{Domain: d, Name: "annotations", Digest: of}
}

// PutImage stores a manifest and puts tags on it. All layers and images that it
// refers to must be in the repository, except foreign layers and the subject.
// The bytes are kept as they are.
//
// Errors: RepositoryNotFoundException, InvalidParameterException,
// ImageDigestDoesNotMatchException, LayersNotFoundException,
// ReferencedImagesNotFoundException, ImageTagAlreadyExistsException,
// ImageAlreadyExistsException, LimitExceededException, KmsException.
func (r *Registry) PutImage(ctx context.Context, c access.Caller, in PutImageInput) (*Image, error) {
	var img *Image
	var m *Manifest
	q := request{caller: c, event: "PutImage", ref: in.Ref, params: in, lock: LockChange, create: true}
	q.images = func(ReadTx, *Repository) ([]access.Image, error) { return in.pushed(m), nil }
	domain, err := r.mayPush(ctx, &q)
	if err != nil {
		return nil, err
	}
	if !r.hasRoom() {
		err := errNoRoom()
		r.auditor.Record(q.record(r.now(), err))
		return nil, err
	}
	if in.Read != nil {
		if in.Manifest, err = in.Read(); err != nil {
			return nil, err
		}
	}
	var malformed error
	m, malformed = in.parse()
	if malformed == nil && domain != nil {
		if in.sealed, err = r.sealManifest(ctx, *domain, &in, m); err != nil {
			r.auditor.Record(q.record(r.now(), err))
			return nil, err
		}
	}
	err = r.update(ctx, q, func(tx Tx, repo *Repository) error {
		if malformed != nil {
			return malformed
		}
		if err := r.admitManifest(in.Manifest); err != nil {
			return err
		}
		var err error
		if repo.Domain() != in.sealed.object.Domain { // a template has just made it, or it is another one
			if in.sealed, err = r.sealManifest(ctx, repo.Domain(), &in, m); err != nil {
				return err
			}
		}
		img, err = r.putImage(ctx, tx, repo, in, m, c)
		return err
	})
	return img, err
}

// mayPush counts a push against its rate and decides about it before anything is
// read and parsed for it. It leaves a record only of a refusal: the push itself is
// decided about, and recorded, too. It returns the repository's key domain, nil if
// there is no repository yet.
func (r *Registry) mayPush(ctx context.Context, q *request) (domain *blob.Domain, err error) {
	err = r.admit(q)
	if err == nil {
		early := *q
		early.early = true
		err = r.store.View(ctx, func(tx ReadTx) error {
			repo, err := tx.Repository(q.ref, LockNone)
			if err != nil {
				return err
			}
			if err := r.decide(ctx, tx, early, repo); err != nil {
				return err
			}
			if err := r.refused(); err != nil || repo == nil {
				return err
			}
			d := repo.Domain()
			domain = &d
			return r.mayUse(ctx, repo)
		})
	}
	if err != nil {
		r.auditor.Record(q.record(r.now(), err))
	}
	return domain, err
}

// pushed says what policies decide a push by: the image under each of its tags. m is
// nil while the manifest is not known, or if it is none.
func (in *PutImageInput) pushed(m *Manifest) []access.Image {
	artifact := ""
	if m != nil {
		artifact = m.Artifact
	}
	return under(in.Digest, artifact, in.Tags)
}

// parse checks all of the input that can be checked without the repository, and
// fills in the digest.
func (in *PutImageInput) parse() (*Manifest, error) {
	for _, t := range in.Tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
	}
	m, err := ParseManifest(in.Manifest, in.MediaType)
	if err != nil {
		return nil, err
	}
	if in.Digest == "" {
		in.Digest = digest.FromBytes(in.Manifest)
		return m, nil
	}
	if err := checkDigest("imageDigest", string(in.Digest)); err != nil {
		return nil, err
	}
	if computed := in.Digest.Algorithm().FromBytes(in.Manifest); computed != in.Digest {
		return nil, errDigestMismatch(in.Digest, computed)
	}
	return m, nil
}

func (r *Registry) putImage(ctx context.Context, tx Tx, repo *Repository, in PutImageInput, m *Manifest, c access.Caller) (*Image, error) {
	img, err := tx.Image(repo.UID, in.Digest)
	if err != nil {
		return nil, err
	}
	added, healed := img == nil, false
	if added {
		img, err = r.newImage(tx, repo, in, m)
	} else if err = r.sameBytes(ctx, tx, img, in.Manifest, m); lost(err) {
		healed, err = true, tx.HealObject(repo, in.sealed.object, r.now())
	}
	if err != nil {
		return nil, err
	}
	restored := img.Status != Active
	if restored {
		err = r.activate(tx, repo, img, c.ARN)
	}
	if err != nil {
		return nil, err
	}
	moved, err := r.putTags(tx, repo, in, img, added, healed, c)
	if err != nil {
		return nil, err
	}
	if err := r.admitTags(tx, repo, img, added, len(moved)); err != nil {
		return nil, err
	}
	if added || restored || len(moved) > 0 {
		return img, r.emitPush(tx, repo, img, moved, c)
	}
	if !in.Again && !healed {
		return nil, errImageExists(in.Ref, in.Digest, firstOf(in.Tags))
	}
	return img, nil
}

func firstOf(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	return tags[0]
}

// sameBytes guards against bytes that mean one thing under the media type that
// they were stored as and another under the one that they are sent as now. The error says so if what
// is stored is missing or damaged.
func (r *Registry) sameBytes(ctx context.Context, tx ReadTx, img *Image, manifest []byte, m *Manifest) error {
	if img.MediaType != m.MediaType {
		return errManifest("the image is stored with the media type '%s', which cannot be changed to '%s'", img.MediaType, m.MediaType)
	}
	o, err := tx.Manifest(img)
	if err != nil {
		return err
	}
	content, err := r.blobs.Content(ctx, o)
	if err != nil {
		return errKey(err)
	}
	if img.Digest.Algorithm().FromBytes(content) != img.Digest {
		return blob.ErrDamaged
	}
	if !bytes.Equal(content, manifest) {
		return errManifest("the digest is that of another manifest")
	}
	return nil
}

// lost reports whether an error says that bytes are missing or damaged.
func lost(err error) bool { return errors.Is(err, blob.ErrDamaged) || errors.Is(err, blob.ErrNotFound) }

// putTags puts the tags on the image, which has just been added, or healed, or not, and
// returns those that were not there before, in order.
func (r *Registry) putTags(tx Tx, repo *Repository, in PutImageInput, img *Image, added, healed bool, c access.Caller) ([]string, error) {
	var moved []string
	for _, tag := range slices.Compact(slices.Sorted(slices.Values(in.Tags))) {
		on, err := tx.ImageByTag(repo.UID, tag)
		if err != nil {
			return nil, err
		}
		same := on != nil && on.UID == img.UID
		if on != nil && repo.Mutability.Frozen(tag) && (!same || (r.strict || !in.Again) && !healed) {
			return nil, errTagImmutable(repo.Ref, tag)
		}
		if same {
			continue
		}
		if err := tx.PutTag(repo.UID, tag, img, r.stamp(c)); err != nil {
			return nil, err
		}
		crash.Point("tag.put")
		if on != nil || !added {
			if err := tx.LifecycleChanged(repo.UID); err != nil {
				return nil, err
			}
		}
		moved = append(moved, tag)
	}
	return moved, nil
}

// newImage inserts the image after checking what it refers to.
func (r *Registry) newImage(tx Tx, repo *Repository, in PutImageInput, m *Manifest) (*Image, error) {
	if err := r.admitImage(tx, repo); err != nil {
		return nil, err
	}
	refs, size, err := resolve(tx, repo, m)
	if err != nil {
		return nil, err
	}
	img := &Image{
		UID: newID(), Repository: repo.UID, Digest: in.Digest, MediaType: m.MediaType, ArtifactType: m.Artifact,
		ManifestSize: int64(len(in.Manifest)), Size: size, Status: Active, PushedAt: r.now(),
	}
	if m.Subject != nil {
		img.Subject = m.Subject.Digest
		refs.Annotations, refs.Sealed = m.Annotations, in.sealed.annotations
	}
	err = tx.InsertImage(repo, img, refs, in.sealed.object)
	crash.Point("image.insert")
	if err != nil || !refs.cheap {
		return img, err
	}
	return img, r.noteClass(tx, img)
}

// References are what an image holds on to.
type References struct {
	Children    []digest.Digest   // of an index: images of the repository
	Layers      []Descriptor      // layers of the repository, each digest once
	Annotations map[string]string // of a referrer, for listing it
	Sealed      []byte            // what to keep in place of Annotations; nil for these themselves

	cheap bool // a layer is in the storage class of archived ones
}

// resolve returns what the manifest refers to, and the image's size, if all of
// it is in the repository; images in the archive are not. An index's entry that is
// no manifest is a layer, as in BuildKit's caches.
func resolve(tx ReadTx, repo *Repository, m *Manifest) (References, int64, error) {
	var refs References
	var size int64
	var missing []digest.Digest
	layers := m.Layers()
	for _, d := range m.Manifests {
		img, err := tx.Image(repo.UID, d.Digest)
		switch {
		case err != nil:
			return refs, 0, err
		case img != nil && img.Status == Active:
			refs.Children = append(refs.Children, d.Digest)
			size = max(size, img.Size)
		case manifestShapes[d.MediaType] != 0:
			missing = append(missing, d.Digest)
		default:
			layers = append(layers, d)
		}
	}
	if len(missing) > 0 {
		return refs, 0, errReferencedMissing(repo.Ref, missing)
	}
	sum, err := resolveLayers(tx, repo, layers, &refs)
	return refs, max(size, sum), err
}

// resolveLayers adds those of the layers that the repository holds, which must be all but
// the foreign ones, and returns their sizes added up.
func resolveLayers(tx ReadTx, repo *Repository, layers []Descriptor, refs *References) (sum int64, err error) {
	var missing []digest.Digest
	for _, d := range layers {
		l, err := tx.Layer(repo.UID, d.Digest)
		if err != nil {
			return 0, err
		}
		if l != nil && l.Object.Damaged { // to be pushed again first
			missing = append(missing, d.Digest)
		} else if l != nil {
			refs.Layers = append(refs.Layers, d)
			refs.cheap = refs.cheap || l.Cheap
			sum += l.Object.Size
		} else if !d.foreign() {
			missing = append(missing, d.Digest)
		}
	}
	if len(missing) > 0 {
		return 0, errLayersMissing(repo.Ref, missing)
	}
	return sum, nil
}

// emitPush writes ECR's event, one for each tag.
func (r *Registry) emitPush(tx Tx, repo *Repository, img *Image, tags []string, c access.Caller) error {
	e := Event{
		Kind: ImagePushed, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now(), Digest: img.Digest,
		MediaType: img.MediaType, ArtifactType: img.ArtifactType, Subject: img.Subject, Principal: c.ARN,
	}
	if len(tags) == 0 {
		return tx.Emit(e)
	}
	for _, e.Tag = range tags {
		if err := tx.Emit(e); err != nil {
			return err
		}
	}
	return nil
}

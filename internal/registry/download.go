package registry

import (
	"context"
	"strconv"
	"time"

	"berth/internal/access"
	"berth/internal/seal"

	"github.com/opencontainers/go-digest"
)

// linkLife is how long a download link works: ECR's hour.
const linkLife = time.Hour

// linkPurpose is the field of a link's MAC that tells it from others made with
// the same key.
const linkPurpose = "download layer"

// Link is a right to download one layer, given to whoever holds it.
type Link struct {
	ID
	RepositoryUID string
	Digest        digest.Digest
	Expires       time.Time // to the second
	Endpoint      string    // id of the VPC endpoint that it works at; "" for where there is none
	Signature     string    // over all the other fields
}

func (l Link) fields() []string {
	f := []string{linkPurpose, l.Account, l.Region, l.RepositoryUID, string(l.Digest), strconv.FormatInt(l.Expires.Unix(), 10)}
	if l.Endpoint != "" {
		f = append(f, l.Endpoint)
	}
	return f
}

// GetDownloadUrlForLayer returns a link to a layer that an image of the
// repository refers to; it works for an hour, for anybody who comes the way that
// the caller came, through the same VPC endpoint or through none. Errors:
// RepositoryNotFoundException, LayersNotFoundException,
// LayerInaccessibleException, InvalidParameterException, KmsException.
func (r *Registry) GetDownloadUrlForLayer(ctx context.Context, c access.Caller, ref Ref, d digest.Digest) (Link, error) {
	var link Link
	var layer *Layer
	q := request{caller: c, event: "GetDownloadUrlForLayer", ref: ref, params: layerParams{ref, d}, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		var err error
		if layer, err = wholeLayer(tx, repo, d); err != nil {
			return err
		}
		used, err := tx.LayerInUse(repo.UID, d)
		if err != nil {
			return err
		}
		if !used {
			return errLayerInaccessible(ref, d)
		}
		link = Link{ID: ref.ID, RepositoryUID: repo.UID, Digest: d, Expires: r.now().Add(linkLife).Truncate(time.Second)}
		if c.Endpoint != nil {
			link.Endpoint = c.Endpoint.ID
		}
		return nil
	})
	if err != nil {
		return Link{}, err
	}
	link.Signature = seal.EncodeText(r.links.MAC(link.fields()...))
	sure, err := r.lease(ctx, []*Layer{layer})
	if err == nil && !sure {
		err = errLayerNotFound(ref, d) // since it was looked for
	}
	return link, err
}

// OpenLink opens the layer that a link is for. The link itself is the right to
// it: no caller is asked for. With here the content has the bytes, never a URL.
// Errors: AccessDeniedException for a link that is forged or has expired,
// LayersNotFoundException if the layer is gone since, KmsException.
func (r *Registry) OpenLink(ctx context.Context, link Link, here bool) (*Content, error) {
	mac, err := seal.DecodeText(link.Signature)
	if err != nil || !r.links.Verify(mac, link.fields()...) || !r.now().Before(link.Expires) {
		return nil, errLinkRefused()
	}
	var repo *Repository
	var l *Layer
	err = r.store.View(ctx, func(tx ReadTx) error {
		var err error
		if repo, err = tx.RepositoryByUID(link.RepositoryUID); err != nil || repo == nil {
			return err
		}
		l, err = tx.Layer(repo.UID, link.Digest)
		return err
	})
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, errLayerNotFound(Ref{ID: link.ID}, link.Digest)
	}
	if l.Object.Damaged {
		return nil, errLayerDamaged(repo.Ref, link.Digest)
	}
	return r.openContent(ctx, repo.Ref, l, "", r.redirects && !here)
}

package gc

import (
	"context"
	"fmt"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// ImageFact is an image as it is kept.
type ImageFact struct {
	UID, Digest, Holder string // the holder is account/region/repository
	PushedAt, DeletedAt time.Time
	RepositoryDeletedAt time.Time
	Tags                []string // its own
	Indexes             []string // digests of images that list it, with a tag of theirs if they have one
}

// LayerFact is a layer as a repository holds it.
type LayerFact struct {
	Digest, Holder string
	Lease, Loose   time.Time
	RepositoryOver time.Time // when it was deleted
	Images         []ImageFact
	More           bool // there are more images that refer to it
}

// ObjectFact is where the bytes of a digest are.
type ObjectFact struct {
	UID, KeyDomain string
	Size           int64
	CreatedAt      time.Time
	Holders        int64 // layers and images that have it
	LetGo          bool
}

// Removal is something that was removed.
type Removal struct {
	Item       string    `json:"-"`
	Kind       string    `json:"kind"` // image, layer or object
	Digest     string    `json:"-"`
	Holder     string    `json:"holder,omitempty"` // account/region/repository
	Bytes      int64     `json:"bytes"`
	Reason     string    `json:"reason"`
	RemovedAt  time.Time `json:"removedAt"`
	Key        string    `json:"-"`
	BytesUntil time.Time `json:"bytesUntil,omitzero"` // of an object: when its bytes go
	BytesGone  bool      `json:"bytesGone,omitempty"` // and whether they have
}

// ExplainInput says what is asked about.
type ExplainInput struct {
	Digest     string `json:"digest"`
	RegistryID string `json:"registryId,omitempty"` // with a repository; the administrator's account if ""
	Region     string `json:"region,omitempty"`     // likewise; that of the call if ""
	Repository string `json:"repositoryName,omitempty"`
}

// Reason is why something is kept, or until when.
type Reason struct {
	Kind   string    `json:"kind"`             // image, layer or object
	Holder string    `json:"holder,omitempty"` // account/region/repository
	Text   string    `json:"text"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // zero for as long as it is so
}

// Explanation says why a digest is there, or is not.
type Explanation struct {
	Digest  string    `json:"digest"`
	Kept    []Reason  `json:"kept"`
	Removed []Removal `json:"removed"` // the last first
}

// most bounds how much an explanation names of each kind.
const most = 20

// Explain says why what has a digest is kept, or when and why it was removed. The caller
// must be allowed berth:GetGarbageCollection in the administrator's account. Errors:
// InvalidParameterException.
func (c *Collector) Explain(ctx context.Context, call access.Call, in ExplainInput) (Explanation, error) {
	e := Explanation{Digest: in.Digest, Kept: []Reason{}, Removed: []Removal{}}
	err := c.decide(ctx, call, "GetGarbageCollection")
	if err == nil && !plain(in.Digest+in.RegistryID+in.Region+in.Repository) || in.Digest == "" {
		err = errDigest
	}
	if err == nil {
		if in.RegistryID == "" {
			in.RegistryID = c.Account
		}
		if in.Region == "" {
			in.Region = call.Region
		}
		err = c.Store.View(ctx, func(tx Tx) error { return c.explain(tx, in, &e) })
	}
	c.record(call, "ExplainGarbageCollection", in, err)
	return e, err
}

var errDigest = fault.New(fault.Invalid, "InvalidParameterException", "Invalid parameter at 'digest' failed to satisfy constraint: 'must be a digest, such as sha256:...'")

// plain reports whether a text has nothing in it that no name or digest has.
func plain(s string) bool {
	return len(s) < 1000 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (c *Collector) explain(tx Tx, in ExplainInput, e *Explanation) error {
	e.Kept, e.Removed = []Reason{}, []Removal{}
	images, err := tx.ImagesOf(in.Digest, in.RegistryID, in.Region, in.Repository, most)
	if err != nil {
		return err
	}
	for _, i := range images {
		e.Kept = append(e.Kept, c.imageReason(i))
	}
	layers, err := tx.LayersOf(in.Digest, in.RegistryID, in.Region, in.Repository, most)
	if err != nil {
		return err
	}
	for _, l := range layers {
		e.Kept = append(e.Kept, c.layerReasons(l)...)
	}
	objects, err := tx.ObjectsOf(in.Digest, most)
	if err != nil {
		return err
	}
	for _, o := range objects {
		e.Kept = append(e.Kept, objectReason(o))
	}
	removed, err := tx.RemovalsOf(in.Digest, most)
	if removed != nil {
		e.Removed = removed
	}
	return err
}

// imageReason says why an image is kept.
func (c *Collector) imageReason(i ImageFact) Reason {
	r := Reason{Kind: "image", Holder: i.Holder, Since: i.PushedAt}
	switch deleted := earlier(i.DeletedAt, i.RepositoryDeletedAt); {
	case !deleted.IsZero():
		r.Text, r.Since, r.Until = "deleted, and can be restored for a while", deleted, deleted.Add(c.Retention)
		if i.DeletedAt.IsZero() {
			r.Text = "its repository is deleted, and can be restored for a while"
		}
	default:
		r.Text = i.way()
	}
	return r
}

// way says how an image is reached.
func (i ImageFact) way() string {
	switch {
	case len(i.Tags) > 0:
		return "tag " + strings.Join(i.Tags, ", ")
	case len(i.Indexes) > 0:
		return "listed by " + strings.Join(i.Indexes, ", ")
	}
	return "in the repository, without a tag: that is no reason to remove it"
}

// layerReasons says why a layer is kept.
func (c *Collector) layerReasons(l LayerFact) (out []Reason) {
	for _, i := range l.Images {
		r := c.imageReason(i)
		r.Kind, r.Holder = "layer", l.Holder
		r.Text = fmt.Sprintf("image %s refers to it: %s", i.Digest, r.Text)
		out = append(out, r)
	}
	if l.More {
		out = append(out, Reason{Kind: "layer", Holder: l.Holder, Text: "more images refer to it"})
	}
	if len(l.Images) > 0 {
		return out
	}
	r := Reason{Kind: "layer", Holder: l.Holder, Text: "no image of the repository refers to it", Since: l.Loose}
	if c.now().Before(l.Lease) {
		r.Text += fmt.Sprintf("; whoever pushes was told that it is there, and may rely on it until %s", l.Lease.Format(time.RFC3339))
	}
	if !l.Loose.IsZero() {
		r.Until = l.Loose
		if r.Until.Before(l.Lease) {
			r.Until = l.Lease
		}
		r.Until = r.Until.Add(c.Grace)
	}
	if c.now().Before(l.Loose) {
		r.Since = time.Time{}
	}
	return append(out, r)
}

func objectReason(o ObjectFact) Reason {
	r := Reason{Kind: "object", Since: o.CreatedAt, Text: fmt.Sprintf("%d bytes in the key domain %s, which %d layers and images have", o.Size, o.KeyDomain, o.Holders)}
	if o.Holders == 0 {
		r.Text = fmt.Sprintf("%d bytes in the key domain %s, which nothing has: the next run removes it", o.Size, o.KeyDomain)
	}
	return r
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

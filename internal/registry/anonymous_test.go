package registry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// busy is a store whose writer is taken once it is set so.
type busy struct {
	registry.Store
	taken *bool
}

var errBusy = errors.New("somebody waits for the writer")

// Update implements [registry.Store].
func (s busy) Update(ctx context.Context, fn func(registry.Tx) error) error {
	if *s.taken {
		return errBusy
	}
	return s.Store.Update(ctx, fn)
}

// Relaxed implements [registry.Store].
func (s busy) Relaxed(ctx context.Context, fn func(registry.Tx) error) error {
	if *s.taken {
		return errBusy
	}
	return s.Store.Relaxed(ctx, fn)
}

// Keep implements [registry.Store].
func (s busy) Keep(ctx context.Context, fn func(registry.Tx) error) error {
	if *s.taken {
		return errBusy
	}
	return s.Store.Keep(ctx, fn)
}

var stranger = access.Caller{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", ID: "210987654321", Type: access.Root}

// Who has no login cannot have the writer waited for, by writing or by reading; who
// belongs to another account not by asking for layers, which only the owner may
// rely on.
func TestOnlyTheOwnerTakesTurnsAtWriting(t *testing.T) {
	t.Parallel()
	taken, now := false, start
	r := openAt(t, func(s registry.Store) registry.Store { return busy{s, &taken} }, func() time.Time { return now })
	app := registry.Ref{ID: registry.ID{Account: home.Account, Region: registry.PublicRegion}, Name: "app"}
	if _, err := r.CreateRepository(t.Context(), caller, registry.CreateRepositoryInput{Ref: app}); err != nil {
		t.Fatal(err)
	}
	content := []byte("content")
	d := digest.FromBytes(content)
	id, err := r.InitiateLayerUpload(t.Context(), caller, app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.UploadLayerPart(t.Context(), caller, registry.UploadLayerPartInput{Ref: app, UploadID: id, Last: 6, Data: content}); err != nil {
		t.Fatal(err)
	}
	if err := r.CompleteUpload(t.Context(), caller, registry.CompleteUploadInput{Ref: app, UploadID: id, Digest: d}); err != nil {
		t.Fatal(err)
	}
	taken = true

	nobody := access.Caller{}
	_, put := r.PutImage(t.Context(), nobody, registry.PutImageInput{Ref: app, Read: func() ([]byte, error) {
		t.Error("the manifest was read")
		return nil, nil
	}})
	_, upload := r.InitiateLayerUpload(t.Context(), nobody, app)
	_, mount := r.MountLayer(t.Context(), nobody, registry.MountLayerInput{Ref: app, Digest: d})
	_, _, images := r.BatchDeleteImage(t.Context(), nobody, registry.BatchDeleteImageInput{Ref: app, IDs: []registry.ImageID{{Tag: "v1"}}})
	_, repository := r.DeleteRepository(t.Context(), nobody, registry.DeleteRepositoryInput{Ref: app})
	for what, err := range map[string]error{
		"PutImage": put, "InitiateLayerUpload": upload, "MountLayer": mount, "BatchDeleteImage": images, "DeleteRepository": repository,
		"DeleteLayer":    r.DeleteLayer(t.Context(), nobody, app, d),
		"CompleteUpload": r.CompleteUpload(t.Context(), nobody, registry.CompleteUploadInput{Ref: app, UploadID: id, Digest: d}),
		"CancelUpload":   r.CancelUpload(t.Context(), nobody, app, id),
	} {
		if fault.CodeOf(err) != "AccessDeniedException" {
			t.Errorf("%s by nobody = %v, want AccessDeniedException", what, err)
		}
	}

	check := registry.BatchCheckLayerAvailabilityInput{Ref: app, Digests: []string{string(d)}}
	now = now.Add(3 * time.Hour) // the lease is more than half over
	for what, c := range map[string]access.Caller{"nobody": nobody, "a stranger": stranger} {
		if layers, _, err := r.BatchCheckLayerAvailability(t.Context(), c, check); err != nil || !layers[0].Available {
			t.Errorf("BatchCheckLayerAvailability by %s = %v, %v, want the layer", what, layers, err)
		}
	}
	if _, _, err := r.BatchCheckLayerAvailability(t.Context(), caller, check); !errors.Is(err, errBusy) {
		t.Errorf("BatchCheckLayerAvailability by the owner = %v, want it to raise the lease", err)
	}
}

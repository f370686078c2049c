package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// BatchCheckLayerAvailability says which layers a repository holds.
func (a *API) BatchCheckLayerAvailability(ctx context.Context, c access.Call, in *ecr.BatchCheckLayerAvailabilityInput) (*ecr.BatchCheckLayerAvailabilityOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	layers, failures, err := a.registry.BatchCheckLayerAvailability(ctx, c.Caller, registry.BatchCheckLayerAvailabilityInput{
		Ref: ref, Digests: in.LayerDigests,
	})
	if err != nil {
		return nil, err
	}
	out := &ecr.BatchCheckLayerAvailabilityOutput{Layers: []types.Layer{}, Failures: []types.LayerFailure{}}
	for _, l := range layers {
		d := string(l.Digest)
		layer := types.Layer{LayerDigest: &d, LayerAvailability: types.LayerAvailabilityUnavailable}
		if l.Available {
			layer.LayerAvailability, layer.LayerSize, layer.MediaType = types.LayerAvailabilityAvailable, &l.Size, optional(l.MediaType)
		}
		if l.Archived {
			layer.LayerAvailability, layer.LayerSize, layer.MediaType = types.LayerAvailabilityArchived, &l.Size, optional(l.MediaType)
		}
		out.Layers = append(out.Layers, layer)
	}
	for _, f := range failures {
		out.Failures = append(out.Failures, types.LayerFailure{
			LayerDigest: &f.Digest, FailureCode: types.LayerFailureCode(f.Code), FailureReason: &f.Reason,
		})
	}
	return out, nil
}

// InitiateLayerUpload starts an upload.
func (a *API) InitiateLayerUpload(ctx context.Context, c access.Call, in *ecr.InitiateLayerUploadInput) (*ecr.InitiateLayerUploadOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	id, err := a.registry.InitiateLayerUpload(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	size := int64(registry.PartSize)
	return &ecr.InitiateLayerUploadOutput{UploadId: &id, PartSize: &size}, nil
}

// UploadLayerPart adds a part to an upload.
func (a *API) UploadLayerPart(ctx context.Context, c access.Call, in *ecr.UploadLayerPartInput) (*ecr.UploadLayerPartOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	last, err := a.registry.UploadLayerPart(ctx, c.Caller, registry.UploadLayerPartInput{
		Ref: ref, UploadID: value(in.UploadId), First: value(in.PartFirstByte), Last: value(in.PartLastByte), Data: in.LayerPartBlob,
	})
	if err != nil {
		return nil, err
	}
	return &ecr.UploadLayerPartOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, UploadId: in.UploadId, LastByteReceived: &last,
	}, nil
}

// CompleteLayerUpload makes an upload a layer.
func (a *API) CompleteLayerUpload(ctx context.Context, c access.Call, in *ecr.CompleteLayerUploadInput) (*ecr.CompleteLayerUploadOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if len(in.LayerDigests) != 1 {
		return nil, fault.New(fault.Invalid, "InvalidParameterException",
			"Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must have one digest'")
	}
	d := in.LayerDigests[0]
	if err := a.registry.CompleteUpload(ctx, c.Caller, registry.CompleteUploadInput{
		Ref: ref, UploadID: value(in.UploadId), Digest: digest.Digest(d), AsParts: true,
	}); err != nil {
		return nil, err
	}
	return &ecr.CompleteLayerUploadOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, UploadId: in.UploadId, LayerDigest: &d,
	}, nil
}

// GetDownloadUrlForLayer returns a URL that serves a layer.
func (a *API) GetDownloadUrlForLayer(ctx context.Context, c access.Call, in *ecr.GetDownloadUrlForLayerInput) (*ecr.GetDownloadUrlForLayerOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	link, err := a.registry.GetDownloadUrlForLayer(ctx, c.Caller, ref, digest.Digest(value(in.LayerDigest)))
	if err != nil {
		return nil, err
	}
	url := a.hosts.Endpoint(ref.ID) + a.linkURL(link)
	return &ecr.GetDownloadUrlForLayerOutput{DownloadUrl: &url, LayerDigest: in.LayerDigest}, nil
}

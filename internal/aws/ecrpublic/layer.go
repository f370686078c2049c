package ecrpublic

import (
	"context"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
	"github.com/opencontainers/go-digest"
)

// BatchCheckLayerAvailability says which layers a repository holds.
func (a *API) BatchCheckLayerAvailability(ctx context.Context, c access.Call, in *ecrpublic.BatchCheckLayerAvailabilityInput) (*ecrpublic.BatchCheckLayerAvailabilityOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	layers, failures, err := a.registry.BatchCheckLayerAvailability(ctx, c.Caller, registry.BatchCheckLayerAvailabilityInput{
		Ref: ref, Digests: in.LayerDigests,
	})
	if err != nil {
		return nil, err
	}
	out := &ecrpublic.BatchCheckLayerAvailabilityOutput{Layers: []types.Layer{}, Failures: []types.LayerFailure{}}
	for _, l := range layers {
		d := string(l.Digest)
		layer := types.Layer{LayerDigest: &d, LayerAvailability: types.LayerAvailabilityUnavailable}
		if l.Available {
			layer.LayerAvailability, layer.LayerSize, layer.MediaType = types.LayerAvailabilityAvailable, &l.Size, optional(l.MediaType)
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
func (a *API) InitiateLayerUpload(ctx context.Context, c access.Call, in *ecrpublic.InitiateLayerUploadInput) (*ecrpublic.InitiateLayerUploadOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	id, err := a.registry.InitiateLayerUpload(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	size := int64(registry.PartSize)
	return &ecrpublic.InitiateLayerUploadOutput{UploadId: &id, PartSize: &size}, nil
}

// UploadLayerPart adds a part to an upload.
func (a *API) UploadLayerPart(ctx context.Context, c access.Call, in *ecrpublic.UploadLayerPartInput) (*ecrpublic.UploadLayerPartOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	last, err := a.registry.UploadLayerPart(ctx, c.Caller, registry.UploadLayerPartInput{
		Ref: ref, UploadID: value(in.UploadId), First: value(in.PartFirstByte), Last: value(in.PartLastByte), Data: in.LayerPartBlob,
	})
	if err != nil {
		return nil, err
	}
	return &ecrpublic.UploadLayerPartOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, UploadId: in.UploadId, LastByteReceived: &last,
	}, nil
}

// CompleteLayerUpload makes an upload a layer.
func (a *API) CompleteLayerUpload(ctx context.Context, c access.Call, in *ecrpublic.CompleteLayerUploadInput) (*ecrpublic.CompleteLayerUploadOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if len(in.LayerDigests) != 1 {
		return nil, aws.Unheard(fault.New(fault.Invalid, "InvalidParameterException",
			"Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must have one digest'"))
	}
	d := in.LayerDigests[0]
	if err := a.registry.CompleteUpload(ctx, c.Caller, registry.CompleteUploadInput{
		Ref: ref, UploadID: value(in.UploadId), Digest: digest.Digest(d), AsParts: true,
	}); err != nil {
		return nil, err
	}
	return &ecrpublic.CompleteLayerUploadOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, UploadId: in.UploadId, LayerDigest: &d,
	}, nil
}

package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// BatchGetImage returns manifests.
func (a *API) BatchGetImage(ctx context.Context, c access.Call, in *ecr.BatchGetImageInput) (*ecr.BatchGetImageOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	images, failures, err := a.registry.BatchGetImage(ctx, c.Caller, registry.BatchGetImageInput{
		Ref: ref, IDs: imageIDs(in.ImageIds), Accept: in.AcceptedMediaTypes,
	})
	if err != nil {
		return nil, err
	}
	out := &ecr.BatchGetImageOutput{Images: []types.Image{}, Failures: imageFailures(failures)}
	for i := range images {
		out.Images = append(out.Images, image(ref, images[i].ID, images[i].MediaType, images[i].Manifest))
	}
	return out, nil
}

// image renders an image with its manifest.
func image(ref registry.Ref, id registry.ImageID, mediaType string, manifest []byte) types.Image {
	name, text := string(ref.Name), string(manifest)
	return types.Image{
		RegistryId: &ref.Account, RepositoryName: &name, ImageId: identifier(id),
		ImageManifest: &text, ImageManifestMediaType: &mediaType,
	}
}

// PutImage stores a manifest.
func (a *API) PutImage(ctx context.Context, c access.Call, in *ecr.PutImageInput) (*ecr.PutImageOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	put := registry.PutImageInput{
		Ref: ref, Manifest: []byte(value(in.ImageManifest)), MediaType: value(in.ImageManifestMediaType),
		Digest: digest.Digest(value(in.ImageDigest)),
	}
	if in.ImageTag != nil {
		put.Tags = []string{*in.ImageTag}
	}
	img, err := a.registry.PutImage(ctx, c.Caller, put)
	if err != nil {
		return nil, err
	}
	rendered := image(ref, registry.ImageID{Digest: img.Digest, Tag: value(in.ImageTag)}, img.MediaType, put.Manifest)
	return &ecr.PutImageOutput{Image: &rendered}, nil
}

// BatchDeleteImage deletes images or takes tags away.
func (a *API) BatchDeleteImage(ctx context.Context, c access.Call, in *ecr.BatchDeleteImageInput) (*ecr.BatchDeleteImageOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	deleted, failures, err := a.registry.BatchDeleteImage(ctx, c.Caller, registry.BatchDeleteImageInput{Ref: ref, IDs: imageIDs(in.ImageIds)})
	if err != nil {
		return nil, err
	}
	return &ecr.BatchDeleteImageOutput{ImageIds: identifiers(deleted), Failures: imageFailures(failures)}, nil
}

// ListImages lists digests and tags.
func (a *API) ListImages(ctx context.Context, c access.Call, in *ecr.ListImagesInput) (*ecr.ListImagesOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	ask := registry.ListImagesInput{Ref: ref, Filter: filter("", ""), Page: page(in.NextToken, in.MaxResults)}
	if in.Filter != nil {
		ask.Filter = filter(in.Filter.TagStatus, in.Filter.ImageStatus)
	}
	ids, next, err := a.registry.ListImages(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	return &ecr.ListImagesOutput{ImageIds: identifiers(ids), NextToken: nextToken(next)}, nil
}

// DescribeImages lists images with what is known of them.
func (a *API) DescribeImages(ctx context.Context, c access.Call, in *ecr.DescribeImagesInput) (*ecr.DescribeImagesOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	ask := registry.DescribeImagesInput{
		Ref: ref, IDs: imageIDs(in.ImageIds), Filter: filter("", ""), Page: page(in.NextToken, in.MaxResults),
	}
	if in.Filter != nil {
		ask.Filter = filter(in.Filter.TagStatus, in.Filter.ImageStatus)
	}
	images, next, err := a.registry.DescribeImages(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	out := &ecr.DescribeImagesOutput{ImageDetails: []types.ImageDetail{}, NextToken: nextToken(next)}
	for i := range images {
		out.ImageDetails = append(out.ImageDetails, detail(ref, &images[i]))
	}
	return out, nil
}

// filter reads the members of a filter. Only active images are listed unless
// other ones are asked for.
func filter(tags types.TagStatus, status types.ImageStatusFilter) registry.Filter {
	f := registry.Filter{TagStatus: registry.TagStatus(tags), Status: registry.Active}
	switch status {
	case types.ImageStatusFilterAny:
		f.Status = ""
	case types.ImageStatusFilterActive, types.ImageStatusFilterArchived, types.ImageStatusFilterActivating:
		f.Status = registry.Status(status)
	}
	return f
}

// detail renders what is known of an image.
func detail(ref registry.Ref, i *registry.Image) types.ImageDetail {
	name, d := string(ref.Name), string(i.Digest)
	return types.ImageDetail{
		RegistryId: &ref.Account, RepositoryName: &name, ImageDigest: &d, ImageTags: i.Tags, ImageSizeInBytes: &i.Size,
		ImagePushedAt: &i.PushedAt, ImageManifestMediaType: &i.MediaType, ArtifactMediaType: optional(i.ArtifactType),
		SubjectManifestDigest: optional(string(i.Subject)), ImageStatus: types.ImageStatus(i.Status),
		LastRecordedPullTime: optionalTime(i.PulledAt), LastArchivedAt: optionalTime(i.ArchivedAt), LastActivatedAt: optionalTime(i.ActivatedAt),
	}
}

// UpdateImageStorageClass archives an image or brings it back.
func (a *API) UpdateImageStorageClass(ctx context.Context, c access.Call, in *ecr.UpdateImageStorageClassInput) (*ecr.UpdateImageStorageClassOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	id := imageID(*in.ImageId)
	img, err := a.registry.UpdateImageStorageClass(ctx, c.Caller, registry.UpdateImageStorageClassInput{
		Ref: ref, Image: id, Target: registry.StorageClass(in.TargetStorageClass),
	})
	if err != nil {
		return nil, err
	}
	name := string(ref.Name)
	return &ecr.UpdateImageStorageClassOutput{
		RegistryId: &ref.Account, RepositoryName: &name, ImageStatus: types.ImageStatus(img.Status),
		ImageId: identifier(registry.ImageID{Digest: img.Digest, Tag: id.Tag}),
	}, nil
}

// ListImageReferrers lists the artifacts that name an image as their subject.
func (a *API) ListImageReferrers(ctx context.Context, c access.Call, in *ecr.ListImageReferrersInput) (*ecr.ListImageReferrersOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	ask := registry.ListImageReferrersInput{
		Ref: ref, Subject: digest.Digest(value(in.SubjectId.ImageDigest)), Page: page(in.NextToken, in.MaxResults),
		Filter: registry.ReferrerFilter{Status: registry.Active},
	}
	if in.Filter != nil {
		ask.Filter.ArtifactTypes = in.Filter.ArtifactTypes
		ask.Filter.Status = filter("", types.ImageStatusFilter(in.Filter.ArtifactStatus)).Status
	}
	found, next, err := a.registry.ListImageReferrers(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	out := &ecr.ListImageReferrersOutput{Referrers: []types.ImageReferrer{}, NextToken: nextToken(next)}
	for _, r := range found {
		d := string(r.Digest)
		out.Referrers = append(out.Referrers, types.ImageReferrer{
			Digest: &d, MediaType: &r.MediaType, ArtifactType: optional(r.ArtifactType), Size: &r.Size, Annotations: r.Annotations,
			ArtifactStatus: types.ArtifactStatus(r.Status),
		})
	}
	return out, nil
}

func imageIDs(in []types.ImageIdentifier) []registry.ImageID {
	var out []registry.ImageID
	for _, id := range in {
		out = append(out, imageID(id))
	}
	return out
}

func imageID(id types.ImageIdentifier) registry.ImageID {
	return registry.ImageID{Digest: digest.Digest(value(id.ImageDigest)), Tag: value(id.ImageTag)}
}

func identifier(id registry.ImageID) *types.ImageIdentifier {
	return &types.ImageIdentifier{ImageDigest: optional(string(id.Digest)), ImageTag: optional(id.Tag)}
}

func identifiers(ids []registry.ImageID) []types.ImageIdentifier {
	out := []types.ImageIdentifier{}
	for _, id := range ids {
		out = append(out, *identifier(id))
	}
	return out
}

func imageFailures(failures []registry.ImageFailure) []types.ImageFailure {
	out := []types.ImageFailure{}
	for _, f := range failures {
		out = append(out, types.ImageFailure{
			ImageId: identifier(f.ID), FailureCode: types.ImageFailureCode(f.Code), FailureReason: &f.Reason,
		})
	}
	return out
}

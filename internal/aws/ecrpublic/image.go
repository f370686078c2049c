package ecrpublic

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
	"github.com/opencontainers/go-digest"
)

// PutImage stores a manifest.
func (a *API) PutImage(ctx context.Context, c access.Call, in *ecrpublic.PutImageInput) (*ecrpublic.PutImageOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
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
	return &ecrpublic.PutImageOutput{Image: &types.Image{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName,
		ImageId:       identifier(registry.ImageID{Digest: img.Digest, Tag: value(in.ImageTag)}),
		ImageManifest: in.ImageManifest, ImageManifestMediaType: &img.MediaType,
	}}, nil
}

// BatchDeleteImage deletes images or takes tags away.
func (a *API) BatchDeleteImage(ctx context.Context, c access.Call, in *ecrpublic.BatchDeleteImageInput) (*ecrpublic.BatchDeleteImageOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	deleted, failures, err := a.registry.BatchDeleteImage(ctx, c.Caller, registry.BatchDeleteImageInput{Ref: ref, IDs: imageIDs(in.ImageIds)})
	if err != nil {
		return nil, err
	}
	out := &ecrpublic.BatchDeleteImageOutput{ImageIds: []types.ImageIdentifier{}, Failures: []types.ImageFailure{}}
	for _, id := range deleted {
		out.ImageIds = append(out.ImageIds, *identifier(id))
	}
	for _, f := range failures {
		out.Failures = append(out.Failures, types.ImageFailure{
			ImageId: identifier(f.ID), FailureCode: types.ImageFailureCode(f.Code), FailureReason: &f.Reason,
		})
	}
	return out, nil
}

// DescribeImages lists images with what is known of them.
func (a *API) DescribeImages(ctx context.Context, c access.Call, in *ecrpublic.DescribeImagesInput) (*ecrpublic.DescribeImagesOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	images, next, err := a.registry.DescribeImages(ctx, c.Caller, registry.DescribeImagesInput{
		Ref: ref, IDs: imageIDs(in.ImageIds), Page: page(in.NextToken, in.MaxResults),
	})
	if err != nil {
		return nil, err
	}
	out := &ecrpublic.DescribeImagesOutput{ImageDetails: []types.ImageDetail{}, NextToken: nextToken(next)}
	for _, i := range images {
		d := string(i.Digest)
		out.ImageDetails = append(out.ImageDetails, types.ImageDetail{
			RegistryId: &ref.Account, RepositoryName: in.RepositoryName, ImageDigest: &d, ImageTags: i.Tags, ImageSizeInBytes: &i.Size,
			ImagePushedAt: &i.PushedAt, ImageManifestMediaType: &i.MediaType, ArtifactMediaType: optional(i.ArtifactType),
		})
	}
	return out, nil
}

// DescribeImageTags lists tags with the images that they are on.
func (a *API) DescribeImageTags(ctx context.Context, c access.Call, in *ecrpublic.DescribeImageTagsInput) (*ecrpublic.DescribeImageTagsOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	tags, next, err := a.registry.DescribeImageTags(ctx, c.Caller, registry.DescribeImageTagsInput{
		Ref: ref, Page: page(in.NextToken, in.MaxResults),
	})
	if err != nil {
		return nil, err
	}
	out := &ecrpublic.DescribeImageTagsOutput{ImageTagDetails: []types.ImageTagDetail{}, NextToken: nextToken(next)}
	for _, t := range tags {
		d := string(t.Image.Digest)
		out.ImageTagDetails = append(out.ImageTagDetails, types.ImageTagDetail{
			ImageTag: &t.Tag, CreatedAt: &t.TaggedAt,
			ImageDetail: &types.ReferencedImageDetail{
				ImageDigest: &d, ImageSizeInBytes: &t.Image.Size, ImagePushedAt: &t.Image.PushedAt,
				ImageManifestMediaType: &t.Image.MediaType, ArtifactMediaType: optional(t.Image.ArtifactType),
			},
		})
	}
	return out, nil
}

func imageIDs(in []types.ImageIdentifier) []registry.ImageID {
	var out []registry.ImageID
	for _, id := range in {
		out = append(out, registry.ImageID{Digest: digest.Digest(value(id.ImageDigest)), Tag: value(id.ImageTag)})
	}
	return out
}

func identifier(id registry.ImageID) *types.ImageIdentifier {
	return &types.ImageIdentifier{ImageDigest: optional(string(id.Digest)), ImageTag: optional(id.Tag)}
}

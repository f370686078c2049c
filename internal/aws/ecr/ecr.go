// Package ecr is the front for Amazon ECR's API: a method for each operation,
// with the SDK's types, that calls one verb of package registry.
package ecr

import (
	_ "embed"
	"time"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/registry"
)

//go:embed model.json
var model []byte

// Options are what a front is made of. All are required.
type Options struct {
	Registry *registry.Registry
	Hosts    *registry.Hosts
	// LinkURL returns the path and query of a download link.
	LinkURL func(registry.Link) string
}

// API has the operations of Amazon ECR. It is safe for concurrent use.
type API struct {
	registry *registry.Registry
	hosts    *registry.Hosts
	linkURL  func(registry.Link) string
}

// New returns the API.
func New(o Options) *API { return &API{o.Registry, o.Hosts, o.LinkURL} }

// The greatest bodies, in bytes: a manifest of 4 MiB as an escaped string, and a
// part of 20 MiB in base64.
const (
	maxPutImage   = 16 << 20
	maxUploadPart = 29 << 20
)

// Service returns the table of all operations that the SDK has.
func (a *API) Service() (aws.Service[access.Call], error) {
	m, err := aws.ParseModel(model)
	return aws.Service[access.Call]{
		Name: "ecr", TargetPrefix: "AmazonEC2ContainerRegistry_V20150921", Model: m,
		Operations: append([]aws.Operation[access.Call]{
			aws.Op("BatchCheckLayerAvailability", a.BatchCheckLayerAvailability),
			aws.Op("BatchDeleteImage", a.BatchDeleteImage),
			aws.Op("BatchGetImage", a.BatchGetImage),
			aws.Op("BatchGetRepositoryScanningConfiguration", a.BatchGetRepositoryScanningConfiguration),
			aws.Op("CompleteLayerUpload", a.CompleteLayerUpload),
			aws.Op("CreatePullThroughCacheRule", a.CreatePullThroughCacheRule),
			aws.Op("CreateRepository", a.CreateRepository),
			aws.Op("CreateRepositoryCreationTemplate", a.CreateRepositoryCreationTemplate),
			aws.Op("DeleteLifecyclePolicy", a.DeleteLifecyclePolicy),
			aws.Op("DeletePullThroughCacheRule", a.DeletePullThroughCacheRule),
			aws.Op("DeleteRegistryPolicy", a.DeleteRegistryPolicy),
			aws.Op("DeleteRepository", a.DeleteRepository),
			aws.Op("DeleteRepositoryCreationTemplate", a.DeleteRepositoryCreationTemplate),
			aws.Op("DeleteRepositoryPolicy", a.DeleteRepositoryPolicy),
			aws.Op("DeleteSigningConfiguration", a.DeleteSigningConfiguration),
			aws.Op("DeregisterPullTimeUpdateExclusion", a.DeregisterPullTimeUpdateExclusion),
			aws.Op("DescribeImageReplicationStatus", a.DescribeImageReplicationStatus),
			aws.Op("DescribeImageScanFindings", a.DescribeImageScanFindings),
			aws.Op("DescribeImageSigningStatus", a.DescribeImageSigningStatus),
			aws.Op("DescribeImages", a.DescribeImages),
			aws.Op("DescribePullThroughCacheRules", a.DescribePullThroughCacheRules),
			aws.Op("DescribeRegistry", a.DescribeRegistry),
			aws.Op("DescribeReplicationBackfillResults", a.DescribeReplicationBackfillResults),
			aws.Op("DescribeRepositories", a.DescribeRepositories),
			aws.Op("DescribeRepositoryCreationTemplates", a.DescribeRepositoryCreationTemplates),
			aws.Op("GetAccountSetting", a.GetAccountSetting),
			aws.Op("GetAuthorizationToken", a.GetAuthorizationToken),
			aws.Op("GetDownloadUrlForLayer", a.GetDownloadUrlForLayer),
			aws.Op("GetLifecyclePolicy", a.GetLifecyclePolicy),
			aws.Op("GetLifecyclePolicyPreview", a.GetLifecyclePolicyPreview),
			aws.Op("GetRegistryPolicy", a.GetRegistryPolicy),
			aws.Op("GetRegistryScanningConfiguration", a.GetRegistryScanningConfiguration),
			aws.Op("GetRepositoryPolicy", a.GetRepositoryPolicy),
			aws.Op("GetSigningConfiguration", a.GetSigningConfiguration),
			aws.Op("InitiateLayerUpload", a.InitiateLayerUpload),
			aws.Op("ListImageReferrers", a.ListImageReferrers),
			aws.Op("ListImages", a.ListImages),
			aws.Op("ListPullTimeUpdateExclusions", a.ListPullTimeUpdateExclusions),
			aws.Op("ListReplicationBackfills", a.ListReplicationBackfills),
			aws.Op("ListTagsForResource", a.ListTagsForResource),
			aws.Op("PutAccountSetting", a.PutAccountSetting),
			aws.Op("PutImage", a.PutImage).WithMaxBody(maxPutImage),
			aws.Op("PutImageScanningConfiguration", a.PutImageScanningConfiguration),
			aws.Op("PutImageTagMutability", a.PutImageTagMutability),
			aws.Op("PutLifecyclePolicy", a.PutLifecyclePolicy),
			aws.Op("PutRegistryPolicy", a.PutRegistryPolicy),
			aws.Op("PutRegistryScanningConfiguration", a.PutRegistryScanningConfiguration),
			aws.Op("PutReplicationConfiguration", a.PutReplicationConfiguration),
			aws.Op("PutSigningConfiguration", a.PutSigningConfiguration),
			aws.Op("RegisterPullTimeUpdateExclusion", a.RegisterPullTimeUpdateExclusion),
			aws.Op("SetRepositoryPolicy", a.SetRepositoryPolicy),
			aws.Op("StartLifecyclePolicyPreview", a.StartLifecyclePolicyPreview),
			aws.Op("StopReplicationBackfill", a.StopReplicationBackfill),
			aws.Op("TagResource", a.TagResource),
			aws.Op("UntagResource", a.UntagResource),
			aws.Op("UpdateImageStorageClass", a.UpdateImageStorageClass),
			aws.Op("UpdatePullThroughCacheRule", a.UpdatePullThroughCacheRule),
			aws.Op("UpdateRepositoryCreationTemplate", a.UpdateRepositoryCreationTemplate),
			aws.Op("UploadLayerPart", a.UploadLayerPart).WithMaxBody(maxUploadPart),
		}, refused()...),
	}, err
}

// refused are the operations that Berth does not have yet. To accept what they
// configure and not to act on it would be worse.
func refused() []aws.Operation[access.Call] {
	var out []aws.Operation[access.Call]
	for reason, names := range map[string][]string{
		"scanning is not implemented yet": {
			"StartImageScan",
		},
		"replication is not implemented yet": {
			"StartReplicationBackfill",
		},
		"the pull-through cache is not implemented yet": {
			"ValidatePullThroughCacheRule",
		},
	} {
		for _, name := range names {
			out = append(out, aws.Operation[access.Call]{Name: name, Refused: reason})
		}
	}
	return out
}

// registryOf returns the registry that a call is about: that of the account
// given, else the caller's, in the region that the call was signed for.
func registryOf(c access.Call, account *string) registry.ID {
	if account == nil {
		return registry.ID{Account: c.Account, Region: c.Region}
	}
	return registry.ID{Account: *account, Region: c.Region}
}

// refOf returns the repository that a call is about.
func refOf(c access.Call, account, name *string) (registry.Ref, error) {
	n, err := registry.ParseRepositoryName(value(name))
	return registry.Ref{ID: registryOf(c, account), Name: n}, err
}

// value returns what a member holds, or the zero value if it is absent.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// optional returns a member that is absent if it is empty.
func optional[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// optionalTime returns a member that is absent if the time is zero.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// page returns the paging members of an input.
func page(token *string, max *int32) registry.Page {
	return registry.Page{Token: registry.NextToken(value(token)), Max: int(value(max))}
}

// nextToken returns the paging member of an output.
func nextToken(t registry.NextToken) *string { return optional(string(t)) }

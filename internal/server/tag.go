package server

import (
	"context"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// The operations on the history of a tag:
//
//	POST /_berth/v1/tags/history {"repositoryName": "app", "imageTag": "v1", "maxResults": 100, "nextToken": "..."}
//	200  {"changes": [{"time": "...", "imageDigest": "sha256:...", "principal": "arn:..."}], "nextToken": "..."}
//
//	POST /_berth/v1/tags/rollback {"repositoryName": "app", "imageTag": "v1", "imageDigest": "sha256:..."}
//	200  {"imageTag": "v1", "imageDigest": "sha256:...", "previousImageDigest": "sha256:..."}
//
// Changes are the newest first. Without a digest, the tag goes back to the image
// that it was on before. Both are signed, and answer errors, as ECR's operations
// are. The caller must be allowed ecr:DescribeImages, or ecr:PutImage.
const (
	TagHistoryPath  = "/_berth/v1/tags/history"
	TagRollbackPath = "/_berth/v1/tags/rollback"
)

// TagHistoryRequest is the body of a request to TagHistoryPath.
type TagHistoryRequest struct {
	RegistryID     *string            `json:"registryId,omitempty"` // the caller's account if nil
	RepositoryName string             `json:"repositoryName"`
	Tag            string             `json:"imageTag"`
	MaxResults     *int               `json:"maxResults,omitempty"` // from 1 to 1,000; 100 if it is not given
	NextToken      registry.NextToken `json:"nextToken,omitempty"`
}

// TagHistoryResponse is the answer.
type TagHistoryResponse struct {
	Changes   []registry.TagChange `json:"changes"`
	NextToken registry.NextToken   `json:"nextToken,omitempty"`
}

// TagRollbackRequest is the body of a request to TagRollbackPath.
type TagRollbackRequest struct {
	RegistryID     *string        `json:"registryId,omitempty"` // the caller's account if nil
	RepositoryName string         `json:"repositoryName"`
	Tag            string         `json:"imageTag"`
	Digest         *digest.Digest `json:"imageDigest,omitempty"` // the one before the present one if nil
}

const (
	tagHistory  = "TagHistory"
	rollbackTag = "RollbackTag"
)

// tagHistory lists the history of a tag for a caller.
func (s *Server) tagHistory(ctx context.Context, c access.Call, in TagHistoryRequest) (TagHistoryResponse, error) {
	ref, err := repositoryOf(c, in.RegistryID, in.RepositoryName)
	page := registry.Page{Token: in.NextToken}
	if in.MaxResults != nil {
		if page.Max = *in.MaxResults; err == nil && (page.Max < 1 || page.Max > registry.TagHistoryLength) {
			err = errParameter("maxResults", "must be between 1 and 1000")
		}
	}
	if err != nil {
		s.refused(c, "ecr", tagHistory, err)
		return TagHistoryResponse{}, err
	}
	changes, next, err := s.registry.TagHistory(ctx, c.Caller, registry.TagHistoryInput{Ref: ref, Tag: in.Tag, Page: page})
	return TagHistoryResponse{append([]registry.TagChange{}, changes...), next}, err
}

// rollbackTag moves a tag back for a caller.
func (s *Server) rollbackTag(ctx context.Context, c access.Call, in TagRollbackRequest) (registry.Rollback, error) {
	back := registry.RollbackTagInput{Tag: in.Tag}
	var err error
	back.Ref, err = repositoryOf(c, in.RegistryID, in.RepositoryName)
	if in.Digest != nil {
		if back.Digest = *in.Digest; err == nil && back.Digest == "" {
			err = errParameter("imageDigest", "must not be empty")
		}
	}
	if err != nil {
		s.refused(c, "ecr", rollbackTag, err)
		return registry.Rollback{}, err
	}
	return s.registry.RollbackTag(ctx, c.Caller, back)
}

// registryOf returns the registry that a request of an operation of ours is
// about, as a reference without a name: the caller's account's unless it names
// one, in the region that it is signed for.
func registryOf(c access.Call, registryID *string) (registry.Ref, error) {
	ref := registry.Ref{ID: registry.ID{Account: c.Account, Region: c.Region}}
	if registryID == nil {
		return ref, nil
	}
	if ref.Account = *registryID; !registry.ValidAccount(ref.Account) {
		return ref, errParameter("registryId", "must satisfy regular expression [0-9]{12}")
	}
	return ref, nil
}

// repositoryOf returns the repository that such a request is about.
func repositoryOf(c access.Call, registryID *string, name string) (registry.Ref, error) {
	ref, err := registryOf(c, registryID)
	if err == nil {
		ref.Name, err = registry.ParseRepositoryName(name)
	}
	return ref, err
}

func errParameter(field, constraint string) error {
	return fault.New(fault.Invalid, "InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", field, constraint)
}

package server

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// Where deleted images and repositories are listed and restored:
//
//	POST /_berth/v1/deleted/images               {"repositoryName": "app"}
//	200  {"images": [{"imageDigest": "sha256:...", "imageTags": ["v1"], "imagePushedAt": "...", "deletedAt": "...",
//	     "restorableUntil": "...", "deletedBy": "arn:..."}], "nextToken": "..."}
//	POST /_berth/v1/deleted/repositories         {}
//	200  {"repositories": [{"repositoryName": "app", "repositoryUid": "...", "createdAt": "...", "deletedAt": "...",
//	     "restorableUntil": "...", "deletedBy": "arn:..."}], "nextToken": "..."}
//	POST /_berth/v1/deleted/images/restore       {"repositoryName": "app", "imageDigest": "sha256:...", "imageTags": ["v1"]}
//	200  {"images": [{"imageDigest": "sha256:...", "imageTags": ["v1"], "imageTagsTaken": []}]}
//	POST /_berth/v1/deleted/repositories/restore {"repositoryName": "app", "repositoryUid": "..."}
//	200  {"repositoryName": "app", "repositoryUid": "...", "repositoryArn": "arn:...", "createdAt": "..."}
//
// They are signed, and answer errors, as ECR's operations do. Every request may
// also have registryId, and public for the account's public registry. Callers must
// be allowed ecr:DescribeImages, ecr:DescribeRepositories, ecr:PutImage and
// ecr:CreateRepository.
const (
	DeletedImagesPath       = "/_berth/v1/deleted/images"
	DeletedRepositoriesPath = "/_berth/v1/deleted/repositories"
	RestoreImagePath        = "/_berth/v1/deleted/images/restore"
	RestoreRepositoryPath   = "/_berth/v1/deleted/repositories/restore"
)

// Target names the registry and the repository that a request is about.
type Target struct {
	RegistryID     string `json:"registryId,omitempty"` // the caller's account if ""
	RepositoryName string `json:"repositoryName,omitempty"`
	Public         bool   `json:"public,omitempty"` // the public registry, not the one of the region
}

// id returns the registry that a request is about.
func (s *Server) id(c access.Call, t Target) (registry.ID, error) {
	id := registry.ID{Account: c.Account, Region: c.Region}
	if t.Public {
		id.Region = registry.PublicRegion
	}
	if t.Public && s.config.Public == "off" {
		return id, invalid("public", "this server has no public registries")
	}
	if t.RegistryID == "" {
		return id, nil
	}
	if id.Account = t.RegistryID; !registry.ValidAccount(id.Account) {
		return id, invalid("registryId", "must satisfy regular expression [0-9]{12}")
	}
	return id, nil
}

// ref returns the repository that a request is about.
func (s *Server) ref(c access.Call, t Target) (registry.Ref, error) {
	id, err := s.id(c, t)
	if err != nil {
		return registry.Ref{}, err
	}
	name, err := registry.ParseRepositoryName(t.RepositoryName)
	return registry.Ref{ID: id, Name: name}, err
}

// malformed records a request that no verb sees, and returns its error.
func (s *Server) malformed(c access.Call, operation string, t Target, err error) error {
	service := "ecr"
	if t.Public {
		service = "ecr-public"
	}
	s.refused(c, service, operation, err)
	return err
}

func invalid(field, constraint string) error {
	return fault.New(fault.Invalid, "InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", field, constraint)
}

// Paging says which part of a list is wanted, as in ECR's operations.
type Paging struct {
	MaxResults *int   `json:"maxResults,omitempty"` // 1 to 1000; 100 if nil
	NextToken  string `json:"nextToken,omitempty"`
}

func (p Paging) page() (registry.Page, error) {
	out := registry.Page{Token: registry.NextToken(p.NextToken)}
	if p.MaxResults == nil {
		return out, nil
	}
	if out.Max = *p.MaxResults; out.Max < 1 || out.Max > 1000 {
		return out, invalid("maxResults", "must be between 1 and 1000")
	}
	return out, nil
}

// DeletedImagesRequest is the body of a request to DeletedImagesPath.
type DeletedImagesRequest struct {
	Target
	Paging
	RepositoryUID string `json:"repositoryUid,omitempty"` // of a deleted repository
}

// DeletedImagesResponse is the answer.
type DeletedImagesResponse struct {
	Images    []DeletedImage `json:"images"`
	NextToken string         `json:"nextToken,omitempty"`
}

// DeletedImage is an image that can be restored.
type DeletedImage struct {
	Digest   digest.Digest `json:"imageDigest"`
	Tags     []string      `json:"imageTags"`
	PushedAt time.Time     `json:"imagePushedAt"`
	Deletion
}

// Deletion says when something was deleted, by whom, and until when it can be
// restored.
type Deletion struct {
	DeletedAt       time.Time `json:"deletedAt"`
	RestorableUntil time.Time `json:"restorableUntil"`
	DeletedBy       string    `json:"deletedBy,omitempty"` // a principal's ARN
}

func (s *Server) listDeletedImages(ctx context.Context, c access.Call, in DeletedImagesRequest) (DeletedImagesResponse, error) {
	out := DeletedImagesResponse{Images: []DeletedImage{}}
	ref, err := s.ref(c, in.Target)
	if err != nil {
		return out, s.malformed(c, "ListDeletedImages", in.Target, err)
	}
	page, err := in.page()
	if err != nil {
		return out, s.malformed(c, "ListDeletedImages", in.Target, err)
	}
	images, next, err := s.registry.ListDeletedImages(ctx, c.Caller, registry.ListDeletedImagesInput{Ref: ref, UID: in.RepositoryUID, Page: page})
	out.NextToken = string(next)
	for _, i := range images {
		out.Images = append(out.Images, DeletedImage{
			i.Digest, append([]string{}, i.Tags...), i.PushedAt, Deletion{i.DeletedAt, i.RestorableUntil, i.DeletedBy},
		})
	}
	return out, err
}

// DeletedRepositoriesRequest is the body of a request to DeletedRepositoriesPath.
type DeletedRepositoriesRequest struct {
	Target // without a name
	Paging
}

// DeletedRepositoriesResponse is the answer.
type DeletedRepositoriesResponse struct {
	Repositories []DeletedRepository `json:"repositories"`
	NextToken    string              `json:"nextToken,omitempty"`
}

// DeletedRepository is a repository that can be restored.
type DeletedRepository struct {
	Name      registry.RepositoryName `json:"repositoryName"`
	UID       string                  `json:"repositoryUid"`
	CreatedAt time.Time               `json:"createdAt"`
	Deletion
}

func (s *Server) listDeletedRepositories(ctx context.Context, c access.Call, in DeletedRepositoriesRequest) (DeletedRepositoriesResponse, error) {
	out := DeletedRepositoriesResponse{Repositories: []DeletedRepository{}}
	id, err := s.id(c, in.Target)
	if err != nil {
		return out, s.malformed(c, "ListDeletedRepositories", in.Target, err)
	}
	page, err := in.page()
	if err != nil {
		return out, s.malformed(c, "ListDeletedRepositories", in.Target, err)
	}
	repos, next, err := s.registry.ListDeletedRepositories(ctx, c.Caller, registry.ListDeletedRepositoriesInput{ID: id, Page: page})
	out.NextToken = string(next)
	for _, r := range repos {
		out.Repositories = append(out.Repositories, DeletedRepository{r.Name, r.UID, r.CreatedAt, Deletion{r.DeletedAt, r.RestorableUntil, r.DeletedBy}})
	}
	return out, err
}

// RestoreImageRequest is the body of a request to RestoreImagePath.
type RestoreImageRequest struct {
	Target
	Digest digest.Digest `json:"imageDigest"`
	Tags   []string      `json:"imageTags,omitzero"` // those that it had if nil
}

// RestoreImageResponse is the answer: the image, and those that came back with it.
type RestoreImageResponse struct {
	Images []registry.RestoredImage `json:"images"`
}

func (s *Server) restoreImage(ctx context.Context, c access.Call, in RestoreImageRequest) (RestoreImageResponse, error) {
	ref, err := s.ref(c, in.Target)
	if err != nil {
		return RestoreImageResponse{}, s.malformed(c, "RestoreImage", in.Target, err)
	}
	images, err := s.registry.RestoreImage(ctx, c.Caller, registry.RestoreImageInput{Ref: ref, Digest: in.Digest, Tags: in.Tags})
	return RestoreImageResponse{images}, err
}

// RestoreRepositoryRequest is the body of a request to RestoreRepositoryPath.
type RestoreRepositoryRequest struct {
	Target
	UID string `json:"repositoryUid,omitempty"` // the one of that name that was deleted last if ""
}

// RestoreRepositoryResponse is the answer.
type RestoreRepositoryResponse struct {
	Name      registry.RepositoryName `json:"repositoryName"`
	UID       string                  `json:"repositoryUid"`
	ARN       string                  `json:"repositoryArn"`
	CreatedAt time.Time               `json:"createdAt"`
}

func (s *Server) restoreRepository(ctx context.Context, c access.Call, in RestoreRepositoryRequest) (RestoreRepositoryResponse, error) {
	ref, err := s.ref(c, in.Target)
	if err != nil {
		return RestoreRepositoryResponse{}, s.malformed(c, "RestoreRepository", in.Target, err)
	}
	repo, err := s.registry.RestoreRepository(ctx, c.Caller, registry.RestoreRepositoryInput{Ref: ref, UID: in.UID})
	if err != nil {
		return RestoreRepositoryResponse{}, err
	}
	return RestoreRepositoryResponse{repo.Name, repo.UID, repo.ARN(), repo.CreatedAt}, nil
}

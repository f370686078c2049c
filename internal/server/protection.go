package server

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"
)

// ProtectionPath is where a repository is protected against deletion:
//
//	POST {"repositoryName": "app", "enabled": true}, or without enabled to ask
//	200  {"repositoryName": "app", "enabled": true}
//
// It is signed, and answers errors, as ECR's operations do. The caller must be
// allowed ecr:DeleteRepository, to ask ecr:DescribeRepositories.
const ProtectionPath = "/_berth/v1/repository/protection"

// ProtectionRequest is the body of a request to ProtectionPath.
type ProtectionRequest struct {
	Target
	Enabled *bool `json:"enabled,omitempty"` // nil changes nothing
}

// ProtectionResponse is the answer.
type ProtectionResponse struct {
	Name    registry.RepositoryName `json:"repositoryName"`
	Enabled bool                    `json:"enabled"`
}

// repositoryProtection is what the operation is called in the records of requests
// of which it is not known what they want to do about it.
const repositoryProtection = "RepositoryProtection"

func (s *Server) repositoryProtection(ctx context.Context, c access.Call, in ProtectionRequest) (ProtectionResponse, error) {
	ref, err := s.ref(c, in.Target)
	if err != nil {
		return ProtectionResponse{}, s.malformed(c, repositoryProtection, in.Target, err)
	}
	if in.Enabled == nil {
		enabled, err := s.registry.GetRepositoryProtection(ctx, c.Caller, ref)
		return ProtectionResponse{ref.Name, enabled}, err
	}
	err = s.registry.PutRepositoryProtection(ctx, c.Caller, registry.PutRepositoryProtectionInput{Ref: ref, Enabled: *in.Enabled})
	return ProtectionResponse{ref.Name, *in.Enabled}, err
}

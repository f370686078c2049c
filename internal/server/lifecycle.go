package server

import (
	"context"
	"net/http"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"
)

// LifecyclePath is where lifecycle policies are carried out on demand:
//
//	POST {"repositoryName": "app"}, or {} for all of the registry
//	200  {"runs": [{"repositoryName": "app", "expired": 2, "archived": 0, "kept": 10, "lastEvaluatedAt": "..."}]}
//
// It is signed, and answers errors, as ECR's operations do. The caller must be
// allowed ecr:PutLifecyclePolicy.
const LifecyclePath = "/_berth/v1/lifecycle/run"

// LifecycleRequest is the body of a request to LifecyclePath.
type LifecycleRequest struct {
	RegistryID     string `json:"registryId,omitempty"`     // the caller's account if ""
	RepositoryName string `json:"repositoryName,omitempty"` // all repositories that have a policy if ""
}

// LifecycleResponse is the answer.
type LifecycleResponse struct {
	Runs []registry.LifecycleRun `json:"runs"`
}

// runLifecycle carries out lifecycle policies for a caller.
func (s *Server) runLifecycle(ctx context.Context, c access.Call, in LifecycleRequest) (LifecycleResponse, error) {
	ref := registry.Ref{ID: registry.ID{Account: c.Account, Region: c.Region}}
	if in.RegistryID != "" {
		if ref.Account = in.RegistryID; !registry.ValidAccount(ref.Account) {
			return LifecycleResponse{}, fault.New(fault.Invalid, "InvalidParameterException",
				"Invalid parameter at 'registryId' failed to satisfy constraint: 'must satisfy regular expression [0-9]{12}'")
		}
	}
	if in.RepositoryName != "" {
		var err error
		if ref.Name, err = registry.ParseRepositoryName(in.RepositoryName); err != nil {
			return LifecycleResponse{}, err
		}
	}
	runs, err := s.registry.RunLifecyclePolicies(ctx, c.Caller, registry.RunLifecyclePoliciesInput{Ref: ref})
	return LifecycleResponse{runs}, err
}

// lifecycleFailed tells the operator that the background work has failed.
func (s *Server) lifecycleFailed(err error) {
	s.log.Warn("lifecycle policy not carried out; will be tried again", "error", err)
}

// extensions are the signed operations that ECR does not have, by path.
func (s *Server) extensions(verify verifier) map[string]http.Handler {
	return map[string]http.Handler{LifecyclePath: extension(s, verify, s.runLifecycle)}
}

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
// A run that fails has an "error" as well. The request is signed, and errors are
// answered, as those of ECR's operations are. The caller must be allowed
// ecr:PutLifecyclePolicy; repositories for which he is not are left out of all.
const LifecyclePath = "/_berth/v1/lifecycle/run"

// LifecycleRequest is the body of a request to LifecyclePath.
type LifecycleRequest struct {
	RegistryID     *string `json:"registryId,omitempty"`     // the caller's account if nil
	RepositoryName *string `json:"repositoryName,omitempty"` // all repositories that have a policy if nil
}

// ref returns what the request is about.
func (in LifecycleRequest) ref(c access.Call) (registry.Ref, error) {
	ref, err := registryOf(c, in.RegistryID)
	if err != nil || in.RepositoryName == nil {
		return ref, err
	}
	ref.Name, err = registry.ParseRepositoryName(*in.RepositoryName)
	return ref, err
}

// LifecycleResponse is the answer.
type LifecycleResponse struct {
	Runs []LifecycleRun `json:"runs"`
}

// LifecycleRun is what was done to one repository.
type LifecycleRun struct {
	registry.LifecycleRun
	Error string `json:"error,omitempty"` // why the policy was not carried out to the end
}

const runLifecyclePolicies = "RunLifecyclePolicies"

// runLifecycle carries out lifecycle policies for a caller.
func (s *Server) runLifecycle(ctx context.Context, c access.Call, in LifecycleRequest) (LifecycleResponse, error) {
	ref, err := in.ref(c)
	if err != nil {
		s.refused(c, "ecr", runLifecyclePolicies, err)
		return LifecycleResponse{}, err
	}
	runs, err := s.registry.RunLifecyclePolicies(ctx, c.Caller, registry.RunLifecyclePoliciesInput{Ref: ref})
	out := LifecycleResponse{Runs: []LifecycleRun{}}
	for _, run := range runs {
		one := LifecycleRun{LifecycleRun: run}
		if f, ok := fault.As(run.Err); ok && f.Kind != fault.Internal {
			one.Error = f.Code + ": " + f.Message
		} else if run.Err != nil {
			s.lifecycleFailed(run.Err)
			one.Error = "internal error"
		}
		out.Runs = append(out.Runs, one)
	}
	return out, err
}

// lifecycleFailed tells the operator that the background work has failed.
func (s *Server) lifecycleFailed(err error) {
	s.log.Warn("lifecycle policy not carried out; will be tried again", "error", err)
}

// extensions are the signed operations that ECR does not have, by path.
func (s *Server) extensions(verify verifier) map[string]http.Handler {
	return map[string]http.Handler{
		LifecyclePath:           extension(s, verify, runLifecyclePolicies, s.runLifecycle),
		BacktestPath:            extension(s, verify, backtestLifecyclePolicy, s.backtest),
		TagHistoryPath:          extension(s, verify, tagHistory, s.tagHistory),
		TagRollbackPath:         extension(s, verify, rollbackTag, s.rollbackTag),
		DeletedImagesPath:       extension(s, verify, "ListDeletedImages", s.listDeletedImages),
		DeletedRepositoriesPath: extension(s, verify, "ListDeletedRepositories", s.listDeletedRepositories),
		RestoreImagePath:        extension(s, verify, "RestoreImage", s.restoreImage),
		RestoreRepositoryPath:   extension(s, verify, "RestoreRepository", s.restoreRepository),
		ProtectionPath:          extension(s, verify, repositoryProtection, s.repositoryProtection),
		AccountPath:             extension(s, verify, "CreateAccount", s.createAccount),
		TokenPath:               extension(s, verify, "CreateToken", s.createToken),
		SessionsPath:            extension(s, verify, "ListSessions", s.listSessions),
		RevokePath:              extension(s, verify, "RevokeSession", s.revokeSession),
		BindingPath:             extension(s, verify, "PutServiceBinding", s.putBinding),
		BindingsPath:            extension(s, verify, "ListServiceBindings", s.listBindings),
		UnbindingPath:           extension(s, verify, "DeleteServiceBinding", s.deleteBinding),
		ExplainPath:             extension(s, verify, explainDecision, s.explain),
		RotatePath:              extension(s, verify, "RotateKeys", s.rotate),
		DecisionPath:            extension(s, verify, "GetDecision", s.decision),
		MigratePath:             extension(s, verify, "MigrateStorage", s.migrate),
		GCRunPath:               extension(s, verify, "RunGarbageCollection", s.runGarbage),
		GCStatusPath:            extension(s, verify, "GetGarbageCollection", s.garbageStatus),
		GCExplainPath:           extension(s, verify, "ExplainGarbageCollection", s.explainGarbage),
		ScrubRunPath:            extension(s, verify, "RunScrub", s.runScrub),
		ScrubStatusPath:         extension(s, verify, "GetScrub", s.scrubStatus),
		MaintenanceOnPath:       extension(s, verify, "StartMaintenance", s.maintenanceOn),
		MaintenanceOffPath:      extension(s, verify, "EndMaintenance", s.maintenanceOff),
		MaintenanceStatusPath:   extension(s, verify, "GetMaintenance", s.maintenanceStatus),
		QuotaListPath:           extension(s, verify, "ListServiceQuotaRequests", s.listQuotaRequests),
		QuotaApprovePath:        extension(s, verify, decideQuotaRequest, s.approveQuotaRequest),
		QuotaDenyPath:           extension(s, verify, decideQuotaRequest, s.denyQuotaRequest),
	}
}

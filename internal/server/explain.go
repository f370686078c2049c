package server

import (
	"context"
	"strings"

	"berth/internal/access"
	"berth/internal/audit"
	"berth/internal/identity"
	"berth/internal/policy"
	"berth/internal/registry"
)

// The operations that explain decisions about access:
//
//	POST /_berth/v1/iam/explain {"principal": "arn:...", "action": "ecr:PutImage", "resource": "arn:...", "context": {"aws:SourceIp": ["10.0.0.1"]}}
//	200  {"principal": "arn:...", "action": "...", "resource": "...", "message": "...", "allowed": false, "reason": "no-allow",
//	      "by": {"kind": "identity"}, "policies": [{"kind": "identity", "policy": "user/alice/push", "statements": [...]}]}
//
//	POST /_berth/v1/iam/decision {"decisionId": "..."}
//	200  {"decisionId": "...", "time": "...", "principal": "arn:...", "action": "...", ..., "explanation": {...}}
//
// Both are signed, and answer errors, as ECR's operations do. The first says what
// would be decided now, for a principal and a resource of the caller's account; the
// caller must be allowed iam:SimulatePrincipalPolicy on the principal. The second
// says why a request was refused whose answer had the id; the caller must be
// allowed berth:GetDecision, and the request must have been by, or about something
// of, the caller's account.
const (
	ExplainPath  = "/_berth/v1/iam/explain"
	DecisionPath = "/_berth/v1/iam/decision"
)

// ExplainRequest is the body of a request to ExplainPath.
type ExplainRequest struct {
	Principal string              `json:"principal"`
	Action    string              `json:"action"`
	Resource  string              `json:"resource"`
	Context   map[string][]string `json:"context,omitempty"`
}

// ExplainResponse is the answer.
type ExplainResponse struct {
	Principal string `json:"principal"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	Message   string `json:"message,omitempty"` // what the caller would be told, if the request is refused
	policy.Explanation
}

// DecisionRequest is the body of a request to DecisionPath.
type DecisionRequest struct {
	DecisionID string `json:"decisionId"`
}

const explainDecision = "ExplainDecision"

// explain explains to a caller what would be decided.
func (s *Server) explain(ctx context.Context, c access.Call, in ExplainRequest) (ExplainResponse, error) {
	out := ExplainResponse{Principal: in.Principal, Action: in.Action, Resource: in.Resource}
	ask := identity.Hypothetical{Principal: in.Principal, Action: in.Action, Resource: in.Resource, Context: in.Context}
	subject, err := s.directory.Subject(ctx, c, ask)
	if err != nil {
		return out, err
	}
	a, _ := policy.ParseARN(in.Resource)
	if a.Service == "ecr" || a.Service == "ecr-public" || in.Resource == "*" && strings.HasPrefix(in.Action, "ecr:") {
		out.Explanation, err = s.registry.Explain(ctx, c, registry.ExplainInput{
			Caller: subject, Action: in.Action, Resource: in.Resource, Context: in.Context,
		})
	} else {
		out.Explanation, err = s.directory.Explain(ctx, subject, ask)
	}
	if !out.Allowed {
		out.Message = access.Sentence(access.Request{Caller: subject, Action: in.Action, Resource: in.Resource}, out.Decision)
	}
	return out, err
}

// decision tells a caller why a request was refused.
func (s *Server) decision(ctx context.Context, c access.Call, in DecisionRequest) (*audit.Decision, error) {
	return s.decisions.GetDecision(ctx, c, in.DecisionID)
}

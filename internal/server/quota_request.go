package server

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/registry"
)

// Where requests for greater quotas are decided about:
//
//	POST /_berth/v1/quota/list    {"status": "PENDING"}, or without a status for all
//	200  {"requests": [{"requestId": "...", "accountId": "...", "region": "...", "quotaCode": "L-...", "quotaName": "...",
//	     "desiredValue": 200000, "status": "PENDING", "requester": "arn:...", "createdAt": "..."}], "nextToken": "..."}
//	POST /_berth/v1/quota/approve {"requestId": "..."}
//	POST /_berth/v1/quota/deny    {"requestId": "..."}
//	200  the request, as in the list
//
// They are signed, and answer errors, as ECR's operations do. The caller must be
// the administrator, the root of the first account, or be allowed
// servicequotas:ListServiceQuotaRequests or servicequotas:DecideServiceQuotaRequest
// there.
const (
	QuotaListPath    = "/_berth/v1/quota/list"
	QuotaApprovePath = "/_berth/v1/quota/approve"
	QuotaDenyPath    = "/_berth/v1/quota/deny"
)

// QuotaListRequest is the body of a request to QuotaListPath.
type QuotaListRequest struct {
	Paging
	Status string `json:"status,omitempty"` // PENDING, APPROVED or DENIED; all if ""
}

// QuotaListResponse is the answer.
type QuotaListResponse struct {
	Requests  []QuotaRequest `json:"requests"`
	NextToken string         `json:"nextToken,omitempty"`
}

// QuotaRequest is a request for a greater value of a quota.
type QuotaRequest struct {
	RequestID string    `json:"requestId"`
	AccountID string    `json:"accountId"`
	Region    string    `json:"region"`
	Code      string    `json:"quotaCode"`
	Name      string    `json:"quotaName"`
	Desired   int64     `json:"desiredValue"`
	Status    string    `json:"status"`
	Requester string    `json:"requester"`
	CreatedAt time.Time `json:"createdAt"`
}

// QuotaDecisionRequest is the body of a request to QuotaApprovePath and
// QuotaDenyPath.
type QuotaDecisionRequest struct {
	RequestID string `json:"requestId"`
}

const decideQuotaRequest = "DecideServiceQuotaRequest"

func quotaRequest(q registry.QuotaRequest) QuotaRequest {
	return QuotaRequest{
		q.RequestID, q.Account, q.Region, q.Code, registry.QuotaOf(q.Code).Title, q.Desired, q.Status, q.Requester, q.CreatedAt,
	}
}

func (s *Server) listQuotaRequests(ctx context.Context, c access.Call, in QuotaListRequest) (QuotaListResponse, error) {
	out := QuotaListResponse{Requests: []QuotaRequest{}}
	page, err := in.page()
	switch in.Status {
	case "", registry.QuotaPending, registry.QuotaApproved, registry.QuotaDenied:
	default:
		err = invalid("status", "Member must satisfy enum value set: [PENDING, APPROVED, DENIED]")
	}
	if err != nil {
		s.refused(c, "servicequotas", "ListServiceQuotaRequests", err)
		return out, err
	}
	list, next, err := s.registry.QuotaRequests(ctx, c.Caller, c.Region, registry.QuotaRequestsInput{Status: in.Status, Page: page})
	out.NextToken = string(next)
	for _, q := range list {
		out.Requests = append(out.Requests, quotaRequest(q))
	}
	return out, err
}

func (s *Server) approveQuotaRequest(ctx context.Context, c access.Call, in QuotaDecisionRequest) (QuotaRequest, error) {
	return s.decideQuotaRequest(ctx, c, in, true)
}

func (s *Server) denyQuotaRequest(ctx context.Context, c access.Call, in QuotaDecisionRequest) (QuotaRequest, error) {
	return s.decideQuotaRequest(ctx, c, in, false)
}

func (s *Server) decideQuotaRequest(ctx context.Context, c access.Call, in QuotaDecisionRequest, approve bool) (QuotaRequest, error) {
	done, err := s.registry.DecideQuotaRequest(ctx, c.Caller, c.Region, registry.DecideQuotaRequestInput{RequestID: in.RequestID, Approve: approve})
	return quotaRequest(done), err
}

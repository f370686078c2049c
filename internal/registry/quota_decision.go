package registry

import (
	"context"

	"berth/internal/access"
	"berth/internal/fault"
)

// What is asked of those who decide about the quotas of all accounts. It is
// decided as what the first account owns.
const (
	actionListQuotaRequests  = "ListServiceQuotaRequests"
	actionDecideQuotaRequest = "DecideServiceQuotaRequest"
)

// QuotaRequestsInput is what QuotaRequests is asked for.
type QuotaRequestsInput struct {
	Status string `json:"status,omitempty"` // "" for any
	Page   Page   `json:"-"`
}

// QuotaRequests returns a page of the requests of all registries, oldest first. It
// is for the first account's root, and for whom its policies allow
// servicequotas:ListServiceQuotaRequests. Errors: InvalidPaginationTokenException.
func (r *Registry) QuotaRequests(ctx context.Context, c access.Caller, region string, in QuotaRequestsInput) ([]QuotaRequest, NextToken, error) {
	var out []QuotaRequest
	var next NextToken
	q := quotaCall(c, actionListQuotaRequests, ID{r.administrator, region}, in)
	q.readOnly = true
	f := QuotaRequestFilter{Status: in.Status}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		after, err := r.quotaPage(in.Page.Token, q.event, f)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 1000)
		if out, err = tx.AllQuotaRequests(f, after, limit+1); err != nil {
			return err
		}
		out, next = cut(r.pages, out, limit, func(q QuotaRequest) string { return q.RequestID }, q.event, f)
		return nil
	})
	return out, next, err
}

// DecideQuotaRequestInput is what DecideQuotaRequest is asked for.
type DecideQuotaRequestInput struct {
	RequestID string `json:"requestId"`
	Approve   bool   `json:"approve"` // denied if not
}

// decidedRequest are the audited parameters of a decision.
type decidedRequest struct {
	DecideQuotaRequestInput
	Account string `json:"accountId,omitempty"`
	Region  string `json:"region,omitempty"`
	Code    string `json:"quotaCode,omitempty"`
	Desired int64  `json:"desiredValue,omitempty"`
}

// DecideQuotaRequest approves a request that waits, which gives its registry the
// value that it asks for, or denies it, and returns it as it is then. It is for the
// first account's root, and for whom its policies allow
// servicequotas:DecideServiceQuotaRequest. Errors: NoSuchResourceException,
// InvalidResourceStateException if the request does not wait.
func (r *Registry) DecideQuotaRequest(ctx context.Context, c access.Caller, region string, in DecideQuotaRequestInput) (QuotaRequest, error) {
	var out QuotaRequest
	params := &decidedRequest{DecideQuotaRequestInput: in}
	q := quotaCall(c, actionDecideQuotaRequest, ID{r.administrator, region}, params)
	err := r.updateAll(ctx, q, func(tx Tx) error {
		found, err := waitingRequest(tx, in.RequestID)
		if err != nil {
			return err
		}
		found.UpdatedAt = r.now()
		found.Status = QuotaDenied
		if in.Approve {
			found.Status = QuotaApproved
			if err := tx.GrantQuota(found.ID, found.Code, found.Desired); err != nil {
				return err
			}
			if err := tx.ApproveQuotaRequests(found.ID, found.Code, found.Desired, found.UpdatedAt); err != nil {
				return err
			}
		} else if err := tx.DenyQuotaRequest(found.RequestID, found.UpdatedAt); err != nil {
			return err
		}
		params.Account, params.Region, params.Code, params.Desired = found.Account, found.Region, found.Code, found.Desired
		out = *found
		if !in.Approve {
			return nil
		}
		return tx.Emit(Event{Kind: SettingChanged, Ref: Ref{ID: found.ID}, Time: found.UpdatedAt, Detail: "quota " + found.Code, Principal: c.ARN})
	})
	if err == nil && in.Approve && QuotaOf(out.Code).Operation != "" {
		// It is granted already. If this fails, the next regular refresh does it.
		_ = r.RefreshRates(context.WithoutCancel(ctx))
	}
	return out, err
}

// waitingRequest returns a request that waits, and keeps others from deciding about
// it or making one for the same registry.
func waitingRequest(tx Tx, id string) (*QuotaRequest, error) {
	if id == "" || hasControl(id) {
		return nil, errNoSuchQuota("There is no such request")
	}
	var found *QuotaRequest
	for _, locked := range []bool{false, true} {
		all, err := tx.AllQuotaRequests(QuotaRequestFilter{RequestID: id}, "", 1)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, errNoSuchQuota("There is no request with the id %.255s", id)
		}
		if found = &all[0]; locked {
			break
		}
		if err := tx.LockRegistry(found.ID); err != nil {
			return nil, err
		}
	}
	if found.Status != QuotaPending {
		return nil, fault.New(fault.Conflict, "InvalidResourceStateException", "The request %s is %s already", id, found.Status)
	}
	return found, nil
}

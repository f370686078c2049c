package registry

import (
	"context"
	"math"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// The service whose quotas Service Quotas knows here.
const (
	QuotaService     = "ecr"
	QuotaServiceName = "Amazon Elastic Container Registry (Amazon ECR)"
)

// AppliedQuota is a quota and a value that it has.
type AppliedQuota struct {
	Quota
	ID    ID // the registry whose value it is; zero if it is the installation's
	Value int64
}

// QuotaRequest is a request for a greater value of a quota.
type QuotaRequest struct {
	ID        `json:"-"`
	RequestID string
	Code      string
	Desired   int64
	Status    string
	Requester string // the principal's ARN
	CreatedAt time.Time
	UpdatedAt time.Time
}

// The states of a request.
const (
	QuotaPending  = "PENDING"
	QuotaApproved = "APPROVED"
	QuotaDenied   = "DENIED"
)

// QuotaRequestFilter says which requests of a registry are wanted. Empty members
// do not filter.
type QuotaRequestFilter struct {
	ID     `json:"-"`
	Code   string `json:"quotaCode,omitempty"`
	Status string `json:"status,omitempty"`
	// RequestID is that of the one request that is wanted.
	RequestID string `json:"requestId,omitempty"`
	Requester string `json:"-"`
}

// QuotaInput is what calls about quotas are asked for.
type QuotaInput struct {
	ID
	Service  string `json:"serviceCode,omitempty"`
	Code     string `json:"quotaCode,omitempty"`
	Resource string `json:"contextId,omitempty"` // ECR has no quotas of single resources
	Defaults bool   `json:"-"`                   // the installation's values are wanted, not the registry's
	Page     Page   `json:"-"`
}

// quotaCall is a call of Service Quotas.
func quotaCall(c access.Caller, event string, id ID, params any) request {
	return request{caller: c, service: "servicequotas", event: event, ref: Ref{ID: id}, params: params}
}

func errNoSuchQuota(format string, args ...any) error {
	return fault.New(fault.NotFound, "NoSuchResourceException", format, args...)
}

func errQuotaArgument(format string, args ...any) error {
	return fault.New(fault.Invalid, "IllegalArgumentException", format, args...)
}

// ListServices returns the names of the services that have quotas, by code. There
// is one page: no token is right. Errors: InvalidPaginationTokenException.
func (r *Registry) ListServices(ctx context.Context, c access.Caller, id ID, p Page) (map[string]string, error) {
	q := quotaCall(c, "ListServices", id, nil)
	q.readOnly = true
	err := r.viewAll(ctx, q, func(ReadTx) error {
		_, err := r.quotaPage(p.Token, q.event, id)
		return err
	})
	return map[string]string{QuotaService: QuotaServiceName}, err
}

// ListServiceQuotas returns the quotas that are in force with the values that
// they have in the registry, or with Defaults those of the installation, in the
// order of their codes. With a code it returns that one. Errors:
// NoSuchResourceException, InvalidPaginationTokenException.
func (r *Registry) ListServiceQuotas(ctx context.Context, c access.Caller, in QuotaInput) ([]AppliedQuota, NextToken, error) {
	event := "ListServiceQuotas"
	if in.Defaults {
		event = "ListAWSDefaultServiceQuotas"
	}
	q := quotaCall(c, event, in.ID, in)
	q.readOnly = true
	var out []AppliedQuota
	var next NextToken
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		out, next = nil, ""
		if err := checkQuotaService(in.Service); err != nil {
			return err
		}
		after, err := r.quotaPage(in.Page.Token, event, in.ID)
		if err != nil {
			return err
		}
		for _, quota := range quotas {
			if _, inForce := r.limits[quota.Name]; !inForce || quota.Code <= after || in.Code != "" && quota.Code != in.Code {
				continue
			}
			if len(out) == in.Page.size(100, 100) {
				next = r.pages.seal(out[len(out)-1].Code, event, in.ID)
				break
			}
			a, err := r.applied(tx, quota, in)
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		if in.Code != "" && len(out) == 0 && after == "" {
			return errNoSuchQuota("The service %s has no quota %s", in.Service, in.Code)
		}
		return nil
	})
	return out, next, err
}

// GetServiceQuota returns one quota as ListServiceQuotas does. Errors:
// NoSuchResourceException, IllegalArgumentException.
func (r *Registry) GetServiceQuota(ctx context.Context, c access.Caller, in QuotaInput) (AppliedQuota, error) {
	event := "GetServiceQuota"
	if in.Defaults {
		event = "GetAWSDefaultServiceQuota"
	}
	q := quotaCall(c, event, in.ID, in)
	q.readOnly = true
	var out AppliedQuota
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		quota, err := r.findQuota(in)
		if err == nil {
			out, err = r.applied(tx, quota, in)
		}
		return err
	})
	return out, err
}

// applied returns the quota with its value.
func (r *Registry) applied(tx ReadTx, q Quota, in QuotaInput) (AppliedQuota, error) {
	a := AppliedQuota{Quota: q, Value: r.limits[q.Name]}
	if in.Defaults {
		return a, nil
	}
	a.ID = in.ID
	if !q.Adjustable {
		return a, nil
	}
	granted, err := tx.GrantedQuota(in.ID, q.Code)
	a.Value = max(a.Value, granted)
	return a, err
}

func checkQuotaService(code string) error {
	if code != QuotaService {
		return errNoSuchQuota("There is no service %s: only %s has quotas", code, QuotaService)
	}
	return nil
}

// findQuota returns the quota in force that is asked for.
func (r *Registry) findQuota(in QuotaInput) (Quota, error) {
	if err := checkQuotaService(in.Service); err != nil {
		return Quota{}, err
	}
	for _, q := range quotas {
		if _, inForce := r.limits[q.Name]; !inForce || q.Code != in.Code {
			continue
		}
		if in.Resource != "" {
			return Quota{}, errQuotaArgument("The quota %s applies to accounts, not to single resources", q.Code)
		}
		return q, nil
	}
	return Quota{}, errNoSuchQuota("The service %s has no quota %s", in.Service, in.Code)
}

// quotaPage opens a page token.
func (r *Registry) quotaPage(t NextToken, event string, of any) (string, error) {
	after, err := r.pages.open(t, event, of)
	if err != nil {
		return "", fault.New(fault.Invalid, "InvalidPaginationTokenException", "The pagination token is invalid")
	}
	return after, nil
}

// QuotaIncreaseInput is what RequestServiceQuotaIncrease is asked for.
type QuotaIncreaseInput struct {
	QuotaInput
	Desired float64 `json:"desiredValue"`
}

// RequestServiceQuotaIncrease asks for a greater value of a quota in the
// registry. If the first account's root asks it is granted at once, and with it what
// others have asked for up to that value; requests of others wait for that, or for
// [Registry.DecideQuotaRequest]. What waits for no more than the quota is by now,
// whyever, is approved first.
//
// Errors: NoSuchResourceException, IllegalArgumentException,
// InvalidResourceStateException if the quota cannot be adjusted,
// QuotaExceededException if it cannot be so great,
// ResourceAlreadyExistsException if a request for it is waiting.
func (r *Registry) RequestServiceQuotaIncrease(ctx context.Context, c access.Caller, in QuotaIncreaseInput) (QuotaRequest, error) {
	var out QuotaRequest
	var quota Quota
	q := quotaCall(c, "RequestServiceQuotaIncrease", in.ID, in)
	err := r.updateAll(ctx, q, func(tx Tx) error {
		if err := tx.LockRegistry(in.ID); err != nil {
			return err
		}
		var err error
		if quota, err = r.findQuota(in.QuotaInput); err != nil {
			return err
		}
		if err := r.checkIncrease(tx, quota, in); err != nil {
			return err
		}
		now := r.now()
		out = QuotaRequest{
			ID: in.ID, RequestID: newID(), Code: quota.Code, Desired: int64(in.Desired), Status: QuotaPending, Requester: c.ARN,
			CreatedAt: now, UpdatedAt: now,
		}
		if r.isAdministrator(c) {
			return r.grant(tx, &out)
		}
		return r.ask(tx, &out)
	})
	if err == nil && out.Status == QuotaApproved && quota.Operation != "" {
		// It is granted already. If this fails, the next regular refresh does it.
		_ = r.RefreshRates(context.WithoutCancel(ctx))
	}
	return out, err
}

// checkIncrease checks a request against what the registry has, and approves what
// waits for no more than that.
func (r *Registry) checkIncrease(tx Tx, q Quota, in QuotaIncreaseInput) error {
	if !q.Adjustable {
		return fault.New(fault.Conflict, "InvalidResourceStateException", "The quota %s (%s) is not adjustable", q.Title, q.Code)
	}
	if in.Desired != math.Trunc(in.Desired) {
		return errQuotaArgument("You must provide a whole number as the value of the quota %s", q.Code)
	}
	if in.Desired > float64(q.Most) {
		return fault.New(fault.Exhausted, "QuotaExceededException", "The quota %s (%s) can be at most %d", q.Title, q.Code, q.Most)
	}
	a, err := r.applied(tx, q, in.QuotaInput)
	if err == nil {
		err = tx.ApproveQuotaRequests(in.ID, q.Code, a.Value, r.now())
	}
	if err != nil {
		return err
	}
	if int64(in.Desired) <= a.Value {
		return errQuotaArgument("You must provide a quota value greater than the current quota value, which is %d", a.Value)
	}
	return nil
}

// isAdministrator reports whether the caller need not ask for greater quotas: the
// root of the first account need not.
func (r *Registry) isAdministrator(c access.Caller) bool {
	return c.Type == access.Root && c.Account == r.administrator
}

// grant applies the request.
func (r *Registry) grant(tx Tx, q *QuotaRequest) error {
	q.Status = QuotaApproved
	if err := tx.GrantQuota(q.ID, q.Code, q.Desired); err != nil {
		return err
	}
	if err := tx.ApproveQuotaRequests(q.ID, q.Code, q.Desired, q.CreatedAt); err != nil {
		return err
	}
	if err := tx.InsertQuotaRequest(q); err != nil {
		return err
	}
	return tx.Emit(Event{Kind: SettingChanged, Ref: Ref{ID: q.ID}, Time: q.CreatedAt, Detail: "quota " + q.Code, Principal: q.Requester})
}

// ask leaves the request for an administrator.
func (r *Registry) ask(tx Tx, q *QuotaRequest) error {
	waiting, err := tx.QuotaRequests(q.ID, QuotaRequestFilter{Code: q.Code, Status: QuotaPending}, "", 1)
	if err != nil {
		return err
	}
	if len(waiting) > 0 {
		return fault.New(fault.Exists, "ResourceAlreadyExistsException", "Only one open service quota increase request is allowed per quota.")
	}
	return tx.InsertQuotaRequest(q)
}

// GetRequestedServiceQuotaChange returns a request. Errors:
// NoSuchResourceException.
func (r *Registry) GetRequestedServiceQuotaChange(ctx context.Context, c access.Caller, id ID, requestID string) (QuotaRequest, error) {
	var out []QuotaRequest
	f := QuotaRequestFilter{ID: id, RequestID: requestID}
	q := quotaCall(c, "GetRequestedServiceQuotaChange", id, f)
	q.readOnly = true
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		var err error
		out, err = tx.QuotaRequests(id, f, "", 1)
		if err == nil && len(out) == 0 {
			err = errNoSuchQuota("There is no request with the id %s", requestID)
		}
		return err
	})
	if err != nil {
		return QuotaRequest{}, err
	}
	return out[0], nil
}

// ListRequestedServiceQuotaChangeHistory returns the registry's requests, oldest
// first; with a code those about one quota. Errors: NoSuchResourceException,
// InvalidPaginationTokenException.
func (r *Registry) ListRequestedServiceQuotaChangeHistory(ctx context.Context, c access.Caller, in QuotaInput, status string) ([]QuotaRequest, NextToken, error) {
	event := "ListRequestedServiceQuotaChangeHistory"
	if in.Code != "" {
		event += "ByQuota"
	}
	f := QuotaRequestFilter{ID: in.ID, Code: in.Code, Status: status}
	q := quotaCall(c, event, in.ID, f)
	q.readOnly = true
	var out []QuotaRequest
	var next NextToken
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		if in.Code != "" {
			if _, err := r.findQuota(in); err != nil {
				return err
			}
		} else if in.Service != "" {
			if err := checkQuotaService(in.Service); err != nil {
				return err
			}
		}
		after, err := r.quotaPage(in.Page.Token, event, f)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 100)
		if out, err = tx.QuotaRequests(in.ID, f, after, limit+1); err != nil {
			return err
		}
		out, next = cut(r.pages, out, limit, func(q QuotaRequest) string { return q.RequestID }, event, f)
		return nil
	})
	return out, next, err
}

// QuotaOf returns the quota that a request is about, in force or not.
func QuotaOf(code string) Quota {
	for _, q := range quotas {
		if q.Code == code {
			return q
		}
	}
	return Quota{Code: code}
}

// Package servicequotas is the front for the API of AWS Service Quotas, as far
// as it is about the quotas of ECR: a method for each operation, with the SDK's
// types, that calls one verb of package registry.
package servicequotas

import (
	"context"
	_ "embed"
	"encoding/json"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
)

//go:embed model.json
var model []byte

// API has the operations of Service Quotas. It is safe for concurrent use.
type API struct {
	registry *registry.Registry
}

// New returns the API.
func New(r *registry.Registry) *API { return &API{r} }

// Service returns the table of operations.
func (a *API) Service() (aws.Service[access.Call], error) {
	m, err := aws.ParseModel(model)
	s := aws.Service[access.Call]{
		Name: "servicequotas", TargetPrefix: "ServiceQuotasV20190624", ErrorMember: "Message", Model: m,
		Operations: []aws.Operation[access.Call]{
			aws.Op("GetAWSDefaultServiceQuota", a.GetAWSDefaultServiceQuota),
			aws.Op("GetRequestedServiceQuotaChange", a.GetRequestedServiceQuotaChange),
			aws.Op("GetServiceQuota", a.GetServiceQuota),
			aws.Op("ListAWSDefaultServiceQuotas", a.ListAWSDefaultServiceQuotas),
			aws.Op("ListRequestedServiceQuotaChangeHistory", a.ListRequestedServiceQuotaChangeHistory),
			aws.Op("ListRequestedServiceQuotaChangeHistoryByQuota", a.ListRequestedServiceQuotaChangeHistoryByQuota),
			aws.Op("ListServiceQuotas", a.ListServiceQuotas),
			aws.Op("ListServices", a.ListServices),
			aws.Op("RequestServiceQuotaIncrease", a.RequestServiceQuotaIncrease),
		},
	}
	for reason, names := range map[string][]string{
		"an organization has no template of quotas": {
			"AssociateServiceQuotaTemplate", "DeleteServiceQuotaIncreaseRequestFromTemplate", "DisassociateServiceQuotaTemplate",
			"GetAssociationForServiceQuotaTemplate", "GetServiceQuotaIncreaseRequestFromTemplate",
			"ListServiceQuotaIncreaseRequestsInTemplate", "PutServiceQuotaIncreaseRequestIntoTemplate",
		},
		"quotas are not managed automatically": {
			"GetAutoManagementConfiguration", "StartAutoManagement", "StopAutoManagement", "UpdateAutoManagement",
		},
		"there are no reports of utilization": {"GetQuotaUtilizationReport", "StartQuotaUtilizationReport"},
		"there are no support cases":          {"CreateSupportCase"},
		"quotas have no resource tags":        {"ListTagsForResource", "TagResource", "UntagResource"},
	} {
		for _, name := range names {
			s.Operations = append(s.Operations, aws.Operation[access.Call]{Name: name, Refused: reason})
		}
	}
	return s, err
}

func registryOf(c access.Call) registry.ID { return registry.ID{Account: c.Account, Region: c.Region} }

// value returns what a member holds, or the zero value if it is absent.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// optional returns a member that is absent if it is empty.
func optional(t registry.NextToken) *string {
	if t == "" {
		return nil
	}
	return new(string(t))
}

func page(token *string, most *int32) registry.Page {
	return registry.Page{Token: registry.NextToken(value(token)), Max: int(value(most))}
}

// resource reports whether only quotas of single resources are asked for. ECR has
// none.
func resource(level types.AppliedLevelEnum) bool { return level == types.AppliedLevelEnumResource }

// ListServices names the one service.
func (a *API) ListServices(ctx context.Context, c access.Call, in *servicequotas.ListServicesInput) (*servicequotas.ListServicesOutput, error) {
	services, err := a.registry.ListServices(ctx, c.Caller, registryOf(c), page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	out := &servicequotas.ListServicesOutput{}
	for code, name := range services {
		out.Services = append(out.Services, types.ServiceInfo{ServiceCode: &code, ServiceName: &name})
	}
	return out, nil
}

// ListServiceQuotas returns the quotas with the values that the registry has.
func (a *API) ListServiceQuotas(ctx context.Context, c access.Call, in *servicequotas.ListServiceQuotasInput) (*servicequotas.ListServiceQuotasOutput, error) {
	found, next, err := a.registry.ListServiceQuotas(ctx, c.Caller, registry.QuotaInput{
		ID: registryOf(c), Service: value(in.ServiceCode), Code: value(in.QuotaCode), Page: page(in.NextToken, in.MaxResults),
	})
	if err != nil {
		return nil, err
	}
	if resource(in.QuotaAppliedAtLevel) {
		return &servicequotas.ListServiceQuotasOutput{Quotas: []types.ServiceQuota{}}, nil
	}
	return &servicequotas.ListServiceQuotasOutput{Quotas: list(c, found), NextToken: optional(next)}, nil
}

// ListAWSDefaultServiceQuotas returns the quotas with the installation's values.
func (a *API) ListAWSDefaultServiceQuotas(ctx context.Context, c access.Call, in *servicequotas.ListAWSDefaultServiceQuotasInput) (*servicequotas.ListAWSDefaultServiceQuotasOutput, error) {
	found, next, err := a.registry.ListServiceQuotas(ctx, c.Caller, registry.QuotaInput{
		ID: registryOf(c), Service: value(in.ServiceCode), Defaults: true, Page: page(in.NextToken, in.MaxResults),
	})
	if err != nil {
		return nil, err
	}
	return &servicequotas.ListAWSDefaultServiceQuotasOutput{Quotas: list(c, found), NextToken: optional(next)}, nil
}

// GetServiceQuota returns a quota with the value that the registry has.
func (a *API) GetServiceQuota(ctx context.Context, c access.Call, in *servicequotas.GetServiceQuotaInput) (*servicequotas.GetServiceQuotaOutput, error) {
	q, err := a.registry.GetServiceQuota(ctx, c.Caller, registry.QuotaInput{
		ID: registryOf(c), Service: value(in.ServiceCode), Code: value(in.QuotaCode), Resource: value(in.ContextId),
	})
	if err != nil {
		return nil, err
	}
	return &servicequotas.GetServiceQuotaOutput{Quota: quota(c, q)}, nil
}

// GetAWSDefaultServiceQuota returns a quota with the installation's value.
func (a *API) GetAWSDefaultServiceQuota(ctx context.Context, c access.Call, in *servicequotas.GetAWSDefaultServiceQuotaInput) (*servicequotas.GetAWSDefaultServiceQuotaOutput, error) {
	q, err := a.registry.GetServiceQuota(ctx, c.Caller, registry.QuotaInput{
		ID: registryOf(c), Service: value(in.ServiceCode), Code: value(in.QuotaCode), Defaults: true,
	})
	if err != nil {
		return nil, err
	}
	return &servicequotas.GetAWSDefaultServiceQuotaOutput{Quota: quota(c, q)}, nil
}

// RequestServiceQuotaIncrease asks for a greater value.
func (a *API) RequestServiceQuotaIncrease(ctx context.Context, c access.Call, in *servicequotas.RequestServiceQuotaIncreaseInput) (*servicequotas.RequestServiceQuotaIncreaseOutput, error) {
	r, err := a.registry.RequestServiceQuotaIncrease(ctx, c.Caller, registry.QuotaIncreaseInput{
		QuotaInput: registry.QuotaInput{ID: registryOf(c), Service: value(in.ServiceCode), Code: value(in.QuotaCode), Resource: value(in.ContextId)},
		Desired:    value(in.DesiredValue),
	})
	if err != nil {
		return nil, err
	}
	return &servicequotas.RequestServiceQuotaIncreaseOutput{RequestedQuota: change(r)}, nil
}

// GetRequestedServiceQuotaChange returns a request.
func (a *API) GetRequestedServiceQuotaChange(ctx context.Context, c access.Call, in *servicequotas.GetRequestedServiceQuotaChangeInput) (*servicequotas.GetRequestedServiceQuotaChangeOutput, error) {
	r, err := a.registry.GetRequestedServiceQuotaChange(ctx, c.Caller, registryOf(c), value(in.RequestId))
	if err != nil {
		return nil, err
	}
	return &servicequotas.GetRequestedServiceQuotaChangeOutput{RequestedQuota: change(r)}, nil
}

// ListRequestedServiceQuotaChangeHistory returns the registry's requests.
func (a *API) ListRequestedServiceQuotaChangeHistory(ctx context.Context, c access.Call, in *servicequotas.ListRequestedServiceQuotaChangeHistoryInput) (*servicequotas.ListRequestedServiceQuotaChangeHistoryOutput, error) {
	found, next, err := a.history(ctx, c, registry.QuotaInput{
		ID: registryOf(c), Service: value(in.ServiceCode), Page: page(in.NextToken, in.MaxResults),
	}, in.Status, in.QuotaRequestedAtLevel)
	if err != nil {
		return nil, err
	}
	return &servicequotas.ListRequestedServiceQuotaChangeHistoryOutput{RequestedQuotas: found, NextToken: next}, nil
}

// ListRequestedServiceQuotaChangeHistoryByQuota returns the registry's requests
// about one quota.
func (a *API) ListRequestedServiceQuotaChangeHistoryByQuota(ctx context.Context, c access.Call, in *servicequotas.ListRequestedServiceQuotaChangeHistoryByQuotaInput) (*servicequotas.ListRequestedServiceQuotaChangeHistoryByQuotaOutput, error) {
	found, next, err := a.history(ctx, c, registry.QuotaInput{
		ID: registryOf(c), Service: value(in.ServiceCode), Code: value(in.QuotaCode), Page: page(in.NextToken, in.MaxResults),
	}, in.Status, in.QuotaRequestedAtLevel)
	if err != nil {
		return nil, err
	}
	return &servicequotas.ListRequestedServiceQuotaChangeHistoryByQuotaOutput{RequestedQuotas: found, NextToken: next}, nil
}

func (a *API) history(ctx context.Context, c access.Call, in registry.QuotaInput, s types.RequestStatus, level types.AppliedLevelEnum) ([]types.RequestedServiceQuotaChange, *string, error) {
	found, next, err := a.registry.ListRequestedServiceQuotaChangeHistory(ctx, c.Caller, in, string(s))
	if err != nil {
		return nil, nil, err
	}
	out := []types.RequestedServiceQuotaChange{}
	if resource(level) {
		return out, nil, nil
	}
	for _, r := range found {
		out = append(out, *change(r))
	}
	return out, optional(next), nil
}

func list(c access.Call, quotas []registry.AppliedQuota) []types.ServiceQuota {
	out := []types.ServiceQuota{}
	for _, q := range quotas {
		out = append(out, *quota(c, q))
	}
	return out
}

// arn is that of a quota in an account; of the installation's it has none.
func arn(id registry.ID, region, code string) *string {
	return new("arn:aws:servicequotas:" + region + ":" + id.Account + ":" + registry.QuotaService + "/" + code)
}

const (
	unit  = "None"
	level = types.AppliedLevelEnumAccount
)

func quota(c access.Call, q registry.AppliedQuota) *types.ServiceQuota {
	out := &types.ServiceQuota{
		ServiceCode: new(registry.QuotaService), ServiceName: new(registry.QuotaServiceName), QuotaArn: arn(q.ID, c.Region, q.Code),
		QuotaCode: &q.Code, QuotaName: &q.Title, Description: &q.Description, Value: new(float64(q.Value)), Unit: new(unit),
		Adjustable: q.Adjustable, QuotaAppliedAtLevel: level,
	}
	if q.Operation != "" {
		out.Period = &types.QuotaPeriod{PeriodUnit: types.PeriodUnitSecond, PeriodValue: new(int32(1))}
	}
	return out
}

// requester is how AWS names who made a request.
type requester struct {
	AccountID string `json:"accountId"`
	ARN       string `json:"callerArn"`
}

func change(r registry.QuotaRequest) *types.RequestedServiceQuotaChange {
	by, _ := json.Marshal(requester{r.Account, r.Requester}) // two strings
	q := registry.QuotaOf(r.Code)
	return &types.RequestedServiceQuotaChange{
		Id: &r.RequestID, ServiceCode: new(registry.QuotaService), ServiceName: new(registry.QuotaServiceName),
		QuotaCode: &r.Code, QuotaName: &q.Title, QuotaArn: arn(r.ID, r.Region, r.Code), DesiredValue: new(float64(r.Desired)),
		Status: types.RequestStatus(r.Status), Created: &r.CreatedAt, LastUpdated: &r.UpdatedAt, Requester: new(string(by)),
		Unit: new(unit), QuotaRequestedAtLevel: level,
	}
}

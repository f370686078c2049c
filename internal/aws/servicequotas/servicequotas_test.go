package servicequotas_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/config"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	images = "L-03A36CE1"
	tags   = "L-BE000004"
)

var ecr = new("ecr")

// sdk makes cmp compare what the SDK's types hold of an answer.
var sdk = cmpopts.IgnoreUnexported(types.ServiceQuota{}, types.QuotaPeriod{}, types.RequestedServiceQuotaChange{}, types.ServiceInfo{})

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError(t *testing.T, err error, code, message string) {
	t.Helper()
	if c, m := servertest.ErrorCode(err), servertest.ErrorMessage(err); c != code || m != message {
		t.Errorf("error = %s: %s\nwant    %s: %s", c, m, code, message)
	}
}

func request(code string, value float64) *servicequotas.RequestServiceQuotaIncreaseInput {
	return &servicequotas.RequestServiceQuotaIncreaseInput{ServiceCode: ecr, QuotaCode: &code, DesiredValue: &value}
}

func codes(quotas []types.ServiceQuota) []string {
	var out []string
	for _, q := range quotas {
		out = append(out, *q.QuotaCode)
	}
	return out
}

func TestServicesAndQuotasAreListed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.Quotas = []string{"tags-per-image=5"} }}, func(t *testing.T, s *servertest.Server) {
		c := s.ServiceQuotas()
		services := must(c.ListServices(t.Context(), &servicequotas.ListServicesInput{}))(t).Services
		want := []types.ServiceInfo{{ServiceCode: ecr, ServiceName: new("Amazon Elastic Container Registry (Amazon ECR)")}}
		if diff := cmp.Diff(want, services, sdk); diff != "" {
			t.Errorf("ListServices (-want +got):\n%s", diff)
		}
		_, err := c.ListServices(t.Context(), &servicequotas.ListServicesInput{NextToken: new("none")})
		wantError(t, err, "InvalidPaginationTokenException", "The pagination token is invalid")
		all := []string{images, "L-BE000001", "L-BE000002", "L-BE000003", tags, "L-CFEB8E8D"}
		var listed []types.ServiceQuota
		pages := 0
		for p := servicequotas.NewListServiceQuotasPaginator(c, &servicequotas.ListServiceQuotasInput{ServiceCode: ecr, MaxResults: new(int32(4))}); p.HasMorePages(); pages++ {
			listed = append(listed, must(p.NextPage(t.Context()))(t).Quotas...)
		}
		if got := codes(listed); !slices.Equal(got, all) || pages != 2 {
			t.Errorf("ListServiceQuotas = %v in %d pages, want %v in 2", got, pages, all)
		}
		defaults := must(c.ListAWSDefaultServiceQuotas(t.Context(), &servicequotas.ListAWSDefaultServiceQuotasInput{ServiceCode: ecr}))(t)
		if got := codes(defaults.Quotas); !slices.Equal(got, all) || defaults.NextToken != nil {
			t.Errorf("ListAWSDefaultServiceQuotas = %v, want %v", got, all)
		}
		quota := types.ServiceQuota{
			ServiceCode: ecr, ServiceName: want[0].ServiceName, QuotaArn: new("arn:aws:servicequotas:us-east-1:123456789012:ecr/" + images),
			QuotaCode: new(images), QuotaName: new("Images per repository"), Value: new(100_000.0), Unit: new("None"), Adjustable: true,
			QuotaAppliedAtLevel: types.AppliedLevelEnumAccount,
			Description:         new("The maximum number of images per repository. Archived images do not count."),
		}
		got := must(c.GetServiceQuota(t.Context(), &servicequotas.GetServiceQuotaInput{ServiceCode: ecr, QuotaCode: new(images)}))(t).Quota
		if diff := cmp.Diff(&quota, got, sdk); diff != "" {
			t.Errorf("GetServiceQuota (-want +got):\n%s", diff)
		}
		quota.QuotaArn = new("arn:aws:servicequotas:us-east-1::ecr/" + images)
		got = must(c.GetAWSDefaultServiceQuota(t.Context(), &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: ecr, QuotaCode: new(images)}))(t).Quota
		if diff := cmp.Diff(&quota, got, sdk); diff != "" {
			t.Errorf("GetAWSDefaultServiceQuota (-want +got):\n%s", diff)
		}
		one := must(c.ListServiceQuotas(t.Context(), &servicequotas.ListServiceQuotasInput{ServiceCode: ecr, QuotaCode: new(tags)}))(t).Quotas
		if len(one) != 1 || *one[0].Value != 5 || one[0].Adjustable {
			t.Errorf("ListServiceQuotas of %s = %v, want 5, not adjustable", tags, one)
		}
		none := must(c.ListServiceQuotas(t.Context(), &servicequotas.ListServiceQuotasInput{ServiceCode: ecr, QuotaAppliedAtLevel: types.AppliedLevelEnumResource}))(t)
		if len(none.Quotas) != 0 {
			t.Errorf("quotas of resources = %v, want none", none.Quotas)
		}
	})
}

func TestRatesAreListedIfTheyAreInForce(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.RequestRates = "ecr" }})
	got := must(s.ServiceQuotas().GetServiceQuota(t.Context(), &servicequotas.GetServiceQuotaInput{ServiceCode: ecr, QuotaCode: new("L-AD52DFB2")}))(t).Quota
	if *got.QuotaName != "Rate of PutImage requests" || *got.Value != 10 || *got.Period.PeriodValue != 1 || got.Period.PeriodUnit != types.PeriodUnitSecond {
		t.Errorf("GetServiceQuota = %v", got)
	}
	all := must(s.ServiceQuotas().ListServiceQuotas(t.Context(), &servicequotas.ListServiceQuotasInput{ServiceCode: ecr}))(t).Quotas
	if got := codes(all); len(got) != 14 || !slices.IsSorted(got) {
		t.Errorf("quotas = %v, want 14 in order", got)
	}
}

func TestTheRootsRequestAppliesAtOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ServiceQuotas()
		first := must(c.RequestServiceQuotaIncrease(t.Context(), request(images, 150_000)))(t).RequestedQuota
		want := &types.RequestedServiceQuotaChange{
			Id: first.Id, ServiceCode: ecr, ServiceName: new("Amazon Elastic Container Registry (Amazon ECR)"), QuotaCode: new(images),
			QuotaName: new("Images per repository"), QuotaArn: new("arn:aws:servicequotas:us-east-1:123456789012:ecr/" + images),
			DesiredValue: new(150_000.0), Status: types.RequestStatusApproved, Created: new(s.Clock.Now()), LastUpdated: new(s.Clock.Now()),
			Requester: new(`{"accountId":"123456789012","callerArn":"arn:aws:iam::123456789012:root"}`), Unit: new("None"),
			QuotaRequestedAtLevel: types.AppliedLevelEnumAccount,
		}
		if diff := cmp.Diff(want, first, sdk); diff != "" {
			t.Errorf("RequestServiceQuotaIncrease (-want +got):\n%s", diff)
		}
		value := func(c *servicequotas.Client) float64 {
			return *must(c.GetServiceQuota(t.Context(), &servicequotas.GetServiceQuotaInput{ServiceCode: ecr, QuotaCode: new(images)}))(t).Quota.Value
		}
		s.Restart(t)
		elsewhere := servicequotas.NewFromConfig(s.AWS(), func(o *servicequotas.Options) { o.Region = "eu-west-1" })
		if here, there := value(c), value(elsewhere); here != 150_000 || there != 100_000 {
			t.Errorf("values = %v, %v in another region, want 150000 and 100000", here, there)
		}
		standard := must(c.GetAWSDefaultServiceQuota(t.Context(), &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: ecr, QuotaCode: new(images)}))(t).Quota
		if *standard.Value != 100_000 {
			t.Errorf("the default = %v, want 100000", *standard.Value)
		}

		s.Clock.Advance(time.Hour)
		second := must(c.RequestServiceQuotaIncrease(t.Context(), request("L-CFEB8E8D", 200_000)))(t).RequestedQuota
		third := must(c.RequestServiceQuotaIncrease(t.Context(), request(images, 150_001)))(t).RequestedQuota
		got := must(c.GetRequestedServiceQuotaChange(t.Context(), &servicequotas.GetRequestedServiceQuotaChangeInput{RequestId: first.Id}))(t).RequestedQuota
		if diff := cmp.Diff(want, got, sdk); diff != "" {
			t.Errorf("GetRequestedServiceQuotaChange (-want +got):\n%s", diff)
		}
		var history []string
		for p := servicequotas.NewListRequestedServiceQuotaChangeHistoryPaginator(c, &servicequotas.ListRequestedServiceQuotaChangeHistoryInput{
			ServiceCode: ecr, MaxResults: new(int32(2)),
		}); p.HasMorePages(); {
			for _, r := range must(p.NextPage(t.Context()))(t).RequestedQuotas {
				history = append(history, *r.Id)
			}
		}
		if want := []string{*first.Id, *second.Id, *third.Id}; !slices.Equal(history, want) {
			t.Errorf("history = %v, want %v", history, want)
		}
		by := must(c.ListRequestedServiceQuotaChangeHistoryByQuota(t.Context(), &servicequotas.ListRequestedServiceQuotaChangeHistoryByQuotaInput{
			ServiceCode: ecr, QuotaCode: new(images), Status: types.RequestStatusApproved,
		}))(t).RequestedQuotas
		if len(by) != 2 || *by[0].Id != *first.Id || *by[1].Id != *third.Id {
			t.Errorf("history of %s = %v, want the first and the third", images, by)
		}
		pending := must(c.ListRequestedServiceQuotaChangeHistory(t.Context(), &servicequotas.ListRequestedServiceQuotaChangeHistoryInput{Status: types.RequestStatusPending}))(t)
		if len(pending.RequestedQuotas) != 0 {
			t.Errorf("pending requests = %v, want none", pending.RequestedQuotas)
		}
	})
}

func TestRequestsAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ServiceQuotas()
		increase := func(in *servicequotas.RequestServiceQuotaIncreaseInput) error {
			_, err := c.RequestServiceQuotaIncrease(t.Context(), in)
			return err
		}
		of := func(in *servicequotas.RequestServiceQuotaIncreaseInput, change func(*servicequotas.RequestServiceQuotaIncreaseInput)) error {
			change(in)
			return increase(in)
		}
		const greater = "You must provide a quota value greater than the current quota value, which is 100000"
		wantError(t, increase(request(images, 100_000)), "IllegalArgumentException", greater)
		wantError(t, increase(request(images, 1)), "IllegalArgumentException", greater)
		wantError(t, increase(request(images, 100_000.5)), "IllegalArgumentException", "You must provide a whole number as the value of the quota "+images)
		wantError(t, increase(request(images, 1e10)), "QuotaExceededException", "The quota Images per repository (L-03A36CE1) can be at most 1000000000")
		wantError(t, increase(request(tags, 2000)), "InvalidResourceStateException", "The quota Tags per image (L-BE000004) is not adjustable")
		wantError(t, increase(request("L-00000000", 2000)), "NoSuchResourceException", "The service ecr has no quota L-00000000")
		wantError(t, increase(request("L-AD52DFB2", 2000)), "NoSuchResourceException", "The service ecr has no quota L-AD52DFB2")
		wantError(t, of(request(images, 200_000), func(in *servicequotas.RequestServiceQuotaIncreaseInput) { in.ServiceCode = new("ec2") }),
			"NoSuchResourceException", "There is no service ec2: only ecr has quotas")
		wantError(t, of(request(images, 200_000), func(in *servicequotas.RequestServiceQuotaIncreaseInput) { in.ContextId = new("arn:x") }),
			"IllegalArgumentException", "The quota L-03A36CE1 applies to accounts, not to single resources")
		wantError(t, increase(request(images, 1e11)), "ValidationException",
			"1 validation error detected: Value '100000000000' at 'desiredValue' failed to satisfy constraint: Member must have value less than or equal to 10000000000")
		wantError(t, increase(request(images, -0.5)), "ValidationException",
			"1 validation error detected: Value '-0.5' at 'desiredValue' failed to satisfy constraint: Member must have value greater than or equal to 0")
		wantError(t, increase(request("x y", 5)), "ValidationException",
			"1 validation error detected: Value 'x y' at 'quotaCode' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9-]{1,128}")

		_, err := c.GetServiceQuota(t.Context(), &servicequotas.GetServiceQuotaInput{ServiceCode: ecr, QuotaCode: new("L-0")})
		wantError(t, err, "NoSuchResourceException", "The service ecr has no quota L-0")
		_, err = c.ListServiceQuotas(t.Context(), &servicequotas.ListServiceQuotasInput{ServiceCode: new("s3")})
		wantError(t, err, "NoSuchResourceException", "There is no service s3: only ecr has quotas")
		_, err = c.ListServiceQuotas(t.Context(), &servicequotas.ListServiceQuotasInput{ServiceCode: ecr, QuotaCode: new("L-0")})
		wantError(t, err, "NoSuchResourceException", "The service ecr has no quota L-0")
		_, err = c.ListServiceQuotas(t.Context(), &servicequotas.ListServiceQuotasInput{ServiceCode: ecr, NextToken: new("abc")})
		wantError(t, err, "InvalidPaginationTokenException", "The pagination token is invalid")
		_, err = c.ListRequestedServiceQuotaChangeHistory(t.Context(), &servicequotas.ListRequestedServiceQuotaChangeHistoryInput{NextToken: new("abc")})
		wantError(t, err, "InvalidPaginationTokenException", "The pagination token is invalid")
		_, err = c.ListRequestedServiceQuotaChangeHistory(t.Context(), &servicequotas.ListRequestedServiceQuotaChangeHistoryInput{ServiceCode: new("s3")})
		wantError(t, err, "NoSuchResourceException", "There is no service s3: only ecr has quotas")
		_, err = c.GetRequestedServiceQuotaChange(t.Context(), &servicequotas.GetRequestedServiceQuotaChangeInput{RequestId: new("abc")})
		wantError(t, err, "NoSuchResourceException", "There is no request with the id abc")
		_, err = c.PutServiceQuotaIncreaseRequestIntoTemplate(t.Context(), &servicequotas.PutServiceQuotaIncreaseRequestIntoTemplateInput{
			ServiceCode: ecr, QuotaCode: new(images), AwsRegion: new("us-east-1"), DesiredValue: new(5.0),
		})
		if servertest.ErrorCode(err) != "UnsupportedCommandException" {
			t.Errorf("PutServiceQuotaIncreaseRequestIntoTemplate = %v, want UnsupportedCommandException", err)
		}
	})
}

// Errors have the member that the model of Service Quotas says.
func TestTheWire(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	status, body := s.Call(t, "servicequotas", "ServiceQuotasV20190624.GetServiceQuota", `{"ServiceCode":"ecr","QuotaCode":"L-0"}`)
	if want := `{"Message":"The service ecr has no quota L-0","__type":"NoSuchResourceException"}`; status != http.StatusBadRequest || body != want {
		t.Errorf("answer = %d %s, want 400 %s", status, body, want)
	}
	_, body = s.Call(t, "servicequotas", "ServiceQuotasV20190624.GetServiceQuota", `{"ServiceCode":"ecr","QuotaCode":"`+tags+`"}`)
	for _, want := range []string{`"Adjustable":false`, `"GlobalQuota":false`, `"Value":1000`} {
		if !strings.Contains(body, want) {
			t.Errorf("answer = %s, want it to have %s", body, want)
		}
	}
	for _, value := range []string{`"5"`, `true`, `{}`, `1e999`, `null`} {
		in := fmt.Sprintf(`{"ServiceCode":"ecr","QuotaCode":"%s","DesiredValue":%s}`, images, value)
		if status, body := s.Call(t, "servicequotas", "ServiceQuotasV20190624.RequestServiceQuotaIncrease", in); status != http.StatusBadRequest {
			t.Errorf("a request for %s = %d %s, want 400", value, status, body)
		}
	}
}

func TestEveryOperationAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	requested := must(s.ServiceQuotas().RequestServiceQuotaIncrease(t.Context(), request(images, 150_000)))(t).RequestedQuota
	for operation, body := range map[string]string{
		"GetAWSDefaultServiceQuota":                     `{"ServiceCode":"ecr","QuotaCode":"L-03A36CE1"}`,
		"GetRequestedServiceQuotaChange":                `{"RequestId":"` + *requested.Id + `"}`,
		"GetServiceQuota":                               `{"ServiceCode":"ecr","QuotaCode":"L-03A36CE1"}`,
		"ListAWSDefaultServiceQuotas":                   `{"ServiceCode":"ecr"}`,
		"ListRequestedServiceQuotaChangeHistory":        `{}`,
		"ListRequestedServiceQuotaChangeHistoryByQuota": `{"ServiceCode":"ecr","QuotaCode":"L-03A36CE1"}`,
		"ListServiceQuotas":                             `{"ServiceCode":"ecr"}`,
		"ListServices":                                  `{}`,
		"RequestServiceQuotaIncrease":                   `{"ServiceCode":"ecr","QuotaCode":"L-03A36CE1","DesiredValue":160000}`,
	} {
		s.Decisions()
		if status, text := s.Call(t, "servicequotas", "ServiceQuotasV20190624."+operation, body); status != http.StatusOK {
			t.Errorf("%s = %d %s", operation, status, text)
		}
		d := s.Decisions()
		if len(d) != 1 || d[0].Action != "servicequotas:"+operation || d[0].Resource != "*" || d[0].Account != servertest.Account {
			t.Errorf("%s asked about %v, want servicequotas:%s on *", operation, d, operation)
		}
	}
	r, id := s.Server().Registry(), registry.ID{Account: servertest.Account, Region: servertest.Region}
	user := access.Caller{Account: servertest.Account, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: "IAMUser"}
	_, err := r.ListServices(t.Context(), user, id, registry.Page{})
	const want = "AccessDeniedException: User: arn:aws:iam::123456789012:user/u is not authorized to perform: servicequotas:ListServices on resource: * " +
		"because no identity-based policy allows the servicequotas:ListServices action"
	if err == nil || err.Error() != want {
		t.Errorf("ListServices of another = %v, want %s", err, want)
	}
}

package registry_test

import (
	"strings"
	"testing"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"
)

const imagesCode = "L-03A36CE1"

func increaseTo(code string, value float64) registry.QuotaIncreaseInput {
	return registry.QuotaIncreaseInput{QuotaInput: registry.QuotaInput{ID: home, Service: "ecr", Code: code}, Desired: value}
}

// Whoever is no administrator asks, and waits until one has asked for as much.
func TestRequestsOfOthersWaitForAnAdministrator(t *testing.T) {
	t.Parallel()
	r := open(t, func(s registry.Store) registry.Store { return rerun{s} })
	ctx := t.Context()
	user := access.Caller{Account: home.Account, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: "IAMUser"}
	value := func() int64 {
		q, err := r.GetServiceQuota(ctx, user, registry.QuotaInput{ID: home, Service: "ecr", Code: imagesCode})
		if err != nil {
			t.Fatal(err)
		}
		return q.Value
	}
	ask := func(c access.Caller, want float64, status string) registry.QuotaRequest {
		t.Helper()
		q, err := r.RequestServiceQuotaIncrease(ctx, c, increaseTo(imagesCode, want))
		if err != nil || q.Status != status || q.Requester != c.ARN {
			t.Fatalf("RequestServiceQuotaIncrease = %v, %v, want %s", q, err, status)
		}
		return q
	}
	waiting := ask(user, 200_000, registry.QuotaPending)
	if _, err := r.RequestServiceQuotaIncrease(ctx, user, increaseTo(imagesCode, 300_000)); fault.CodeOf(err) != "ResourceAlreadyExistsException" {
		t.Errorf("a second request = %v, want ResourceAlreadyExistsException", err)
	}
	for _, step := range []struct {
		value  float64
		status string
	}{{150_000, registry.QuotaPending}, {200_000, registry.QuotaApproved}} {
		ask(caller, step.value, registry.QuotaApproved)
		if got := value(); got != int64(step.value) {
			t.Errorf("the quota is %d, want %v", got, step.value)
		}
		got, err := r.GetRequestedServiceQuotaChange(ctx, user, home, waiting.RequestID)
		if err != nil || got.Status != step.status {
			t.Errorf("after %v was granted the request is %v, %v, want %s", step.value, got, err, step.status)
		}
	}
	ask(user, 300_000, registry.QuotaPending)
	if got := value(); got != 200_000 {
		t.Errorf("the quota is %d, want 200000", got)
	}
}

func TestCheckQuotas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		value int64
		rates bool
		want  string // part of the error; "" for none
	}{
		{"repositories", 1, false, ""},
		{"manifest-size", 4, false, ""},
		{"rate-PutImage", 100, true, ""},
		{"rate-PutImage", 100, false, `there is no quota "rate-PutImage"; there are images-per-repository, layer-parts, `},
		{"Repositories", 1, false, `there is no quota "Repositories"`},
		{"manifest-size", 5, false, "the quota manifest-size must be between 1 and 4"},
		{"repositories", 0, false, "the quota repositories must be between 1 and 1000000000"},
		{"repositories", -1, false, "the quota repositories must be between"},
		{"rate-PutImage", 1 << 40, true, "the quota rate-PutImage must be between 1 and 1000000"},
	} {
		err := registry.CheckQuotas(map[string]int64{tt.name: tt.value}, tt.rates)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("CheckQuotas(%s=%d, %t) = %v, want %q", tt.name, tt.value, tt.rates, err, tt.want)
		}
	}
}

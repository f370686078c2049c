package registry_test

import (
	"strings"
	"sync"
	"testing"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/metadata"
	"berth/internal/metadata/pgtest"
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
	// One waits for each quota of a registry, whoever asks.
	other := user
	other.ARN = "arn:aws:iam::123456789012:user/other"
	if _, err := r.RequestServiceQuotaIncrease(ctx, other, increaseTo(imagesCode, 250_000)); fault.CodeOf(err) != "ResourceAlreadyExistsException" {
		t.Errorf("a request of another's = %v, want ResourceAlreadyExistsException", err)
	}
}

// What waits for no more than a quota has become by configuration is approved with
// the next request for it.
func TestRequestsThatTheQuotaHasPassedDoNotWait(t *testing.T) {
	t.Parallel()
	var same registry.Store
	r := open(t, func(s registry.Store) registry.Store { same = s; return s })
	user := access.Caller{Account: home.Account, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: "IAMUser"}
	first, err := r.RequestServiceQuotaIncrease(t.Context(), user, increaseTo(imagesCode, 150_000))
	if err != nil {
		t.Fatal(err)
	}
	err = same.Update(t.Context(), func(tx registry.Tx) error { return tx.GrantQuota(home, imagesCode, 160_000) })
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.RequestServiceQuotaIncrease(t.Context(), user, increaseTo(imagesCode, 170_000))
	if err != nil || second.Status != registry.QuotaPending {
		t.Errorf("a second request = %v, %v, want %s", second, err, registry.QuotaPending)
	}
	got, err := r.GetRequestedServiceQuotaChange(t.Context(), user, home, first.RequestID)
	if err != nil || got.Status != registry.QuotaApproved {
		t.Errorf("the first request = %v, %v, want %s", got, err, registry.QuotaApproved)
	}
}

// In PostgreSQL, where transactions run side by side.
func TestRequestsThatComeAtOnce(t *testing.T) {
	t.Parallel()
	db, err := metadata.OpenPostgres(t.Context(), pgtest.Migrated(t, metadata.OpenPostgres))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r := open(t, func(registry.Store) registry.Store { return metadata.For[registry.ReadTx, registry.Tx](db) })
	user := access.Caller{Account: home.Account, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: "IAMUser"}
	for round := range 5 {
		var wg sync.WaitGroup
		value := 200_000 + 1000*float64(round)
		for range 6 {
			wg.Go(func() { _, _ = r.RequestServiceQuotaIncrease(t.Context(), user, increaseTo(imagesCode, value)) })
			wg.Go(func() { _, _ = r.RequestServiceQuotaIncrease(t.Context(), user, increaseTo("L-CFEB8E8D", value)) })
		}
		wg.Go(func() { _, _ = r.RequestServiceQuotaIncrease(t.Context(), caller, increaseTo(imagesCode, value)) })
		wg.Wait()
		for code, most := range map[string]int{imagesCode: 0, "L-CFEB8E8D": 1} {
			waiting, _, err := r.ListRequestedServiceQuotaChangeHistory(t.Context(), caller, registry.QuotaInput{ID: home, Service: "ecr", Code: code}, registry.QuotaPending)
			if err != nil || len(waiting) != most {
				t.Errorf("%d requests for %s are waiting, %v, want %d", len(waiting), code, err, most)
			}
		}
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

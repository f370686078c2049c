package server_test

import (
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
)

const imagesQuota = "L-03A36CE1" // images per repository

// requestImages asks for a greater quota and returns the request.
func requestImages(t *testing.T, as awssdk.Config, value float64) *types.RequestedServiceQuotaChange {
	t.Helper()
	out, err := servicequotas.NewFromConfig(as).RequestServiceQuotaIncrease(t.Context(), &servicequotas.RequestServiceQuotaIncreaseInput{
		ServiceCode: new("ecr"), QuotaCode: new(imagesQuota), DesiredValue: &value,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.RequestedQuota
}

// imagesValue returns the quota that an account has.
func imagesValue(t *testing.T, as awssdk.Config) float64 {
	t.Helper()
	out, err := servicequotas.NewFromConfig(as).GetServiceQuota(t.Context(), &servicequotas.GetServiceQuotaInput{ServiceCode: new("ecr"), QuotaCode: new(imagesQuota)})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Quota.Value
}

// The root of another account asks for more; the first account's root says.
func TestTheFirstAccountDecidesAboutTheQuotasOfOthers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		root := s.CreateAccount(t, "111122223333")
		first := requestImages(t, root, 200_000)
		if first.Status != types.RequestStatusPending || imagesValue(t, root) != 100_000 {
			t.Fatalf("request of another root = %v, the quota %v, want it to wait", first.Status, imagesValue(t, root))
		}
		user := s.CreateUserOf(t, root, "alice", servertest.Allow("*"))
		other := s.CreateAccount(t, "444455556666")
		second := requestImages(t, other, 300_000)
		list := mustAsk[server.QuotaListResponse](t, s, server.QuotaListPath, `{"status":"PENDING"}`).Requests
		if len(list) != 2 {
			t.Fatalf("requests = %+v, want two", list)
		}
		want := server.QuotaRequest{
			RequestID: *first.Id, AccountID: "111122223333", Region: servertest.Region, Code: imagesQuota, Name: "Images per repository", Desired: 200_000,
			Status: "PENDING", Requester: "arn:aws:iam::111122223333:root", CreatedAt: list[0].CreatedAt,
		}
		if list[0] != want || list[1].RequestID != *second.Id {
			t.Errorf("requests = %+v\nwant %+v first", list, want)
		}
		page := mustAsk[server.QuotaListResponse](t, s, server.QuotaListPath, `{"maxResults":1}`)
		rest := mustAsk[server.QuotaListResponse](t, s, server.QuotaListPath, `{"maxResults":1,"nextToken":"`+page.NextToken+`"}`)
		if len(page.Requests) != 1 || len(rest.Requests) != 1 || rest.NextToken != "" || rest.Requests[0].RequestID != *second.Id {
			t.Errorf("pages = %+v, %+v", page, rest)
		}

		decide := func(path, id, status string) {
			t.Helper()
			if got := mustAsk[server.QuotaRequest](t, s, path, `{"requestId":"`+id+`"}`); got.Status != status || got.RequestID != id {
				t.Errorf("POST %s = %+v, want %s", path, got, status)
			}
			refused(t, s, path, `{"requestId":"`+id+`"}`, "InvalidResourceStateException", "is "+status+" already")
		}
		decide(server.QuotaDenyPath, *second.Id, "DENIED")
		if got := imagesValue(t, other); got != 100_000 {
			t.Errorf("the quota after a denial = %v, want 100000", got)
		}
		decide(server.QuotaApprovePath, *first.Id, "APPROVED")
		if got := imagesValue(t, user); got != 200_000 {
			t.Errorf("the quota after an approval = %v, want 200000", got)
		}
		if list := mustAsk[server.QuotaListResponse](t, s, server.QuotaListPath, `{"status":"PENDING"}`).Requests; len(list) != 0 {
			t.Errorf("requests = %+v, want none that waits", list)
		}
		if got := imagesValue(t, s.AWS()); got != 100_000 {
			t.Errorf("the first account's quota = %v, want 100000", got)
		}
		requestImages(t, other, 300_000) // what was denied can be asked for again
	})
}

func TestOnlyTheFirstAccountDecidesAboutQuotas(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		root := s.CreateAccount(t, "111122223333")
		id := *requestImages(t, root, 200_000).Id
		body := map[string]string{
			server.QuotaListPath: `{}`, server.QuotaApprovePath: `{"requestId":"` + id + `"}`, server.QuotaDenyPath: `{"requestId":"` + id + `"}`,
		}
		for who, c := range map[string]awssdk.Config{
			"another root": root, "another account's administrator": s.CreateUserOf(t, root, "bob", servertest.Allow("*")),
			"a user of the first account": s.CreateUserOf(t, s.AWS(), "carol", servertest.Allow("ecr:*")),
		} {
			for path, body := range body {
				if status, text := s.PostAs(t, c, path, body); status != 400 || !strings.Contains(text, "AccessDeniedException") {
					t.Errorf("%s: POST %s = %d %s, want AccessDeniedException", who, path, status, text)
				}
			}
		}
		for path, action := range map[string]string{
			server.QuotaListPath: "ListServiceQuotaRequests", server.QuotaApprovePath: "DecideServiceQuotaRequest", server.QuotaDenyPath: "DecideServiceQuotaRequest",
		} {
			s.Decisions()
			refused(t, s, path, `{"requestId":1}`, "SerializationException", "")
			if path != server.QuotaListPath {
				refused(t, s, path, `{"requestId":"a\u0000b"}`, "NoSuchResourceException", "")
				refused(t, s, path, `{}`, "NoSuchResourceException", "")
			} else {
				refused(t, s, path, `{"status":"WAITING"}`, "InvalidParameterException", "status")
				refused(t, s, path, `{"maxResults":0}`, "InvalidParameterException", "maxResults")
				refused(t, s, path, `{"nextToken":"x"}`, "InvalidPaginationTokenException", "")
			}
			for _, d := range s.Decisions() {
				if d.Action != "servicequotas:"+action || d.Account != servertest.Account || d.Resource != "*" {
					t.Errorf("POST %s asked about %v", path, d)
				}
			}
		}
		helper := s.CreateUserOf(t, s.AWS(), "dave", servertest.Allow("servicequotas:*"))
		if pending := requestImages(t, helper, 150_000); pending.Status != types.RequestStatusPending {
			t.Errorf("request of a user of the first account = %v, want it to wait", pending.Status)
		}
		if status, text := s.PostAs(t, helper, server.QuotaApprovePath, body[server.QuotaApprovePath]); status != 200 {
			t.Errorf("approval by who may = %d %s", status, text)
		}
	})
}

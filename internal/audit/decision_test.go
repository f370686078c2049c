package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

const (
	homeAccount = "123456789012"
	awayAccount = "210987654321"
)

// policiesOf answers with the policies that the text of one says.
type policiesOf string

// Policies implements [access.PolicySource].
func (p policiesOf) Policies(_ context.Context, c access.Caller) (access.Policies, error) {
	parsed, err := policy.Parse(string(p), policy.Options{Kind: policy.Identity})
	return access.Policies{Administrator: c.Type == access.Root, Identity: []policy.Attached{{Name: "own", Policy: parsed}}}, err
}

func rootOf(account string) access.Call {
	return access.Call{Caller: access.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account, Type: access.Root}}
}

// refused leaves the record of a refusal, and returns its id.
func refused(t *testing.T, l *Log, a *access.Authorizer, c access.Caller) string {
	t.Helper()
	arn := access.RepositoryARN(homeAccount, "us-east-1", "app")
	err := a.Decide(t.Context(), access.Request{Caller: c, Action: "ecr:PutImage", Account: homeAccount, Resource: arn})
	r := access.RefusalOf(err)
	if r == nil {
		t.Fatalf("Decide = %v, want a refusal", err)
	}
	f, _ := fault.As(err)
	l.Record(access.Record{
		Time: time.Unix(1e9, 0).UTC(), Caller: c, Service: "ecr", Event: "PutImage", Account: homeAccount, Resource: arn,
		Error: f.Code, Message: f.Message, Refusal: r,
	})
	return r.ID
}

func TestADecisionIsFoundByThoseItIsAbout(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	l := NewLog(k, slog.New(slog.DiscardHandler))
	a := &access.Authorizer{Source: policiesOf(`{"Statement":{"Sid":"Reads","Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"Bool":{"a:b":true}}}}`)}
	d := NewDecisions(l, a, time.Now)
	abroad := refused(t, l, a, access.Caller{Account: awayAccount, ARN: "arn:aws:iam::" + awayAccount + ":user/u", ID: "AIDA", Type: access.User})
	stranger := refused(t, l, a, access.Caller{})
	for account, statements := range map[string]int{homeAccount: 0, awayAccount: 1} {
		got, err := d.GetDecision(t.Context(), rootOf(account), abroad)
		if err != nil {
			t.Fatalf("GetDecision for %s: %v", account, err)
		}
		var e policy.Explanation
		if err := json.Unmarshal(got.Explanation, &e); err != nil || e.Allowed {
			t.Errorf("the explanation for %s is %s, %v", account, got.Explanation, err)
		}
		if n := strings.Count(string(got.Explanation), `"sid":"Reads"`); n != statements {
			t.Errorf("%s sees %d statements of the caller's, want %d: %s", account, n, statements, got.Explanation)
		}
		if got.ID != abroad || got.Principal != "arn:aws:iam::210987654321:user/u" || got.Action != "ecr:PutImage" || got.ResourceAccount != homeAccount ||
			!strings.HasSuffix(got.Resource, "repository/app") || got.Time.Unix() != 1e9 {
			t.Errorf("GetDecision for %s = %+v", account, got)
		}
	}
	// Everything else is answered as what there never was.
	const unknown = "aaaaaaaaaaaaaaaaaaaa"
	for what, try := range map[string]struct{ account, id string }{
		"a third account": {"333333333333", abroad}, "an anonymous refusal": {homeAccount, stranger}, "an unknown id": {homeAccount, unknown},
		"no id": {homeAccount, ""}, "no text": {homeAccount, strings.Repeat("\x00", 20)}, "a long id": {homeAccount, strings.Repeat("a", 1000)},
		"an account's name as an id": {homeAccount, homeAccount},
	} {
		_, err := d.GetDecision(t.Context(), rootOf(try.account), try.id)
		_, other := d.GetDecision(t.Context(), rootOf(try.account), unknown)
		if fault.CodeOf(err) != "DecisionNotFoundException" || err.Error() != other.Error() {
			t.Errorf("%s: GetDecision = %v, want %v", what, err, other)
		}
	}
	// Who has no leave is refused, and that is a decision, too.
	user := rootOf(homeAccount)
	user.ARN, user.Type = "arn:aws:iam::123456789012:user/u", access.User
	_, err := d.GetDecision(t.Context(), user, abroad)
	if f, _ := fault.As(err); f == nil || f.Code != "AccessDeniedException" || !strings.Contains(f.Message, "berth:GetDecision") {
		t.Errorf("GetDecision by a user = %v, want AccessDeniedException", err)
	}
	if got, err := d.GetDecision(t.Context(), rootOf(homeAccount), access.RefusalOf(err).ID); err != nil || got.Action != "berth:GetDecision" {
		t.Errorf("GetDecision of that = %+v, %v", got, err)
	}
}

// Who looks for a decision and goes away takes no records along.
func TestNoRecordIsLostToACallerWhoIsGone(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	l := NewLog(k, slog.New(slog.DiscardHandler))
	a := &access.Authorizer{Source: policiesOf(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)}
	d := NewDecisions(l, a, time.Now)
	l.Record(access.Record{Time: at(0), Caller: known, Service: "ecr", Event: "ListImages"})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.GetDecision(gone, rootOf(homeAccount), strings.Repeat("a", 20))
	if fault.CodeOf(err) != "DecisionNotFoundException" || len(k.batches) != 1 {
		t.Errorf("GetDecision = %v, and %d batches are stored, want one", err, len(k.batches))
	}
}

// Explanations cost what policies make them cost: of one principal few are kept.
func TestFewRefusalsOfAPrincipalAreExplained(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	l := NewLog(k, slog.New(slog.DiscardHandler))
	a := &access.Authorizer{Source: policiesOf(`{"Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"Bool":{"a:b":true}}}}`)}
	const more = 5
	for i := range maxExplainedPrincipal + more {
		refused(t, l, a, access.Caller{
			Account: homeAccount, ARN: fmt.Sprintf("arn:aws:sts::%s:assumed-role/r/%d", homeAccount, i), ID: fmt.Sprintf("AROA:%d", i), Type: access.AssumedRole,
			Session: &access.Session{Owner: "AROA"},
		})
	}
	other := refused(t, l, a, access.Caller{Account: homeAccount, ARN: "arn:aws:iam::" + homeAccount + ":user/u", ID: "AIDA", Type: access.User})
	d := NewDecisions(l, a, time.Now)
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	brief := 0
	for _, id := range k.batches[0].Decisions {
		found, err := d.GetDecision(t.Context(), rootOf(homeAccount), id.ID)
		if err != nil {
			t.Fatal(err)
		}
		var e policy.Explanation
		if err := json.Unmarshal(found.Explanation, &e); err != nil || e.Allowed || e.By.Kind != policy.Identity {
			t.Errorf("the explanation is %s, %v", found.Explanation, err)
		}
		if e.Cut && len(e.Policies) == 0 {
			brief++
			if id.ID == other {
				t.Error("another principal's refusal is told in brief")
			}
		}
	}
	if brief != more || len(k.batches[0].Decisions) != maxExplainedPrincipal+more+1 {
		t.Errorf("%d decisions of %d are told in brief, want %d", brief, len(k.batches[0].Decisions), more)
	}
}

// Strangers leave the id in a record at most, and no explanation is long.
func TestWhatIsKeptOfARefusalIsBounded(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	l := NewLog(k, slog.New(slog.DiscardHandler))
	var statements []string
	for i := range 500 {
		statements = append(statements, fmt.Sprintf(`{"Sid":"S%d","Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a:b":"%0100d"}}}`, i, i))
	}
	a := &access.Authorizer{Source: policiesOf(`{"Statement":[` + strings.Join(statements, ",") + `]}`)}
	known := refused(t, l, a, access.Caller{Account: homeAccount, ARN: "arn:aws:iam::" + homeAccount + ":user/u", Type: access.User})
	for range 3 * maxAnonymous {
		refused(t, l, a, access.Caller{})
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(k.batches) != 1 || len(k.batches[0].Decisions) != 1 || k.batches[0].Decisions[0].ID != known || k.batches[0].Records != 1+maxAnonymous {
		t.Errorf("the batch has %d records and %v", k.batches[0].Records, k.batches[0].Decisions)
	}
	for i, r := range lines(t, k.batches[0]) {
		text, err := json.Marshal(r["additionalEventData"])
		if err != nil || i == 0 && (len(text) > 17<<10 || !strings.Contains(string(text), `"cut":true`)) || i > 0 && len(text) > 60 {
			t.Errorf("record %d has %d bytes: %.200s", i, len(text), text)
		}
	}
}

package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// Decisions finds decisions that refused access. It is safe for concurrent use.
type Decisions struct {
	log  *Log
	auth *access.Authorizer
	now  func() time.Time
}

// NewDecisions returns the decisions whose records a Log has.
func NewDecisions(l *Log, a *access.Authorizer, now func() time.Time) *Decisions {
	return &Decisions{l, a, now}
}

// Decision is a request for access that was refused, and why.
type Decision struct {
	ID              string          `json:"decisionId"`
	Time            time.Time       `json:"time"`
	Principal       string          `json:"principal"`
	PrincipalType   string          `json:"principalType,omitempty"`
	Account         string          `json:"principalAccount,omitempty"`
	Operation       string          `json:"operation"`
	Action          string          `json:"action"`
	Resource        string          `json:"resource"`
	ResourceAccount string          `json:"resourceAccount"`
	SourceIP        string          `json:"sourceAddress"`
	UserAgent       string          `json:"userAgent,omitempty"`
	RequestID       string          `json:"requestId"`
	Message         string          `json:"message"`
	Explanation     json.RawMessage `json:"explanation"` // a policy.Explanation
}

// GetDecision returns the decision of an id, if the resource or the caller who was
// refused is of the account of c. Of two accounts each sees what its own policies
// said. It finds decisions at once that this process has made, those of others
// after a second. Errors: DecisionNotFoundException, AccessDeniedException.
func (d *Decisions) GetDecision(ctx context.Context, c access.Call, id string) (*Decision, error) {
	err := d.auth.Decide(ctx, access.Request{Caller: c.Caller, Action: "berth:GetDecision", Account: c.Account, Resource: "*"})
	var found *Decision
	if err == nil {
		found, err = d.find(ctx, c.Account, id)
	}
	rec := access.Record{
		Time: d.now(), Caller: c.Caller, Service: "berth", Event: "GetDecision", Account: c.Account, Region: c.Region, ReadOnly: true,
		Parameters: map[string]string{"decisionId": id[:min(len(id), access.DecisionIDLength)]},
		Error:      fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if f, ok := fault.As(err); ok {
		rec.Message = f.Message
	}
	d.log.Record(rec)
	return found, err
}

func (d *Decisions) find(ctx context.Context, account, id string) (*Decision, error) {
	unknown := fault.New(fault.NotFound, "DecisionNotFoundException", "The account %s has no decision with this id", account)
	if !isDecisionID(id) || account == "" {
		return nil, unknown
	}
	if err := d.log.Flush(ctx); err != nil {
		return nil, err
	}
	var content []byte
	var who Decided
	found := false
	err := d.log.store.View(ctx, func(tx ReadTx) (err error) {
		content, who, found, err = tx.DecisionBatch(id, account)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, unknown
	}
	return decisionIn(content, who, account)
}

// isDecisionID reports whether a text has the shape of the ids of decisions.
func isDecisionID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(s) == access.DecisionIDLength
}

// decisionIn returns the decision in a batch, as an account may see it.
func decisionIn(content []byte, who Decided, account string) (*Decision, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("read a batch of audit records: %w", err)
	}
	for lines := bufio.NewReader(unpacked); ; {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte(who.ID)) {
			if out, err := parseDecision(line, who, account); out != nil || err != nil {
				return out, err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("decision %s is not in its batch", who.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("read a batch of audit records: %w", err)
		}
	}
}

// parseDecision returns the decision that a record is of, nil if it is of another.
func parseDecision(line []byte, who Decided, account string) (*Decision, error) {
	var e struct {
		event
		Additional struct {
			ID                string `json:"decisionId"`
			Action, Resource  string
			Explanation       json.RawMessage
			CallerExplanation json.RawMessage
		} `json:"additionalEventData"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("read an audit record: %w", err)
	}
	a := e.Additional
	if a.ID != who.ID {
		return nil, nil
	}
	out := &Decision{
		ID: a.ID, Time: e.EventTime, Principal: e.UserIdentity.ARN, PrincipalType: e.UserIdentity.Type, Account: e.UserIdentity.AccountID,
		Operation: e.EventName, Action: a.Action, Resource: a.Resource, ResourceAccount: who.Owner,
		SourceIP: e.SourceIPAddress, UserAgent: e.UserAgent, RequestID: e.RequestID, Message: e.ErrorMessage, Explanation: a.Explanation,
	}
	if account != who.Owner {
		out.Explanation = a.CallerExplanation
	}
	return out, nil
}

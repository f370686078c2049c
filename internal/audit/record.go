// Package audit keeps the records of all calls in CloudTrail's shape.
//
// The record of a change is written in the change's own transaction. Records of
// reads, of refusals and of failures are gathered in memory by [Log] and stored
// many at a time; a loss of power or kill -9 may lose those of the last second.
package audit

import (
	"encoding/json"
	"strings"
	"time"

	"berth/internal/access"

	"github.com/google/uuid"
)

// event is a record as CloudTrail documents it, event version 1.08.
type event struct {
	EventVersion       string       `json:"eventVersion"`
	UserIdentity       userIdentity `json:"userIdentity"`
	EventTime          time.Time    `json:"eventTime"`
	EventSource        string       `json:"eventSource"`
	EventName          string       `json:"eventName"`
	AWSRegion          string       `json:"awsRegion"`
	SourceIPAddress    string       `json:"sourceIPAddress"`
	UserAgent          string       `json:"userAgent"`
	ErrorCode          string       `json:"errorCode,omitempty"`
	ErrorMessage       string       `json:"errorMessage,omitempty"`
	RequestParameters  any          `json:"requestParameters"`
	ResponseElements   any          `json:"responseElements,omitempty"`
	RequestID          string       `json:"requestID"`
	EventID            string       `json:"eventID"`
	ReadOnly           bool         `json:"readOnly"`
	Resources          []resource   `json:"resources,omitempty"`
	Additional         any          `json:"additionalEventData,omitempty"` // of a refusal: access.RefusalRecord
	EventType          string       `json:"eventType"`
	Details            any          `json:"serviceEventDetails,omitempty"`
	RecipientAccountID string       `json:"recipientAccountId"`
	VPCEndpointID      string       `json:"vpcEndpointId,omitempty"`
}

type userIdentity struct {
	Type        string `json:"type,omitempty"`
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn,omitempty"`
	AccountID   string `json:"accountId,omitempty"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
	UserName    string `json:"userName,omitempty"`
	InvokedBy   string `json:"invokedBy,omitempty"`

	IdentityProvider string          `json:"identityProvider,omitempty"`
	SessionContext   *sessionContext `json:"sessionContext,omitempty"`
}

// sessionContext is of callers with temporary credentials.
type sessionContext struct {
	SessionIssuer  *sessionIssuer    `json:"sessionIssuer,omitempty"` // the role, or the user of a federated one
	Attributes     sessionAttributes `json:"attributes"`
	SourceIdentity string            `json:"sourceIdentity,omitempty"`
}

type sessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName,omitempty"`
}

type sessionAttributes struct {
	CreationDate     time.Time `json:"creationDate"`
	MFAAuthenticated string    `json:"mfaAuthenticated"`
}

// session returns what is said of a session, nil if the caller has none.
func session(c access.Caller) *sessionContext {
	s := c.Session
	if s == nil {
		return nil
	}
	out := &sessionContext{Attributes: sessionAttributes{s.IssuedAt, "false"}, SourceIdentity: s.SourceIdentity}
	if s.Parent != "" {
		out.SessionIssuer = &sessionIssuer{"Role", s.Owner, s.Parent, c.Account, s.Parent[strings.LastIndexByte(s.Parent, '/')+1:]}
		switch {
		case s.Owner == c.Account:
			out.SessionIssuer.Type, out.SessionIssuer.UserName = "Root", ""
		case c.Type == access.FederatedUser:
			out.SessionIssuer.Type = "IAMUser"
		}
	}
	return out
}

type resource struct {
	AccountID string `json:"accountId"`
	ARN       string `json:"ARN"`
	Type      string `json:"type,omitempty"`
}

// Marshal returns the record as JSON with the id given.
func Marshal(id string, r access.Record) ([]byte, error) {
	return json.Marshal(newEvent(id, r))
}

func newEvent(id string, r access.Record) event {
	who := string(r.Caller.Type)
	if r.Caller.Type == access.Anonymous {
		who = "Unknown"
	}
	e := event{
		EventVersion: "1.08",
		UserIdentity: userIdentity{who, r.Caller.ID, r.Caller.ARN, r.Caller.Account, r.Caller.AccessKeyID, userName(r.Caller), "", "", session(r.Caller)},
		EventTime:    r.Time, EventSource: r.Service + ".amazonaws.com", EventName: r.Event, AWSRegion: r.Region,
		SourceIPAddress: r.Caller.SourceIP.String(), UserAgent: r.Caller.UserAgent,
		ErrorCode: r.Error, ErrorMessage: r.Message, RequestParameters: r.Parameters, ResponseElements: r.Response,
		RequestID: r.Caller.RequestID, EventID: id, ReadOnly: r.ReadOnly,
		EventType: "AwsApiCall", RecipientAccountID: r.Account,
	}
	if r.Caller.Type == access.WebIdentity {
		e.UserIdentity.ARN, e.UserIdentity.IdentityProvider = "", r.Caller.ARN
	}
	if p := r.Caller.Endpoint; p != nil {
		e.VPCEndpointID = p.ID
	}
	if r.Resource != "" {
		e.Resources = []resource{{r.Account, r.Resource, ""}}
	}
	if r.Refusal != nil {
		e.Additional = r.Refusal.Record()
	}
	if r.Details != nil {
		e.ofService(r)
	}
	return e
}

// userName returns the name of a user, "" of any other principal.
func userName(c access.Caller) string {
	if c.Type != access.User {
		return ""
	}
	return c.ARN[strings.LastIndexByte(c.ARN, '/')+1:]
}

// itself is what CloudTrail calls a service that acts by itself.
const itself = "AWS Internal"

// ofService makes the event that of a service and not of a call.
func (e *event) ofService(r access.Record) {
	e.EventType, e.Details = "AwsServiceEvent", r.Details
	e.UserIdentity = userIdentity{AccountID: r.Caller.Account, InvokedBy: itself}
	e.SourceIPAddress, e.UserAgent = itself, itself
	for i := range e.Resources {
		e.Resources[i].Type = "AWS::ECR::Repository"
		if r.Service == "kms" {
			e.Resources[i].Type = "AWS::KMS::Key"
		}
	}
}

// NewID returns an id for a record; ids sort by the time they were made.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

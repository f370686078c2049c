package server

import (
	"context"
	"encoding/base64"
	"time"

	"berth/internal/access"
	"berth/internal/identity"
	"berth/internal/registry"
)

// The operations on temporary credentials and registry passwords:
//
//	POST /_berth/v1/token {"lifetimeSeconds": 900}
//	200  {"authorizationToken": "...", "expiresAt": "...", "proxyEndpoint": "https://...", "tokenId": "..."}
//
//	POST /_berth/v1/session/list {"principalArn": "arn:aws:iam::123456789012:role/ci", "nextToken": "..."}
//	200  {"sessions": [{"accessKeyId": "ASIA...", ...}], "nextToken": "..."}
//
//	POST /_berth/v1/session/revoke {"accessKeyId": "ASIA..."} or {"tokenId": "..."} or {"principalArn": "arn:..."}
//	200  {}
//
// All are signed, and answer errors, as ECR's operations are. The caller must be
// allowed ecr:GetAuthorizationToken, or berth:ListSessions or berth:RevokeSession on
// the ARN of the principal, of its own account.
const (
	TokenPath    = "/_berth/v1/token"
	SessionsPath = "/_berth/v1/session/list"
	RevokePath   = "/_berth/v1/session/revoke"
)

// TokenRequest is the body of a request to TokenPath.
type TokenRequest struct {
	LifetimeSeconds int64 `json:"lifetimeSeconds"` // from 60 to 43,200
}

// TokenResponse is the answer.
type TokenResponse struct {
	AuthorizationToken string    `json:"authorizationToken"` // user and password, as of GetAuthorizationToken
	ExpiresAt          time.Time `json:"expiresAt"`
	ProxyEndpoint      string    `json:"proxyEndpoint"`
	TokenID            string    `json:"tokenId"`
}

// createToken makes a registry password for a caller.
func (s *Server) createToken(ctx context.Context, c access.Call, in TokenRequest) (TokenResponse, error) {
	life := min(max(in.LifetimeSeconds, 0), 1<<30) // so that it cannot overflow
	made, err := s.registry.CreateToken(ctx, c.Caller, c.Region, time.Duration(life)*time.Second)
	if err != nil {
		return TokenResponse{}, err
	}
	return TokenResponse{
		AuthorizationToken: base64.StdEncoding.EncodeToString([]byte("AWS:" + made.Password)), ExpiresAt: made.Expires.UTC(),
		ProxyEndpoint: s.hosts.Endpoint(registry.ID{Account: c.Account, Region: c.Region}), TokenID: made.TokenID,
	}, nil
}

// SessionsRequest is the body of a request to SessionsPath.
type SessionsRequest struct {
	PrincipalARN string `json:"principalArn"` // of a user, a role or a root
	MaxResults   int    `json:"maxResults,omitempty"`
	NextToken    string `json:"nextToken,omitempty"`
}

// SessionsResponse is the answer.
type SessionsResponse struct {
	Sessions  []Session `json:"sessions"`
	NextToken string    `json:"nextToken,omitempty"`
}

// Session says of temporary credentials what is no secret.
type Session struct {
	AccessKeyID    string    `json:"accessKeyId"`
	Operation      string    `json:"operation"` // that issued it
	Name           string    `json:"sessionName,omitempty"`
	SourceIdentity string    `json:"sourceIdentity,omitempty"`
	IssuedTo       string    `json:"issuedTo,omitempty"` // the principal that asked for it
	Provider       string    `json:"provider,omitempty"`
	Subject        string    `json:"subject,omitempty"`
	IssuedAt       time.Time `json:"issuedAt"`
	ExpiresAt      time.Time `json:"expiresAt"`
}

// listSessions lists the sessions of a principal for a caller.
func (s *Server) listSessions(ctx context.Context, c access.Call, in SessionsRequest) (SessionsResponse, error) {
	found, next, err := s.directory.ListSessions(ctx, c, in.PrincipalARN, identity.Page{Marker: in.NextToken, Max: in.MaxResults})
	out := SessionsResponse{Sessions: []Session{}, NextToken: next}
	for _, f := range found {
		out.Sessions = append(out.Sessions, Session{
			f.ID, f.Operation, f.Terms.Name, f.Terms.SourceIdentity, f.Terms.By, f.Terms.Provider, f.Terms.Subject, f.IssuedAt, f.Expires,
		})
	}
	return out, err
}

// RevokeRequest is the body of a request to RevokePath: one of the three.
type RevokeRequest struct {
	AccessKeyID  string `json:"accessKeyId,omitempty"`
	TokenID      string `json:"tokenId,omitempty"`
	PrincipalARN string `json:"principalArn,omitempty"`
}

// revokeSession revokes for a caller.
func (s *Server) revokeSession(ctx context.Context, c access.Call, in RevokeRequest) (struct{}, error) {
	return struct{}{}, s.directory.RevokeSessions(ctx, c, identity.Revoke{AccessKeyID: in.AccessKeyID, Token: in.TokenID, Principal: in.PrincipalARN})
}

// The operations on bindings of users and roles to services that they act for:
//
//	POST /_berth/v1/service-binding/put     {"principalArn": "arn:aws:iam::123456789012:user/agent", "service": "ecs-tasks.amazonaws.com"}
//	POST /_berth/v1/service-binding/delete  the same
//	200  {}
//
//	POST /_berth/v1/service-binding/list {"accountId": "123456789012"}
//	200  {"bindings": [{"principalArn": "arn:...", "service": "...", "createdAt": "..."}]}
//
// They are signed, and answer errors, as ECR's operations are. The caller must be
// allowed berth:PutServiceBinding, berth:DeleteServiceBinding or
// berth:ListServiceBindings, in the account that they are about or in the first.
const (
	BindingPath   = "/_berth/v1/service-binding/put"
	BindingsPath  = "/_berth/v1/service-binding/list"
	UnbindingPath = "/_berth/v1/service-binding/delete"
)

// BindingRequest is the body of a request to BindingPath or UnbindingPath.
type BindingRequest struct {
	PrincipalARN string `json:"principalArn"`
	Service      string `json:"service"`
}

// BindingsRequest is the body of a request to BindingsPath.
type BindingsRequest struct {
	AccountID string `json:"accountId,omitempty"` // the caller's if ""
}

// BindingsResponse is the answer.
type BindingsResponse struct {
	Bindings []Binding `json:"bindings"`
}

// Binding says who acts for a service.
type Binding struct {
	PrincipalARN string    `json:"principalArn"`
	Service      string    `json:"service"`
	CreatedAt    time.Time `json:"createdAt"`
}

func (s *Server) putBinding(ctx context.Context, c access.Call, in BindingRequest) (struct{}, error) {
	return struct{}{}, s.directory.PutServiceBinding(ctx, c, in.PrincipalARN, in.Service)
}

func (s *Server) deleteBinding(ctx context.Context, c access.Call, in BindingRequest) (struct{}, error) {
	return struct{}{}, s.directory.DeleteServiceBinding(ctx, c, in.PrincipalARN, in.Service)
}

func (s *Server) listBindings(ctx context.Context, c access.Call, in BindingsRequest) (BindingsResponse, error) {
	found, err := s.directory.ServiceBindings(ctx, c, in.AccountID)
	out := BindingsResponse{Bindings: []Binding{}}
	for _, b := range found {
		out.Bindings = append(out.Bindings, Binding{b.Principal.ARN(), b.Service, b.CreatedAt})
	}
	return out, err
}

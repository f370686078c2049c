package server

import (
	"context"

	"berth/internal/access"
)

// AccountPath is where accounts are made:
//
//	POST {"accountId": "111122223333"}, or {} for a random id
//	200  {"accountId": "111122223333", "accessKeyId": "AKIA...", "secretAccessKey": "..."}
//
// It is signed, and answers errors, as ECR's operations do. The caller must be the
// administrator: the root of the first account. The key is that of the new
// account's root and is never shown again.
const AccountPath = "/_berth/v1/account/create"

// AccountRequest is the body of a request to AccountPath.
type AccountRequest struct {
	AccountID string `json:"accountId,omitempty"`
}

// AccountResponse is the answer.
type AccountResponse struct {
	AccountID       string `json:"accountId"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// createAccount makes an account for a caller.
func (s *Server) createAccount(ctx context.Context, c access.Call, in AccountRequest) (AccountResponse, error) {
	id, key, err := s.directory.CreateAccount(ctx, c, in.AccountID)
	return AccountResponse{id, key.ID, key.Secret}, err
}

// Package sts is the front for AWS STS's API, as far as people and tools call it
// before they turn to a registry.
package sts

import (
	"context"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// API has the operations of STS. It is safe for concurrent use.
type API struct {
	directory *identity.Directory
}

// New returns the API.
func New(d *identity.Directory) *API { return &API{d} }

// Service returns the table of operations.
func (a *API) Service() aws.Service[access.Call] {
	return aws.Service[access.Call]{
		Name: "sts", Protocol: aws.Query, Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Operations: []aws.Operation[access.Call]{
			aws.Op("GetCallerIdentity", a.GetCallerIdentity),
		},
	}
}

// GetCallerIdentity says who is asking.
func (a *API) GetCallerIdentity(ctx context.Context, c access.Call, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	who := a.directory.GetCallerIdentity(ctx, c)
	return &sts.GetCallerIdentityOutput{Account: &who.Account, Arn: &who.ARN, UserId: &who.ID}, nil
}

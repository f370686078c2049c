package iam

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// CreateAccountAlias gives the account an alias.
func (a *API) CreateAccountAlias(ctx context.Context, c call, in *iam.CreateAccountAliasInput) (*iam.CreateAccountAliasOutput, error) {
	return nil, a.directory.CreateAccountAlias(ctx, c, value(in.AccountAlias))
}

// DeleteAccountAlias takes the alias of the account away.
func (a *API) DeleteAccountAlias(ctx context.Context, c call, in *iam.DeleteAccountAliasInput) (*iam.DeleteAccountAliasOutput, error) {
	return nil, a.directory.DeleteAccountAlias(ctx, c, value(in.AccountAlias))
}

// ListAccountAliases lists the one alias of the account, or none.
func (a *API) ListAccountAliases(ctx context.Context, c call, _ *iam.ListAccountAliasesInput) (*iam.ListAccountAliasesOutput, error) {
	alias, err := a.directory.AccountAlias(ctx, c)
	if err != nil {
		return nil, err
	}
	out := &iam.ListAccountAliasesOutput{AccountAliases: []string{}}
	if alias != "" {
		out.AccountAliases = append(out.AccountAliases, alias)
	}
	return out, nil
}

// GetAccountSummary says how much there is in the account.
func (a *API) GetAccountSummary(ctx context.Context, c call, _ *iam.GetAccountSummaryInput) (*iam.GetAccountSummaryOutput, error) {
	found, err := a.directory.AccountSummary(ctx, c)
	if err != nil {
		return nil, err
	}
	return &iam.GetAccountSummaryOutput{SummaryMap: found}, nil
}

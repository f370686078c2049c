package organizations

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

func account(m identity.MemberView) *types.Account {
	return &types.Account{
		Id: &m.Account, Arn: new(m.ARN()), Name: new(m.Name()), Status: types.AccountStatusActive, State: types.AccountStateActive,
		JoinedMethod: types.AccountJoinedMethodCreated, JoinedTimestamp: &m.JoinedAt, Paths: []string{m.Path},
	}
}

func accounts(list []identity.MemberView) []types.Account {
	return render(list, func(m identity.MemberView) types.Account { return *account(m) })
}

// ListAccounts lists all accounts.
func (a *API) ListAccounts(ctx context.Context, c call, in *organizations.ListAccountsInput) (*organizations.ListAccountsOutput, error) {
	found, next, err := a.directory.ListMembers(ctx, c, page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizations.ListAccountsOutput{Accounts: accounts(found), NextToken: optional(next)}, nil
}

// ListAccountsForParent lists the accounts in a unit.
func (a *API) ListAccountsForParent(ctx context.Context, c call, in *organizations.ListAccountsForParentInput) (*organizations.ListAccountsForParentOutput, error) {
	found, next, err := a.directory.ListMembersOf(ctx, c, "ListAccountsForParent", value(in.ParentId), page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizations.ListAccountsForParentOutput{Accounts: accounts(found), NextToken: optional(next)}, nil
}

// DescribeAccount returns an account.
func (a *API) DescribeAccount(ctx context.Context, c call, in *organizations.DescribeAccountInput) (*organizations.DescribeAccountOutput, error) {
	m, err := a.directory.DescribeMember(ctx, c, value(in.AccountId))
	if err != nil {
		return nil, err
	}
	return &organizations.DescribeAccountOutput{Account: account(m)}, nil
}

// MoveAccount moves an account to another unit.
func (a *API) MoveAccount(ctx context.Context, c call, in *organizations.MoveAccountInput) (*organizations.MoveAccountOutput, error) {
	return nil, a.directory.MoveMember(ctx, c, value(in.AccountId), value(in.SourceParentId), value(in.DestinationParentId))
}

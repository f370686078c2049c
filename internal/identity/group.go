package identity

import (
	"context"

	"berth/internal/access"
	"berth/internal/page"
)

const maxGroups = 10 // of one user

// GroupMembers returns a group and its users, by name. Errors: NoSuchEntity.
func (d *Directory) GroupMembers(ctx context.Context, c access.Call, name string, p Page) (group *Entity, users []Entity, next string, err error) {
	q := &request{call: c, event: "GetGroup", params: params{"groupName": name}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		var err error
		if group, err = d.open(ctx, tx, q, Group, name); err != nil {
			return err
		}
		l, err := d.listing(q, p, group.ID)
		if err != nil {
			return err
		}
		found, err := tx.MembersOf(group.ID, l.After, l.Limit+1)
		users, next = page.Cut(l, found, entityKey)
		return err
	})
	return group, users, next, err
}

// ListGroupsForUser returns the groups of a user, by name. Errors: NoSuchEntity.
func (d *Directory) ListGroupsForUser(ctx context.Context, c access.Call, name string, p Page) (groups []Entity, next string, err error) {
	q := &request{call: c, event: "ListGroupsForUser", params: params{"userName": name}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		user, err := d.open(ctx, tx, q, User, name)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, user.ID)
		if err != nil {
			return err
		}
		found, err := tx.GroupsOf(user.ID, l.After, l.Limit+1)
		groups, next = page.Cut(l, found, entityKey)
		return err
	})
	return groups, next, err
}

// AddUserToGroup makes a user a member of a group, if it is none. Errors:
// NoSuchEntity, LimitExceeded.
func (d *Directory) AddUserToGroup(ctx context.Context, c access.Call, group, user string) error {
	return d.membership(ctx, c, "AddUserToGroup", group, user, func(tx Tx, g, u string) error {
		groups, err := tx.GroupsOf(u, "", maxGroups+1)
		if err != nil {
			return err
		}
		for _, there := range groups {
			if there.ID == g {
				return nil
			}
		}
		if len(groups) >= maxGroups {
			return errQuota("GroupsPerUser", maxGroups)
		}
		return tx.AddMember(g, u)
	})
}

// RemoveUserFromGroup ends a membership, if there is one. Errors: NoSuchEntity.
func (d *Directory) RemoveUserFromGroup(ctx context.Context, c access.Call, group, user string) error {
	return d.membership(ctx, c, "RemoveUserFromGroup", group, user, func(tx Tx, g, u string) error {
		_, err := tx.RemoveMember(g, u)
		return err
	})
}

func (d *Directory) membership(ctx context.Context, c access.Call, event, group, user string, do func(tx Tx, group, user string) error) error {
	q := &request{call: c, event: event, params: params{"groupName": group, "userName": user}}
	return d.update(ctx, q, func(tx Tx) error {
		g, err := d.change(ctx, tx, q, Group, group)
		if err != nil {
			return err
		}
		u, err := tx.Entity(c.Account, User, nameKey(user))
		if err != nil {
			return err
		}
		if u == nil {
			return errNoEntity(User, user)
		}
		return do(tx, g.ID, u.ID)
	})
}

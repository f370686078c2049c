package iam_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	account = servertest.Account
	arn     = "arn:aws:iam::" + account + ":"
	// A policy and a trust policy.
	some  = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*"}]}`
	trust = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}`
)

// ok fails the test if a call that must work does not.
func ok[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// must is ok for calls whose answer says nothing.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test unless a call ends with a code and a text.
func refused(t *testing.T, what string, err error, code, text string) {
	t.Helper()
	if got, message := servertest.ErrorCode(err), servertest.ErrorMessage(err); got != code || message != text {
		t.Errorf("%s = %s: %s\nwant %s: %s", what, got, message, code, text)
	}
}

// equal fails the test unless two things are printed alike.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s = %s, want %s", what, g, w)
	}
}

// decoded returns a document of an answer.
func decoded(t *testing.T, s *string) string {
	t.Helper()
	if strings.ContainsAny(*s, " {+") {
		t.Errorf("the document %q is not encoded as IAM's", *s)
	}
	out, err := url.PathUnescape(*s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// document is one of so many characters that count.
func document(size int) string {
	return padded(some, size)
}

// padded returns a document of so many characters that count, and of some that do
// not.
func padded(document string, size int) string {
	short := strings.ReplaceAll(document, " ", "")
	id := `"Id":"",`
	return "\t{\n" + ` "Id" : "` + strings.Repeat("x", size-len(short)-len(id)) + `", ` + document[1:] + "\n"
}

func TestUsers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		tags := []types.Tag{{Key: new("team"), Value: new("blue")}, {Key: new("Cost"), Value: new("")}}
		u := ok[*iam.CreateUserOutput](t)(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("alice"), Path: new("/a/b/"), Tags: tags})).User
		equal(t, "CreateUser", []string{*u.UserName, *u.Path, *u.Arn, (*u.UserId)[:4]}, []string{"alice", "/a/b/", arn + "user/a/b/alice", "AIDA"})
		if len(*u.UserId) != 21 || !u.CreateDate.Equal(s.Clock.Now()) || len(u.Tags) != 2 || *u.Tags[0].Key != "Cost" {
			t.Errorf("CreateUser = %s, %v, %v", *u.UserId, u.CreateDate, u.Tags)
		}
		got := ok[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: new("Alice")})).User
		equal(t, "GetUser", []string{*got.UserName, *got.UserId, *got.Tags[1].Value}, []string{"alice", *u.UserId, "blue"})
		self := ok[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{})).User
		equal(t, "GetUser of the root", []string{*self.Arn, *self.UserId}, []string{arn + "root", account})

		_, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ALICE")})
		refused(t, "CreateUser again", err, "EntityAlreadyExists", "User with name ALICE already exists.")
		_, err = c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("a b")})
		refused(t, "CreateUser with a bad name", err, "ValidationError",
			"The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
		_, err = c.CreateUser(ctx, &iam.CreateUserInput{UserName: new(strings.Repeat("a", 65))})
		refused(t, "CreateUser with a long name", err, "ValidationError", "1 validation error detected: Value '"+strings.Repeat("a", 65)+
			"' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64")
		_, err = c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("b"), Path: new("/" + strings.Repeat("a", 511) + "/")})
		equal(t, "CreateUser with a long path", servertest.ErrorCode(err), "ValidationError")
		_, err = c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("b"), Tags: []types.Tag{{Key: new("K"), Value: new("")}, {Key: new("k"), Value: new("")}}})
		refused(t, "CreateUser with a tag twice", err, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		_, err = c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("b"), PermissionsBoundary: new(arn + "policy/none")})
		refused(t, "CreateUser with no boundary", err, "NoSuchEntity", "Scope ARN: "+arn+"policy/none does not exist or is not attachable.")
		_, err = c.GetUser(ctx, &iam.GetUserInput{UserName: new("b")})
		refused(t, "GetUser of nobody", err, "NoSuchEntity", "The user with name b cannot be found.")

		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("bob")})))
		_, err = c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("alice"), NewUserName: new("bob")})
		refused(t, "UpdateUser to a name that is taken", err, "EntityAlreadyExists", "User with name bob already exists.")
		must(t, second(c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("alice"), NewUserName: new("carol"), NewPath: new("/c/")})))
		got = ok[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: new("carol")})).User
		equal(t, "GetUser", []string{*got.Arn, *got.UserId}, []string{arn + "user/c/carol", *u.UserId})
		must(t, second(c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("carol"), NewUserName: new("Carol")})))

		must(t, second(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("carol")})))
		_, err = c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("carol")})
		refused(t, "DeleteUser again", err, "NoSuchEntity", "The user with name carol cannot be found.")
		again := ok[*iam.CreateUserOutput](t)(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("carol")})).User
		if *again.UserId == *u.UserId {
			t.Error("a user made again has the id of the one before")
		}
	})
}

// second returns the error of a call.
func second[T any](_ T, err error) error { return err }

func TestListsHavePages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		for i, name := range []string{"e", "B", "a", "D", "c"} {
			path := "/x/"
			if i == 0 {
				path = "/xy/"
			}
			must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Path: &path})))
			must(t, second(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name, Path: &path})))
			must(t, second(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, Path: &path, AssumeRolePolicyDocument: new(trust)})))
		}
		var users, groups, roles []string
		for p := iam.NewListUsersPaginator(c, &iam.ListUsersInput{MaxItems: new(int32(2))}); p.HasMorePages(); {
			for _, u := range ok[*iam.ListUsersOutput](t)(p.NextPage(ctx)).Users {
				users = append(users, *u.UserName)
			}
		}
		for p := iam.NewListGroupsPaginator(c, &iam.ListGroupsInput{MaxItems: new(int32(1)), PathPrefix: new("/x/")}); p.HasMorePages(); {
			for _, g := range ok[*iam.ListGroupsOutput](t)(p.NextPage(ctx)).Groups {
				groups = append(groups, *g.GroupName)
			}
		}
		for p := iam.NewListRolesPaginator(c, &iam.ListRolesInput{MaxItems: new(int32(5)), PathPrefix: new("/x")}); p.HasMorePages(); {
			for _, r := range ok[*iam.ListRolesOutput](t)(p.NextPage(ctx)).Roles {
				roles = append(roles, *r.RoleName)
			}
		}
		equal(t, "ListUsers", users, "[a B c D e]")
		equal(t, "ListGroups", groups, "[a B c D]")
		equal(t, "ListRoles", roles, "[a B c D e]")

		first := ok[*iam.ListUsersOutput](t)(c.ListUsers(ctx, &iam.ListUsersInput{MaxItems: new(int32(1))}))
		for what, marker := range map[string]string{"another listing's": *first.Marker, "an invented": "x"} {
			_, err := c.ListGroups(ctx, &iam.ListGroupsInput{Marker: &marker})
			refused(t, "ListGroups with "+what+" marker", err, "ValidationError", "The specified value for marker is invalid.")
		}
		_, err := c.ListUsers(ctx, &iam.ListUsersInput{MaxItems: new(int32(1001))})
		equal(t, "ListUsers with 1001 items", servertest.ErrorCode(err), "ValidationError")
		none := ok[*iam.ListUsersOutput](t)(c.ListUsers(ctx, &iam.ListUsersInput{PathPrefix: new("/none/")}))
		if len(none.Users) != 0 || none.IsTruncated || none.Marker != nil {
			t.Errorf("ListUsers below a path that is none = %+v", none)
		}
	})
}

func TestGroupsAndTheirMembers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		g := ok[*iam.CreateGroupOutput](t)(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("devs")})).Group
		equal(t, "CreateGroup", []string{*g.Arn, (*g.GroupId)[:4]}, []string{arn + "group/devs", "AGPA"})
		_, err := c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("Devs")})
		refused(t, "CreateGroup again", err, "EntityAlreadyExists", "Group with name Devs already exists.")
		for _, name := range []string{"a", "b", "c"} {
			must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})))
			for range 2 { // the second changes nothing
				must(t, second(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: &name})))
			}
		}
		var members []string
		for p := iam.NewGetGroupPaginator(c, &iam.GetGroupInput{GroupName: new("devs"), MaxItems: new(int32(2))}); p.HasMorePages(); {
			for _, u := range ok[*iam.GetGroupOutput](t)(p.NextPage(ctx)).Users {
				members = append(members, *u.UserName)
			}
		}
		equal(t, "GetGroup", members, "[a b c]")
		for i := range 9 {
			name := fmt.Sprint("g", i)
			must(t, second(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name})))
			must(t, second(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: &name, UserName: new("a")})))
		}
		must(t, second(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("much")})))
		_, err = c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("much"), UserName: new("a")})
		refused(t, "AddUserToGroup of an eleventh", err, "LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10")
		n := 0
		for p := iam.NewListGroupsForUserPaginator(c, &iam.ListGroupsForUserInput{UserName: new("a"), MaxItems: new(int32(3))}); p.HasMorePages(); {
			n += len(ok[*iam.ListGroupsForUserOutput](t)(p.NextPage(ctx)).Groups)
		}
		equal(t, "groups", n, 10)

		_, err = c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("none"), UserName: new("a")})
		refused(t, "AddUserToGroup of no group", err, "NoSuchEntity", "The group with name none cannot be found.")
		_, err = c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: new("devs"), UserName: new("none")})
		refused(t, "RemoveUserFromGroup of nobody", err, "NoSuchEntity", "The user with name none cannot be found.")
		_, err = c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: new("devs")})
		refused(t, "DeleteGroup", err, "DeleteConflict", "Cannot delete entity, must remove users from group first.")
		_, err = c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("b")})
		refused(t, "DeleteUser", err, "DeleteConflict", "Cannot delete entity, must remove users from group first.")
		for _, name := range []string{"a", "b", "c", "c"} {
			must(t, second(c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: new("devs"), UserName: &name})))
		}
		must(t, second(c.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: new("devs"), NewGroupName: new("ops"), NewPath: new("/p/")})))
		equal(t, "GetGroup", *ok[*iam.GetGroupOutput](t)(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: new("ops")})).Group.Arn, arn+"group/p/ops")
		must(t, second(c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: new("ops")})))
		_, err = c.GetGroup(ctx, &iam.GetGroupInput{GroupName: new("ops")})
		refused(t, "GetGroup", err, "NoSuchEntity", "The group with name ops cannot be found.")
	})
}

func TestTags(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("u")})))
		var tags []types.Tag
		for i := range 50 {
			tags = append(tags, types.Tag{Key: new(fmt.Sprintf("k%02d", i)), Value: new("v")})
		}
		must(t, second(c.TagUser(ctx, &iam.TagUserInput{UserName: new("u"), Tags: tags})))
		must(t, second(c.TagUser(ctx, &iam.TagUserInput{UserName: new("u"), Tags: []types.Tag{{Key: new("K00"), Value: new("w")}}})))
		_, err := c.TagUser(ctx, &iam.TagUserInput{UserName: new("u"), Tags: []types.Tag{{Key: new("more"), Value: new("")}}})
		refused(t, "TagUser with one too many", err, "LimitExceeded", "The number of tags has reached the maximum limit of 50.")
		_, err = c.TagUser(ctx, &iam.TagUserInput{UserName: new("u"), Tags: []types.Tag{{Key: new("aws:x"), Value: new("")}}})
		refused(t, "TagUser with a tag of AWS", err, "InvalidInput", "Tag keys that begin with aws: are reserved for AWS.")
		n := 0
		for p := iam.NewListUserTagsPaginator(c, &iam.ListUserTagsInput{UserName: new("u"), MaxItems: new(int32(20))}); p.HasMorePages(); {
			page := ok[*iam.ListUserTagsOutput](t)(p.NextPage(ctx)).Tags
			if n == 0 {
				equal(t, "the first tag", *page[0].Key+*page[0].Value, "K00w")
			}
			n += len(page)
		}
		equal(t, "tags", n, 50)
		must(t, second(c.UntagUser(ctx, &iam.UntagUserInput{UserName: new("u"), TagKeys: []string{"k01", "none"}})))
		equal(t, "tags", len(ok[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: new("u")})).User.Tags), 49)
		_, err = c.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: new("none")})
		refused(t, "ListUserTags of nobody", err, "NoSuchEntity", "The user with name none cannot be found.")
	})
}

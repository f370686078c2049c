package identity_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/identity"
)

// place returns where a replica knows an account to be.
func place(t *testing.T, d replica, account string) *access.Membership {
	t.Helper()
	m, err := d.Membership(account, true)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAChangeOfTheOrganizationCountsAtOnceAndElsewhereWhenItIsRead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		const member = "111122223333"
		ctx, manager := t.Context(), root(home)
		here, there := open(), open()
		if _, _, err := here.CreateAccount(ctx, manager, member); err != nil {
			t.Fatal(err)
		}
		o, err := here.CreateOrganization(ctx, manager)
		if err != nil {
			t.Fatal(err)
		}
		_, top, err := here.Root(ctx, manager)
		if err != nil {
			t.Fatal(err)
		}
		unit, err := here.CreateUnit(ctx, manager, top.ID, "dev")
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range []string{home, member} {
			m := place(t, here, account)
			if m == nil || m.Organization != o.ID || m.Path != o.ID+"/"+top.ID+"/" || m.ServiceControl != nil || m.ResourceControl != nil {
				t.Errorf("%s is at %+v, want the root without limits", account, m)
			}
			if m := place(t, there, account); m != nil {
				t.Errorf("%s is at %+v elsewhere before that is read", account, m)
			}
		}
		read := func() {
			t.Helper()
			if err := there.ReadOrganization(ctx); err != nil {
				t.Fatal(err)
			}
		}
		read()
		before := place(t, there, member)
		if before == nil || before.Organization != o.ID {
			t.Errorf("the member is at %+v elsewhere", before)
		}
		read()
		if place(t, there, member) != before {
			t.Error("an organization that has not changed was read again")
		}

		p, err := here.CreateControl(ctx, manager, identity.ControlPolicy{Type: identity.ServiceControl, Name: "p",
			Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"ecr:*","Resource":"*"}]}`})
		if err != nil {
			t.Fatal(err)
		}
		if err := here.AttachControl(ctx, manager, p.ControlPolicy.ID, unit.Unit.ID); err != nil {
			t.Fatal(err)
		}
		if err := here.MoveMember(ctx, manager, member, top.ID, unit.Unit.ID); err != nil {
			t.Fatal(err)
		}
		if place(t, there, member) != before {
			t.Error("a change counted elsewhere before it was read")
		}
		read()
		for _, d := range []replica{here, there, open()} {
			m := place(t, d, member)
			if m == nil || m.Path != o.ID+"/"+top.ID+"/"+unit.Unit.ID+"/" || len(m.ServiceControl) != 3 || len(m.ServiceControl[1]) != 2 || len(m.ServiceControl[2]) != 1 {
				t.Errorf("the member is at %+v, want three levels", m)
			}
		}
		// The management account has no limits wherever it is.
		if err := here.MoveMember(ctx, manager, home, top.ID, unit.Unit.ID); err != nil {
			t.Fatal(err)
		}
		if m := place(t, here, home); m == nil || m.ServiceControl != nil {
			t.Errorf("the management account is at %+v", m)
		}
		// An account that is made later joins the root.
		if _, _, err := here.CreateAccount(ctx, manager, "444455556666"); err != nil {
			t.Fatal(err)
		}
		if m := place(t, here, "444455556666"); m == nil || m.Path != o.ID+"/"+top.ID+"/" {
			t.Errorf("the new account is at %+v", m)
		}
	})
}

func TestOnlyTheManagementAccountManagesTheOrganization(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		const member = "111122223333"
		ctx, d := t.Context(), open()
		if _, _, err := d.CreateAccount(ctx, root(home), member); err != nil {
			t.Fatal(err)
		}
		if _, err := d.CreateOrganization(ctx, root(member)); fault.KindOf(err) != fault.Denied {
			t.Errorf("CreateOrganization by a member = %v", err)
		}
		if _, err := d.CreateOrganization(ctx, root(home)); err != nil {
			t.Fatal(err)
		}
		if err := d.MoveMember(ctx, root(member), member, "r-0000", "ou-0000-00000000"); !strings.Contains(err.Error(), "on resource: "+member+" because") {
			t.Errorf("MoveMember by a member = %v, which tells about the organization", err)
		}
		_, rcp := d.CreateControl(ctx, root(home), identity.ControlPolicy{Type: identity.ResourceControl, Name: "rcp", Content: "long"})
		_, missing := d.DescribeControl(ctx, root(member), "p-00000000")
		_, there := d.DescribeControl(ctx, root(member), "p-RCPFullAWSAccess")
		if fault.CodeOf(rcp) != "MalformedPolicyDocumentException" || there.Error() != strings.Replace(missing.Error(), "p-00000000", "p-RCPFullAWSAccess", 1) {
			t.Errorf("CreateControl = %v; DescribeControl by a member = %v for a policy, %v for none", rcp, there, missing)
		}
		for _, r := range d.recorder.records {
			if strings.Contains(fmt.Sprint(r.Parameters), "long") {
				t.Errorf("the record %+v holds a document", r)
			}
		}
		if err := d.MoveMember(ctx, root(member), member, "r-0000", "ou-0000-00000000"); fault.KindOf(err) != fault.Denied {
			t.Errorf("MoveMember by a member = %v", err)
		}
		if o, err := d.DescribeOrganization(ctx, root(member)); err != nil || o.Management != home {
			t.Errorf("DescribeOrganization by a member = %+v, %v", o, err)
		}
		last := d.recorder.records[len(d.recorder.records)-2:]
		if last[0].Event != "MoveAccount" || last[0].Service != "organizations" || last[0].Error != "AccessDeniedException" || last[1].Event != "DescribeOrganization" {
			t.Errorf("the records of the last calls are %+v", last)
		}
	})
}

func TestNothingIsDecidedWithoutKnowingTheOrganization(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		const first, second = "111122223333", "444455556666"
		ctx, manager := t.Context(), root(home)
		here := open()
		if _, err := here.CreateOrganization(ctx, manager); err != nil {
			t.Fatal(err)
		}
		there := open()
		wantKnown := func(what string, d replica, account string, known bool) {
			t.Helper()
			if _, err := d.Membership(account, true); (err == nil) != known {
				t.Errorf("%s: Membership(%s) = %v, want known %v", what, account, err, known)
			}
		}
		// The account is there, but its place could not be read back.
		here.store.down = errors.New("away")
		if id, key, err := here.CreateAccount(ctx, manager, first); err != nil || id != first || key.Secret == "" {
			t.Errorf("CreateAccount = %s, %v, %v, want the root's key", id, key, err)
		}
		wantKnown("after a change that was not read back", here, home, false)
		here.store.down = nil
		if err := here.ReadOrganization(ctx); err != nil {
			t.Fatal(err)
		}
		wantKnown("read again", here, first, true)

		wantKnown("made elsewhere", there, first, false)
		if m, err := there.Membership("999999999999", false); m != nil || err != nil {
			t.Errorf("the place of no account is %v, %v", m, err)
		}
		if err := there.ReadOrganization(ctx); err != nil {
			t.Fatal(err)
		}
		there.store.down = errors.New("away")
		for _, tt := range []struct {
			later time.Duration
			known bool
		}{{0, true}, {9 * time.Second, true}, {time.Second, false}} {
			*there.now = there.now.Add(tt.later)
			if there.ReadOrganization(ctx) == nil {
				t.Error("ReadOrganization succeeded")
			}
			wantKnown("after "+tt.later.String(), there, first, tt.known)
		}

		// A policy that cannot be read is in the way of those that it limits.
		if _, _, err := here.CreateAccount(ctx, manager, second); err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{}
		for _, name := range []string{"attached", "unattached"} {
			p, err := here.CreateControl(ctx, manager, identity.ControlPolicy{Type: identity.ServiceControl, Name: name,
				Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"ecr:*","Resource":"*"}]}`})
			if err != nil {
				t.Fatal(err)
			}
			ids[name] = p.ControlPolicy.ID
		}
		if err := here.AttachControl(ctx, manager, ids["attached"], first); err != nil {
			t.Fatal(err)
		}
		err := here.store.Update(ctx, func(tx identity.Tx) error {
			for _, id := range slices.Sorted(maps.Values(ids)) {
				if err := tx.PutControlPolicy(identity.ControlPolicy{ID: id, Type: identity.ServiceControl, Name: id, Content: "{"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		again := open()
		wantKnown("not limited", again, second, true)
		wantKnown("the management account", again, home, true)
		if _, err := again.Membership(first, true); err == nil || !strings.Contains(err.Error(), ids["attached"]) {
			t.Errorf("Membership of an account with a policy that cannot be read = %v", err)
		}
	})
}

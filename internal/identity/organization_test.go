package identity_test

import (
	"testing"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/identity"
)

// place returns where a replica knows an account to be.
func place(t *testing.T, d replica, account string) *access.Membership {
	t.Helper()
	m, err := d.Membership(account)
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

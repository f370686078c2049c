package identity_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/identity"
)

// signed returns the call of whoever a key belongs to.
func signed(t *testing.T, d replica, key string) access.Call {
	t.Helper()
	c, _, err := d.Principal(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return access.Call{Caller: c, Region: "us-east-1"}
}

// role makes one that everybody may assume, and returns its ARN.
func role(t *testing.T, d replica, name string) string {
	t.Helper()
	e, err := d.Create(t.Context(), root(home), identity.Role, identity.NewEntity{
		Name: name, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e.ARN()
}

func TestASessionIsRevokedAtOnceAndElsewhereWithinASecond(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		here, there := open(), open()
		k := user(t, here, "alice")
		arn := role(t, here, "r")
		for what, revoke := range map[string]func(id string) identity.Revoke{
			"one":             func(id string) identity.Revoke { return identity.Revoke{AccessKeyID: id} },
			"all of the role": func(string) identity.Revoke { return identity.Revoke{Principal: arn} },
		} {
			made, err := here.AssumeRole(t.Context(), signed(t, here, k.ID), identity.AssumeRoleInput{RoleARN: arn, SessionName: "build"})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range []replica{here, there} {
				if c, secret, err := d.Principal(t.Context(), made.AccessKey.ID); err != nil || secret != made.Secret || c.Type != access.AssumedRole || c.ARN != made.ARN {
					t.Fatalf("Principal = %+v, %v, want the session", c, err)
				}
			}
			if err := here.RevokeSessions(t.Context(), root(home), revoke(made.AccessKey.ID)); err != nil {
				t.Fatal(err)
			}
			wantNobody(t, here, made.AccessKey.ID, "after a revocation of "+what)
			*there.now = there.now.Add(time.Second)
			wantNobody(t, there, made.AccessKey.ID, "elsewhere, a second after a revocation of "+what)
			*here.now = here.now.Add(time.Second)
		}
	})
}

func TestARevocationGoesByNoClock(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		here, ahead := open(), open()
		*ahead.now = ahead.now.Add(30 * time.Second)
		k := user(t, here, "alice")
		in := identity.AssumeRoleInput{RoleARN: role(t, here, "r"), SessionName: "build"}
		before, err := ahead.AssumeRole(t.Context(), signed(t, ahead, k.ID), in)
		if err != nil {
			t.Fatal(err)
		}
		old := signed(t, ahead, k.ID)
		for _, arn := range []string{in.RoleARN, old.ARN} {
			if err := here.RevokeSessions(t.Context(), root(home), identity.Revoke{Principal: arn}); err != nil {
				t.Fatal(err)
			}
		}
		wantNobody(t, here, before.AccessKey.ID, "after a revocation by a clock that is behind")
		if c := signed(t, here, k.ID); !c.Revoked.Has(*ahead.now, "") {
			t.Errorf("%+v leaves passwords that a clock ahead has made", c.Revoked)
		}
		if err := ahead.RevokeSessions(t.Context(), root(home), identity.Revoke{Principal: in.RoleARN}); err != nil {
			t.Fatal(err)
		}
		after, err := here.AssumeRole(t.Context(), signed(t, here, k.ID), in)
		if err != nil {
			t.Fatal(err)
		}
		signed(t, here, after.AccessKey.ID)
	})
}

// The model of STS refuses these before; nobody else may let them through.
func TestSessionsLastNoLongerThanTheyMay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		alice := signed(t, d, user(t, d, "alice").ID)
		arn, admin := role(t, d, "r"), signed(t, d, "AKIAROOT")
		for _, seconds := range []int64{-1, 1, 899, 43201, 129601, 1<<31 - 1} {
			_, err := d.AssumeRole(t.Context(), alice, identity.AssumeRoleInput{RoleARN: arn, SessionName: "build", Seconds: seconds})
			if fault.CodeOf(err) != "ValidationException" {
				t.Errorf("AssumeRole for %d seconds = %v, want ValidationException", seconds, err)
			}
			if seconds == 43201 {
				continue
			}
			for _, c := range []access.Call{alice, admin} {
				if _, err := d.GetSessionToken(t.Context(), c, seconds, false); fault.CodeOf(err) != "ValidationException" {
					t.Errorf("GetSessionToken of %s for %d seconds = %v, want ValidationException", c.ARN, seconds, err)
				}
			}
		}
		for _, path := range []string{"/ali", "ali/", "//\x00/", "/é/"} {
			_, err := d.Create(t.Context(), root(home), identity.User, identity.NewEntity{Name: "ce", Path: path})
			if fault.CodeOf(err) != "ValidationException" {
				t.Errorf("CreateUser with the path %q = %v, want ValidationException", path, err)
			}
			if err := d.Rename(t.Context(), root(home), identity.User, "alice", "", path); fault.CodeOf(err) != "ValidationException" {
				t.Errorf("UpdateUser with the path %q = %v, want ValidationException", path, err)
			}
		}
	})
}

func TestExpiredSessionsAreRemovedAfterADay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		k := user(t, d, "alice")
		in := identity.AssumeRoleInput{RoleARN: role(t, d, "r"), SessionName: "build", Seconds: 900}
		made, err := d.AssumeRole(t.Context(), signed(t, d, k.ID), in)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.Principal(t.Context(), made.AccessKey.ID); err != nil { // it is remembered
			t.Fatal(err)
		}
		*d.now = d.now.Add(900 * time.Second)
		for _, left := range []time.Duration{0, 24*time.Hour - time.Second} {
			*d.now = d.now.Add(left)
			if err := d.RemoveExpired(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := d.Principal(t.Context(), made.AccessKey.ID); fault.CodeOf(err) != "ExpiredTokenException" || fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("Principal of an expired session = %v, want ExpiredTokenException", err)
			}
		}
		alive, err := d.AssumeRole(t.Context(), signed(t, d, k.ID), in)
		if err != nil {
			t.Fatal(err)
		}
		*d.now = d.now.Add(time.Second)
		if err := d.RemoveExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNobody(t, d, made.AccessKey.ID, "a day after it expired")
		if _, _, err := d.Principal(t.Context(), alive.AccessKey.ID); err != nil {
			t.Errorf("Principal of a session that has not expired = %v", err)
		}
	})
}

func TestARefusalToAssumeARoleLeavesARecord(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		k := user(t, d, "alice")
		arn := role(t, d, "r")
		_, err := d.AssumeRole(t.Context(), signed(t, d, k.ID), identity.AssumeRoleInput{RoleARN: arn + "x", SessionName: "build"})
		if fault.CodeOf(err) != "AccessDeniedException" {
			t.Errorf("AssumeRole of none = %v", err)
		}
		last := d.recorder.records[len(d.recorder.records)-1]
		if last.Event != "AssumeRole" || last.Service != "sts" || last.Error != "AccessDeniedException" || last.Resource != arn+"x" {
			t.Errorf("the record = %+v, want the refusal", last)
		}
	})
}

// issuing are the calls that issue sessions to who has signed them.
func issuing(t *testing.T, d replica, c access.Call, role string) map[string]error {
	t.Helper()
	_, assume := d.AssumeRole(t.Context(), c, identity.AssumeRoleInput{RoleARN: role, SessionName: "build"})
	_, token := d.GetSessionToken(t.Context(), c, 0, false)
	_, federation := d.GetFederationToken(t.Context(), c, identity.FederationInput{Name: "guest"})
	return map[string]error{"AssumeRole": assume, "GetSessionToken": token, "GetFederationToken": federation}
}

// A request may be under way while what it was signed with ends.
func TestNoSessionIsIssuedForWhatHasEnded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		arn := role(t, d, "r")
		inactive, deleted := signed(t, d, user(t, d, "alice").ID), signed(t, d, user(t, d, "bob").ID)
		if err := d.UpdateAccessKey(t.Context(), root(home), "alice", inactive.AccessKeyID, false); err != nil {
			t.Fatal(err)
		}
		if err := d.DeleteAccessKey(t.Context(), root(home), "bob", deleted.AccessKeyID); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]access.Call{"inactive": inactive, "deleted": deleted} {
			for operation, err := range issuing(t, d, c, arn) {
				if fault.CodeOf(err) != "UnrecognizedClientException" {
					t.Errorf("%s with a key that is %s = %v, want UnrecognizedClientException", operation, what, err)
				}
			}
		}
		carol := signed(t, d, user(t, d, "carol").ID)
		gone := role(t, d, "gone")
		made, err := d.AssumeRole(t.Context(), carol, identity.AssumeRoleInput{RoleARN: gone, SessionName: "build"})
		if err != nil {
			t.Fatal(err)
		}
		session := signed(t, d, made.AccessKey.ID)
		if err := d.Delete(t.Context(), root(home), identity.Role, "gone"); err != nil {
			t.Fatal(err)
		}
		if err := issuing(t, d, session, arn)["AssumeRole"]; fault.CodeOf(err) != "UnrecognizedClientException" {
			t.Errorf("AssumeRole by a session of a role that is deleted = %v, want UnrecognizedClientException", err)
		}
	})
}

func TestWhatASessionMayNotBeCalled(t *testing.T) {
	t.Parallel()
	d := replicas(t, false)()
	in := identity.AssumeRoleInput{RoleARN: role(t, d, "r"), SessionName: "build"}
	alice := signed(t, d, user(t, d, "alice").ID)
	for _, bad := range []func(*identity.AssumeRoleInput){
		func(in *identity.AssumeRoleInput) { in.SessionName = "a/b" },
		func(in *identity.AssumeRoleInput) { in.SourceIdentity = "a" },
		func(in *identity.AssumeRoleInput) { in.SourceIdentity = "a\x00b" },
	} {
		in := in
		bad(&in)
		if _, err := d.AssumeRole(t.Context(), alice, in); fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.Denied {
			t.Errorf("AssumeRole of %+v = %v", in, err)
		}
	}
	for _, tag := range []identity.Tag{{Key: "", Value: "v"}, {Key: "a\x00"}, {Key: "k", Value: "*"}} {
		_, err := d.GetFederationToken(t.Context(), signed(t, d, "AKIAROOT"), identity.FederationInput{Name: "guest", Tags: []identity.Tag{tag}})
		if fault.CodeOf(err) != "ValidationException" {
			t.Errorf("GetFederationToken with the tag %+v = %v, want ValidationException", tag, err)
		}
	}
}

func TestARefusalTakesNoTurnOfAnotherAccount(t *testing.T) {
	t.Parallel()
	d := replicas(t, false)()
	alice := signed(t, d, user(t, d, "alice").ID)
	before := d.store.updates
	_, err := d.AssumeRole(t.Context(), alice, identity.AssumeRoleInput{RoleARN: "arn:aws:iam::210987654321:role/r", SessionName: "build"})
	if fault.CodeOf(err) != "AccessDeniedException" || d.store.updates != before {
		t.Errorf("AssumeRole in another account = %v, in %d transactions, want AccessDeniedException and none", err, d.store.updates-before)
	}
}

func TestRecordsHaveNoSessionPolicies(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		alice := signed(t, d, user(t, d, "alice").ID)
		arn := role(t, d, "r")
		large := `{"Version":"2012-10-17","Statement":[]}` + strings.Repeat(" ", 1<<20)
		for _, asked := range []string{arn, arn + "x"} {
			_, err := d.AssumeRole(t.Context(), alice, identity.AssumeRoleInput{
				RoleARN: asked, SessionName: "build", Policy: large, PolicyARNs: slices.Repeat([]string{arn}, 1000),
			})
			if want := map[string]string{arn: "PackedPolicyTooLarge", arn + "x": "AccessDeniedException"}[asked]; fault.CodeOf(err) != want {
				t.Errorf("AssumeRole of %s with a large policy = %v, want %s", asked, err, want)
			}
			last := d.recorder.records[len(d.recorder.records)-1]
			if text, err := json.Marshal(last.Parameters); err != nil || len(text) > 4096 || strings.Contains(string(text), "2012-10-17") {
				t.Errorf("the record has %d bytes, %v: %.500s", len(text), err, text)
			}
		}
	})
}

func TestSessionsAreListedInPages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		k := user(t, d, "alice")
		arn := role(t, d, "r")
		made := map[string]bool{}
		for range 3 {
			s, err := d.AssumeRole(t.Context(), signed(t, d, k.ID), identity.AssumeRoleInput{RoleARN: arn, SessionName: "build", Seconds: 900})
			if err != nil {
				t.Fatal(err)
			}
			made[s.AccessKey.ID] = true
		}
		first, next, err := d.ListSessions(t.Context(), root(home), arn, identity.Page{Max: 2})
		if err != nil || len(first) != 2 || next == "" {
			t.Fatalf("ListSessions = %d, %q, %v, want two of three", len(first), next, err)
		}
		rest, end, err := d.ListSessions(t.Context(), root(home), arn, identity.Page{Max: 2, Marker: next})
		if err != nil || len(rest) != 1 || end != "" {
			t.Fatalf("ListSessions = %d, %q, %v, want the third", len(rest), end, err)
		}
		for _, s := range append(first, rest...) {
			if !made[s.ID] {
				t.Errorf("ListSessions has %s twice, or it is none", s.ID)
			}
			delete(made, s.ID)
		}
		if _, _, err := d.ListSessions(t.Context(), root(home), arn, identity.Page{Marker: "x"}); fault.CodeOf(err) != "ValidationException" {
			t.Errorf("ListSessions with another marker = %v, want ValidationException", err)
		}
		*d.now = d.now.Add(900 * time.Second)
		if left, _, err := d.ListSessions(t.Context(), root(home), arn, identity.Page{}); err != nil || len(left) != 0 {
			t.Errorf("ListSessions of expired ones = %v, %v, want none", left, err)
		}
	})
}

func TestAPrincipalHasSoManySessionsOfItsOwn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		c := signed(t, d, user(t, d, "alice").ID)
		for n := range 1000 {
			if _, err := d.GetSessionToken(t.Context(), c, 3600, false); err != nil {
				t.Fatalf("session %d: %v", n+1, err)
			}
		}
		if _, err := d.GetSessionToken(t.Context(), c, 3600, false); fault.CodeOf(err) != "LimitExceeded" {
			t.Errorf("one more = %v, want LimitExceeded", err)
		}
		if _, err := d.GetSessionToken(t.Context(), signed(t, d, user(t, d, "bob").ID), 3600, false); err != nil {
			t.Errorf("one of another user = %v", err)
		}
		*d.now = d.now.Add(time.Hour)
		if _, err := d.GetSessionToken(t.Context(), c, 3600, false); err != nil {
			t.Errorf("one when the others have ended = %v", err)
		}
	})
}

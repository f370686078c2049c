package identity

import (
	"testing"
	"time"

	"berth/internal/access"
)

// recorder keeps what it is given.
type recorder struct{ records []access.Record }

// Record implements [access.Auditor].
func (r *recorder) Record(rec access.Record) { r.records = append(r.records, rec) }

func directory(r *recorder) *Directory {
	return NewDirectory(Options{
		Account: "123456789012", Root: AccessKey{"AKIAROOT", "secret"}, Auditor: r,
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
	})
}

func TestThePrincipalOfAnAccessKey(t *testing.T) {
	t.Parallel()
	d := directory(new(recorder))
	got, secret, ok := d.Principal(t.Context(), "AKIAROOT")
	want := access.Caller{Account: "123456789012", ARN: "arn:aws:iam::123456789012:root", ID: "123456789012", AccessKeyID: "AKIAROOT", Type: access.Root}
	if got != want || secret != "secret" || !ok {
		t.Errorf("Principal = %+v, %q, %t, want the root", got, secret, ok)
	}
	for _, key := range []string{"", "akiaroot", "AKIAROOT ", "AKIAROO", "AKIAROOTX", "AKIAROOT\x00"} {
		if got, secret, ok := d.Principal(t.Context(), key); ok || secret != "" || got != (access.Caller{}) {
			t.Errorf("Principal(%q) = %+v, %q, %t, want none", key, got, secret, ok)
		}
	}
}

func TestOnlyTheRootOfTheAccountIsItsAdministrator(t *testing.T) {
	t.Parallel()
	d := directory(new(recorder))
	for _, tt := range []struct {
		caller access.Caller
		want   bool
	}{
		{access.Caller{Account: "123456789012", Type: access.Root}, true},
		{access.Caller{Account: "210987654321", Type: access.Root}, false},
		{access.Caller{Account: "123456789012"}, false},
		{access.Caller{Account: "123456789012", Type: "IAMUser"}, false},
		{access.Caller{}, false},
	} {
		if got, err := d.Policies(t.Context(), tt.caller); got.Administrator != tt.want || err != nil {
			t.Errorf("Policies(%+v) = %+v, %v, want administrator %t", tt.caller, got, err, tt.want)
		}
	}
}

func TestGetCallerIdentityLeavesARecord(t *testing.T) {
	t.Parallel()
	r := new(recorder)
	who := access.Caller{Account: "123456789012", ARN: "arn", ID: "id", Type: access.Root}
	if got := directory(r).GetCallerIdentity(t.Context(), access.Call{Caller: who, Region: "eu-west-1"}); got != who {
		t.Errorf("GetCallerIdentity = %+v, want the caller", got)
	}
	want := access.Record{
		Time: time.Unix(1_700_000_000, 0), Caller: who, Service: "sts", Event: "GetCallerIdentity", Account: "123456789012", Region: "eu-west-1", ReadOnly: true,
	}
	if len(r.records) != 1 || r.records[0] != want {
		t.Errorf("records = %+v, want %+v", r.records, want)
	}
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"berth/internal/rotate"
)

func TestWhatKeepsAMasterKeyIsSaidWithWhatToDo(t *testing.T) {
	t.Parallel()
	until := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, tt := range []struct {
		b    rotate.Blocker
		want string
	}{
		{rotate.Blocker{Kind: rotate.Servers, Reason: rotate.Seals, Master: "0badcafe", Count: 1, Example: "10.0.0.2:5000, on host b", Until: until},
			"the server 10.0.0.2:5000, on host b seals under the master key 0badcafe, until 2030-01-02T03:04:05Z at least: give it the master key f00dfeed, start it again, and then run this again; if it is gone for good, wait until then, and until PostgreSQL has given up its connections"},
		{rotate.Blocker{Kind: rotate.Servers, Reason: rotate.Late, Master: "0badcafe", Count: 1},
			"a server that has ended has sealed under the master key 0badcafe meanwhile: run this again"},
		{rotate.Blocker{Kind: rotate.Objects, Reason: rotate.Locked, Master: "0badcafe", Count: 7, Example: "sha256:1 in k"},
			"7 objects under the master key 0badcafe, such as sha256:1 in k: the KMS key that is needed cannot be used: enable it and run this again"},
		{rotate.Blocker{Kind: rotate.Sessions, Reason: rotate.Damaged, Count: 1, Example: "ASIA"},
			"1 sessions under a master key that cannot be told, such as ASIA: what is sealed does not open: see what berth fsck says; restore it from a backup, or delete it"},
		{rotate.Blocker{Kind: rotate.Uploads, Reason: rotate.Late, Master: "0badcafe", Count: 2, Example: "u"},
			"2 uploads under the master key 0badcafe, such as u: sealed under it meanwhile: run this again"},
	} {
		if got := blockedText(tt.b, "f00dfeed"); got != tt.want {
			t.Errorf("%+v is said as\n%s\nwant\n%s", tt.b, got, tt.want)
		}
		var out bytes.Buffer
		done := rotation{Examined: 9, Resealed: 1, Master: "f00dfeed", Blocked: []rotate.Blocker{tt.b}}
		if err := printRotation(stdio{out: &out}, done, ""); err != nil || !strings.HasPrefix(out.String(), "9 looked at, 1 sealed anew; earlier master keys are still needed\n  "+tt.want) {
			t.Errorf("printed is %q, %v", out.String(), err)
		}
	}
}

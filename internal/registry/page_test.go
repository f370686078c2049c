package registry

import (
	"testing"

	"berth/internal/fault"
	"berth/internal/seal"
)

func TestImageIDsInPageTokens(t *testing.T) {
	t.Parallel()
	for _, id := range []ImageID{{}, {Digest: "sha256:0a"}, {Digest: "sha256:0a", Tag: "v1.0-rc_1"}} {
		if got := splitID(joinID(id)); got != id {
			t.Errorf("splitID(joinID(%v)) = %v, want the same", id, got)
		}
	}
	if got := splitID(""); got != (ImageID{}) {
		t.Errorf("splitID of nothing = %v, want the zero id", got)
	}
}

func TestPageTokens(t *testing.T) {
	t.Parallel()
	p := pager{seal.NewMaster().Key("page token")}
	id := ID{"123456789012", "us-east-1"}
	token := p.seal("after", "ListImages", id)
	if got, err := p.open(token, "ListImages", id); got != "after" || err != nil {
		t.Errorf("open = %q, %v, want what was sealed", got, err)
	}
	if got, err := p.open("", "ListImages", id); got != "" || err != nil {
		t.Errorf("open of no token = %q, %v, want the start", got, err)
	}
	for what, open := range map[string]func() (string, error){
		"another operation": func() (string, error) { return p.open(token, "DescribeImages", id) },
		"another registry":  func() (string, error) { return p.open(token, "ListImages", ID{"123456789012", "eu-west-1"}) },
		"a repository":      func() (string, error) { return p.open(token, "ListImages", &Repository{UID: "x"}) },
		"another key": func() (string, error) {
			return pager{seal.NewMaster().Key("page token")}.open(token, "ListImages", id)
		},
	} {
		if got, err := open(); fault.CodeOf(err) != "InvalidParameterException" {
			t.Errorf("open for %s = %q, %v, want InvalidParameterException", what, got, err)
		}
	}
	for i := range token {
		for _, c := range []byte("Aa0-_=\n") {
			altered := []byte(token)
			altered[i] = c
			if string(altered) == string(token) {
				continue
			}
			if got, err := p.open(NextToken(altered), "ListImages", id); err == nil {
				t.Fatalf("open of a token with %q at %d = %q, want an error", c, i, got)
			}
		}
	}
}

func TestPageSizes(t *testing.T) {
	t.Parallel()
	for max, want := range map[int]int{0: 100, -1: 100, 1: 1, 1000: 1000, 1001: 1000} {
		if got := (Page{Max: max}).size(100, 1000); got != want {
			t.Errorf("size of a page of at most %d = %d, want %d", max, got, want)
		}
	}
}

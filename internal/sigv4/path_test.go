package sigv4

import (
	"net/http"
	"net/url"
	"testing"
)

// TestPathSignedOneWayAndSentAnother signs each form of a path and sends every
// other: only the same bytes may do.
func TestPathSignedOneWayAndSentAnother(t *testing.T) {
	groups := [][]string{
		{"/a/b", "/a%2Fb", "/a%2fb", "/a//b", "//a/b", "/a/b/", "/a/./b", "/./a/b", "/a/x/../b", "/a/%2E/b", "/%61/b", "/a/b%20", "/a%00/b"},
		{"/a%20b", "/a+b", "/a%2Bb", "/a%2520b", "/a%2bb", "/a b"},
		{"/", "//", "/.", "/..", "/%2F", "/*"},
		{"/%C3%A9", "/é", "/%c3%a9", "/%25C3%25A9"},
		{"/a:b", "/a%3Ab", "/a%3ab", "/a;b", "/a%3Bb", "/a@b", "/a=b", "/a&b"},
	}
	sent := 0
	for _, group := range groups {
		for _, signed := range group {
			if signed == "/a b" { // not to be sent
				continue
			}
			wire := signing{}.sign(t, "GET", "https://ecr.example.com"+signed, "", nil)
			if signed == "/é" { // the client escapes it
				signed = "/%C3%A9"
			}
			for _, other := range group {
				mutant := wire
				if other != signed {
					mutant = mutation{other, " " + signed + " ", " " + other + " "}.apply(t, wire)
				}
				if _, _, err := receive(mutant); err != nil {
					continue
				}
				sent++
				if err := check(t, mutant, testSecret, testTime); (err == nil) != (other == signed) {
					t.Errorf("signed %s, sent %s: error = %v", signed, other, err)
				}
			}
		}
	}
	if sent < 250 {
		t.Errorf("sent %d requests, want more", sent)
	}
}

func TestTargetsThatAreNoPathsAreRefused(t *testing.T) {
	wire := signing{}.sign(t, "OPTIONS", "https://ecr.example.com/*", "", nil)
	for _, target := range []string{"*", "mailto:x"} {
		mutant := mutation{target, " /* ", " " + target + " "}.apply(t, wire)
		checkMessage(t, target, check(t, mutant, testSecret, testTime),
			"IncompleteSignature: The path of the request does not start with a slash.")
	}
}

func TestCanonicalPath(t *testing.T) {
	for _, c := range []struct{ sent, want string }{
		{"/", "/"},
		{"http://host", "/"},
		{"/a//b/../c/.", "/a//b/../c/."},
		{"/a%2Fb", "/a%252Fb"},
		{"/a%2fb", "/a%252fb"},
		{"/a%20+b", "/a%2520%2Bb"},
		{"/é", "/%C3%A9"},
		{"/tags/arn:aws:ecr", "/tags/arn%3Aaws%3Aecr"},
		{"/~-._", "/~-._"},
	} {
		u, err := url.ParseRequestURI(c.sent)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := canonicalPath(u); got != c.want || err != nil {
			t.Errorf("canonicalPath(%s) = %s, %v, want %s", c.sent, got, err, c.want)
		}
	}
	// A RawPath that does not mean Path is not what is routed.
	if got, _ := canonicalPath(&url.URL{Path: "/routed", RawPath: "/signed"}); got != "/routed" {
		t.Errorf("canonicalPath of a RawPath that is not of Path = %s, want /routed", got)
	}
}

func TestCanonicalQuery(t *testing.T) {
	for _, c := range []struct{ sent, want string }{
		{"", ""},
		{"b&a", "a=&b="},
		{"k=a-b&k=a/b", "k=a%2Fb&k=a-b"},
		{"Param-3=1&Param=2&%C3%A9=3", "%C3%A9=3&Param=2&Param-3=1"},
		{"a=x%20y%2Bz", "a=x%20y%2Bz"},
		{"a=~*", "a=~%2A"},
		{"X-Amz-Signature=1", "X-Amz-Signature=1"},
	} {
		query, err := parseQuery(&url.URL{RawQuery: c.sent})
		if err != nil {
			t.Fatal(err)
		}
		if got := new(Signature).canonicalQuery(query); got != c.want {
			t.Errorf("canonicalQuery(%s) = %s, want %s", c.sent, got, c.want)
		}
	}
}

func TestCanonicalHeader(t *testing.T) {
	r := &http.Request{Host: "example.com", ContentLength: 7, Header: http.Header{
		"Host":           {"other.example.com"},
		"Content-Length": {"8"},
		"Several":        {"b", " a  a "},
		"Quoted":         {"\t\"a   b\" "},
		"Empty":          {""},
	}}
	for _, c := range []struct{ name, want string }{
		{"host", "example.com"},
		{"content-length", "7"},
		{"several", "b,a a"},
		{"quoted", `"a b"`},
		{"empty", ""},
	} {
		if got, ok := canonicalHeader(r, c.name); got != c.want || !ok {
			t.Errorf("canonicalHeader(%s) = %q, %t, want %q, true", c.name, got, ok, c.want)
		}
	}
	if got, ok := canonicalHeader(r, "absent"); ok {
		t.Errorf("canonicalHeader(absent) = %q, true, want false", got)
	}
}

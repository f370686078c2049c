package registry

import (
	"strings"
	"testing"

	"berth/internal/fault"
)

func TestRepositoryNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"ab": true, "a1": true, "0a": true, "a.b": true, "a_b": true, "a__b": true, "a-b": true, "a----b": true,
		"a/b": true, "a/b/c.d/e__f/g-h": true, strings.Repeat("a", 256): true, "blobs/uploads": true, "library/tags/list": true,
		"": false, "a": false, strings.Repeat("a", 257): false, "A/b": false, "aB": false, "a b": false, "a b\n": false, "ab\n": false,
		"/ab": false, "ab/": false, "a//b": false, ".ab": false, "ab.": false, "-ab": false, "ab-": false, "_ab": false, "ab_": false,
		"a..b": false, "a___b": false, "a._b": false, "a.-b": false, "a/./b": false, "a/../b": false, "..": false, "a:b": false,
		"a@b": false, "a%2fb": false, "a\\b": false, "a\x00b": false, "é/b": false, "a\u2215b": false, "ab\xff": false, "*": false,
	} {
		got, err := ParseRepositoryName(name)
		if (err == nil) != want {
			t.Errorf("ParseRepositoryName(%q) = %v, want success %t", name, err, want)
		}
		if err == nil && string(got) != name {
			t.Errorf("ParseRepositoryName(%q) = %q, want the same", name, got)
		}
		if err != nil && fault.CodeOf(err) != "InvalidParameterException" {
			t.Errorf("ParseRepositoryName(%q) = %v, want InvalidParameterException", name, err)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{
		"a": true, "_": true, "A": true, "0": true, "v1.0-rc_1": true, "__": true, "a..b": true, "a.": true, strings.Repeat("x", 128): true,
		"": false, ".a": false, "-a": false, "a:b": false, "a/b": false, "a@b": false, "a+b": false, "a b": false, "a\n": false,
		"a\x00": false, "é": false, "a\xff": false, "*": false, strings.Repeat("x", 129): false, "sha256:" + strings.Repeat("a", 64): false,
	} {
		if got := ValidTag(tag); got != want {
			t.Errorf("ValidTag(%q) = %t, want %t", tag, got, want)
		}
	}
}

func TestDigests(t *testing.T) {
	t.Parallel()
	hex := func(n int) string { return strings.Repeat("0a", n/2) }
	for d, want := range map[string]bool{
		"sha256:" + hex(64): true, "sha512:" + hex(128): true,
		"": false, "sha256": false, "sha256:": false, hex(64): false, "sha256:" + hex(62): false, "sha256:" + hex(66): false,
		"sha512:" + hex(64): false, "sha256:" + strings.ToUpper(hex(64)): false, "SHA256:" + hex(64): false, "sha384:" + hex(96): false,
		"md5:" + hex(32): false, "sha256:" + hex(62) + "0g": false, "sha256:" + hex(64) + "\n": false, " sha256:" + hex(64): false,
		"sha256+b64:" + hex(64): false, "sha256:" + hex(62) + "\x00\x00": false, "sha256::" + hex(64): false, "../sha256:" + hex(64): false,
	} {
		if got := ValidDigest(d); got != want {
			t.Errorf("ValidDigest(%q) = %t, want %t", d, got, want)
		}
	}
}

func TestAccountsAndRegions(t *testing.T) {
	t.Parallel()
	for account, want := range map[string]bool{
		"123456789012": true, "000000000000": true,
		"": false, "12345678901": false, "1234567890123": false, "12345678901a": false, "123456789012\n": false, "-12345678901": false,
		"١٢٣٤٥٦٧٨٩٠١٢": false,
	} {
		if got := ValidAccount(account); got != want {
			t.Errorf("ValidAccount(%q) = %t, want %t", account, got, want)
		}
	}
	for region, want := range map[string]bool{
		"us-east-1": true, "eu-west-1": true, "ap-southeast-7": true, "us-gov-west-1": true, "us-isob-east-1": true, "cn-northwest-1": true,
		"eusc-de-east-1": true,
		"":               false, "local": false, "US-EAST-1": false, "us-east": false, "us-east-1a": false, "us_east_1": false, "us-east-1\n": false,
		"us-east-111": false, "us-" + strings.Repeat("a", 25) + "-1": false, "usa-east-1": false, "us--1": false,
	} {
		if got := ValidRegion(region); got != want {
			t.Errorf("ValidRegion(%q) = %t, want %t", region, got, want)
		}
	}
}

func TestRepositoryARNs(t *testing.T) {
	t.Parallel()
	ref := Ref{ID{"123456789012", "eu-west-1"}, "team/app"}
	const arn = "arn:aws:ecr:eu-west-1:123456789012:repository/team/app"
	if got := ref.ARN(); got != arn {
		t.Errorf("ARN() = %s, want %s", got, arn)
	}
	if got, err := ParseRepositoryARN(arn); got != ref || err != nil {
		t.Errorf("ParseRepositoryARN(%s) = %v, %v, want %v", arn, got, err, ref)
	}
	for _, bad := range []string{
		"", "team/app", "arn:aws:ecr:eu-west-1:123456789012:team/app", "arn:aws:ecr:eu-west-1:123456789012:repository/",
		"arn:aws:ecr:eu-west-1:123456789012:repository/A", "arn:aws:ecr:eu-west-1:123456789012:repository/*",
		"arn:aws:ecr-public:eu-west-1:123456789012:repository/app", "arn:aws:ecr::123456789012:repository/app",
		"arn:aws:ecr:eu-west-1::repository/app", "arn:aws:ecr:eu-west-1:1:repository/app", "arn:aws:ecr:eu west:123456789012:repository/app",
		"ARN:aws:ecr:eu-west-1:123456789012:repository/app", arn + "\n", arn + ":latest", " " + arn,
	} {
		if got, err := ParseRepositoryARN(bad); fault.CodeOf(err) != "InvalidParameterException" {
			t.Errorf("ParseRepositoryARN(%q) = %v, %v, want InvalidParameterException", bad, got, err)
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheNameOfTheProgramIsACommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want []string }{
		{[]string{"berth", "serve"}, []string{"serve"}},
		{[]string{"/usr/local/bin/docker-credential-berth", "get"}, []string{"docker-credential", "get"}},
		{[]string{"docker-credential-berth.exe", "get"}, []string{"docker-credential", "get"}},
		{[]string{"./berth-credential-provider"}, []string{"credential-provider"}},
		{[]string{"berth"}, []string{}},
	} {
		if got := unalias(tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("unalias(%q) = %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestErrorsOfTheCredentialHelperAreOnStandardOutput(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	err := run(t.Context(), []string{"docker-credential", "destroy"}, []string{"HOME=" + t.TempDir()}, stdio{&out, &errs})
	var code exitCode
	if !errors.As(err, &code) || code != 1 || !strings.HasPrefix(out.String(), `"destroy" is none of `) || errs.Len() > 0 {
		t.Errorf("destroy = %v, %q and %q", err, &out, &errs)
	}
}

func TestRolesHaveNames(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:iam::123456789012:role/"
	got, err := namedRoles([]string{arn + "web", arn + "path/batch", "a=b=" + arn + "other"})
	if d := cmp.Diff(map[string]string{"web": arn + "web", "batch": arn + "path/batch", "a=b": arn + "other"}, got); d != "" || err != nil {
		t.Errorf("namedRoles, -want +got:\n%s, %v", d, err)
	}
	for text, want := range map[string][]string{
		`"web" is not the ARN of a role`:                                   {"web"},
		`"arn:aws:iam::123456789012:user/a" is not the ARN of a role`:      {"arn:aws:iam::123456789012:user/a"},
		`two roles are named web`:                                          {arn + "web", arn + "path/web"},
		`"a/b" is no name for a role`:                                      {"a/b=" + arn + "web"},
		`"arn:aws:sts::123456789012:assumed-role/a" is not the ARN of a r`: {"arn:aws:sts::123456789012:assumed-role/a"},
	} {
		if _, err := namedRoles(want); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("namedRoles(%q) = %v, want %q", want, err, text)
		}
	}
}

func TestEachRoleHasAToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	roles := map[string]string{"web": "arn", "batch": "arn"}
	web, all := file("web=own", "of web\n"), file("all", "of all")
	for _, tt := range []struct {
		files      []string
		fixed      string
		web, batch string
	}{
		{[]string{"web=" + web, all}, "fixed", "of web", "of all"},
		{[]string{"web=" + web}, "fixed", "of web", "fixed"},
		{nil, "fixed", "fixed", "fixed"},
		{[]string{web}, "", "of web", "of web"}, // = is in its name
	} {
		token, err := tokenSource(roles, tt.files, tt.fixed)
		if err != nil {
			t.Error(err)
			continue
		}
		for role, want := range map[string]string{"web": tt.web, "batch": tt.batch} {
			if got, err := token(role)(); got != want || err != nil {
				t.Errorf("the token of %s with %q = %q, %v, want %q", role, tt.files, got, err, want)
			}
		}
	}
	token, err := tokenSource(roles, []string{all}, "")
	if err != nil {
		t.Fatal(err)
	}
	file("all", "a new one")
	if got, err := token("web")(); got != "a new one" || err != nil {
		t.Errorf("the token after its file was replaced = %q, %v", got, err)
	}
	for text, files := range map[string][]string{
		"tasks need a token for batch": {"web=" + web},
		"there are two for all roles":  {all, web},
		`"=file" names no file`:        {"=file"},
		`"" names no file`:             {""},
		`"web=" names no file`:         {all, "web="},
		"there is no role named wbe":   {all, "wbe=" + web},
		"there are two for web":        {all, "web=" + web, "web=" + all},
	} {
		if _, err := tokenSource(roles, files, ""); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("tokenSource(%q) = %v, want %q", files, err, text)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "127.9.9.9:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "169.254.170.2:80": false, "example.com:1": false, "127.0.0.1": false,
	} {
		if got := loopback(address); got != want {
			t.Errorf("loopback(%s) = %t, want %t", address, got, want)
		}
	}
}

func TestLoginWantsTLS(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"http://berth.example.com", "http://localhost.example.com:5000", "berth.example.com", "ftp://127.0.0.1", "://", "http://127.0.0.1@example.com"} {
		err := run(t.Context(), []string{"login", "--issuer", "https://127.0.0.1:1", "--client-id", "c", "--role-arn", "r", "--endpoint", endpoint},
			[]string{"HOME=" + t.TempDir()}, stdio{new(bytes.Buffer), new(bytes.Buffer)})
		if err == nil || !strings.Contains(err.Error(), "is not https://HOST") {
			t.Errorf("login at %s = %v, want a refusal", endpoint, err)
		}
	}
}

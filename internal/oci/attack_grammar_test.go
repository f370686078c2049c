package oci_test

import (
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// files lists a data directory and what is beside it, the database's own files
// aside, and what is in S3.
func files(t testing.TB, s *servertest.Server) []string {
	t.Helper()
	all := s.Files(t)
	root := filepath.Dir(s.Config.Data)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !strings.HasPrefix(d.Name(), "berth.db") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkFiles reports files that were not there before.
func checkFiles(t testing.TB, s *servertest.Server, before []string) {
	t.Helper()
	for _, f := range files(t, s) {
		if !slices.Contains(before, f) {
			t.Errorf("a file was made: %s", f)
		}
	}
}

// send sends a request with a path exactly as given, percent signs and all.
func sendPath(t testing.TB, c *servertest.Client, method, path string, body []byte) *servertest.Response {
	t.Helper()
	return c.Do(t, method, c.Server.URL+path, body, "Content-Type", typeManifest)
}

func TestMalformedNames(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1)
		c.Push(t, "app", "v1", img)
		before := files(t, s)
		d := img.Digest.String()
		for _, name := range []string{
			"..", "../app", "app/..", "app/../app", "./app", "app/.", "/app", "app/", "app//x", "...", "a/.../b",
			"%2e%2e", "%2e%2e/app", "..%2fapp", "app%2f..", "app%2fx", "app%2Fx", "app%252fx", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5capp", `..\app`,
			"%00", "app%00", "app%00/x", "%00app", "app%0a", "app%0d%0aX:y", "app%20", "%20app", "app%09", "app%7f", "app%ff", "app%c0%af", "%ef%bc%8fapp",
			"App", "APP", "app_", "_app", "-app", "app-", ".app", "app.", "app..x", "app___x", "app__/x", "app+x", "app@x", "app:x", "app~x", "app*", "app%25",
			"%c3%a9", "%ef%bd%81%ef%bd%81", "%d0%b0pp", "a%cc%81pp", "%e2%80%aeapp", "app%e2%80%8b", "%f0%9f%90%b3", "a",
			strings.Repeat("a", 257), strings.Repeat("a/", 128) + "aa", strings.Repeat("a", 10_000),
		} {
			for _, r := range []struct{ method, path string }{
				{"GET", "/tags/list"}, {"GET", "/manifests/v1"}, {"GET", "/manifests/" + d}, {"PUT", "/manifests/v2"}, {"PUT", "/manifests/" + d},
				{"DELETE", "/manifests/v1"}, {"GET", "/blobs/" + digest.FromBytes(img.Config).String()}, {"POST", "/blobs/uploads/"},
				{"POST", "/blobs/uploads/?mount=" + digest.FromBytes(img.Config).String() + "&from=app"}, {"GET", "/referrers/" + d},
			} {
				got := sendPath(t, c, r.method, "/v2/"+name+r.path, img.Manifest)
				if code := got.Code(); !(got.Status == 400 && code == "NAME_INVALID") && !(got.Status == 404 && code == "UNSUPPORTED") {
					t.Errorf("%s /v2/%.60s%s = %d %s, want 400 NAME_INVALID or 404", r.method, name, r.path, got.Status, code)
				}
			}
			from := url.QueryEscape(name)
			if !strings.Contains(name, "%") { // there it is decoded
				r := c.Do(t, "POST", uploadsPath("app", "?mount="+digest.FromBytes(img.Config).String()+"&from="+from), nil)
				checkError(t, "mount from "+name, r, 400, "NAME_INVALID")
			}
		}
		checkFiles(t, s, before)
		checkManifest(t, c, "app", "v1", typeManifest, img.Manifest)
	})
}

func TestMalformedDigests(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := []byte("content")
		c.PushBlob(t, "app", content)
		before := files(t, s)
		good := digest.FromBytes(content).Encoded()
		long := digest.SHA512.FromBytes(content).Encoded()
		for _, d := range []string{
			"sha256:", "sha256:..", "sha256:../../../../etc/passwd", "sha256:" + good[:63], "sha256:" + good + "0", "sha256:" + strings.ToUpper(good),
			"SHA256:" + good, "sha256:" + long, "sha512:" + good, "sha512:" + long[:127], "sha512:" + strings.ToUpper(long),
			"sha256:" + good[:63] + "\x00", "sha256:" + good + "\x00", "sha256:" + good[:62] + "/.", "sha256:" + good[:32] + "/" + good[33:], "sha256:" + good + "/..",
			"sha256:" + good[:63] + "g", "sha256:" + strings.Repeat("\uff10", 64), "sha256:" + strings.Repeat("\u0663", 32), "sha256:" + good + "\n", " sha256:" + good,
			"sha256 :" + good, "sha256:sha256:" + good, ":" + good, ":", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "sha384:" + good + good[:32],
			"sha256+b64:" + good, "blake3:" + good, "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + strings.Repeat("a", 10_000), good,
		} {
			escaped := url.PathEscape(d)
			for _, r := range []struct{ method, path string }{
				{"GET", "/v2/app/blobs/" + escaped}, {"HEAD", "/v2/app/blobs/" + escaped}, {"DELETE", "/v2/app/blobs/" + escaped},
				{"GET", "/v2/app/referrers/" + escaped}, {"POST", "/v2/app/blobs/uploads/?digest=" + url.QueryEscape(d)},
				{"POST", "/v2/app/blobs/uploads/?mount=" + url.QueryEscape(d)},
			} {
				got := sendPath(t, c, r.method, r.path, nil)
				if r.method == "HEAD" && (got.Status == 400 || got.Status == 404) {
					continue
				}
				if code := got.Code(); !(got.Status == 400 && code == "DIGEST_INVALID") && !(got.Status == 404 && code == "UNSUPPORTED") {
					t.Errorf("%s %.150s = %d %s, want 400 DIGEST_INVALID or 404", r.method, r.path, got.Status, code)
				}
			}
			u := startUpload(t, c, "app", "")
			r := c.Do(t, "PUT", u.location+"?digest="+url.QueryEscape(d), content)
			checkError(t, "PUT ?digest="+d, r, 400, "DIGEST_INVALID")
			if !strings.Contains(d, ":") {
				continue // a tag
			}
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				r := sendPath(t, c, method, "/v2/app/manifests/"+escaped, content)
				if r.Status != 400 && r.Status != 404 {
					t.Errorf("%s of the manifest %.100q = %d, want 400 or 404", method, d, r.Status)
				}
			}
		}
		checkFiles(t, s, before)
		checkBlob(t, c, "app", digest.FromBytes(content), content)
	})
}

func TestMalformedTags(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1)
		c.PushBlobs(t, "app", img)
		before := files(t, s)
		for _, tag := range []string{
			".", "..", ".v1", "-v1", "v 1", "v1\x00", "\x00", "v1\n", "v1/..", "../v1", "v\\1", "v+1", "v~1", "v@1", "v1,v2", "é", "\uff56", "\u202ev1", "v\u200b1",
			"\xff", "\xc0\xae", "v%31", "*", "?", "#", "v1;x", "'--", strings.Repeat("v", 129), strings.Repeat("v", 300), strings.Repeat("v", 10_000),
		} {
			path := "/v2/app/manifests/" + url.PathEscape(tag)
			for method, want := range map[string]int{"GET": 404, "HEAD": 404, "DELETE": 404, "PUT": 400} {
				r := sendPath(t, c, method, path, img.Manifest)
				if r.Status != want && !(r.Status == 404 && r.Code() == "UNSUPPORTED") {
					t.Errorf("%s %.100s = %d %s, want %d", method, path, r.Status, r.Code(), want)
				}
			}
			r := c.Do(t, "PUT", manifestPath("app", img.Digest.String())+"?tag="+url.QueryEscape(tag), img.Manifest, "Content-Type", typeManifest)
			checkError(t, "PUT ?tag="+tag, r, 400, "TAG_INVALID")
		}
		for _, tag := range []string{"latest", "LATEST", "0", "_", "__", "v1.", "v1-", "V1_.-", "sha256", "list", "uploads", strings.Repeat("v", 128)} {
			check(t, "PUT "+tag, c.PushManifest(t, "app", tag, typeManifest, img.Manifest), 201)
			checkManifest(t, c, "app", tag, typeManifest, img.Manifest)
		}
		checkFiles(t, s, before)
	})
}

func TestMalformedUploadIDs(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := []byte("content")
		u := startUpload(t, c, "app", "")
		check(t, "PATCH", u.patch(t, content), 202)
		id := u.location[strings.LastIndexByte(u.location, '/')+1:]
		before := files(t, s)
		for _, id := range []string{
			"x", ".", "..", "../" + id, id + "/..", id[:35], id + "0", "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), strings.ToUpper(id) + " ",
			"\x00", id + "\x00", id[:10] + "\x00" + id[11:], "\xff", id + "\xff", "é", "'; DROP TABLE uploads; --", "%", "00000000-0000-0000-0000-000000000000",
			strings.Repeat("0", 10_000),
		} {
			path := "/v2/app/blobs/uploads/" + url.PathEscape(id)
			for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
				r := sendPath(t, c, method, path+"?digest="+digest.FromBytes(content).String(), nil)
				if r.Status != 404 {
					t.Errorf("%s %.100s = %d %s, want 404", method, path, r.Status, r.Body)
				}
			}
		}
		checkFiles(t, s, before)
		checkCreated(t, "PUT", u.put(t, digest.FromBytes(content), nil), "app", digest.FromBytes(content))
	})
}

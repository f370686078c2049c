package oci

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// paths returns the paths that a route may have: one, but for those that may end
// in a slash or not.
func (rt route) paths() []string {
	name := "/v2/" + string(rt.name)
	switch rt.kind {
	case kindBase:
		return []string{"/v2", "/v2/"}
	case kindCatalog:
		return []string{"/v2/_catalog"}
	case kindTags:
		return []string{name + "/tags/list"}
	case kindManifest:
		return []string{name + "/manifests/" + rt.ref}
	case kindBlob:
		return []string{name + "/blobs/" + rt.ref}
	case kindUploads:
		return []string{name + "/blobs/uploads/", name + "/blobs/uploads"}
	case kindUpload:
		return []string{name + "/blobs/uploads/" + rt.ref}
	case kindReferrers:
		return []string{name + "/referrers/" + rt.ref}
	}
	return nil
}

// A path that is accepted is exactly what its route says, with a name and a
// digest that are in order: nothing was cleaned or cut away.
func FuzzParsePath(f *testing.F) {
	d := digest.FromString("").String()
	for _, path := range []string{
		"/v2", "/v2/", "/v2/_catalog", "/v2/a/b/tags/list", "/v2/app/manifests/latest", "/v2/app/manifests/" + d, "/v2/app/blobs/" + d,
		"/v2/app/blobs/uploads/", "/v2/app/blobs/uploads", "/v2/app/blobs/uploads/6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f", "/v2/app/referrers/" + d,
		"//v2/", "/v2/./", "/v2/../x", "/v2/%5fcatalog", "/v2/a%2Fb/tags/list", "/v2/app/blobs/sha256:../..", "/v2/tags/list/tags/list", "/v2/app/blobs/uploads/uploads",
		"/v2/App/tags/list", "/v2/app\x00/tags/list", "/v2/app/manifests/é", "/v2app", "/v2app/tags/list", "/v2/app/blobs/uploads/..", "/v2/blobs/uploads/",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		rt, err := parsePath(u)
		if err != nil {
			if e, ok := err.(*wireError); !ok || e.answer.status < 400 || e.answer.status > 499 {
				t.Errorf("parsePath(%q) = %v, want a refusal", path, err)
			}
			return
		}
		is := false
		for _, p := range rt.paths() {
			is = is || p == u.Path
		}
		if !is {
			t.Errorf("parsePath(%q) = %+v, which is another path", path, rt)
		}
		if _, err := registry.ParseRepositoryName(string(rt.name)); err != nil && rt.name != "" {
			t.Errorf("parsePath(%q): name %q: %v", path, rt.name, err)
		}
		if (rt.kind == kindBlob || rt.kind == kindReferrers || strings.Contains(rt.ref, ":") && rt.kind == kindManifest) && !registry.ValidDigest(rt.ref) {
			t.Errorf("parsePath(%q): %q is no digest", path, rt.ref)
		}
		if strings.Contains(rt.ref, "/") {
			t.Errorf("parsePath(%q): the reference %q has a slash", path, rt.ref)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, header := range []string{
		"0-0", "0-99", "100-199", "bytes 0-99/100", "bytes=0-99", "bytes 0-99/*", "9-0", "-1", "1-", "0-999999999999999999", "0-9223372036854775807", "0-9223372036854775808",
		"0x0-0x9", "+0-1", " 0-1", "0-1 ", "0-1\n", "0-1,2-3", "bytes */5", "\u0660-\u0661", "",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		first, last, err := parseContentRange(header)
		if err != nil {
			if e, ok := err.(*wireError); !ok || e.answer.status != 400 && e.answer.status != 416 {
				t.Errorf("parseContentRange(%q) = %v, want a refusal", header, err)
			}
			return
		}
		if first < 0 || last < first || last-first+1 <= 0 {
			t.Errorf("parseContentRange(%q) = %d, %d", header, first, last)
		}
	})
}

// Whatever range is asked for, what is sent is what the answer says it is.
func FuzzRange(f *testing.F) {
	for _, header := range []string{
		"", "bytes=0-0", "bytes=5-", "bytes=-5", "bytes=0-9,20-29", "bytes=90-200", "bytes=200-", "bytes=9-0", "bytes=0-99,0-99", "bytes=-0", "bytes=,", "bytes=a-b",
		"items=0-1", "bytes=0-9223372036854775807", "bytes=9223372036854775808-", "bytes= 1 - 2 , 4-5", "Bytes=0-1",
	} {
		f.Add(header, "")
	}
	content := make([]byte, 100)
	for i := range content {
		content[i] = byte(i)
	}
	d := digest.FromBytes(content)
	f.Add("bytes=0-9", `"`+d.String()+`"`)
	f.Fuzz(func(t *testing.T, header, condition string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Range", header)
		if condition != "" {
			r.Header.Set("If-Range", condition)
		}
		w := httptest.NewRecorder()
		new(Front).serveContent(w, r, &registry.Content{Reader: unclosed{bytes.NewReader(content)}, Digest: d, Size: int64(len(content))})
		res := w.Result()
		switch kind, parameters, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); {
		case res.StatusCode == http.StatusOK:
			if !bytes.Equal(w.Body.Bytes(), content) {
				t.Errorf("Range %q = 200 with %d bytes", header, w.Body.Len())
			}
		case res.StatusCode == http.StatusPartialContent && kind == "multipart/byteranges":
			checkParts(t, header, multipart.NewReader(w.Body, parameters["boundary"]), content)
		case res.StatusCode == http.StatusPartialContent:
			checkPart(t, header, res.Header.Get("Content-Range"), w.Body.Bytes(), content)
		case res.StatusCode != http.StatusRequestedRangeNotSatisfiable:
			t.Errorf("Range %q = %d", header, res.StatusCode)
		}
	})
}

func checkParts(t *testing.T, header string, parts *multipart.Reader, content []byte) {
	t.Helper()
	sum := 0
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("Range %q: %v", header, err)
		}
		got, err := io.ReadAll(part)
		if err != nil {
			t.Fatalf("Range %q: %v", header, err)
		}
		checkPart(t, header, part.Header.Get("Content-Range"), got, content)
		sum += len(got)
	}
	if sum > len(content) {
		t.Errorf("Range %q = %d bytes in all, of %d", header, sum, len(content))
	}
}

func checkPart(t *testing.T, header, says string, got, content []byte) {
	t.Helper()
	if says == "bytes 100-99/100" && len(got) == 0 {
		return // net/http's answer to the last no bytes
	}
	first, last, err := parseContentRange(says)
	if err != nil || last >= int64(len(content)) || !bytes.Equal(got, content[first:last+1]) {
		t.Errorf("Range %q = %q with %d bytes, %v", header, says, len(got), err)
	}
}

type unclosed struct{ *bytes.Reader }

func (unclosed) Close() error { return nil }

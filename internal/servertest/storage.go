package servertest

import (
	"bytes"
	"encoding/xml"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Files returns the names of all that the server stores outside of its database, below
// blobs/ in the data directory or in S3: objects/... and what uploads have so far. The
// parts of an upload that S3 shows to nobody are not among them, nor what says whose it is.
func (s *Server) Files(t testing.TB) []string {
	t.Helper()
	return slices.DeleteFunc(s.allFiles(t), func(name string) bool { return name == "owner" })
}

func (s *Server) allFiles(t testing.TB) []string {
	t.Helper()
	if s.Config.Storage != "" {
		return s.listS3(t)
	}
	var names []string
	root := filepath.Join(s.Config.Data, "blobs")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// ReadFile returns the bytes of one of Files, as they are stored.
func (s *Server) ReadFile(t testing.TB, name string) []byte {
	t.Helper()
	if s.Config.Storage != "" {
		return s.askS3(t, http.MethodGet, "/"+name, nil)
	}
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// WriteFile replaces the bytes of one of Files behind the server's back.
func (s *Server) WriteFile(t testing.TB, name string, content []byte) {
	t.Helper()
	if s.Config.Storage != "" {
		s.askS3(t, http.MethodPut, "/"+name, content)
		return
	}
	if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// RemoveFile removes one of Files behind the server's back.
func (s *Server) RemoveFile(t testing.TB, name string) {
	t.Helper()
	if s.Config.Storage != "" {
		s.askS3(t, http.MethodDelete, "/"+name, nil)
		return
	}
	if err := os.Remove(s.path(name)); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) path(name string) string {
	return filepath.Join(s.Config.Data, "blobs", filepath.FromSlash(name))
}

func (s *Server) listS3(t testing.TB) (names []string) {
	t.Helper()
	var list struct {
		IsTruncated bool
		Contents    []struct{ Key string }
	}
	if err := xml.Unmarshal(s.askS3(t, http.MethodGet, "?list-type=2", nil), &list); err != nil || list.IsTruncated {
		t.Fatalf("the list of objects: %v, truncated: %t", err, list.IsTruncated)
	}
	for _, c := range list.Contents {
		names = append(names, c.Key)
	}
	return names
}

// askS3 asks the store, which takes any credentials and none.
func (s *Server) askS3(t testing.TB, method, what string, body []byte) []byte {
	t.Helper()
	u, err := url.Parse(s.Config.S3Endpoint + "/" + strings.TrimPrefix(s.Config.Storage, "s3://") + what)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, u.String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s, %v", method, what, res.Status, text, err)
	}
	return text
}

package server

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/config"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"
)

// From 80 % on a storage quota warns: in the metrics always, in the log once until
// it is less than three quarters full again.
func TestStorageQuotasThatAreNearlyFullWarn(t *testing.T) {
	t.Parallel()
	c, err := config.Load(pflag.NewFlagSet("", pflag.ContinueOnError), []string{
		"BERTH_DATA=" + filepath.Join(t.TempDir(), "data"), "BERTH_STORAGE_QUOTA=123456789012/team=1000",
	})
	if err != nil {
		t.Fatal(err)
	}
	// What is logged by the server's own watch, which runs beside, does not matter.
	s, err := Open(t.Context(), c, Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	root := access.Caller{Account: c.Account, ARN: "arn:aws:iam::123456789012:root", ID: c.Account, Type: access.Root}
	ref := registry.Ref{ID: registry.ID{Account: c.Account, Region: c.Region}, Name: "team/app"}
	if _, err := s.Registry().CreateRepository(t.Context(), root, registry.CreateRepositoryInput{Ref: ref}); err != nil {
		t.Fatal(err)
	}
	warned := map[registry.StorageQuota]bool{}
	for _, step := range []struct {
		add, remove string
		used, full  string
		logged      bool
	}{
		{strings.Repeat("a", 749), "", "749", "0", false},
		{strings.Repeat("b", 50), "", "799", "0", false},
		{"c", "", "800", "1", true},
		{"d", "", "801", "1", false},
		{"", "d", "800", "1", false},
		{"", "c", "799", "0", false},
		{"e", "", "800", "1", false},
		{"", strings.Repeat("b", 50), "750", "0", false},
		{strings.Repeat("f", 50), "", "800", "1", false},
		{"", "e", "799", "0", false},
		{"", strings.Repeat("f", 50), "749", "0", false},
		{strings.Repeat("g", 51), "", "800", "1", true},
	} {
		if step.add != "" {
			push(t, s.Registry(), root, ref, step.add)
		}
		if step.remove != "" {
			if err := s.Registry().DeleteLayer(t.Context(), root, ref, digest.FromString(step.remove)); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		watch := &Server{config: c, registry: s.registry, log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := watch.lookAtQuotas(t.Context(), warned); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), `level=WARN msg="storage quota nearly full" account=123456789012 prefix=team bytes=1000 used=`+step.used); got != step.logged {
			t.Errorf("with %s bytes the log is %q, want a warning: %t", step.used, log.String(), step.logged)
		}
		w := httptest.NewRecorder()
		s.metrics.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for name, want := range map[string]string{"used_bytes": step.used, "bytes": "1000", "warning": step.full} {
			line := `berth_storage_quota_` + name + `{account="123456789012",prefix="team"} ` + want
			if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
				t.Errorf("with %s bytes the metrics lack %s", step.used, line)
			}
		}
	}
}

// push makes the repository hold a layer.
func push(t *testing.T, r *registry.Registry, c access.Caller, ref registry.Ref, content string) {
	t.Helper()
	id, err := r.InitiateLayerUpload(t.Context(), c, ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AppendUpload(t.Context(), c, registry.AppendUploadInput{Ref: ref, UploadID: id, First: 0, Length: -1}, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := r.CompleteUpload(t.Context(), c, registry.CompleteUploadInput{Ref: ref, UploadID: id, Digest: digest.FromString(content)}); err != nil {
		t.Fatal(err)
	}
}

func TestAServerWithQuotasThatCannotBeDoesNotOpen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c, err := config.Load(pflag.NewFlagSet("", pflag.ContinueOnError), []string{"BERTH_DATA=" + dir, "BERTH_QUOTA=images=5"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), c, Options{}); err == nil || !strings.Contains(err.Error(), `quota: there is no quota "images"`) {
		t.Errorf("Open = %v, want an error", err)
	}
	if found, _ := filepath.Glob(dir); len(found) > 0 {
		t.Errorf("%s was made", dir)
	}
}

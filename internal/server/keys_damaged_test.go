package server_test

import (
	"testing"

	"berth/internal/fsck"
	"berth/internal/server"
	"berth/internal/servertest"
)

// A backing key that is damaged is no end of a check: what it had sealed is damaged, and
// the rest is looked at.
func TestFsckGoesOnAfterADamagedBackingKey(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.Login(t)
		createWithKey(t, s, "app", s.CreateKey(t))
		c.Push(t, "app", "v1", servertest.NewImage(1, 10))
		s.CreateRepository(t, "other")
		c.Push(t, "other", "v1", servertest.NewImage(1, 10))
		s.Stop(t)
		if _, err := openVault(t, s).ExecContext(t.Context(), `UPDATE kms_materials SET sealed = $1`, []byte("\x01 what does not open")); err != nil {
			t.Fatal(err)
		}
		report, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range report.Problems {
			if p.Kind != fsck.Damaged {
				t.Errorf("fsck: %+v", p)
			}
		}
		if len(report.Problems) != 3 || report.Objects != 6 {
			t.Errorf("%d problems in %d objects, want 3 in 6: a configuration, a layer and a manifest of each repository", len(report.Problems), report.Objects)
		}
	})
}

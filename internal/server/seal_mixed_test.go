package server_test

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// What was stored in plain is not taken in place of what is pushed to be sealed: it is
// neither shared nor mounted, and a layer that is pushed again is sealed.
func TestWhatIsStoredInPlainSatisfiesNoPushThatSeals(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.Seal = "off" }})
	s.CreateRepository(t, "old")
	s.CreateRepository(t, "new")
	c := s.Login(t)
	large, small := servertest.Bytes(1, 100_000), servertest.Bytes(2, 100)
	for _, content := range [][]byte{large, small} {
		c.PushBlob(t, "old", content)
	}
	s.Config.Seal = "on"
	s.Restart(t)
	c = s.Login(t)
	for _, content := range [][]byte{large, small} {
		d := digest.FromBytes(content).String()
		refused := c.Do(t, "POST", "/v2/new/blobs/uploads/?mount="+d+"&from=old", nil).Want(t, 202)
		c.Do(t, "DELETE", refused.Header.Get("Location"), nil).Want(t, 204)
		for _, repository := range []string{"new", "old"} {
			c.PushBlob(t, repository, content)
			if got := c.Do(t, "GET", "/v2/"+repository+"/blobs/"+d, nil).Want(t, 200).Body; !bytes.Equal(got, content) {
				t.Error("a layer reads back changed")
			}
		}
		s.CreateRepository(t, "third-"+d[7:17])
		c.Do(t, "POST", "/v2/third-"+d[7:17]+"/blobs/uploads/?mount="+d+"&from=old", nil).Want(t, 201)
	}
	s.CheckData(t)
	s.Stop(t)
	db, err := sql.Open("sqlite", filepath.Join(s.Config.Data, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	got := column(t, db, `SELECT o.algorithm FROM layers l JOIN objects o ON o.uid = l.object`)
	if want := slices.Repeat([]string{"AES-256-GCM"}, 6); !slices.Equal(got, want) {
		t.Errorf("the layers are of objects sealed with %v, want %v", got, want)
	}
}

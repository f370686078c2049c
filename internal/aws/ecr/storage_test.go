package ecr_test

import (
	"testing"

	"berth/internal/config"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

func withStorage(quotas ...string) servertest.Options {
	return servertest.Options{Configure: func(c *config.Config) { c.StorageQuotas = quotas }}
}

// storage returns what is used of the server's storage quotas.
func storage(t *testing.T, s *servertest.Server) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, u := range must(s.Server().Registry().StorageUse(t.Context()))(t) {
		out[u.String()] = u.Used
	}
	return out
}

func TestStorageQuotasCountLayersOnceInEachRepository(t *testing.T) {
	t.Parallel()
	const account, team, app = servertest.Account, servertest.Account + "/team", servertest.Account + "/team/app"
	servertest.Each(t, withStorage(account+"=100000", team+"=50000", app+"/=40000"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for _, name := range []string{"team/app", "team/other", "teams", "else"} {
			createRepository(t, c, name)
		}
		createRepository(t, s.ECRIn("eu-west-1"), "team/app")
		layer, second := servertest.Bytes(1, 1000), servertest.Bytes(2, 20)
		pushLayer(t, c, "team/app", layer)
		wantEqual(t, "after a layer", storage(t, s), map[string]int64{account: 1000, team: 1000, app: 1000})
		if err := tryLayer(t, c, "team/app", layer); servertest.ErrorCode(err) != "LayerAlreadyExistsException" {
			t.Errorf("the same layer again: %v", err)
		}
		pushLayer(t, c, "team/app", second)
		pushLayer(t, c, "team/other", layer)
		pushLayer(t, c, "teams", layer)
		pushLayer(t, s.ECRIn("eu-west-1"), "team/app", layer)
		wantEqual(t, "after more", storage(t, s), map[string]int64{account: 4020, team: 3020, app: 2020})

		client := s.Login(t)
		d := digest.FromBytes(layer).String()
		client.Do(t, "POST", "/v2/else/blobs/uploads/?mount="+d+"&from=teams", nil).Want(t, 201)
		client.Do(t, "POST", "/v2/else/blobs/uploads/?mount="+d+"&from=teams", nil).Want(t, 201)
		wantEqual(t, "after a mount, twice", storage(t, s), map[string]int64{account: 5020, team: 3020, app: 2020})
		client.Do(t, "DELETE", "/v2/team/app/blobs/"+d, nil).Want(t, 202)
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("team/other")}))(t)
		wantEqual(t, "after deletes", storage(t, s), map[string]int64{account: 3020, team: 1020, app: 1020})
		s.Restart(t)
		wantEqual(t, "after a restart", storage(t, s), map[string]int64{account: 3020, team: 1020, app: 1020})
	})
}

func TestAStorageQuotaStopsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	const (
		quota = servertest.Account + "/team"
		full  = "The maximum number of bytes in layers has been reached: the storage quota '" + quota + "' is 1000000 bytes"
	)
	servertest.Each(t, withStorage(quota+"=1000000"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "team/app")
		createRepository(t, c, "other")
		wantError(t, tryLayer(t, c, "team/app", servertest.Bytes(1, 1_000_001)), "LimitExceededException", full)
		pushLayer(t, c, "team/app", servertest.Bytes(2, 600_000))
		wantError(t, tryLayer(t, c, "team/app", servertest.Bytes(3, 400_001)), "LimitExceededException", full)

		// Two that would fit alone: the second to end does not.
		first, second := startUpload(t, c, "team/app"), startUpload(t, c, "team/app")
		a, b := servertest.Bytes(4, 300_000), servertest.Bytes(5, 300_000)
		must(c.UploadLayerPart(t.Context(), part("team/app", first, 0, a)))(t)
		must(c.UploadLayerPart(t.Context(), part("team/app", second, 0, b)))(t)
		must(c.CompleteLayerUpload(t.Context(), completion("team/app", first, digest.FromBytes(a))))(t)
		_, err := c.CompleteLayerUpload(t.Context(), completion("team/app", second, digest.FromBytes(b)))
		wantError(t, err, "LimitExceededException", full)
		pushLayer(t, c, "team/app", servertest.Bytes(6, 100_000))

		_, err = c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("team/app")})
		wantError(t, err, "LimitExceededException", full)
		wantEqual(t, "uploads that are left", rows(t, s, "SELECT id FROM uploads"), []string{})
		wantEqual(t, "used", storage(t, s), map[string]int64{quota: 1_000_000})
		pushLayer(t, c, "other", servertest.Bytes(1, 1_000_001))

		// What is there already can be mounted again, what is new cannot.
		client := s.Login(t)
		in := "/v2/team/app/blobs/uploads/?from=other&mount="
		r := client.Do(t, "POST", in+digest.FromBytes(servertest.Bytes(1, 1_000_001)).String(), nil).Want(t, 403)
		if r.Code() != "DENIED" || r.Message() != full {
			t.Errorf("mount = %s: %s, want DENIED: %s", r.Code(), r.Message(), full)
		}
		pushLayer(t, c, "other", a)
		client.Do(t, "POST", in+digest.FromBytes(a).String(), nil).Want(t, 201)
		s.CheckData(t)
	})
}

func TestAStorageQuotaThatComesLaterFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "team/app")
		createRepository(t, c, "teams")
		pushLayer(t, c, "team/app", servertest.Bytes(1, 700))
		pushLayer(t, c, "teams", servertest.Bytes(2, 100))
		wantEqual(t, "quotas", must(s.Server().Registry().StorageUse(t.Context()))(t), []registry.StorageUse(nil))
		s.Config.StorageQuotas = []string{servertest.Account + "/team=1000", servertest.Account + "=1000"}
		s.Restart(t)
		wantEqual(t, "used", storage(t, s), map[string]int64{servertest.Account + "/team": 700, servertest.Account: 800})
		if err := tryLayer(t, c, "teams", servertest.Bytes(3, 201)); servertest.ErrorCode(err) != "LimitExceededException" {
			t.Errorf("a layer that does not fit: %v, want LimitExceededException", err)
		}
		// A quota that is less than what is there takes nothing away.
		s.Config.StorageQuotas = []string{servertest.Account + "/team=10"}
		s.Restart(t)
		if got := availability(t, c, "team/app", digest.FromBytes(servertest.Bytes(1, 700))); got[0] != "AVAILABLE" {
			t.Errorf("availability = %v", got)
		}
		pushLayer(t, c, "teams", servertest.Bytes(3, 201))
	})
}

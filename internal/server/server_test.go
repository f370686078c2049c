package server_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, path := range []string{"/livez", "/readyz", "/healthz"} {
			res, err := http.Get(s.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body) // shown below
			_ = res.Body.Close()
			if res.StatusCode != 200 || string(body) != "ok\n" {
				t.Errorf("GET %s = %d %q, want 200 ok", path, res.StatusCode, body)
			}
		}
	})
}

func TestPushAndPull(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "team/app")
		c := s.Login(t)
		img := servertest.NewImage(1, 100, 100_000)
		c.Push(t, "team/app", "v1", img)
		s.Restart(t)
		got := c.Do(t, "GET", "/v2/team/app/manifests/v1", nil).Want(t, 200)
		if string(got.Body) != string(img.Manifest) {
			t.Error("the manifest was changed")
		}
		for _, l := range append(img.Layers, img.Config) {
			d := servertest.Descriptor("", l).Digest
			if got := c.Do(t, "GET", "/v2/team/app/blobs/"+d.String(), nil).Want(t, 200); string(got.Body) != string(l) {
				t.Errorf("blob %s was changed", d)
			}
		}
		out, err := s.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil || *out.Arn != "arn:aws:iam::123456789012:root" {
			t.Errorf("GetCallerIdentity = %v, %v, want the root", out, err)
		}
	})
}

func TestTheLogSaysWhatIsStoredButNotActedOn(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	s.Stop(t)
	var log bytes.Buffer
	again, err := server.Open(t.Context(), s.Config, server.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := `level=INFO msg="configuration of these features is stored but not acted on yet" features="pull-through cache, replication, scanning, signing"`; !strings.Contains(log.String(), want) {
		t.Errorf("log = %s, want %s", log.String(), want)
	}
}

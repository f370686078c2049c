package server_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"berth/internal/blob/dirbucket/disktest"
	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

// diskErrors are what a disk fails with, and what clients are then told.
var diskErrors = map[syscall.Errno]int{syscall.EIO: 503, syscall.EMFILE: 503, syscall.ENOSPC: 507}

// failing returns a server whose disk fails for layers.
func failing(t *testing.T, seal string) (*servertest.Server, *disktest.Faults) {
	t.Helper()
	faults := &disktest.Faults{}
	s := servertest.Start(t, servertest.Options{Errors: true, Files: faults.Over, Configure: func(c *config.Config) {
		c.Seal, c.Storage = seal, ""
	}})
	s.CreateRepository(t, "app")
	return s, faults
}

// numbered returns a layer that differs from those of other numbers.
func numbered(n int) []byte {
	return binary.BigEndian.AppendUint64(layer(200_000), uint64(n))
}

// inOne pushes a layer in one request.
func inOne(t *testing.T, c *servertest.Client, content []byte) int {
	return c.Do(t, "POST", uploadsOfApp+"?digest="+digest.FromBytes(content).String(), content, "Content-Type", "application/octet-stream").Status
}

// inPieces pushes a layer in two pieces.
func inPieces(t *testing.T, c *servertest.Client, content []byte) int {
	started := c.Do(t, "POST", uploadsOfApp, nil)
	if started.Status != 202 {
		return started.Status
	}
	location := started.Header.Get("Location")
	for _, piece := range [][]byte{content[:len(content)/4*3], content[len(content)/4*3:]} {
		if r := c.Do(t, "PATCH", location, piece); r.Status != 202 {
			return r.Status
		}
	}
	return c.Do(t, "PUT", location+"?digest="+digest.FromBytes(content).String(), nil).Status
}

// pushes are ways to push a layer.
var pushes = map[string]func(*testing.T, *servertest.Client, []byte) int{
	"in pieces": inPieces,
	"in one request, and then again in pieces": func(t *testing.T, c *servertest.Client, content []byte) int {
		if status := inOne(t, c, content); status != 201 {
			return status
		}
		return inPieces(t, c, content)
	},
}

// Whichever operation of the disk fails, a push is refused in a way that it can be made
// again, or was done, and the next one needs nobody's help.
func TestPushesOutliveADiskThatFails(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		s, faults := failing(t, seal)
		c := s.Login(t)
		count, positions := 0, 0
		for failure, refusal := range diskErrors {
			for name, push := range pushes {
				for n := 1; ; n++ {
					count++
					content := numbered(count)
					plan, failed := disktest.Nth(n, failure)
					faults.Plan(plan)
					got := push(t, c, content)
					faults.Plan(nil)
					if failed() == "" {
						break
					}
					positions++
					what := fmt.Sprintf("%s with %v at operation %d, %s", name, failure, n, failed())
					if got != 201 && got != refusal {
						t.Errorf("%s: %d, want 201 or %d", what, got, refusal)
					}
					d := digest.FromBytes(content).String()
					if r := c.Do(t, "GET", "/v2/app/blobs/"+d, nil); got == 201 && (r.Status != 200 || !bytes.Equal(r.Body, content)) || r.Status != 200 && r.Status != 404 {
						t.Errorf("%s: %d, and then it is %d", what, got, r.Status)
					}
					if again := push(t, c, content); again != 201 {
						t.Errorf("%s: then pushed again: %d", what, again)
					}
					if got := c.Do(t, "GET", "/v2/app/blobs/"+d, nil).Want(t, 200).Body; !bytes.Equal(got, content) {
						t.Errorf("%s: the layer differs from what was pushed", what)
					}
				}
			}
		}
		t.Logf("%d positions", positions)
		if m := faults.Mistakes(); len(m) > 0 || positions < 100 {
			t.Errorf("at %d positions: %v", positions, m)
		}
		nothingLost(t, s)
	})
}

// nothingLost has berth fsck look for layers that are not whole. What a failure leaves
// over is removed in time.
func nothingLost(t *testing.T, s *servertest.Server) {
	t.Helper()
	s.Stop(t)
	report, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{})
	if err != nil || report.Lost() != 0 || report.Objects == 0 {
		t.Errorf("of %d objects %d are lost, %v", report.Objects, report.Lost(), err)
	}
}

func TestALayerThatCannotBeOpenedCanBeAskedForAgain(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		s, faults := failing(t, seal)
		c := s.Login(t)
		content := numbered(1)
		c.PushBlob(t, "app", content)
		for failure := range diskErrors {
			faults.Plan(func(op string) error {
				if op == "openfile" {
					return failure
				}
				return nil
			})
			if r := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(content).String(), nil).Want(t, diskErrors[failure]); r.Code() != "UNAVAILABLE" || r.Header.Get("Retry-After") == "" {
				t.Errorf("%s, Retry-After %q", r.Body, r.Header.Get("Retry-After"))
			}
			faults.Plan(nil)
			c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(content).String(), nil).Want(t, 200)
		}
	})
}

// The API of ECR answers 503 to all that can be tried again.
func TestPartsOutliveADiskThatFails(t *testing.T) {
	t.Parallel()
	s, faults := failing(t, "on")
	content := slices.Concat(layer(6<<20), numbered(1))
	push := func() error {
		client := s.ECR()
		started, err := client.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{
			RepositoryName: new("app"), UploadId: started.UploadId, PartFirstByte: new(int64(0)), PartLastByte: new(int64(len(content) - 1)),
			LayerPartBlob: content,
		}); err != nil {
			return err
		}
		_, err = client.CompleteLayerUpload(t.Context(), &ecr.CompleteLayerUploadInput{
			RepositoryName: new("app"), UploadId: started.UploadId, LayerDigests: []string{digest.FromBytes(content).String()},
		})
		return err
	}
	for _, op := range []string{"openfile", "write", "sync", "rename", "syncdir"} {
		faults.Plan(func(o string) error {
			if o == op {
				return syscall.ENOSPC
			}
			return nil
		})
		if err := push(); servertest.ErrorCode(err) != "ServiceUnavailable" || servertest.ErrorMessage(err) != "The registry has no room left. Try again later." {
			t.Errorf("without room for %s: %v", op, err)
		}
		faults.Plan(nil)
	}
	if err := push(); err != nil {
		t.Error(err)
	}
	if m := faults.Mistakes(); len(m) > 0 {
		t.Error(m)
	}
	nothingLost(t, s)
}

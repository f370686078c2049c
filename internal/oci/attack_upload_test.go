package oci_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// An upload is its principal's, whatever else that shares the account and knows
// the id may do.
func TestUploadBelongsToItsPrincipal(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := []byte("content")
		d := digest.FromBytes(content)
		u := startUpload(t, c, "app", "")
		check(t, "PATCH", u.patch(t, content), 202)
		id := path.Base(u.location)
		ref := registry.Ref{ID: registry.ID{Account: servertest.Account, Region: servertest.Region}, Name: "app"}
		other := access.Caller{
			Account: servertest.Account, ARN: "arn:aws:iam::123456789012:user/other", ID: "AIDAOTHER", AccessKeyID: "AKIAOTHER", Type: access.Root,
		}
		r := s.Server().Registry()
		for name, try := range map[string]func(context.Context, access.Caller) error{
			"UploadSize": func(ctx context.Context, c access.Caller) error {
				_, err := r.UploadSize(ctx, c, ref, id)
				return err
			},
			"AppendUpload": func(ctx context.Context, c access.Caller) error {
				_, err := r.AppendUpload(ctx, c, registry.AppendUploadInput{Ref: ref, UploadID: id, First: -1, Length: -1}, strings.NewReader("more"))
				return err
			},
			"UploadLayerPart": func(ctx context.Context, c access.Caller) error {
				_, err := r.UploadLayerPart(ctx, c, registry.UploadLayerPartInput{Ref: ref, UploadID: id, First: 7, Last: 10, Data: []byte("more")})
				return err
			},
			"CompleteUpload": func(ctx context.Context, c access.Caller) error {
				return r.CompleteUpload(ctx, c, registry.CompleteUploadInput{Ref: ref, UploadID: id, Digest: d})
			},
			"CancelUpload": func(ctx context.Context, c access.Caller) error { return r.CancelUpload(ctx, c, ref, id) },
		} {
			if err := try(t.Context(), other); fault.CodeOf(err) != "UploadNotFoundException" {
				t.Errorf("%s by another principal = %v, want UploadNotFoundException", name, err)
			}
			// One who may do nothing learns nothing.
			if err := try(t.Context(), access.Caller{}); fault.CodeOf(err) != "AccessDeniedException" {
				t.Errorf("%s by nobody = %v, want AccessDeniedException", name, err)
			}
		}
		checkHeaders(t, "status", u.status(t), "Range", "0-6")
		checkCreated(t, "PUT", u.put(t, d, nil), "app", d)
	})
}

// sendPart begins a request on a connection of its own and sends a part of its
// body.
func sendPart(t testing.TB, c *servertest.Client, method, target, length string, part []byte) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", c.Server.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // again does no harm
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n%s\r\nContent-Type: %s\r\n\r\n", method, target, c.Server.Host,
		base64.StdEncoding.EncodeToString([]byte("AWS:"+c.Pass)), length, typeManifest)
	if _, err := conn.Write(append([]byte(head), part...)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// answer ends a request's body early and returns the answer.
func answer(t testing.TB, conn *net.TCPConn) (status int, body string) {
	t.Helper()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, conn)
}

// Bodies that end before they should: at a length that was announced, or in the
// middle of a chunk.
func shortBodies(part []byte) map[string][2]string {
	return map[string][2]string{
		"a length":          {fmt.Sprintf("Content-Length: %d", 2*len(part)+2), string(part)},
		"no last chunk":     {"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(part), part)},
		"the half of chunk": {"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", 2*len(part)+2, part)},
	}
}

func TestBodiesThatStopShort(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for _, size := range []int{10, 200_000} {
			content := servertest.Bytes(uint64(size), size)
			d := digest.FromBytes(content)
			for name, body := range shortBodies(content) {
				// The digest is that of what arrives: it must not do as if that were all.
				for what, target := range map[string]string{
					"POST": uploadsPath("app", "?digest="+d.String()),
					"PUT":  startUpload(t, c, "app", "").location + "?digest=" + d.String(),
				} {
					status, text := answer(t, sendPart(t, c, what, target, body[0], []byte(body[1])))
					if status != 400 || !strings.Contains(text, `"SIZE_INVALID"`) {
						t.Errorf("%s of %s = %d %s, want 400 SIZE_INVALID", what, name, status, text)
					}
					checkNoBlob(t, c, "app", d)
				}
				// What a PATCH has brought is kept, and said.
				u := startUpload(t, c, "app", "")
				status, text := answer(t, sendPart(t, c, "PATCH", u.location, body[0], []byte(body[1])))
				if status != 400 || !strings.Contains(text, `"SIZE_INVALID"`) {
					t.Errorf("PATCH of %s = %d %s, want 400 SIZE_INVALID", name, status, text)
				}
				checkHeaders(t, "status after "+name, u.status(t), "Range", "0-"+strconv.Itoa(size-1))
				restart(t, s, c)
				rest := []byte("the rest")
				whole := append(append([]byte(nil), content...), rest...)
				checkCreated(t, "PUT of the rest", u.put(t, digest.FromBytes(whole), rest, contentRange(size, size+len(rest)-1)...), "app", digest.FromBytes(whole))
				checkBlob(t, c, "app", digest.FromBytes(whole), whole)
			}
		}
		img := servertest.NewImage(1)
		c.PushBlobs(t, "app", img)
		for name, body := range shortBodies(img.Manifest) {
			status, text := answer(t, sendPart(t, c, "PUT", manifestPath("app", "v1"), body[0], []byte(body[1])))
			if status != 400 || !strings.Contains(text, `"SIZE_INVALID"`) {
				t.Errorf("PUT of a manifest of %s = %d %s, want 400 SIZE_INVALID", name, status, text)
			}
		}
		for _, reference := range []string{"v1", img.Digest.String()} {
			check(t, "GET "+reference, c.Do(t, "GET", manifestPath("app", reference), nil), 404)
		}
	})
}

// A client whose connection breaks asks how far it came, and goes on there.
func TestConnectionBreaksInTheMiddleOfAChunk(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := servertest.Bytes(1, 3_000_000)
		d := digest.FromBytes(content)
		u := startUpload(t, c, "app", "")
		for _, until := range []int{1000, 1_000_000, 2_000_000} {
			at := min(received(t, u), until)
			announced := fmt.Sprintf("Content-Length: %d\r\nContent-Range: %d-%d", len(content)-at, at, len(content)-1)
			conn := sendPart(t, c, "PATCH", u.location, announced, content[at:until])
			if err := conn.SetLinger(0); err != nil { // so that it breaks
				t.Fatal(err)
			}
			_ = conn.Close()
		}
		// The server may still be busy with what came; then it takes no more.
		deadline := time.Now().Add(time.Minute)
		for {
			at := received(t, u)
			r := u.patch(t, content[at:], contentRange(at, len(content)-1)...)
			if r.Status == 202 {
				break
			}
			if r.Status != 416 || time.Now().After(deadline) {
				t.Fatalf("PATCH from %d = %d %s", at, r.Status, r.Body)
			}
		}
		checkCreated(t, "PUT", u.put(t, d, nil), "app", d)
		checkBlob(t, c, "app", d, content)
		if got := s.Stored(t); got != 1 {
			t.Errorf("%d files are stored, want the blob's", got)
		}
	})
}

// received returns how many bytes an upload has received; none if it says one.
func received(t testing.TB, u *upload) int {
	t.Helper()
	last, err := strconv.Atoi(strings.TrimPrefix(u.status(t).Want(t, 204).Header.Get("Range"), "0-"))
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 {
		return 0
	}
	return last + 1
}

// What is refused, cancelled or given up leaves no bytes behind.
func TestRefusedUploadsLeaveNoBytes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := servertest.Bytes(1, 200_000)
		for _, wrong := range []digest.Digest{digest.FromString("wrong"), digest.SHA512.FromString("wrong")} {
			check(t, "POST", c.Do(t, "POST", uploadsPath("app", "?digest="+wrong.String()), content), http.StatusBadRequest)
			u := startUpload(t, c, "app", "")
			check(t, "PATCH", u.patch(t, content), 202)
			check(t, "PUT", u.put(t, wrong, nil), 400)
			u = startUpload(t, c, "app", "")
			check(t, "PATCH", u.patch(t, content), 202)
			check(t, "DELETE", c.Do(t, "DELETE", u.location, nil), 204)
		}
		if got := s.Stored(t); got != 0 {
			t.Errorf("%d files are stored, want none", got)
		}
		// The same blob, pushed again and into another repository, is stored once.
		s.CreateRepository(t, "other")
		for _, repository := range []string{"app", "other", "app"} {
			c.PushBlob(t, repository, content)
		}
		if got := s.Stored(t); got != 1 {
			t.Errorf("%d files are stored, want one", got)
		}
	})
}

package server_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// watched hands out connections that count how bytes reach them.
type watched struct {
	net.Listener
	copied, sent atomic.Int64
}

func (l *watched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{c.(*net.TCPConn), l}, nil
}

type watchedConn struct {
	*net.TCPConn
	in *watched
}

// Write is what bytes come through that were copied into the process.
func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.in.copied.Add(int64(n))
	return n, err
}

// ReadFrom is what bytes come through that the kernel sends, if they come from a
// bare file: [net.TCPConn] uses sendfile for no other.
func (c *watchedConn) ReadFrom(r io.Reader) (int64, error) {
	from := r
	if l, ok := r.(*io.LimitedReader); ok {
		from = l.R
	}
	n, err := c.TCPConn.ReadFrom(r)
	if _, file := from.(*os.File); file {
		c.in.sent.Add(n)
	} else {
		c.in.copied.Add(n)
	}
	return n, err
}

// Layers that are not sealed go from the file to the connection without a copy in the process, through
// everything that stands between, whole and in ranges.
func TestLayersAreSentByTheKernel(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.Seal = "off" }})
	if s.Config.Storage != "" {
		t.Skip("layers in S3 are in no file")
	}
	s.CreateRepository(t, "app")
	c := s.Login(t)
	content := servertest.Bytes(1, 20<<20)
	c.PushBlob(t, "app", content)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &watched{Listener: tcp}
	front := &http.Server{Handler: s.Server().Handler()}
	t.Cleanup(func() { _ = front.Close() }) // which is the end of it
	go func() { _ = front.Serve(l) }()      // ends with Close

	url := "http://" + tcp.Addr().String() + "/v2/app/blobs/" + digest.FromBytes(content).String()
	const most = 4 << 10 // headers, and what net/http looks at to guess a type
	for _, test := range []struct {
		ranges string
		want   []byte
	}{{"", content}, {"bytes=1000000-", content[1_000_000:]}, {"bytes=5000000-14999999", content[5_000_000:15_000_000]}} {
		l.copied.Store(0)
		l.sent.Store(0)
		r := c.Do(t, "GET", url, nil, "Range", test.ranges)
		if string(r.Body) != string(test.want) {
			t.Fatalf("GET %q = %d with %d bytes, want %d", test.ranges, r.Status, len(r.Body), len(test.want))
		}
		if copied, sent := l.copied.Load(), l.sent.Load(); copied > most || sent < int64(len(test.want))-most {
			t.Errorf("GET %q: %d bytes were copied and %d sent by the kernel, want all but %d sent", test.ranges, copied, sent, most)
		}
	}
}

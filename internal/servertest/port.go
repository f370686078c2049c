package servertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
)

// Ports are taken from below those that sockets get by themselves, in blocks. A process
// has a block to itself as long as it has the first port of it, so that a port is still
// free when a server starts again.
const (
	firstPort = 10_000
	blockSize = 1_000
	blocks    = 20
)

var lastPort atomic.Int64

// block is the first port of this process's block.
var block = sync.OnceValues(func() (int, net.Listener) {
	for {
		port := firstPort + rand.IntN(blocks)*blockSize
		if l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l // never closed
		}
	}
})

// listen listens on a port that nothing else gets.
func listen(t testing.TB, c *config.Config) *server.Listeners {
	t.Helper()
	first, _ := block()
	for {
		c.Listen = fmt.Sprintf("127.0.0.1:%d", first+1+int(lastPort.Add(1))%(blockSize-1))
		l, err := server.Listen(c)
		if err == nil {
			return l
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

package main

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// logWriter gathers lines for a moment: a busy server makes one system call for
// many of them. What has not been written is lost with kill -9, no more than the
// last tenth of a second.
type logWriter struct {
	mu   sync.Mutex
	buf  *bufio.Writer // guarded by mu
	stop chan struct{}
	done chan struct{}
}

const logInterval = 100 * time.Millisecond

func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{buf: bufio.NewWriterSize(w, 64<<10), stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

// Write takes a line.
func (l *logWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logWriter) run() {
	defer close(l.done)
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flush()
		case <-l.stop:
			l.flush()
			return
		}
	}
}

func (l *logWriter) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.buf.Flush() // there is nowhere to report it to
}

// close writes what is left.
func (l *logWriter) close() {
	close(l.stop)
	<-l.done
}

package server

import (
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// stall is how long a client may take to send, or to take, the next bytes. There
// is no limit to a whole request: layers are large.
const stall = time.Minute

// chunk is how many bytes are handed to the kernel at once: a client that takes
// them within stall makes progress.
const chunk = 4 << 20

// response counts what is written and moves the write deadline along. It is the
// one wrapper of a ResponseWriter in the server, and hands files on to the
// connection so that the kernel sends them.
type response struct {
	http.ResponseWriter
	control  *http.ResponseController
	deadline time.Time // of writing
	status   int
	written  int64
}

func newResponse(w http.ResponseWriter, start time.Time) *response {
	return &response{ResponseWriter: w, control: http.NewResponseController(w), deadline: start.Add(stall)}
}

// Unwrap serves [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
		w.progress()
	}
	w.ResponseWriter.WriteHeader(status)
}

// progress puts off the write deadline, which is stall after the start of the
// request, when half of it is used up.
func (w *response) progress() {
	now := time.Now()
	if w.deadline.Sub(now) < stall/2 {
		w.deadline = now.Add(stall)
		_ = w.control.SetWriteDeadline(w.deadline) // a recorder in tests has none
	}
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.progress()
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

// ReadFrom sends src in chunks. net/http recognizes a file, bare or in one
// LimitedReader, and has the kernel send it: no more may be wrapped around it.
func (w *response) ReadFrom(src io.Reader) (total int64, err error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	from := &io.LimitedReader{R: src, N: 1<<63 - 1}
	if l, ok := src.(*io.LimitedReader); ok {
		from = l
	}
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if _, file := from.R.(*os.File); !ok || !file {
		return w.copy(from)
	}
	for from.N > 0 {
		w.progress()
		part := io.LimitedReader{R: from.R, N: min(from.N, chunk)}
		want := part.N
		n, err := to.ReadFrom(&part)
		from.N -= n
		w.written += n
		total += n
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}

// copied is how many bytes that are no file's are written at once: the fewer times the
// kernel has to wake up who reads them, the less it costs.
const copied = 256 << 10

// beside is room for what a reader reads and does not return, the tags of sealed chunks:
// it can then open them where they are sent from.
const beside = 64

var copyBuffers = sync.Pool{New: func() any { return new([copied + beside]byte) }}

// copy sends what does not come out of a file.
func (w *response) copy(from io.Reader) (total int64, err error) {
	buffer := copyBuffers.Get().(*[copied + beside]byte)
	defer copyBuffers.Put(buffer)
	for {
		n, readErr := from.Read(buffer[:])
		if n > 0 {
			n, err := w.Write(buffer[:n])
			total += int64(n)
			if err != nil {
				return total, err
			}
		}
		if readErr == io.EOF {
			return total, nil
		}
		if readErr != nil {
			return total, readErr
		}
	}
}

// requestBody moves the read deadline along while a body comes in.
type requestBody struct {
	io.ReadCloser
	control  *http.ResponseController
	deadline time.Time
}

func (b *requestBody) Read(p []byte) (int, error) {
	now := time.Now()
	if b.deadline.Sub(now) < stall/2 {
		b.deadline = now.Add(stall)
		_ = b.control.SetReadDeadline(b.deadline) // a recorder in tests has none
	}
	return b.ReadCloser.Read(p)
}

package server

import (
	"io"
	"net/http"
	"time"

	"berth/internal/blob"
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
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	from := &io.LimitedReader{R: src, N: 1<<63 - 1}
	if l, ok := src.(*io.LimitedReader); ok {
		from = l
	}
	if c, ok := from.R.(blob.Chunked); ok {
		return w.readChunks(c, from)
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

// readChunks sends what is in memory anyway from there.
func (w *response) readChunks(c blob.Chunked, from *io.LimitedReader) (total int64, err error) {
	for from.N > 0 {
		b, err := c.Next(from.N)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(b)
		from.N -= int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
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

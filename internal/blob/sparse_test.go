package blob_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// sparse is an S3 store for one object that is larger than the machine: of what it is
// sent in parts it keeps the checksums. To send the object it needs to be told
// what is in it, and holds that against the checksums. What comes in one piece it keeps
// in files.
type sparse struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	files   map[string]string         // guarded by mu; by path
	objects map[string][]span         // guarded by mu; by path
	uploads map[string]map[int][]span // guarded by mu; by id and part
	read    func(at int64) io.Reader  // guarded by mu; see holds
}

// span is so many bytes with a checksum.
type span struct {
	size int64
	sum  uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// startSparse starts a store that ends with the test, and returns its URL.
func startSparse(t *testing.T) (*sparse, string) {
	t.Helper()
	s := &sparse{t: t, dir: t.TempDir(), files: map[string]string{}, objects: map[string][]span{}, uploads: map[string]map[int][]span{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

// holds tells what is in the object: read returns a reader of its bytes from a place on.
func (s *sparse) holds(read func(at int64) io.Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = read
}

// ServeHTTP implements [http.Handler].
func (s *sparse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.Method == "POST" && q.Has("uploads"):
		s.begin(w)
	case r.Method == "POST":
		s.complete(w, r)
	case r.Method == "PUT" && r.Header.Get("X-Amz-Copy-Source") != "":
		s.copied(w, r)
	case r.Method == "PUT" && q.Has("partNumber"):
		s.part(w, r)
	case r.Method == "PUT":
		s.put(w, r)
	case r.Method == "DELETE":
		s.delete(w, r)
	default:
		s.get(w, r)
	}
}

func (s *sparse) begin(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := strconv.Itoa(len(s.uploads) + 1)
	s.uploads[id] = map[int][]span{}
	_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id) // the client may have gone
}

func (s *sparse) part(w http.ResponseWriter, r *http.Request) {
	h := crc32.New(castagnoli)
	size, err := io.Copy(h, r.Body)
	if err != nil || size != r.ContentLength {
		s.t.Errorf("a part of %d bytes: %d bytes, %v", r.ContentLength, size, err)
	}
	sum := h.Sum(nil)
	if told := r.Header.Get("X-Amz-Checksum-Crc32c"); told != "" && told != base64.StdEncoding.EncodeToString(sum) {
		s.t.Errorf("a part that should have the checksum %s has %x", told, sum)
	}
	s.keep(r, []span{{size, h.Sum32()}})
	w.Header().Set("ETag", etag(r))
}

// keep keeps the spans of a part.
func (s *sparse) keep(r *http.Request, spans []span) {
	q := r.URL.Query()
	number, _ := strconv.Atoi(q.Get("partNumber"))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[q.Get("uploadId")][number] = spans
}

func etag(r *http.Request) string { return `"` + r.URL.Query().Get("partNumber") + `"` }

func (s *sparse) copied(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	spans := s.objects["/"+r.Header.Get("X-Amz-Copy-Source")]
	s.mu.Unlock()
	if spans == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.keep(r, spans)
	_, _ = fmt.Fprintf(w, "<CopyPartResult><ETag>%s</ETag></CopyPartResult>", etag(r)) // the client may have gone
}

func (s *sparse) complete(w http.ResponseWriter, r *http.Request) {
	var list struct {
		Part []struct{ PartNumber int }
	}
	if err := xml.NewDecoder(r.Body).Decode(&list); err != nil {
		s.t.Errorf("the list of parts: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := s.uploads[r.URL.Query().Get("uploadId")]
	var spans []span
	for _, p := range list.Part {
		if parts[p.PartNumber] == nil {
			s.t.Errorf("part %d was never sent", p.PartNumber)
		}
		spans = append(spans, parts[p.PartNumber]...)
	}
	if len(parts) != len(list.Part) {
		s.t.Errorf("%d parts are listed of %d that were sent", len(list.Part), len(parts))
	}
	s.objects[r.URL.Path] = spans
	_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`) // the client may have gone
}

func (s *sparse) put(w http.ResponseWriter, r *http.Request) {
	file, err := os.CreateTemp(s.dir, "")
	if err == nil {
		_, err = io.Copy(file, r.Body)
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	_ = file.Close() // what is missing is noticed
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[r.URL.Path] = filepath.Base(file.Name())
	w.Header().Set("ETag", `"e"`)
}

func (s *sparse) delete(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, r.URL.Path)
	delete(s.objects, r.URL.Path)
	w.WriteHeader(http.StatusNoContent)
}

// get sends a file, or the object from a place on, or says what it would send.
func (s *sparse) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	file, spans, read := s.files[r.URL.Path], s.objects[r.URL.Path], s.read
	s.mu.Unlock()
	bucket := strings.Count(strings.Trim(r.URL.Path, "/"), "/") == 0
	switch {
	case bucket:
		return
	case file != "":
		http.ServeFile(w, r, filepath.Join(s.dir, file))
		return
	case spans == nil:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var at, size int64
	for _, p := range spans {
		size += p.size
	}
	status := http.StatusOK
	if first, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		status = http.StatusPartialContent
		at, _ = strconv.ParseInt(strings.TrimSuffix(first, fmt.Sprintf("-%d", size-1)), 10, 64)
	}
	w.Header().Set("ETag", `"e"`)
	w.Header().Set("Content-Length", strconv.FormatInt(size-at, 10))
	w.WriteHeader(status)
	switch {
	case r.Method == "HEAD":
	case at > 0:
		_, _ = io.Copy(w, read(at)) // the client goes when it has enough
	default:
		s.send(w, read(0), spans)
	}
}

// send sends the whole object if it is what was received.
func (s *sparse) send(w io.Writer, from io.Reader, spans []span) {
	for i, p := range spans {
		h := crc32.New(castagnoli)
		n, err := io.Copy(w, io.TeeReader(io.LimitReader(from, p.size), h))
		if err != nil {
			return // the client has gone
		}
		if n != p.size || h.Sum32() != p.sum {
			s.t.Errorf("part %d of %d is not what was sent", i+1, len(spans))
			panic(http.ErrAbortHandler)
		}
	}
}

// zeros is a reader of very many bytes, which are all 0 but for the eight at the
// beginning of each 64 KiB: they say where that is.
type zeros struct{ at, end int64 }

// Read implements [io.Reader].
func (z *zeros) Read(p []byte) (int, error) {
	if z.at >= z.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), z.end-z.at)]
	clear(p)
	const every = 64 << 10
	for n := z.at / every; n*every < z.at+int64(len(p)); n++ {
		var mark [8]byte
		binary.BigEndian.PutUint64(mark[:], uint64(n)+1)
		from := n*every - z.at
		copy(p[max(from, 0):], mark[min(max(-from, 0), 8):])
	}
	z.at += int64(len(p))
	return len(p), nil
}

// Command floor is the least a Go program can do and still answer load: it
// speaks just enough of the distribution API, keeps every name in memory, keeps
// blobs as flat files, checks digests, and does nothing else. It is the
// denominator for "fraction of the limit", not a registry.
//
//	GET /hello           12 bytes, for the net/http request ceiling
//	PUT /sink            read and discard
//	PUT /hash            read and SHA-256
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

type manifest struct {
	body         []byte
	mt, digest   string
	subject, len string
}

type repo struct {
	tags  map[string]string
	mans  map[string]manifest
	order []string // sorted tags
}

type server struct {
	dir   string
	fsync bool
	pipe  bool
	seq   atomic.Int64
	mu    sync.RWMutex
	repos map[string]*repo
	names []string
	ups   sync.Map // id -> *upload
}

type upload struct {
	f *os.File
	h interface {
		io.Writer
		Sum([]byte) []byte
	}
	n int64
}

var bufs = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

func copyBuf(w io.Writer, r io.Reader) (int64, error) {
	b := bufs.Get().(*[]byte)
	defer bufs.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}

// copyPipe overlaps hashing with receive and write: two goroutines, four buffers.
func copyPipe(f, h io.Writer, r io.Reader) (n int64, err error) {
	free, full, done := make(chan *[]byte, 4), make(chan []byte, 4), make(chan struct{})
	var mine [4]*[]byte
	for i := range mine {
		mine[i] = bufs.Get().(*[]byte)
		free <- mine[i]
	}
	byStart := map[*byte]*[]byte{}
	for _, b := range mine {
		byStart[&(*b)[0]] = b
	}
	go func() {
		defer close(done)
		for b := range full {
			_, _ = h.Write(b)
			free <- byStart[&b[:1][0]]
		}
	}()
	for err == nil {
		b := *<-free
		var k int
		k, err = io.ReadFull(r, b)
		if k == 0 {
			break
		}
		full <- b[:k]
		if _, werr := f.Write(b[:k]); werr != nil {
			err = werr
		}
		n += int64(k)
	}
	close(full)
	<-done
	for _, b := range mine {
		bufs.Put(b)
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

func main() {
	addr := flag.String("addr", "127.0.0.1:5999", "listen address")
	dir := flag.String("dir", "", "blob directory")
	fsync := flag.Bool("fsync", false, "fsync each blob and manifest file before answering")
	pipe := flag.Bool("pipe", false, "hash on a second goroutine while the first receives and writes")
	flag.Parse()
	s := &server{dir: *dir, fsync: *fsync, pipe: *pipe, repos: map[string]*repo{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello world\n") })
	mux.HandleFunc("PUT /sink", func(w http.ResponseWriter, r *http.Request) { _, _ = copyBuf(io.Discard, r.Body) })
	mux.HandleFunc("PUT /hash", func(w http.ResponseWriter, r *http.Request) { _, _ = copyBuf(sha256.New(), r.Body) })
	mux.HandleFunc("/v2/", s.v2)
	if err := http.ListenAndServe(*addr, mux); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (s *server) blobPath(dg string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(dg, "sha256:"))
}

func (s *server) v2(w http.ResponseWriter, r *http.Request) {
	p := strings.TrimPrefix(r.URL.Path, "/v2/")
	if p == "" {
		_, _ = io.WriteString(w, "{}")
		return
	}
	if p == "_catalog" {
		s.page(w, r, "repositories", func() []string { return s.names })
		return
	}
	for _, k := range []string{"/blobs/uploads/", "/blobs/", "/manifests/", "/tags/list", "/referrers/"} {
		if i := strings.LastIndex(p, k); i > 0 {
			name, ref := p[:i], p[i+len(k):]
			switch k {
			case "/blobs/uploads/":
				s.upload(w, r, name, ref)
			case "/blobs/":
				w.Header().Set("Docker-Content-Digest", ref)
				w.Header().Set("Content-Type", "application/octet-stream")
				f, err := os.Open(s.blobPath(ref))
				if err != nil {
					w.WriteHeader(404)
					return
				}
				defer f.Close()
				fi, _ := f.Stat()
				http.ServeContent(w, r, "", fi.ModTime(), f)
			case "/manifests/":
				s.manifest(w, r, name, ref)
			case "/tags/list":
				s.page(w, r, "tags", func() []string { return s.repos[name].order })
			case "/referrers/":
				s.referrers(w, name, ref)
			}
			return
		}
	}
	w.WriteHeader(404)
}

func (s *server) upload(w http.ResponseWriter, r *http.Request, name, id string) {
	loc := func(id string) { w.Header().Set("Location", "/v2/"+name+"/blobs/uploads/"+id) }
	switch r.Method {
	case "POST":
		if dg := r.URL.Query().Get("mount"); dg != "" {
			if _, err := os.Stat(s.blobPath(dg)); err == nil {
				w.WriteHeader(201)
				return
			}
		}
		id = strconv.FormatInt(s.seq.Add(1), 36)
		loc(id)
		w.WriteHeader(202)
	case "PATCH", "PUT":
		v, ok := s.ups.Load(id)
		if !ok {
			f, err := os.Create(filepath.Join(s.dir, "up."+id))
			if err != nil {
				w.WriteHeader(500)
				return
			}
			v = &upload{f: f, h: sha256.New()}
			s.ups.Store(id, v)
		}
		u := v.(*upload)
		var n int64
		var err error
		if s.pipe && (r.ContentLength < 0 || r.ContentLength > 1<<20) {
			n, err = copyPipe(u.f, u.h, r.Body)
		} else {
			n, err = copyBuf(io.MultiWriter(u.f, u.h), r.Body)
		}
		u.n += n
		if err != nil {
			w.WriteHeader(500)
			return
		}
		if r.Method == "PATCH" {
			loc(id)
			w.WriteHeader(202)
			return
		}
		s.ups.Delete(id)
		dg := r.URL.Query().Get("digest")
		if "sha256:"+hex.EncodeToString(u.h.Sum(nil)) != dg {
			w.WriteHeader(400)
			return
		}
		if s.fsync {
			_ = u.f.Sync()
		}
		_ = u.f.Close()
		if os.Rename(u.f.Name(), s.blobPath(dg)) != nil {
			w.WriteHeader(500)
			return
		}
		w.WriteHeader(201)
	}
}

func (s *server) manifest(w http.ResponseWriter, r *http.Request, name, ref string) {
	switch r.Method {
	case "GET", "HEAD":
		s.mu.RLock()
		var m manifest
		rp, ok := s.repos[name]
		if ok {
			if !strings.HasPrefix(ref, "sha256:") {
				ref = rp.tags[ref]
			}
			m, ok = rp.mans[ref]
		}
		s.mu.RUnlock()
		if !ok {
			w.WriteHeader(404)
			return
		}
		w.Header().Set("Content-Type", m.mt)
		w.Header().Set("Docker-Content-Digest", m.digest)
		w.Header().Set("Content-Length", m.len)
		if r.Method == "GET" {
			_, _ = w.Write(m.body)
		}
	case "PUT":
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var v struct {
			Subject *struct{ Digest string }
		}
		if json.Unmarshal(b, &v) != nil {
			w.WriteHeader(400)
			return
		}
		sum := sha256.Sum256(b)
		m := manifest{body: b, mt: r.Header.Get("Content-Type"), digest: "sha256:" + hex.EncodeToString(sum[:]), len: strconv.Itoa(len(b))}
		if v.Subject != nil {
			m.subject = v.Subject.Digest
		}
		if f, err := os.Create(filepath.Join(s.dir, "m."+m.digest[7:])); err == nil {
			_, _ = f.Write(b)
			if s.fsync {
				_ = f.Sync()
			}
			_ = f.Close()
		}
		s.mu.Lock()
		rp := s.repos[name]
		if rp == nil {
			rp = &repo{tags: map[string]string{}, mans: map[string]manifest{}}
			s.repos[name] = rp
			s.names = insert(s.names, name)
		}
		rp.mans[m.digest] = m
		if !strings.HasPrefix(ref, "sha256:") {
			if _, ok := rp.tags[ref]; !ok {
				rp.order = insert(rp.order, ref)
			}
			rp.tags[ref] = m.digest
		}
		s.mu.Unlock()
		w.WriteHeader(201)
	case "DELETE":
		s.mu.Lock()
		if rp := s.repos[name]; rp != nil {
			delete(rp.mans, ref)
			for t, d := range rp.tags {
				if d == ref {
					delete(rp.tags, t)
				}
			}
		}
		s.mu.Unlock()
		w.WriteHeader(202)
	}
}

func insert(l []string, v string) []string {
	i := sort.SearchStrings(l, v)
	l = append(l, "")
	copy(l[i+1:], l[i:])
	l[i] = v
	return l
}

func (s *server) page(w http.ResponseWriter, r *http.Request, field string, list func() []string) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	last := r.URL.Query().Get("last")
	s.mu.RLock()
	l := list()
	i := sort.SearchStrings(l, last)
	if last != "" && i < len(l) && l[i] == last {
		i++
	}
	l = append([]string{}, l[i:min(len(l), i+n)]...)
	s.mu.RUnlock()
	if len(l) == n {
		w.Header().Set("Link", fmt.Sprintf("<%s?n=%d&last=%s>; rel=\"next\"", r.URL.Path, n, l[len(l)-1]))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{field: l})
}

func (s *server) referrers(w http.ResponseWriter, name, dg string) {
	type d struct {
		MediaType    string `json:"mediaType"`
		Digest       string `json:"digest"`
		Size         int    `json:"size"`
		ArtifactType string `json:"artifactType"`
	}
	out := []d{}
	s.mu.RLock()
	for _, m := range s.repos[name].mans {
		if m.subject == dg {
			out = append(out, d{m.mt, m.digest, len(m.body), "application/vnd.example.sig"})
		}
	}
	s.mu.RUnlock()
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": out})
}

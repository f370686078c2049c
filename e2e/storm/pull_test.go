//go:build unix

package storm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
)

// pullTag pulls what a tag is on. What is missing proves that the tag was on something
// else when it was asked for.
func (w *worker) pullTag() error {
	p := w.somePlace()
	is, _, err := w.read(p)
	if err != nil || is == "" {
		return err
	}
	if w.r.IntN(10) == 0 { // it takes its time
		if err := w.rest(time.Duration(w.r.IntN(500)) * time.Millisecond); err != nil {
			return err
		}
	}
	missing, a, err := w.closure(p.repository, is)
	if err == nil && missing != "" {
		w.note(p, event{kind: absent, image: is}, a, nil)
		w.moved.Add(1)
	}
	return err
}

// closure reads all that an image has. It says what is not there, and of what
// request that was the answer.
func (w *worker) closure(repository string, of digest.Digest) (missing string, a answer, err error) {
	if a, err = w.do("GET", "/v2/"+repository+"/manifests/"+string(of), nil, "Accept", accept); err != nil || a.status == http.StatusNotFound {
		return "manifest " + string(of), a, err
	}
	if err := w.whole(a, of); err != nil {
		return "", a, err
	}
	var m struct {
		Config            *struct{ Digest digest.Digest }
		Layers, Manifests []struct{ Digest digest.Digest }
	}
	if err := json.Unmarshal(a.body, &m); err != nil {
		return "", a, err
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, l := range m.Layers {
		if a, err = w.do("GET", "/v2/"+repository+"/blobs/"+string(l.Digest), nil); err != nil || a.status == http.StatusNotFound {
			return "layer " + string(l.Digest), a, err
		}
		if err := w.whole(a, l.Digest); err != nil {
			return "", a, err
		}
		w.pulled.Add(1)
	}
	for _, c := range m.Manifests {
		if missing, a, err = w.closure(repository, c.Digest); err != nil || missing != "" {
			return missing, a, err
		}
	}
	return "", a, nil
}

func (w *worker) whole(a answer, want digest.Digest) error {
	if a.status != http.StatusOK {
		return w.wrong(a, "GET of "+string(want))
	}
	if got := digest.FromBytes(a.body); got != want {
		return w.wrong(a, fmt.Sprintf("GET of %s is %d bytes of something else", want, len(a.body)))
	}
	return nil
}

//go:build unix

package storm

import (
	"errors"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
)

// A push is what docker does: for each layer HEAD, then a mount, then an upload; then the
// manifest. It relies on each answer that a layer is there for as long as that is worth,
// and asks again after that.

// worth is how long an answer that a layer is there holds, from when it was asked for.
const worth = lease / 2

// push is a push under way.
type push struct {
	*worker
	repository string
	pace
	told map[digest.Digest]time.Time
}

// pace is how a push makes use of what it was told.
type pace int

const (
	quick   pace = iota
	slow         // it takes longer than a lease, and asks again when that ends
	patient      // it relies on each answer for nearly as long as that is worth
)

func (w *worker) newPush(repository string) *push {
	return &push{worker: w, repository: repository, told: map[digest.Digest]time.Time{}}
}

// until returns how long the push relies on an answer.
func (p pace) until() time.Duration {
	if p == patient {
		return worth * 9 / 10
	}
	return worth / 2
}

// errGivenUp ends what a worker does when the storm is over.
var errGivenUp = errors.New("the storm is over")

// layers sees to it that all layers are there. A slow push rests until about when the
// leases of some of them end, and asks for these anew. A patient one rests twice: an answer that is
// asked for in the first half of a lease does not raise it.
func (p *push) layers(img image) error {
	rest := p.r.IntN(len(img.layers))
	for i, l := range img.layers {
		if err := p.layer(l); err != nil {
			return err
		}
		if i != rest || p.pace != slow {
			continue
		}
		if err := p.rest(lease + time.Duration(p.r.IntN(300)-150)*time.Millisecond); err != nil {
			return err
		}
		if _, err := p.renew(img.layers[:i+1]); err != nil {
			return err
		}
	}
	if p.pace != patient {
		return nil
	}
	if err := p.rest(p.nearly()); err != nil {
		return err
	}
	for _, l := range img.layers {
		if err := p.layer(l); err != nil {
			return err
		}
	}
	return p.rest(p.nearly())
}

// nearly returns a little less than what an answer is worth.
func (p *push) nearly() time.Duration {
	return worth*8/10 + time.Duration(p.r.Int64N(int64(worth/10)))
}

func (w *worker) rest(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-w.over:
		return errGivenUp
	}
}

// layer sees to it that a layer is there, whatever becomes of the servers.
func (p *push) layer(l content) error {
	for {
		err := p.tryLayer(l)
		if !errors.Is(err, errGone) {
			return err
		}
	}
}

func (p *push) tryLayer(l content) error {
	path := "/v2/" + p.repository + "/blobs/" + string(l.digest)
	a, err := p.do("HEAD", path, nil)
	if err != nil {
		return err
	}
	switch before, relied := p.told[l.digest]; {
	case a.status == http.StatusOK:
		p.rely(l, a)
		p.found.Add(1)
		return nil
	case a.status != http.StatusNotFound:
		return p.wrong(a, "HEAD "+path)
	case relied && a.said.Sub(before) < worth:
		p.broken.Add(1)
		p.fail("%s: gone %v after it was said to be there", path, a.said.Sub(before))
	}
	delete(p.told, l.digest)
	uploads := "/v2/" + p.repository + "/blobs/uploads/"
	from := p.lastHolder(l.digest)
	switch way := p.r.IntN(4); {
	case way == 0:
		a, err = p.do("POST", uploads+"?digest="+string(l.digest), l.bytes, "Content-Type", "application/octet-stream")
	case way < 3 && from != "":
		if a, err = p.do("POST", uploads+"?mount="+string(l.digest)+"&from="+from, nil); err == nil && a.status == http.StatusCreated {
			p.mounted.Add(1)
		}
	default:
		a, err = p.do("POST", uploads, nil)
	}
	if err == nil && a.status == http.StatusAccepted {
		a, err = p.upload(l, a.header.Get("Location"))
	}
	if err != nil {
		return err
	}
	if a.status != http.StatusCreated {
		return p.wrong(a, "push of "+path)
	}
	p.rely(l, a)
	p.pushed.Add(1)
	return nil
}

// rely notes that a layer was said to be there.
func (p *push) rely(l content, a answer) {
	p.told[l.digest] = a.called
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, shared := p.holders[l.digest]; shared {
		p.holders[l.digest] = p.repository
	}
}

// lastHolder returns the repository that was said last to have a shared layer, or any.
func (p *push) lastHolder(d digest.Digest) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if from := p.holders[d]; from != "" && p.r.IntN(4) > 0 {
		return from
	}
	return repositories[p.r.IntN(len(repositories))]
}

func (p *push) upload(l content, location string) (answer, error) {
	rest := l.bytes
	if p.r.IntN(3) == 0 {
		half := len(rest) / 2
		a, err := p.do("PATCH", location, rest[:half], "Content-Type", "application/octet-stream")
		if err != nil || a.status != http.StatusAccepted {
			return a, err
		}
		location, rest = a.header.Get("Location"), rest[half:]
	}
	return p.do("PUT", location+"?digest="+string(l.digest), rest, "Content-Type", "application/octet-stream")
}

// wrong is the failure of an answer that must not be.
func (w *worker) wrong(a answer, what string) error {
	w.fail("%s = %d %.300s", what, a.status, a.body)
	return errUnwanted
}

var errUnwanted = errors.New("an answer that must not be")

// renew asks anew for layers whose answers are old. It returns when the oldest answer was
// asked for.
func (p *push) renew(layers []content) (oldest time.Time, err error) {
	oldest = time.Now()
	for _, l := range layers {
		if time.Since(p.told[l.digest]) > p.until() {
			if err := p.layer(l); err != nil {
				return oldest, err
			}
			p.renewed.Add(1)
		}
		if p.told[l.digest].Before(oldest) {
			oldest = p.told[l.digest]
		}
	}
	return oldest, nil
}

// manifest puts a manifest whose layers are there. What must be there is asked for as often as
// it takes.
func (p *push) manifest(img image, reference string) (answer, error) {
	path := "/v2/" + p.repository + "/manifests/" + reference
	for {
		oldest, err := p.renew(img.layers)
		if err != nil {
			return answer{}, err
		}
		a, err := p.do("PUT", path, img.manifest, "Content-Type", img.mediaType)
		if err != nil || !a.says("BLOB_UNKNOWN") || len(img.layers) == 0 {
			return a, err
		}
		if age := a.said.Sub(oldest); age < worth {
			p.blobUnknown.Add(1)
			p.fail("PUT %s = %d %s: %v after a layer was said to be there", path, a.status, a.body, age)
		}
		p.late.Add(1)
		clear(p.told)
	}
}

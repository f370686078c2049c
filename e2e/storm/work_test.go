//go:build unix

package storm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"berth/internal/server"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The repositories. Policies delete images from the swept ones; tags in the frozen one are
// immutable.
var repositories = []string{"plain-1", "plain-2", "swept-1", "swept-2", "frozen"}

const (
	frozen = "frozen"
	// fleeting is how tags begin that policies may take away: their history says nothing.
	fleeting = "tmp"
	tags     = 20
	// most is how many images that were pushed on purpose stay in a repository.
	most = 40
)

func isSwept(repository string) bool { return repository == "swept-1" || repository == "swept-2" }

func fleets(tag string) bool { return strings.HasPrefix(tag, fleeting) }

// sweeping has images go that have no tag or a fleeting one.
const sweeping = `{"rules":[
	{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":5},"action":{"type":"expire"}},
	{"rulePriority":2,"selection":{"tagStatus":"tagged","tagPrefixList":["tmp"],"countType":"imageCountMoreThan","countNumber":2},"action":{"type":"expire"}}]}`

// prepare makes the repositories.
func (w *worker) prepare() error {
	for _, name := range repositories {
		in := map[string]any{"repositoryName": name}
		if name == frozen {
			in["imageTagMutability"] = "IMMUTABLE"
		}
		if err := w.must("/", "CreateRepository", in, nil); err != nil {
			return err
		}
		if isSwept(name) {
			if err := w.must("/", "PutLifecyclePolicy", map[string]any{"repositoryName": name, "lifecyclePolicyText": sweeping}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// work does one thing after the other until the storm is over.
func (w *worker) work() {
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	for {
		select {
		case <-w.over:
			return
		default:
		}
		n := w.r.IntN(total)
		for _, d := range deeds {
			if n -= d.weight; n >= 0 {
				continue
			}
			err := d.do(w)
			if err == nil || errors.Is(err, errGone) {
				w.count(d.name)
			} else if !errors.Is(err, errGivenUp) && !errors.Is(err, errUnwanted) {
				w.fail("%s: %v", d.name, err)
			}
			break
		}
	}
}

// deed is something that a worker does, and how often.
type deed struct {
	name   string
	weight int
	do     func(*worker) error
}

var deeds = []deed{
	{"push", 30, (*worker).pushImage},
	{"slow push", 1, (*worker).pushSlowly},
	{"patient push", 2, (*worker).pushPatiently},
	{"push of an index", 6, (*worker).pushIndex},
	{"push of a referrer", 4, (*worker).pushReferrer},
	{"pull", 20, (*worker).pullTag},
	{"read of a tag", 30, (*worker).readTag},
	{"retag", 8, (*worker).retag},
	{"deletion of a tag", 8, (*worker).deleteTag},
	{"deletion of an image", 6, (*worker).deleteTagged},
	{"contest", 4, (*worker).contest},
	{"lifecycle run", 1, (*worker).sweep},
	{"repository", 2, (*worker).short},
}

func (w *worker) somewhere() string { return repositories[w.r.IntN(len(repositories))] }

// somePlace returns a tag, seldom a fleeting one.
func (w *worker) somePlace() place {
	repository := w.somewhere()
	if w.r.IntN(5) == 0 {
		return place{repository, fmt.Sprint(fleeting, w.r.IntN(tags/4))}
	}
	return place{repository, fmt.Sprint("t", w.r.IntN(tags-tags/4))}
}

// note notes what was done to a tag, unless policies may change it as well.
func (w *worker) note(p place, e event, a answer, err error) {
	e.unknown = err != nil
	if isSwept(p.repository) && fleets(p.tag) {
		return
	}
	w.history.add(w.id, p, e, a)
}

// put puts an image under a tag.
func (w *worker) put(p place, img image, do func() (answer, error)) error {
	a, err := do()
	switch {
	case errors.Is(err, errGone):
		w.note(p, event{kind: put, image: img.digest}, a, err)
		w.remember(p.repository, img.digest)
		return err
	case err != nil:
		return err
	case a.status == http.StatusCreated:
		w.note(p, event{kind: put, image: img.digest}, a, nil)
		w.remember(p.repository, img.digest)
		return w.forget(p.repository)
	case p.repository == frozen && a.says("TAG_INVALID"), p.repository == frozen && a.says("DENIED"), p.repository == frozen && a.says("immutable"):
		w.note(p, event{kind: refused}, a, nil)
		w.refused.Add(1)
		return nil
	}
	return w.wrong(a, "push of "+p.repository+":"+p.tag)
}

func (w *worker) pushImage() error     { return w.pushOne(quick) }
func (w *worker) pushSlowly() error    { return w.pushOne(slow) }
func (w *worker) pushPatiently() error { return w.pushOne(patient) }

func (w *worker) pushOne(how pace) error {
	at := w.somePlace()
	p, img := w.newPush(at.repository), w.newImage(nil)
	p.pace = how
	if err := p.layers(img); err != nil {
		return err
	}
	return w.put(at, img, func() (answer, error) { return p.manifest(img, at.tag) })
}

// contestants is how many images are pushed under one immutable tag.
const contestants = 4

// contest pushes an image under a tag on which others put theirs at the same time. One wins.
func (w *worker) contest() error {
	at := place{frozen, fmt.Sprint("contest-", w.contests.Add(1)/contestants)}
	p, img := w.newPush(at.repository), w.newImage(nil)
	if err := p.layers(img); err != nil {
		return err
	}
	if err := w.put(at, img, func() (answer, error) { return p.manifest(img, at.tag) }); err != nil {
		return err
	}
	_, _, err := w.read(at)
	return err
}

// byDigest puts an image without a tag.
func (p *push) byDigest(img image) error {
	for {
		if err := p.layers(img); err != nil {
			return err
		}
		a, err := p.manifest(img, string(img.digest))
		if errors.Is(err, errGone) {
			continue
		}
		if err == nil && a.status != http.StatusCreated {
			err = p.wrong(a, "push of "+p.repository+"@"+string(img.digest))
		}
		return err
	}
}

func (w *worker) pushIndex() error {
	at := w.somePlace()
	p, children := w.newPush(at.repository), []image{w.newImage(nil), w.newImage(nil)}
	index := w.newIndex(children)
	for range 20 {
		for _, c := range children {
			if err := p.byDigest(c); err != nil {
				return err
			}
		}
		a, err := p.manifest(index, at.tag)
		if err == nil && isSwept(at.repository) && a.status == http.StatusNotFound {
			continue // a policy has deleted a child, which has no tag
		}
		err = w.put(at, index, func() (answer, error) { return a, err })
		for _, c := range children {
			w.remember(at.repository, c.digest)
		}
		return err
	}
	return nil
}

func (w *worker) pushReferrer() error {
	at := w.somePlace()
	of, manifest, err := w.read(at)
	if err != nil || of == "" {
		return err
	}
	img := w.newImage(&ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: of, Size: int64(len(manifest))})
	if err := w.newPush(at.repository).byDigest(img); err != nil {
		return err
	}
	w.remember(at.repository, img.digest)
	a, err := w.do("GET", "/v2/"+at.repository+"/referrers/"+string(of), nil)
	if err == nil && a.status != http.StatusOK {
		err = w.wrong(a, "referrers")
	}
	return err
}

const accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"

// read reads what a tag is on.
func (w *worker) read(p place) (digest.Digest, []byte, error) {
	a, err := w.do("GET", "/v2/"+p.repository+"/manifests/"+p.tag, nil, "Accept", accept)
	if err != nil {
		return "", nil, err
	}
	switch a.status {
	case http.StatusOK:
		is := digest.FromBytes(a.body)
		if said := a.header.Get("Docker-Content-Digest"); said != string(is) {
			return "", nil, w.wrong(a, "a manifest that is not "+said)
		}
		w.note(p, event{kind: get, image: is}, a, nil)
		return is, a.body, nil
	case http.StatusNotFound:
		w.note(p, event{kind: get}, a, nil)
		return "", nil, nil
	}
	return "", nil, w.wrong(a, "GET "+p.repository+":"+p.tag)
}

// identifier is how ECR names images.
type identifier struct {
	ImageDigest digest.Digest `json:"imageDigest,omitempty"`
	ImageTag    string        `json:"imageTag,omitempty"`
}

// batch is what ECR says of some images.
type batch struct {
	Images   []struct{ ImageID identifier }
	ImageIDs []identifier
	Failures []struct{ FailureCode string }
}

func (w *worker) readTag() error {
	p := w.somePlace()
	switch w.r.IntN(3) {
	case 0:
		_, _, err := w.read(p)
		return err
	case 1:
		a, err := w.do("HEAD", "/v2/"+p.repository+"/manifests/"+p.tag, nil, "Accept", accept)
		if err != nil {
			return err
		}
		is := digest.Digest(a.header.Get("Docker-Content-Digest"))
		if (a.status == http.StatusOK) != (is != "") || a.status != http.StatusOK && a.status != http.StatusNotFound {
			return w.wrong(a, "HEAD of "+p.tag)
		}
		w.note(p, event{kind: get, image: is}, a, nil)
		return nil
	}
	var out batch
	a, err := w.ecr("BatchGetImage", map[string]any{"repositoryName": p.repository, "imageIds": []identifier{{ImageTag: p.tag}}}, &out)
	if err != nil {
		return err
	}
	switch {
	case a.status != http.StatusOK:
		return w.wrong(a, "BatchGetImage")
	case len(out.Images) == 1:
		w.note(p, event{kind: get, image: out.Images[0].ImageID.ImageDigest}, a, nil)
	case len(out.Failures) == 1 && out.Failures[0].FailureCode == "ImageNotFound":
		w.note(p, event{kind: get}, a, nil)
	default:
		return w.wrong(a, "BatchGetImage")
	}
	return nil
}

// retag puts another tag on the image of one. That holds no lease: the image may be
// gone meanwhile, and what it had.
func (w *worker) retag() error {
	from := w.somePlace()
	is, manifest, err := w.read(from)
	if err != nil || is == "" {
		return err
	}
	to := place{from.repository, w.somePlace().tag}
	for fleets(to.tag) != fleets(from.tag) { // or a policy takes away what it should not
		to.tag = w.somePlace().tag
	}
	var m struct{ MediaType string }
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err
	}
	a, err := w.do("PUT", "/v2/"+to.repository+"/manifests/"+to.tag, manifest, "Content-Type", m.MediaType)
	if err == nil && (a.says("BLOB_UNKNOWN") || a.status == http.StatusNotFound) {
		w.note(from, event{kind: absent, image: is}, a, nil)
		return nil
	}
	return w.put(to, image{digest: is}, func() (answer, error) { return a, err })
}

func (w *worker) deleteTag() error {
	p := w.somePlace()
	var out batch
	a, err := w.ecr("BatchDeleteImage", map[string]any{"repositoryName": p.repository, "imageIds": []identifier{{ImageTag: p.tag}}}, &out)
	switch {
	case errors.Is(err, errGone):
		w.note(p, event{kind: cleared}, a, err)
		return err
	case err != nil:
		return err
	case a.status == http.StatusOK && len(out.ImageIDs) == 1:
		w.note(p, event{kind: cleared, image: out.ImageIDs[0].ImageDigest}, a, nil)
	case a.status == http.StatusOK && len(out.Failures) == 1 && out.Failures[0].FailureCode == "ImageNotFound":
		w.note(p, event{kind: get}, a, nil)
	case a.status == http.StatusOK && len(out.Failures) == 1 && out.Failures[0].FailureCode == "ImageReferencedByManifestList":
		// it is the image's only tag, and an index lists it
	default:
		return w.wrong(a, "BatchDeleteImage")
	}
	return nil
}

func (w *worker) deleteTagged() error {
	p := w.somePlace()
	is, _, err := w.read(p)
	if err != nil || is == "" {
		return err
	}
	_, err = w.deleteImage(p.repository, is)
	return err
}

// deleteImage deletes an image, unless an index lists it.
func (w *worker) deleteImage(repository string, is digest.Digest) (listed bool, err error) {
	var out batch
	a, err := w.ecr("BatchDeleteImage", map[string]any{"repositoryName": repository, "imageIds": []identifier{{ImageDigest: is}}}, &out)
	switch {
	case errors.Is(err, errGone):
		w.history.addImage(w.id, repository, event{deleted, is, true}, a)
	case err != nil:
	case a.status == http.StatusOK && len(out.ImageIDs) > 0:
		w.history.addImage(w.id, repository, event{deleted, is, false}, a)
	case a.status == http.StatusOK && len(out.Failures) == 1 && out.Failures[0].FailureCode == "ImageNotFound":
		w.history.addImage(w.id, repository, event{absent, is, false}, a)
	case a.status == http.StatusOK && len(out.Failures) == 1 && out.Failures[0].FailureCode == "ImageReferencedByManifestList":
		return true, nil
	default:
		return false, w.wrong(a, "BatchDeleteImage")
	}
	return false, err
}

// remember notes an image that somebody has to delete at last.
func (s *storm) remember(repository string, is digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[repository] = append(s.images[repository], is)
}

// forget deletes the first images if there are many.
func (w *worker) forget(repository string) error {
	for {
		w.mu.Lock()
		all := w.images[repository]
		if len(all) <= most {
			w.mu.Unlock()
			return nil
		}
		first := all[0]
		w.images[repository] = all[1:]
		w.mu.Unlock()
		listed, err := w.deleteImage(repository, first)
		if listed {
			w.remember(repository, first)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w *worker) sweep() error {
	repository := "swept-1"
	if w.r.IntN(2) == 0 {
		repository = "swept-2"
	}
	var out server.LifecycleResponse
	a, err := w.signed(server.LifecyclePath, "", map[string]any{"repositoryName": repository}, &out)
	if err == nil && a.status != http.StatusOK {
		return w.wrong(a, "lifecycle run")
	}
	for _, run := range out.Runs {
		w.expired.Add(int64(run.Expired))
	}
	return err
}

// short makes a repository, pushes an image with layers of others, pulls it, and deletes
// all.
func (w *worker) short() error {
	name := fmt.Sprintf("short/%d", w.shorts.Add(1))
	if err := w.must("/", "CreateRepository", map[string]any{"repositoryName": name}, nil); err != nil {
		return err
	}
	p, img := w.newPush(name), w.newImage(nil)
	if err := p.byDigest(img); err != nil {
		return err
	}
	if missing, _, err := w.closure(name, img.digest); err != nil || missing != "" {
		if missing != "" {
			w.fail("%s: %s, and nobody has deleted anything there", name, missing)
		}
		return err
	}
	_, err := w.ecr("DeleteRepository", map[string]any{"repositoryName": name, "force": true}, nil)
	return err
}

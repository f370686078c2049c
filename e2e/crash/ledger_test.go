//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// facts say of things, by name, what clients see of them: "" if they are not there.
//
//	repository NAME          there
//	mutability NAME          MUTABLE or IMMUTABLE
//	policy NAME              there: its lifecycle policy
//	layer NAME DIGEST        whole: it has its digest
//	image NAME DIGEST        whole: manifest, configuration and layers, or all images listed
//	tag NAME TAG             the digest of the image that it is on
type facts map[string]string

// ledger is what a client knows of what was acknowledged.
type ledger struct {
	sure    facts
	free    map[string]bool // things that may have changed or not, each by itself
	pending facts           // what was asked for and not acknowledged; nil for nothing
}

// ask notes what is asked for.
func (l *ledger) ask(s *step) {
	l.pending = s.changes
	for _, thing := range s.frees {
		l.free[thing] = true
	}
}

// acknowledge notes that it was acknowledged.
func (l *ledger) acknowledge() {
	maps.Copy(l.sure, l.pending)
	for thing := range l.pending {
		delete(l.free, thing)
	}
	l.pending = nil
}

// settle holds what clients see against the ledger: all that was acknowledged must be
// there, and of what was not, all or nothing. It reports whether all of it is.
func (l *ledger) settle(see func(thing string) (string, error)) (done bool, err error) {
	seen := facts{}
	for thing := range l.sure {
		if seen[thing], err = see(thing); err != nil {
			return false, fmt.Errorf("%s: %w", thing, err)
		}
	}
	var wrong, old, now []string // of what was asked for: as it was, as it is to be
	for _, thing := range slices.Sorted(maps.Keys(l.sure)) {
		is, was := seen[thing], l.sure[thing]
		next, asked := l.pending[thing]
		switch {
		case asked && is == next && is != was:
			now = append(now, thing)
		case asked && is == was && is != next:
			old = append(old, thing)
		case is != was && !l.free[thing]:
			wrong = append(wrong, fmt.Sprintf("%s: %q was acknowledged and %q is there", thing, was, is))
		}
	}
	if len(wrong) > 0 {
		return false, errors.New(strings.Join(wrong, "\n"))
	}
	fixed := func(thing string) bool { return !l.free[thing] }
	if slices.ContainsFunc(old, fixed) && slices.ContainsFunc(now, fixed) {
		return false, fmt.Errorf("of what was not acknowledged there is a part: not %v, but %v", old, now)
	}
	if done = len(now) > 0 && len(old) == 0; done {
		l.acknowledge()
	}
	l.pending = nil
	return done, nil
}

// view is what clients see while nothing changes: no layer is read twice.
type view struct {
	*client
	blobs map[string]string
}

// look returns what clients see of a thing.
func (c *view) look(thing string) (string, error) {
	kind, name, _ := strings.Cut(thing, " ")
	name, of, _ := strings.Cut(name, " ")
	switch kind {
	case "layer":
		return c.blob(name, of)
	case "image":
		return c.image(name, of)
	case "tag":
		a, err := c.do("GET", "/v2/"+name+"/manifests/"+of, nil, "Accept", accept)
		if err != nil || a.status == 404 {
			return "", err
		}
		return string(digest.FromBytes(a.body)), nil
	case "policy":
		_, err := c.ecr().GetLifecyclePolicy(context.Background(), &ecr.GetLifecyclePolicyInput{RepositoryName: &name})
		return there(called(err), "LifecyclePolicyNotFoundException")
	}
	out, err := c.ecr().DescribeRepositories(context.Background(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})
	if is, err := there(called(err), "RepositoryNotFoundException"); is == "" || err != nil || kind == "repository" {
		return is, err
	}
	if out.Repositories[0].ImageTagMutability == types.ImageTagMutabilityMutable {
		return "", nil // as it is made
	}
	return string(out.Repositories[0].ImageTagMutability), nil
}

// there says whether something is there from the error of asking for it.
func there(err error, codes ...string) (string, error) {
	if err == nil {
		return "there", nil
	}
	for _, code := range append(codes, "RepositoryNotFoundException") {
		if strings.Contains(err.Error(), code) {
			return "", nil
		}
	}
	return "", err
}

const accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"

func (c *view) blob(name, of string) (is string, err error) {
	path := "/v2/" + name + "/blobs/" + of
	is, known := c.blobs[path]
	if !known {
		is, err = c.whole(path, of)
		c.blobs[path] = is
	}
	return is, err
}

// whole says whether what is under a path has its digest.
func (c *view) whole(path, of string) (string, error) {
	a, err := c.do("GET", path, nil, "Accept", accept)
	switch {
	case err != nil || a.status == 404:
		return "", err
	case a.status != 200:
		return fmt.Sprintf("%d %s", a.status, a.body), nil
	case digest.FromBytes(a.body).String() != of:
		return fmt.Sprintf("%d bytes of something else", len(a.body)), nil
	}
	return "whole", nil
}

// image says whether an image is whole, with all that it refers to.
func (c *view) image(name, of string) (string, error) {
	is, err := c.whole("/v2/"+name+"/manifests/"+of, of)
	if is != "whole" || err != nil {
		return is, err
	}
	a, err := c.want(200, "GET", "/v2/"+name+"/manifests/"+of, nil, "Accept", accept)
	if err != nil {
		return "", err
	}
	var m struct {
		Config            *struct{ Digest string }
		Layers, Manifests []struct{ Digest string }
	}
	if err := json.Unmarshal(a.body, &m); err != nil {
		return "", err
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, l := range m.Layers {
		if is, err := c.blob(name, l.Digest); is != "whole" || err != nil {
			return "without " + l.Digest + ": " + is, err
		}
	}
	for _, i := range m.Manifests {
		if is, err := c.image(name, i.Digest); is != "whole" || err != nil {
			return "without " + i.Digest + ": " + is, err
		}
	}
	return "whole", nil
}

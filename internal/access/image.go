package access

import (
	"strings"

	"berth/internal/policy"
)

// Image is an image as policies see it: the values of the condition keys
// ecr:ImageTag, ecr:ImageDigest and ecr:ArtifactType. Those of public repositories
// begin with ecr-public. An empty member is a key that is not there.
type Image struct {
	Tags                 []string
	Digest, ArtifactType string
}

// imageKeys are the condition keys of images, in lower case, by the service whose
// images they are: the one that is known first, and those that are known when a
// manifest has been read.
var imageKeys = map[string][]string{
	"ecr":        {"ecr:imagetag", "ecr:imagedigest", "ecr:artifacttype"},
	"ecr-public": {"ecr-public:imagetag", "ecr-public:imagedigest", "ecr-public:artifacttype"},
}

// decideImages decides a request for each of its images; the first refusal counts.
// It is decided once, without the keys of images, if no policy reads them.
func decideImages(ask *policy.Request, p *policy.Policies, r Request) (policy.Decision, error) {
	service, _, _ := strings.Cut(r.Action, ":")
	keys := imageKeys[service]
	if r.Images == nil || keys == nil || !p.Reads(keys...) {
		return policy.Decide(ask, p), nil
	}
	if r.Early && p.Reads(keys[1:]...) {
		return policy.Decision{Allowed: true}, nil
	}
	images, err := r.Images()
	if err != nil {
		return policy.Decision{}, err
	}
	if len(images) == 0 {
		images = []Image{{}}
	}
	var d policy.Decision
	for _, img := range images {
		ask.Context.Set(keys[0], img.Tags...)
		ask.Context.Set(keys[1], values(img.Digest)...)
		ask.Context.Set(keys[2], values(img.ArtifactType)...)
		if d = policy.Decide(ask, p); !d.Allowed {
			return d, nil
		}
	}
	return d, nil
}

// values returns the values of a key that has one, or none.
func values(v string) []string {
	if v == "" {
		return nil
	}
	return []string{v}
}

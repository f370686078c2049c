package registry

import (
	"berth/internal/access"
	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// What policies that read the tags, the digest or the type of images decide by. All
// of it is found out in the transaction that then does what was asked for, and only
// if there is such a policy.
//
// What takes an image or gives it away is decided by all tags that lead to it: one
// that is allowed is enough, and one that is denied too. What changes tags is decided
// for each of them alone: all must be allowed. docs/compatibility.md has the table.

// images finds out which images a request is about. repo is nil if the repository
// does not exist.
type images func(tx ReadTx, repo *Repository) ([]access.Image, error)

// asked is what an id says of an image that is not there. Who may not have it is
// told the same as if it were.
func (id ImageID) asked() access.Image {
	return access.Image{Tags: tagList(id.Tag), Digest: string(id.Digest)}
}

func tagList(tag string) []string {
	if tag == "" {
		return nil
	}
	return []string{tag}
}

// look returns the image that an id names, nil if there is none.
func look(tx ReadTx, repo *Repository, id ImageID) (*Image, error) {
	if repo == nil {
		return nil, nil
	}
	img, _, err := find(tx, repo, id)
	return img, err
}

// pulled says what is pulled: each image with the tags that lead to it.
func pulled(ids ...ImageID) images {
	return func(tx ReadTx, repo *Repository) ([]access.Image, error) {
		var out []access.Image
		for _, id := range ids {
			img, err := look(tx, repo, id)
			if err != nil {
				return nil, err
			}
			if img == nil {
				out = append(out, id.asked())
				continue
			}
			// They are what clients come by when they pull it by its digest.
			tags, all, err := tx.LeadingTags(img, maxLeading)
			if err == nil && !all {
				err = errTooManyLead()
			}
			if err != nil {
				return nil, err
			}
			out = append(out, access.Image{Tags: tags, Digest: string(img.Digest), ArtifactType: img.ArtifactType})
		}
		return out, nil
	}
}

// maxLeading bounds the tags that lead to an image, and the images that they are on.
const maxLeading = 10_000

// gone says what a deletion by ids takes away: the tags that are named, and all tags
// of images that are named by their digests.
func gone(ids ...ImageID) images {
	return func(tx ReadTx, repo *Repository) ([]access.Image, error) {
		var out []access.Image
		for _, id := range ids {
			img, err := look(tx, repo, id)
			if err != nil {
				return nil, err
			}
			switch {
			case img == nil:
				out = append(out, id.asked())
			case id.Tag != "":
				out = append(out, img.under(id.Tag)...)
			default:
				tags, err := tx.Tags(img.UID)
				if err != nil {
					return nil, err
				}
				out = append(out, img.under(tags...)...)
			}
		}
		return out, nil
	}
}

// changed says what a change of an image as a whole is about: all of its tags,
// however it is named.
func changed(id ImageID) images {
	return func(tx ReadTx, repo *Repository) ([]access.Image, error) {
		img, err := look(tx, repo, id)
		if err != nil {
			return nil, err
		}
		if img == nil {
			return []access.Image{id.asked()}, nil
		}
		tags, err := tx.Tags(img.UID)
		return img.under(tags...), err
	}
}

// under returns the image under each of the tags, or once without one.
func (i *Image) under(tags ...string) []access.Image {
	return under(i.Digest, i.ArtifactType, tags)
}

func under(d digest.Digest, artifact string, tags []string) []access.Image {
	one := access.Image{Digest: string(d), ArtifactType: artifact}
	if len(tags) == 0 {
		return []access.Image{one}
	}
	var out []access.Image
	for _, tag := range tags {
		one.Tags = []string{tag}
		out = append(out, one)
	}
	return out
}

// rolledBack says what a rollback puts a tag on.
func rolledBack(in RollbackTagInput) images {
	return func(tx ReadTx, repo *Repository) ([]access.Image, error) {
		target := &Image{Digest: in.Digest}
		if repo != nil && ValidTag(in.Tag) && (in.Digest == "" || ValidDigest(string(in.Digest))) {
			on, err := tx.ImageByTag(repo.UID, in.Tag)
			if err != nil {
				return nil, err
			}
			present := digest.Digest("")
			if on != nil {
				present = on.Digest
			}
			d, err := rollbackTarget(tx, repo, in, present)
			switch {
			case err == nil:
				target.Digest = d
			case kindOf(err) != fault.NotFound:
				return nil, err
			}
			img, err := tx.Image(repo.UID, target.Digest)
			if err != nil {
				return nil, err
			}
			if img != nil {
				target = img
			}
		}
		return target.under(in.Tag), nil
	}
}

// undeleted says what the restoration of an image brings back: it, and all that it
// lists, with their tags.
func undeleted(in RestoreImageInput) images {
	return func(tx ReadTx, repo *Repository) ([]access.Image, error) {
		asked := under(in.Digest, "", in.Tags)
		if repo == nil || in.check() != nil {
			return asked, nil
		}
		img, err := tx.DeletedImage(repo.UID, in.Digest)
		if err != nil {
			return nil, err
		}
		if img == nil {
			return asked, nil
		}
		if in.Tags != nil {
			img.Tags = in.Tags
		}
		return undeletedWith(tx, repo, img, map[digest.Digest]bool{})
	}
}

func undeletedWith(tx ReadTx, repo *Repository, img *DeletedImage, seen map[digest.Digest]bool) ([]access.Image, error) {
	seen[img.Digest] = true
	out := img.under(img.Tags...)
	children, err := tx.Children(&img.Image)
	if err != nil {
		return nil, err
	}
	for _, d := range children {
		there, err := tx.Image(repo.UID, d)
		if err != nil {
			return nil, err
		}
		if there != nil || seen[d] {
			continue
		}
		child, err := tx.DeletedImage(repo.UID, d)
		if err != nil {
			return nil, err
		}
		if child == nil {
			continue
		}
		below, err := undeletedWith(tx, repo, child, seen)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

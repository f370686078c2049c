package registry

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"berth/internal/access"

	"github.com/opencontainers/go-digest"
)

// Catalog is what a public repository says of itself to those who look for
// images. The zero Catalog says nothing.
type Catalog struct {
	Description      string   `json:"description,omitempty"`
	Architectures    []string `json:"architectures,omitempty"`
	OperatingSystems []string `json:"operatingSystems,omitempty"`
	AboutText        string   `json:"aboutText,omitempty"`
	UsageText        string   `json:"usageText,omitempty"`
	Logo             Logo     `json:"-"`
}

// catalogParams are the audited parameters of catalog data: how much is said, and
// not what.
type catalogParams struct {
	Description      int `json:"descriptionLength"`
	Architectures    int `json:"architectures"`
	OperatingSystems int `json:"operatingSystems"`
	AboutText        int `json:"aboutTextLength"`
	UsageText        int `json:"usageTextLength"`
	Logo             int `json:"logoImageBlobLength"`
}

func (c Catalog) params() *catalogParams {
	return &catalogParams{
		len(c.Description), len(c.Architectures), len(c.OperatingSystems), len(c.AboutText), len(c.UsageText), len(c.Logo.Content),
	}
}

// Logo is a picture in one of the formats of logoFormats. The zero Logo is none.
type Logo struct {
	Repository string // the UID of the repository that it stands for
	Digest     digest.Digest
	Type       string // its media type
	Content    []byte // filled in by Logo only, and to be stored
}

// The most that a catalog holds, of characters, items and bytes.
const (
	maxDescription = 1024
	maxCatalogText = 25_600
	maxCatalogTags = 50
	maxLogo        = 512_000
	maxDisplayName = 100
)

// logoFormats are the formats of pictures that no browser runs code from, by
// what they begin with.
var logoFormats = []struct{ mediaType, magic, at8 string }{
	{"image/png", "\x89PNG\r\n\x1a\n", ""},
	{"image/jpeg", "\xff\xd8\xff", ""},
	{"image/gif", "GIF87a", ""},
	{"image/gif", "GIF89a", ""},
	{"image/webp", "RIFF", "WEBP"},
}

// NewLogo returns content, which may be empty, as a logo. The error is
// InvalidParameterException.
func NewLogo(content []byte) (Logo, error) {
	if len(content) == 0 {
		return Logo{}, nil
	}
	if len(content) > maxLogo {
		return Logo{}, invalidParameter("logoImageBlob", "Member must have length less than or equal to 512000")
	}
	for _, f := range logoFormats {
		if bytes.HasPrefix(content, []byte(f.magic)) && (f.at8 == "" || len(content) > 12 && string(content[8:12]) == f.at8) {
			return Logo{Digest: digest.FromBytes(content), Type: f.mediaType, Content: content}, nil
		}
	}
	return Logo{}, invalidParameter("logoImageBlob", "a logo is a PNG, JPEG, GIF or WebP image")
}

// check returns InvalidParameterException if the catalog breaks a rule.
func (c Catalog) check() error {
	for _, t := range []struct {
		field, text string
		most        int
	}{{"description", c.Description, maxDescription}, {"aboutText", c.AboutText, maxCatalogText}, {"usageText", c.UsageText, maxCatalogText}} {
		if utf8.RuneCountInString(t.text) > t.most {
			return invalidParameter(t.field, "Member must have length less than or equal to "+strconv.Itoa(t.most))
		}
		if strings.ContainsFunc(t.text, unprintable) {
			return invalidParameter(t.field, "the text has control characters")
		}
	}
	if err := checkCatalogTags("architectures", c.Architectures); err != nil {
		return err
	}
	return checkCatalogTags("operatingSystems", c.OperatingSystems)
}

func checkCatalogTags(field string, tags []string) error {
	if len(tags) > maxCatalogTags {
		return invalidParameter(field, "Member must have length less than or equal to 50")
	}
	for _, t := range tags {
		if n := utf8.RuneCountInString(t); n < 1 || n > 50 || hasControl(t) {
			return invalidParameter(field, "an item has 1 to 50 characters, none of them control characters")
		}
	}
	return nil
}

// unprintable reports whether a character has no place in a text of many lines.
func unprintable(c rune) bool { return unicode.IsControl(c) && !strings.ContainsRune("\n\r\t", c) }

// PutRepositoryCatalogDataInput is what PutRepositoryCatalogData is asked for.
type PutRepositoryCatalogDataInput struct {
	Ref
	Catalog Catalog
}

// PutRepositoryCatalogData replaces all that a public repository says of itself,
// its logo included. Errors: RepositoryNotFoundException,
// InvalidParameterException.
func (r *Registry) PutRepositoryCatalogData(ctx context.Context, c access.Caller, in PutRepositoryCatalogDataInput) (Catalog, error) {
	out := in.Catalog
	q := request{caller: c, event: "PutRepositoryCatalogData", ref: in.Ref, lock: LockChange}
	q.params = struct {
		Ref
		Catalog *catalogParams `json:"catalogData"`
	}{in.Ref, in.Catalog.params()}
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		if err := in.Catalog.check(); err != nil {
			return err
		}
		out.Logo.Repository = repo.UID
		if err := tx.PutCatalog(repo.UID, in.Catalog); err != nil {
			return err
		}
		return tx.Emit(Event{Kind: RepositoryChanged, Ref: in.Ref, RepositoryUID: repo.UID, Time: r.now(), Detail: "catalog data"})
	})
	return out, err
}

// GetRepositoryCatalogData returns what a public repository says of itself.
// Errors: RepositoryNotFoundException, RepositoryCatalogDataNotFoundException.
func (r *Registry) GetRepositoryCatalogData(ctx context.Context, c access.Caller, ref Ref) (Catalog, error) {
	var out Catalog
	q := request{caller: c, event: "GetRepositoryCatalogData", ref: ref, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		found, err := tx.Catalog(repo.UID)
		if err != nil {
			return err
		}
		if found == nil {
			return errCatalogNotFound(ref)
		}
		out = *found
		return nil
	})
	return out, err
}

// OpenLogo returns the logo of a living public repository, which is for
// everybody to see, or the zero Logo. The digest must be the logo's, so that
// what is under it never changes. Errors: ThrottlingException.
func (r *Registry) OpenLogo(ctx context.Context, c access.Caller, repository string, d digest.Digest) (Logo, error) {
	if err := r.crowd.within(c, r.now()); err != nil {
		return Logo{}, err
	}
	var out Logo
	err := r.store.View(ctx, func(tx ReadTx) error {
		var err error
		out, err = tx.Logo(repository, d)
		return err
	})
	return out, err
}

// displayName is the setting that holds what a public registry calls itself.
const displayName = "DISPLAY_NAME"

// PutRegistryCatalogDataInput is what PutRegistryCatalogData is asked for.
type PutRegistryCatalogDataInput struct {
	ID
	DisplayName string `json:"displayName"` // "" takes it away
}

// PutRegistryCatalogData says what the public registry is called. Errors:
// InvalidParameterException.
func (r *Registry) PutRegistryCatalogData(ctx context.Context, c access.Caller, in PutRegistryCatalogDataInput) error {
	q := request{caller: c, event: "PutRegistryCatalogData", ref: Ref{ID: in.ID}, resource: in.registryARN(), params: in}
	return r.updateAll(ctx, q, func(tx Tx) error {
		if utf8.RuneCountInString(in.DisplayName) > maxDisplayName || hasControl(in.DisplayName) {
			return invalidParameter("displayName", "a name has at most 100 characters, none of them control characters")
		}
		if err := tx.PutSetting(in.ID, displayName, in.DisplayName); err != nil {
			return err
		}
		return tx.Emit(Event{Kind: SettingChanged, Ref: Ref{ID: in.ID}, Time: r.now(), Detail: "catalog data"})
	})
}

// GetRegistryCatalogData returns what the public registry is called, "" if
// nobody has said.
func (r *Registry) GetRegistryCatalogData(ctx context.Context, c access.Caller, id ID) (string, error) {
	name := ""
	q := request{caller: c, event: "GetRegistryCatalogData", ref: Ref{ID: id}, resource: id.registryARN(), readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		var err error
		name, err = tx.Setting(id, displayName)
		return err
	})
	return name, err
}

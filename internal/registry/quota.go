package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth/internal/fault"
)

// Quota is a limit on what a registry holds or does.
type Quota struct {
	Name        string // in Berth's configuration
	Code        string // in Service Quotas
	Title       string // in Service Quotas
	Description string
	Standard    int64  // ECR's value
	Most        int64  // the greatest value that it can have
	Adjustable  bool   // a registry can be granted more
	Operation   string // whose rate in calls a second it limits; "" if it is no rate
	reached     string // the beginning of the error's text
}

// The names of the quotas that are not rates.
const (
	QuotaRepositories = "repositories"
	QuotaImages       = "images-per-repository"
	QuotaTagsPerImage = "tags-per-image"
	QuotaLayerSize    = "layer-size"
	QuotaLayerParts   = "layer-parts"
	QuotaManifestSize = "manifest-size"
)

const (
	mebibyte  = 1 << 20
	mostCount = 1_000_000_000
)

// quotas are all quotas that Berth has, in the order of their codes. Codes are
// AWS's where they are known; those that begin with L-BE are Berth's own.
var quotas = []Quota{
	{Name: QuotaImages, Code: "L-03A36CE1", Title: "Images per repository", Standard: 100_000, Most: mostCount, Adjustable: true,
		Description: "The maximum number of images per repository. Archived images do not count.",
		reached:     "The maximum number of images per repository has been reached"},
	rate("BatchGetImage", "L-16E70933", 2_000),
	rate("CompleteLayerUpload", "L-44194860", 100),
	rate("GetAuthorizationToken", "L-55A41110", 500),
	rate("InitiateLayerUpload", "L-95B28F8D", 100),
	rate("UploadLayerPart", "L-A1670B10", 500),
	rate("GetDownloadUrlForLayer", "L-A60A366D", 3_000),
	rate("PutImage", "L-AD52DFB2", 10),
	rate("BatchCheckLayerAvailability", "L-B9173138", 1_000),
	{Name: QuotaLayerParts, Code: "L-BE000001", Title: "Layer parts", Standard: 4_200, Most: mostCount,
		Description: "The maximum number of layer parts of an upload that is made with UploadLayerPart.",
		reached:     "The maximum number of layer parts has been reached"},
	{Name: QuotaLayerSize, Code: "L-BE000002", Title: "Maximum layer size", Standard: 52_000, Most: mostCount,
		Description: "The maximum size (MiB) of a layer.",
		reached:     "The layer exceeds the maximum layer size"},
	{Name: QuotaManifestSize, Code: "L-BE000003", Title: "Maximum manifest size", Standard: MaxManifestSize / mebibyte, Most: MaxManifestSize / mebibyte,
		Description: "The maximum size (MiB) of an image manifest.",
		reached:     "The image manifest exceeds the maximum manifest size"},
	{Name: QuotaTagsPerImage, Code: "L-BE000004", Title: "Tags per image", Standard: 1_000, Most: 100_000,
		Description: "The maximum number of tags per image.",
		reached:     "The maximum number of tags per image has been reached"},
	{Name: QuotaRepositories, Code: "L-CFEB8E8D", Title: "Registered repositories", Standard: 100_000, Most: mostCount, Adjustable: true,
		Description: "The maximum number of repositories that an account can have in a region.",
		reached:     "The maximum number of repositories has been reached"},
}

// rate is the quota of how often a principal may call an operation.
func rate(operation, code string, perSecond int64) Quota {
	return Quota{
		Name: "rate-" + operation, Code: code, Title: "Rate of " + operation + " requests", Standard: perSecond, Most: 1_000_000,
		Adjustable: true, Operation: operation,
		Description: "The maximum number of " + operation + " requests that a principal can make per second in a region.",
	}
}

// quotaNamed returns the quota of a name that a constant has.
func quotaNamed(name string) *Quota {
	i := slices.IndexFunc(quotas, func(q Quota) bool { return q.Name == name })
	return &quotas[i]
}

// limits are the values of the quotas in force by name, before what registries
// were granted.
type limits map[string]int64

// newLimits returns ECR's values, those that are set apart. Rates are in force
// only if they are wanted.
func newLimits(set map[string]int64, withRates bool) limits {
	l := limits{}
	for _, q := range quotas {
		if q.Operation == "" || withRates {
			l[q.Name] = q.Standard
		}
	}
	maps.Copy(l, set)
	return l
}

// CheckQuotas returns all that is wrong with values of quotas by name.
// requestRates says whether rates are in force.
func CheckQuotas(values map[string]int64, requestRates bool) error {
	known := newLimits(nil, requestRates)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := known[name]; !ok {
			return fmt.Errorf("there is no quota %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if most := quotaNamed(name).Most; values[name] < 1 || values[name] > most {
			return fmt.Errorf("the quota %s must be between 1 and %d", name, most)
		}
	}
	return nil
}

// errQuota refuses what a quota does not allow.
func errQuota(name string, value int64) error {
	q := quotaNamed(name)
	kind, unit := fault.Exhausted, ""
	if name == QuotaLayerSize || name == QuotaManifestSize {
		kind, unit = fault.TooLarge, " MiB"
	}
	return fault.New(kind, "LimitExceededException", "%s: the quota '%s' (%s) is %d%s", q.reached, q.Title, q.Code, value, unit)
}

// publicLimits are what ECR Public allows at most.
var publicLimits = limits{QuotaRepositories: 10_000, QuotaImages: 10_000, QuotaLayerSize: 10_000, QuotaLayerParts: 1_000}

// limit returns the value of a quota in a registry, before what it was granted.
func (r *Registry) limit(id ID, name string) int64 {
	if most, ok := publicLimits[name]; ok && id.Public() {
		return min(most, r.limits[name])
	}
	return r.limits[name]
}

// within returns LimitExceededException if n is more than a registry's quota
// allows. What it was granted is looked up only if it would not do without.
func (r *Registry) within(tx ReadTx, id ID, name string, n int64) error {
	limit := r.limit(id, name)
	if n <= limit {
		return nil
	}
	if q := quotaNamed(name); q.Adjustable && !id.Public() {
		granted, err := tx.GrantedQuota(id, q.Code)
		if err != nil {
			return err
		}
		limit = max(limit, granted)
	}
	if n <= limit {
		return nil
	}
	return errQuota(name, limit)
}

// admitRepository checks the number of the registry's repositories after one was
// added.
func (r *Registry) admitRepository(tx ReadTx, id ID) error {
	n, err := tx.RepositoryCount(id)
	if err != nil {
		return err
	}
	return r.within(tx, id, QuotaRepositories, n)
}

// admitImage checks that the repository has room for one more image that is not
// archived, and counts it. The repository must have been read in this transaction.
func (r *Registry) admitImage(tx ReadTx, repo *Repository) error {
	repo.Images++
	return r.within(tx, repo.ID, QuotaImages, repo.Images)
}

// admitTags checks the number of an image's tags after some were put on it. A new
// image has no others.
func (r *Registry) admitTags(tx ReadTx, repo *Repository, img *Image, added bool, n int) error {
	limit := r.limit(repo.ID, QuotaTagsPerImage)
	if n == 0 || added && int64(n) <= limit {
		return nil
	}
	tags, err := tx.TagCount(img.UID, limit+1)
	if err != nil {
		return err
	}
	return r.within(tx, repo.ID, QuotaTagsPerImage, tags)
}

// ManifestLimit returns the greatest size of a manifest in bytes, which is at
// most MaxManifestSize, and what returns the error for a greater one.
func (r *Registry) ManifestLimit() (size int64, exceeded func() error) {
	limit := r.limits[QuotaManifestSize]
	return limit * mebibyte, func() error { return errQuota(QuotaManifestSize, limit) }
}

func (r *Registry) admitManifest(manifest []byte) error {
	if limit, exceeded := r.ManifestLimit(); int64(len(manifest)) > limit {
		return exceeded()
	}
	return nil
}

// bound is how large an upload may become, and what returns the error if it
// becomes larger.
type bound struct {
	size     int64
	exceeded func() error
}

// uploadBound returns the bound that quotas set to an upload.
func (r *Registry) uploadBound(tx ReadTx, repo *Repository) (bound, error) {
	limit := r.limit(repo.ID, QuotaLayerSize)
	b := bound{limit * mebibyte, func() error { return errQuota(QuotaLayerSize, limit) }}
	for _, q := range r.storageOf(repo) {
		used, err := tx.StorageUsed(q)
		if err != nil {
			return b, err
		}
		if left := max(q.Bytes-used, 0); left < b.size {
			b = bound{left, func() error { return errStorage(q) }}
		}
	}
	return b, nil
}

// admitUpload checks that an upload to the repository can come to an end.
func (r *Registry) admitUpload(tx ReadTx, repo *Repository) error {
	if err := r.admitImage(tx, repo); err != nil {
		return err
	}
	b, err := r.uploadBound(tx, repo)
	if err == nil && b.size == 0 {
		err = b.exceeded()
	}
	return err
}

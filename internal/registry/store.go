package registry

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/lifecycle"

	"github.com/opencontainers/go-digest"
)

// Store keeps the facts. It is implemented by package metadata.
type Store interface {
	// View runs fn in a transaction that sees one state of the store and
	// changes nothing. fn may run more than once.
	View(ctx context.Context, fn func(ReadTx) error) error
	// Update runs fn in a transaction and returns when its changes are durable.
	// If fn returns an error nothing is changed and the error is returned. fn
	// may share a commit with others, may run more than once and must touch
	// nothing but tx and what it closes over. An Update whose context ends
	// after it has begun may still take place.
	Update(ctx context.Context, fn func(Tx) error) error
	// Relaxed is Update without the wait for the disk: the changes survive the
	// process but perhaps not a loss of power. Later Updates make them durable.
	Relaxed(ctx context.Context, fn func(Tx) error) error
	// Keep is Update for what is kept about those who read, and about the work of this
	// process: it is done while changes are refused, too.
	Keep(ctx context.Context, fn func(Tx) error) error
	// KeepRelaxed is Keep without the wait for the disk.
	KeepRelaxed(ctx context.Context, fn func(Tx) error) error
}

// Lock says what a transaction means to do to a repository, so that those that
// would disturb each other take turns. In a View it has no effect.
type Lock int

// The locks, weakest first.
const (
	LockNone   Lock = iota
	LockAdd         // add layers and uploads; excludes LockDelete
	LockChange      // change images, tags, settings; one at a time; excludes LockDelete
	LockDelete      // delete it; excludes all
)

// ReadTx is a transaction that reads. Methods that look for one thing return
// nil if it is not there. Deleted things are not there. Lists that are returned
// must not be changed: others may hold them.
type ReadTx interface {
	access.PrincipalReader
	RepositoryReader
	ImageReader
	TagReader
	HistoryReader
	LayerReader
	UploadReader
	SettingReader
	TemplateReader
	CacheRuleReader
	LifecycleReader
	QuotaReader
	StorageReader
	PublicReader
	DeletedReader
}

// Tx is a transaction that changes.
type Tx interface {
	ReadTx
	RepositoryWriter
	ImageWriter
	LayerWriter
	UploadWriter
	SettingWriter
	TemplateWriter
	CacheRuleWriter
	LifecycleWriter
	Leases
	QuotaWriter
	StorageWriter
	PublicWriter
	DeletedWriter
	KeyGrantWriter
	Journal
}

// RepositoryReader reads repositories.
type RepositoryReader interface {
	Repository(ref Ref, lock Lock) (*Repository, error)
	RepositoryByUID(uid string) (*Repository, error)
	// Repositories returns at most limit repositories of the registry whose
	// names come after a name, in byte order.
	Repositories(id ID, after RepositoryName, limit int) ([]Repository, error)
	// RepositoryNames is Repositories for the names alone.
	RepositoryNames(id ID, after string, limit int) ([]string, error)
}

// RepositoryWriter writes repositories.
type RepositoryWriter interface {
	// InsertRepository reports whether the name was free and is now taken.
	InsertRepository(*Repository) (bool, error)
	// UpdateRepository replaces everything but the reference and the UID.
	UpdateRepository(*Repository) error
}

// ImageReader reads images of a repository, which is given by its UID.
type ImageReader interface {
	Image(repository string, d digest.Digest) (*Image, error)
	ImageByTag(repository, tag string) (*Image, error)
	// Manifest returns the bytes of an image's manifest.
	Manifest(*Image) (blob.Object, error)
	// Images returns at most limit images whose digests come after a digest,
	// in byte order, with their tags.
	Images(repository string, f Filter, after digest.Digest, limit int) ([]Image, error)
	// Parents returns at most limit indexes that list the image as a child.
	Parents(repository string, child digest.Digest, limit int) ([]digest.Digest, error)
	// LeadingTags returns the tags that lead to the image, in byte order: its own, and
	// those that lead to an index that lists it, or to its subject. all is false if
	// there are more of them, or of the images that they are on, than most.
	LeadingTags(i *Image, most int) (tags []string, all bool, err error)
	// Children returns the images that an index lists.
	Children(index *Image) ([]digest.Digest, error)
	// Referrers returns at most limit images whose subject is the given one
	// and whose digests come after a digest, in byte order.
	Referrers(repository string, subject digest.Digest, f ReferrerFilter, after digest.Digest, limit int) ([]Referrer, error)
	// ActivatingImages returns at most limit images of all living repositories
	// whose status is Activating.
	ActivatingImages(limit int) ([]Image, error)
	// HasImages reports whether the repository holds any image.
	HasImages(repository string) (bool, error)
}

// TagReader reads the tags of a repository's images.
type TagReader interface {
	// Tags returns an image's tags in byte order.
	Tags(image string) ([]string, error)
	// TagNames returns at most limit tags of the repository that come after a
	// tag, in byte order.
	TagNames(repository, after string, limit int) ([]string, error)
	// ImageIDs returns at most limit pairs of digest and tag that come after a
	// pair, in byte order of digest and tag; an untagged image has the tag "".
	ImageIDs(repository string, f Filter, after ImageID, limit int) ([]ImageID, error)
	// TaggedImages returns at most limit tags of the repository that come after
	// a tag, in byte order, each with its image.
	TaggedImages(repository, after string, limit int) ([]TaggedImage, error)
}

// HistoryReader reads what was in a repository, which is given by its UID.
type HistoryReader interface {
	// TagHistory returns at most limit changes of a tag whose numbers are less
	// than one, the newest first.
	TagHistory(repository, tag string, before int64, limit int) ([]TagChange, error)
	// LifecycleHistory returns what lifecycle policies have to know of the time
	// since then, or nil if that is more than most images and changes of tags,
	// or five times as many entries of indexes.
	LifecycleHistory(repository string, since time.Time, most int) (*lifecycle.History, error)
}

// ImageWriter writes images and their tags. What happens to a tag goes into its
// history.
type ImageWriter interface {
	// InsertImage adds an image with what it holds on to. The object holds the
	// manifest's bytes.
	InsertImage(repo *Repository, img *Image, refs References, o blob.Object) error
	// UpdateImage replaces the image's status and the times of its changes.
	UpdateImage(*Image) error
	// RecordPull puts forward the time of an image's last pull.
	RecordPull(image string, at time.Time) error
	// NoteClassChange notes that the storage class of the image's layers has to be
	// looked at, at a time.
	NoteClassChange(image string, at time.Time) error
	// DeleteImage removes an image and its tags, which the deleted image keeps.
	DeleteImage(img *Image, by Stamp) error
	// PutTag puts a tag on an image, taking it from any other.
	PutTag(repository, tag string, img *Image, by Stamp) error
	// DeleteTag removes a tag.
	DeleteTag(repository, tag string, by Stamp) error
}

// LayerReader reads layers.
type LayerReader interface {
	Layer(repository string, d digest.Digest) (*Layer, error)
	// LayerInUse reports whether an image of the repository refers to the layer.
	LayerInUse(repository string, d digest.Digest) (bool, error)
	// LayerHolders returns at most limit repositories of the registry and key
	// domain that hold the layer.
	LayerHolders(id ID, domain string, d digest.Digest, limit int) ([]Ref, error)
}

// LayerWriter writes layers and the objects that hold their bytes.
type LayerWriter interface {
	// LinkLayer makes a repository hold a layer, whose bytes are in the object,
	// until at least the time lease. If the key domain has an object of that
	// digest already, sealed or not as the given one is, it is used instead and
	// the given one is not recorded: the second result is then false. What is damaged is
	// not used: the given one takes its place for all that hold it. A layer that
	// the repository holds in plain is replaced by one that is sealed.
	LinkLayer(repo *Repository, o blob.Object, at, lease time.Time) (*Layer, bool, error)
	// LinkObject makes a repository hold a layer of another one of its key
	// domain until at least the time lease. It reports whether the layer is
	// still there.
	LinkObject(repo *Repository, from *Layer, at, lease time.Time) (bool, error)
	// LeaseLayer puts off the end of a layer's lease. It reports whether the
	// repository still holds the layer.
	LeaseLayer(*Layer, time.Time) (bool, error)
	// HealObject has the object take the place of what the repository's key domain has of
	// that digest, for all that hold it.
	HealObject(repo *Repository, o blob.Object, at time.Time) error
	// UnlinkLayer makes a repository hold a layer no more.
	UnlinkLayer(ref Ref, l *Layer, at time.Time) error
}

// UploadReader reads uploads.
type UploadReader interface {
	// Upload returns an upload of the repository.
	Upload(repository, id string) (*Upload, error)
	// HasUploadKey reports whether any upload's bytes are under a key in the
	// bucket.
	HasUploadKey(key string) (bool, error)
	// HasObjectKey reports whether an object under a key in the bucket is recorded.
	HasObjectKey(key string) (bool, error)
}

// UploadWriter writes uploads.
type UploadWriter interface {
	InsertUpload(*Upload) error
	// UpdateUpload records an upload's progress, unless somebody else has done
	// so since it had size bytes; it reports whether it did.
	UpdateUpload(u *Upload, size int64) (bool, error)
	// DeleteUpload reports whether it was there: who has deleted it, and nobody
	// else, says what becomes of its bytes.
	DeleteUpload(id string) (bool, error)
	// ExpireUploads deletes at most limit uploads that were started before a time, and
	// returns how many. What their bytes are under is removed after another time.
	ExpireUploads(before, due time.Time, limit int) (int64, error)
	// DeleteUploadAt is DeleteUpload for an upload that still has size bytes.
	DeleteUploadAt(id string, size int64) (bool, error)
}

// SettingReader reads what is configured for a registry as a whole.
type SettingReader interface {
	// Setting returns an account setting, "" if it was never put.
	Setting(id ID, name string) (string, error)
	// Configuration reads the configuration of that name into what a pointer
	// points to. It reports whether there is one.
	Configuration(id ID, name string, into any) (bool, error)
	// RegistryPolicy returns the text of the registry's policy, "" if it has none.
	RegistryPolicy(id ID) (string, error)
	// PullTimeExcluded reports whether pulls by the principal leave no trace in
	// the pull times of images. A session counts as the role that it is of.
	PullTimeExcluded(id ID, principalARN string) (bool, error)
	// PullTimeExclusions returns at most limit of the principals that are
	// excluded, those that come after a principal, in byte order of their ARNs.
	PullTimeExclusions(id ID, after string, limit int) ([]string, error)
}

// SettingWriter writes what is configured for a registry as a whole.
type SettingWriter interface {
	// LockRegistry makes transactions that change the configuration of the
	// registry take turns, until they end. What it reads later is up to date.
	LockRegistry(id ID) error
	PutSetting(id ID, name, value string) error
	// PutConfiguration replaces the configuration of that name.
	PutConfiguration(id ID, name string, document any) error
	// DeleteConfiguration removes the configuration of that name, if it is there.
	DeleteConfiguration(id ID, name string) error
	// PutRegistryPolicy replaces the registry's policy; "" takes it away.
	PutRegistryPolicy(id ID, text string) error
	// InsertExclusion reports whether the principal was not excluded yet.
	InsertExclusion(id ID, principalARN string, at time.Time) (bool, error)
	// DeleteExclusion reports whether the principal was excluded.
	DeleteExclusion(id ID, principalARN string) (bool, error)
}

// TemplateReader reads repository creation templates. Their keys are their
// prefixes without a slash at the end.
type TemplateReader interface {
	// Templates returns the registry's templates that have the keys given, in
	// their order.
	Templates(id ID, keys []string) ([]Template, error)
	// TemplatesAfter returns at most limit of the registry's templates that come
	// after a key, in byte order.
	TemplatesAfter(id ID, key string, limit int) ([]Template, error)
	// TemplateCount returns how many templates the registry has.
	TemplateCount(id ID) (int, error)
}

// TemplateWriter writes repository creation templates.
type TemplateWriter interface {
	// InsertTemplate reports whether the key was free.
	InsertTemplate(id ID, t Template) (bool, error)
	// UpdateTemplate replaces the template of the same key.
	UpdateTemplate(id ID, t Template) error
	DeleteTemplate(id ID, t Template) error
}

// CacheRuleReader reads pull-through cache rules. Their keys are their prefixes
// without a slash at the end.
type CacheRuleReader interface {
	// CacheRules returns the registry's rules that have the keys given, in their
	// order.
	CacheRules(id ID, keys []string) ([]CacheRule, error)
	// CacheRulesAfter returns at most limit of the registry's rules that come
	// after a key, in byte order.
	CacheRulesAfter(id ID, key string, limit int) ([]CacheRule, error)
	// CacheRuleCount returns how many rules the registry has.
	CacheRuleCount(id ID) (int, error)
}

// CacheRuleWriter writes pull-through cache rules.
type CacheRuleWriter interface {
	// InsertCacheRule reports whether the key was free.
	InsertCacheRule(id ID, c CacheRule) (bool, error)
	// UpdateCacheRule replaces the rule of the same key.
	UpdateCacheRule(id ID, c CacheRule) error
	DeleteCacheRule(id ID, c CacheRule) error
}

// LifecycleReader reads lifecycle policies and their previews. Repositories are
// given by their UIDs.
type LifecycleReader interface {
	LifecyclePolicy(repository string) (*LifecyclePolicy, error)
	// LifecycleRepositories returns at most limit repositories of the registry
	// that have a policy and whose names come after a name, in byte order.
	LifecycleRepositories(id ID, after RepositoryName, limit int) ([]Repository, error)
	// DueLifecyclePolicy returns a policy, perhaps of a deleted repository, that
	// is due at the time given: first those that were never carried out, then
	// the one that has waited longest. One that is due after latest is due, too:
	// the clock was wrong.
	DueLifecyclePolicy(at, latest time.Time) (*LifecyclePolicy, error)
	// DueLifecyclePreview returns the preview, perhaps of a deleted repository,
	// that has waited longest of those that are due at the time given.
	DueLifecyclePreview(at time.Time) (*LifecyclePreview, error)
	// LifecycleImages returns all images of the repository, with the children
	// that are there.
	LifecycleImages(repository string) ([]lifecycle.Image, error)
	LifecyclePreview(repository string) (*LifecyclePreview, error)
	// LifecycleResults returns at most limit results of the preview whose
	// digests come after a digest, in byte order.
	LifecycleResults(repository string, t TagStatus, after digest.Digest, limit int) ([]LifecycleResult, error)
	LifecycleResult(repository string, t TagStatus, d digest.Digest) (*LifecycleResult, error)
}

// LifecycleWriter writes lifecycle policies and their previews. A repository has
// at most one of each.
type LifecycleWriter interface {
	// PutLifecyclePolicy replaces everything but Changes.
	PutLifecyclePolicy(*LifecyclePolicy) error
	// PostponeLifecyclePolicy makes the policy due at a time, unless it was put
	// or carried out meanwhile.
	PostponeLifecyclePolicy(p *LifecyclePolicy, until time.Time) error
	// RenewLifecyclePolicies makes all policies of the registry due at a time.
	RenewLifecyclePolicies(id ID, at time.Time) error
	// LifecycleChanged counts a change of the repository's policy's Changes.
	LifecycleChanged(repository string) error
	DeleteLifecyclePolicy(repository string) error
	PutLifecyclePreview(*LifecyclePreview) error
	// PostponeLifecyclePreview makes the preview due at a time, unless it was
	// started anew or computed meanwhile.
	PostponeLifecyclePreview(p *LifecyclePreview, until time.Time) error
	DeleteLifecyclePreview(repository string) error
	PutLifecycleResults(repository string, results []LifecycleResult) error
	// DeleteLifecycleResults removes at most limit results and returns how
	// many it has removed.
	DeleteLifecycleResults(repository string, limit int) (int64, error)
}

// Leases make one of several processes do something.
type Leases interface {
	// Lease gives the named lease to the owner until a time, and reports
	// whether it did: it does not while another one holds it.
	Lease(name, owner string, now, until time.Time) (bool, error)
}

// QuotaReader reads what quotas count, and which were granted. No count costs
// more the more is stored.
type QuotaReader interface {
	// RepositoryCount returns how many repositories the registry has.
	RepositoryCount(id ID) (int64, error)
	// TagCount returns how many tags an image has, limit if it has more.
	TagCount(image string, limit int64) (int64, error)
	// GrantedQuota returns the value that a registry was granted, 0 if none was.
	GrantedQuota(id ID, code string) (int64, error)
	// GrantedQuotas returns all values of a quota that were granted.
	GrantedQuotas(code string) (map[ID]int64, error)
	// QuotaRequests returns at most limit requests of the registry whose ids
	// come after one, oldest first.
	QuotaRequests(id ID, f QuotaRequestFilter, after string, limit int) ([]QuotaRequest, error)
	// AllQuotaRequests is QuotaRequests for all registries.
	AllQuotaRequests(f QuotaRequestFilter, after string, limit int) ([]QuotaRequest, error)
}

// QuotaWriter writes what was asked for and granted.
type QuotaWriter interface {
	// GrantQuota records a value, unless a greater one was granted already.
	GrantQuota(id ID, code string, value int64) error
	InsertQuotaRequest(*QuotaRequest) error
	// ApproveQuotaRequests approves all pending requests of the registry for a
	// quota that ask for no more than a value.
	ApproveQuotaRequests(id ID, code string, value int64, at time.Time) error
	// DenyQuotaRequest denies a pending request.
	DenyQuotaRequest(requestID string, at time.Time) error
}

// StorageReader reads sums of the bytes that repositories hold.
type StorageReader interface {
	// StorageUsed returns the bytes that the quota's repositories hold. CountStorage
	// must have been called for it before.
	StorageUsed(StorageQuota) (int64, error)
}

// StorageWriter begins such sums.
type StorageWriter interface {
	// CountStorage has the sum kept from now on. Once for each quota it costs as
	// much as there are repositories.
	CountStorage(StorageQuota) error
}

// PublicReader reads what only public registries and their repositories have.
type PublicReader interface {
	// Alias returns the alias of an account's public registry, "" if it has none.
	Alias(account string) (string, error)
	// AccountByAlias returns whose public registry has an alias, "" if none has.
	AccountByAlias(alias string) (string, error)
	// Catalog returns what a repository says of itself, its logo without the
	// content, or nil if it never said anything.
	Catalog(repository string) (*Catalog, error)
	// Logo returns the logo of a repository, the zero Logo if it has none with
	// that digest.
	Logo(repository string, d digest.Digest) (Logo, error)
}

// PublicWriter writes what only public registries and their repositories have.
type PublicWriter interface {
	// InsertAlias gives an account's public registry an alias, unless it has one
	// or another has that one.
	InsertAlias(account, alias string, at time.Time) error
	// PutCatalog replaces what a repository says of itself.
	PutCatalog(repository string, c Catalog) error
}

// DeletedReader reads what was deleted and can perhaps be restored.
type DeletedReader interface {
	// DeletedRepositories returns at most limit repositories of the registry that
	// were deleted after a time, the last first, from after a place on.
	DeletedRepositories(id ID, since time.Time, after Deletion, limit int) ([]Repository, error)
	// DeletedRepository returns the repository that was deleted last of those that
	// had the name, or the one with the UID if that is not "".
	DeletedRepository(ref Ref, uid string, lock Lock) (*Repository, error)
	// DeletedImages returns at most limit images of the repository that were
	// deleted after a time, the last first, from after a place on: each digest
	// once, those that are there again left out.
	DeletedImages(repository string, since time.Time, after Deletion, limit int) ([]DeletedImage, error)
	// DeletedImage returns the image of that digest that was deleted last.
	DeletedImage(repository string, d digest.Digest) (*DeletedImage, error)
	// LayersNotHeld returns the layers that an image, deleted or not, refers to and
	// its repository does not hold.
	LayersNotHeld(img *Image) ([]digest.Digest, error)
}

// DeletedWriter brings back what was deleted.
type DeletedWriter interface {
	// UndeleteRepository makes a deleted repository live again with all that is in
	// it, and reports whether its name was free.
	UndeleteRepository(*Repository) (bool, error)
	// UndeleteImage makes a deleted image live again, without tags. No image of its
	// digest may live.
	UndeleteImage(img *Image) error
}

// Journal takes what goes with a change in the same transaction.
type Journal interface {
	// Emit adds an event to the outbox.
	Emit(Event) error
	// Record adds the audit record of the call.
	Record(access.Record) error
	// AddUsage adds to the counters of a repository and principal.
	AddUsage(Usage) error
}

package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
)

// Repository is a named set of images in a registry.
type Repository struct {
	Ref
	UID        string // unique for ever, unlike the name
	CreatedAt  time.Time
	Mutability Mutability
	ScanOnPush bool
	Encryption Encryption
	Tags       map[string]string // resource tags, not image tags
	Images     int64             // that are not archived; kept by the store
	Protected  bool              // against deletion
	DeletedAt  time.Time         // zero while it lives
	DeletedBy  string            // the principal's ARN; "" while it lives, or if that is not known
	Policy     string            // who else may do what with it, as it was put; "" for none
	Alias      string            // of a public repository's registry; filled in by the verbs about repositories
}

// Encryption says how a repository's bytes are to be sealed at rest.
type Encryption struct {
	Type string `json:"encryptionType,omitempty"` // AES256, KMS or KMS_DSSE
	Key  string `json:"kmsKey,omitempty"`         // the ARN of the KMS key; "" for AES256
}

// KeyDomain names the set of repositories whose bytes are sealed under the same
// key and may therefore be stored once. A domain never spans accounts, regions
// or keys.
func (r *Repository) KeyDomain() string {
	return strings.Join([]string{r.Account, r.Region, r.Encryption.Type, r.Encryption.Key}, "/")
}

// Domain says what the repository's bytes are sealed under.
func (r *Repository) Domain() blob.Domain {
	return blob.Domain{Name: r.KeyDomain(), Key: r.Encryption.Key, Double: r.Encryption.Type == "KMS_DSSE"}
}

// CreateRepositoryInput is what CreateRepository is asked for.
type CreateRepositoryInput struct {
	Ref
	Mutability Mutability        `json:"imageTagMutability"`
	ScanOnPush bool              `json:"scanOnPush"`
	Encryption Encryption        `json:"encryptionConfiguration"`
	Tags       map[string]string `json:"tags,omitempty"`
	Policy     string            `json:"repositoryPolicy,omitempty"` // of the template that it is made by
	Catalog    *Catalog          `json:"-"`                          // of a public repository; nil if it says nothing
}

// params are the audited parameters.
func (in CreateRepositoryInput) params() any {
	if in.Catalog == nil {
		return in
	}
	return struct {
		CreateRepositoryInput
		Said *catalogParams `json:"catalogData"`
	}{in, in.Catalog.params()}
}

// CreateRepository makes an empty repository. Errors:
// RepositoryAlreadyExistsException, InvalidParameterException,
// InvalidTagParameterException, TooManyTagsException, LimitExceededException,
// KmsException.
func (r *Registry) CreateRepository(ctx context.Context, c access.Caller, in CreateRepositoryInput) (*Repository, error) {
	q := request{caller: c, event: "CreateRepository", ref: in.Ref, params: in.params(), context: requestTags(in.Tags)}
	if len(in.Tags) > 0 {
		q.also = []string{in.service() + ":TagResource"}
	}
	uid := newID()
	var given *allowance
	if in.Encryption.kms() {
		var err error
		if given, err = r.prepare(ctx, &q, func(tx ReadTx) (Encryption, string, error) {
			err := r.decide(ctx, tx, q, nil)
			if err != nil {
				return Encryption{}, "", err
			}
			there, err := tx.Repository(in.Ref, LockNone)
			if err == nil && there != nil {
				err = errRepositoryExists(in.Ref)
			}
			return in.Encryption, uid, err
		}); err != nil {
			return nil, err
		}
	}
	var repo *Repository
	err := r.updateAll(ctx, q, func(tx Tx) error {
		if given != nil {
			in.Encryption, given.used = given.encryption(), true
		}
		var err error
		repo, err = r.insertRepository(tx, in, uid)
		return err
	})
	return repo, r.conclude(ctx, given, err)
}

// insertRepository checks in and inserts the repository it describes.
func (r *Registry) insertRepository(tx Tx, in CreateRepositoryInput, uid string) (*Repository, error) {
	if in.Mutability.Mode == "" {
		in.Mutability.Mode = Mutable
	}
	if err := in.Mutability.check(); err != nil {
		return nil, err
	}
	if err := checkResourceTags(in.Tags); err != nil {
		return nil, err
	}
	if err := in.Encryption.complete(in.ID); err != nil {
		return nil, err
	}
	repo := &Repository{
		Ref: in.Ref, UID: uid, CreatedAt: r.now(), Mutability: in.Mutability,
		ScanOnPush: in.ScanOnPush, Encryption: in.Encryption, Tags: in.Tags, Policy: in.Policy,
	}
	inserted, err := tx.InsertRepository(repo)
	if err != nil {
		return nil, err
	}
	if !inserted {
		return nil, errRepositoryExists(in.Ref)
	}
	if err := r.admitRepository(tx, in.ID); err != nil {
		return nil, err
	}
	if in.Public() {
		if err := r.publish(tx, repo, in.Catalog); err != nil {
			return nil, err
		}
	}
	return repo, tx.Emit(Event{Kind: RepositoryCreated, Ref: in.Ref, RepositoryUID: repo.UID, Time: repo.CreatedAt})
}

// complete checks the configuration and fills in what is left to ECR.
func (e *Encryption) complete(id ID) error {
	switch e.Type {
	case "":
		e.Type = "AES256"
	case "AES256", "KMS", "KMS_DSSE":
	default:
		return invalidParameter("encryptionConfiguration.encryptionType", "Member must satisfy enum value set: [AES256, KMS, KMS_DSSE]")
	}
	if e.Type == "AES256" {
		if e.Key != "" {
			return invalidParameter("encryptionConfiguration.kmsKey", "kmsKey can only be specified when encryptionType is KMS or KMS_DSSE")
		}
		return nil
	}
	if hasControl(e.Key) {
		return invalidParameter("encryptionConfiguration.kmsKey", "a key is named without control characters")
	}
	if e.Key == "" {
		// The key that AWS manages for ECR, by its alias.
		e.Key = "arn:aws:kms:" + id.Region + ":" + id.Account + ":alias/aws/ecr"
	}
	return nil
}

// DeleteRepositoryInput is what DeleteRepository is asked for.
type DeleteRepositoryInput struct {
	Ref
	Force bool `json:"force"`
}

// DeleteRepository removes a repository with all that is in it, which
// [Registry.RestoreRepository] can bring back for a time. Without Force it must
// hold no image, and whatever Force says it must not be protected. The cost does
// not depend on how many images there are. Errors: RepositoryNotFoundException,
// RepositoryNotEmptyException, InvalidParameterException.
func (r *Registry) DeleteRepository(ctx context.Context, c access.Caller, in DeleteRepositoryInput) (*Repository, error) {
	var out *Repository
	q := request{caller: c, event: "DeleteRepository", ref: in.Ref, params: in, lock: LockDelete}
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		if repo.Protected {
			return errProtected(in.Ref)
		}
		if !in.Force {
			any, err := tx.HasImages(repo.UID)
			if err != nil {
				return err
			}
			if any {
				return errRepositoryNotEmpty(in.Ref)
			}
		}
		out = repo
		repo.DeletedAt, repo.DeletedBy = r.now(), c.ARN
		if err := tx.UpdateRepository(repo); err != nil {
			return err
		}
		if err := r.retireKeyGrants(tx, repo); err != nil {
			return err
		}
		if in.Public() {
			var err error
			if repo.Alias, err = tx.Alias(in.Account); err != nil {
				return err
			}
		}
		return tx.Emit(Event{Kind: RepositoryDeleted, Ref: in.Ref, RepositoryUID: repo.UID, Time: repo.DeletedAt})
	})
	return out, err
}

// DescribeRepositoriesInput is what DescribeRepositories is asked for: either
// names, or a page of all.
type DescribeRepositoriesInput struct {
	ID
	Names []RepositoryName `json:"repositoryNames,omitempty"`
	Page  Page             `json:"-"`
}

// DescribeRepositories returns repositories in the order of the names given, or
// a page of all of them in byte order. Errors: RepositoryNotFoundException.
func (r *Registry) DescribeRepositories(ctx context.Context, c access.Caller, in DescribeRepositoriesInput) ([]Repository, NextToken, error) {
	if len(in.Names) > 0 {
		out, err := r.describeNamed(ctx, c, in)
		return out, "", err
	}
	var out []Repository
	var next NextToken
	q := request{caller: c, event: "DescribeRepositories", ref: Ref{ID: in.ID, Name: "*"}, params: in, readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		from, err := r.pages.open(in.Page.Token, "DescribeRepositories", in.ID)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 1000)
		if out, err = tx.Repositories(in.ID, RepositoryName(from), limit+1); err != nil {
			return err
		}
		out, next = cut(r.pages, out, limit, func(repo Repository) string { return string(repo.Name) }, "DescribeRepositories", in.ID)
		return withAlias(tx, in.ID, out)
	})
	return out, next, err
}

func (r *Registry) describeNamed(ctx context.Context, c access.Caller, in DescribeRepositoriesInput) ([]Repository, error) {
	if in.Page != (Page{}) {
		return nil, invalidParameter("repositoryNames", "nextToken and maxResults cannot be used with repositoryNames")
	}
	var out []Repository
	q := request{caller: c, event: "DescribeRepositories", ref: Ref{ID: in.ID, Name: "*"}, params: in, readOnly: true}
	err := r.viewTx(ctx, q, func(tx ReadTx) error {
		out = out[:0]
		for _, name := range in.Names {
			q.ref.Name = name
			repo, err := r.open(ctx, tx, q)
			if err != nil {
				return err
			}
			out = append(out, *repo)
		}
		return withAlias(tx, in.ID, out)
	})
	return out, err
}

// RepositoryNames returns at most limit names that sort after last, in byte
// order: the catalog of the distribution API. The caller must be allowed
// ecr:DescribeRepositories.
func (r *Registry) RepositoryNames(ctx context.Context, c access.Caller, id ID, last string, limit int) ([]string, error) {
	var out []string
	q := request{caller: c, event: "DescribeRepositories", ref: Ref{ID: id, Name: "*"}, readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		var err error
		out, err = tx.RepositoryNames(id, last, limit)
		return err
	})
	return out, err
}

// PutImageTagMutabilityInput is what PutImageTagMutability is asked for.
type PutImageTagMutabilityInput struct {
	Ref
	Mutability Mutability `json:"imageTagMutability"`
}

// PutImageTagMutability replaces the repository's rule about tags. It concerns
// later pushes only. Errors: RepositoryNotFoundException,
// InvalidParameterException.
func (r *Registry) PutImageTagMutability(ctx context.Context, c access.Caller, in PutImageTagMutabilityInput) error {
	q := request{caller: c, event: "PutImageTagMutability", ref: in.Ref, params: in, lock: LockChange}
	return r.update(ctx, q, func(tx Tx, repo *Repository) error {
		if err := in.Mutability.check(); err != nil {
			return err
		}
		repo.Mutability = in.Mutability
		if err := tx.UpdateRepository(repo); err != nil {
			return err
		}
		return tx.Emit(Event{Kind: RepositoryChanged, Ref: in.Ref, RepositoryUID: repo.UID, Time: r.now()})
	})
}

// sortedKeys returns a map's keys in order.
func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

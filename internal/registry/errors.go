package registry

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// The texts are ECR's own wherever they are known; clients parse some of them.

func errRepositoryNotFound(r Ref) error {
	return fault.New(fault.NotFound, "RepositoryNotFoundException",
		"The repository with name '%s' does not exist in the registry with id '%s'", r.Name, r.Account)
}

func errRepositoryExists(r Ref) error {
	return fault.New(fault.Exists, "RepositoryAlreadyExistsException",
		"The repository with name '%s' already exists in the registry with id '%s'", r.Name, r.Account)
}

func errRepositoryNotEmpty(r Ref) error {
	return fault.New(fault.Conflict, "RepositoryNotEmptyException",
		"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", r.Name, r.Account)
}

// errTooManyLead refuses what policies cannot decide.
func errTooManyLead() error {
	return fault.New(fault.Denied, "AccessDeniedException", "More than %d tags lead to the image: it cannot be decided by its tags", maxLeading)
}

func errTooManyTags() error {
	return fault.New(fault.Exhausted, "TooManyTagsException", "A resource can have at most %d tags.", maxResourceTags)
}

func errInvalidTag(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidTagParameterException", format, args...)
}

func errUploadNotFound(r Ref, id string) error {
	return fault.New(fault.NotFound, "UploadNotFoundException",
		"The upload with id '%s' does not exist in the repository with name '%s' in the registry with id '%s'", id, r.Name, r.Account)
}

func errStoreAway(err error) error {
	if errors.Is(err, fault.ErrFull) {
		return fault.Outage(err)
	}
	e := fault.New(fault.Unavailable, "ServiceUnavailable", "The blob store is not available. Try again later.")
	e.Err, e.RetryAfter = err, time.Second
	return e
}

// noRoomRetry is when a push that found the disk full may be tried again.
const noRoomRetry = time.Minute

func errNoRoom() error {
	e := fault.New(fault.Reserved, "LimitExceededException", "There is no room on the disk of the registry for what is pushed. Delete images, or try again later.")
	e.RetryAfter = noRoomRetry
	return e
}

func errEmptyUpload(r Ref, id string) error {
	return fault.New(fault.Invalid, "EmptyUploadException",
		"The upload with id '%s' in the repository with name '%s' in the registry with id '%s' has no layer parts", id, r.Name, r.Account)
}

// errInvalidPart carries the members that InvalidLayerPartException is modelled
// with. lastValid is the last byte received, -1 if there is none.
func errInvalidPart(r Ref, id string, lastValid int64, format string, args ...any) error {
	e := fault.New(fault.OutOfRange, "InvalidLayerPartException", format, args...)
	e.Members = map[string]any{
		"registryId": r.Account, "repositoryName": string(r.Name), "uploadId": id, "lastValidByteReceived": max(lastValid, 0),
	}
	return e
}

func errInvalidLayer(want digest.Digest) error {
	return fault.New(fault.Invalid, "InvalidLayerException",
		"The digest of the uploaded layer does not match the digest that was given: '%s'", want)
}

func errPartTooSmall() error {
	return fault.New(fault.Invalid, "LayerPartTooSmallException", "Layer parts must be at least 5 MiB in size")
}

func errLayerExists(r Ref, d digest.Digest) error {
	return fault.New(fault.Exists, "LayerAlreadyExistsException",
		"The layer with digest '%s' already exists in the repository with name '%s' in the registry with id '%s'", d, r.Name, r.Account)
}

func errLayerNotFound(r Ref, d digest.Digest) error {
	return fault.New(fault.NotFound, "LayersNotFoundException",
		"The layer with digest '%s' does not exist within the repository with name '%s' in the registry with id '%s'", d, r.Name, r.Account)
}

func errLayerDamaged(r Ref, d digest.Digest) error {
	return fault.New(fault.NotFound, "LayersNotFoundException",
		"The layer with digest '%s' in the repository with name '%s' in the registry with id '%s' is damaged where it is stored. Push it again to heal it", d, r.Name, r.Account)
}

func errLayerInaccessible(r Ref, d digest.Digest) error {
	return fault.New(fault.Conflict, "LayerInaccessibleException",
		"The layer with digest '%s' in the repository with name '%s' in the registry with id '%s' is not associated with an image", d, r.Name, r.Account)
}

func errLayerInUse(r Ref, d digest.Digest) error {
	return fault.New(fault.Conflict, "LayerInUseException",
		"The layer with digest '%s' in the repository with name '%s' in the registry with id '%s' is referenced by an image", d, r.Name, r.Account)
}

func errLinkRefused() error {
	e := fault.New(fault.Denied, "AccessDeniedException", "The download link is not valid or has expired")
	e.DecisionID = access.NewDecisionID() // nothing is kept of it: nobody is known to have asked
	return e
}

func errLayersMissing(r Ref, missing []digest.Digest) error {
	return fault.New(fault.NotFound, "LayersNotFoundException",
		"Layers with digests '%s' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist",
		digestList(missing), r.Name, r.Account)
}

func errReferencedMissing(r Ref, missing []digest.Digest) error {
	return fault.New(fault.NotFound, "ReferencedImagesNotFoundException",
		"Images with digests '%s' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist",
		digestList(missing), r.Name, r.Account)
}

// errKey returns KmsException for an error that says that a key cannot be used, and
// any other error as it is.
func errKey(err error) error {
	var k *blob.KeyError
	if !errors.As(err, &k) {
		return err
	}
	return kmsException(k.Reason, err)
}

// kmsException is ECR's exception for one of KMS.
func kmsException(code string, err error) *fault.Error {
	e := fault.New(fault.Conflict, "KmsException", "The operation failed because the KMS key of the repository cannot be used: %s", code)
	e.Members, e.Err = map[string]any{"kmsError": code}, err
	return e
}

// digestList prints digests as ECR does: [a, b].
func digestList(ds []digest.Digest) string {
	s := make([]string, len(ds))
	for i, d := range ds {
		s[i] = d.String()
	}
	return "[" + strings.Join(s, ", ") + "]"
}

func errImageExists(r Ref, d digest.Digest, tag string) error {
	if tag == "" {
		return fault.New(fault.Exists, "ImageAlreadyExistsException",
			"Image with digest '%s' already exists in the repository with name '%s' in registry with id '%s'", d, r.Name, r.Account)
	}
	return fault.New(fault.Exists, "ImageAlreadyExistsException",
		"Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", d, tag, r.Name, r.Account)
}

func errTagImmutable(r Ref, tag string) error {
	return fault.New(fault.Exists, "ImageTagAlreadyExistsException",
		"The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", tag, r.Name)
}

func errDigestMismatch(given, computed digest.Digest) error {
	return fault.New(fault.Invalid, "ImageDigestDoesNotMatchException",
		"The digest '%s' of the image manifest does not match the digest that was given: '%s'", computed, given)
}

func errManifestTooLarge() error {
	return fault.New(fault.TooLarge, "InvalidParameterException",
		"Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Member must have length less than or equal to %d'", MaxManifestSize)
}

// errManifest refuses a manifest for a reason that its author can act on.
func errManifest(format string, args ...any) error {
	return invalidParameter("ImageManifest", fmt.Sprintf(format, args...))
}

func errImageNotFound(r Ref, id ImageID) error {
	return fault.New(fault.NotFound, "ImageNotFoundException",
		"The image with imageId %s does not exist within the repository with name '%s' in the registry with id '%s'", id, r.Name, r.Account)
}

func errTemplateExists(id ID, prefix string) error {
	return fault.New(fault.Exists, "TemplateAlreadyExistsException",
		"The repository creation template with prefix '%s' already exists in the registry with id '%s'", prefix, id.Account)
}

func errTemplateNotFound(id ID, prefix string) error {
	return fault.New(fault.NotFound, "TemplateNotFoundException",
		"The repository creation template with prefix '%s' does not exist in the registry with id '%s'", prefix, id.Account)
}

func errTooManyTemplates() error {
	return fault.New(fault.Exhausted, "LimitExceededException", "A registry can have at most %d repository creation templates.", maxTemplates)
}

func errCacheRuleExists(id ID, prefix string) error {
	return fault.New(fault.Exists, "PullThroughCacheRuleAlreadyExistsException",
		"The pull through cache rule with prefix '%s' already exists in the registry with id '%s'", prefix, id.Account)
}

func errCacheRuleNotFound(id ID, prefix string) error {
	return fault.New(fault.NotFound, "PullThroughCacheRuleNotFoundException",
		"The pull through cache rule with prefix '%s' does not exist in the registry with id '%s'", prefix, id.Account)
}

func errTooManyCacheRules() error {
	return fault.New(fault.Exhausted, "LimitExceededException", "A registry can have at most %d pull through cache rules.", maxCacheRules)
}

func errUnsupportedUpstream(url string) error {
	return fault.New(fault.Invalid, "UnsupportedUpstreamRegistryException", "The upstream registry %.255q is not supported", url)
}

func errCredentialMissing() error {
	return fault.New(fault.Invalid, "UnsupportedUpstreamRegistryException", "The specified upstream registry requires authentication")
}

func errSecretNotFound(arn string) error {
	return fault.New(fault.NotFound, "SecretNotFoundException", "The secret with ARN '%s' does not exist", arn)
}

func errExclusionExists(id ID, arn string) error {
	return fault.New(fault.Exists, "ExclusionAlreadyExistsException",
		"The pull time update exclusion for '%s' already exists in the registry with id '%s'", arn, id.Account)
}

func errExclusionNotFound(id ID, arn string) error {
	return fault.New(fault.NotFound, "ExclusionNotFoundException",
		"The pull time update exclusion for '%s' does not exist in the registry with id '%s'", arn, id.Account)
}

func errTooManyExclusions() error {
	return fault.New(fault.Exhausted, "LimitExceededException", "A registry can have at most %d pull time update exclusions.", maxExclusions)
}

func errBackfillNotFound(id ID, backfill string) error {
	return fault.New(fault.NotFound, "ReplicationBackfillNotFoundException",
		"The replication backfill with id '%s' does not exist in the registry with id '%s'", backfill, id.Account)
}

func errScanNotFound(r Ref, id ImageID) error {
	return fault.New(fault.NotFound, "ScanNotFoundException",
		"Image scan does not exist for the image with '%s' in the repository with name '%s' in the registry with id '%s'", id, r.Name, r.Account)
}

func errNoSigningConfiguration(id ID) error {
	return fault.New(fault.NotFound, "SigningConfigurationNotFoundException",
		"Signing configuration does not exist in the registry with id '%s'", id.Account)
}

func errRegistryNotFound(alias string) error {
	return fault.New(fault.NotFound, "RegistryNotFoundException", "The registry with alias '%s' does not exist", alias)
}

func errCatalogNotFound(r Ref) error {
	return fault.New(fault.NotFound, "RepositoryCatalogDataNotFoundException",
		"Catalog data does not exist for the repository with name '%s' in the registry with id '%s'", r.Name, r.Account)
}

func errNoRepositoryPolicy(r Ref) error {
	return fault.New(fault.NotFound, "RepositoryPolicyNotFoundException",
		"Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", r.Name, r.Account)
}

func errNoRegistryPolicy(id ID) error {
	return fault.New(fault.NotFound, "RegistryPolicyNotFoundException", "Registry policy does not exist in the registry with id '%s'", id.Account)
}

func errLifecyclePolicyNotFound(r Ref) error {
	return fault.New(fault.NotFound, "LifecyclePolicyNotFoundException",
		"Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", r.Name, r.Account)
}

func errPreviewNotFound() error {
	return fault.New(fault.NotFound, "LifecyclePolicyPreviewNotFoundException", "There is no dry run for this repository")
}

func errPreviewInProgress() error {
	return fault.New(fault.Conflict, "LifecyclePolicyPreviewInProgressException",
		"The previous lifecycle policy preview request has not completed. Wait and try again.")
}

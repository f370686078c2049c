package registry

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// The kinds of events.
const (
	ImagePushed       = "image.pushed"
	ImageDeleted      = "image.deleted"
	ImageArchived     = "image.archived"
	ImageRestored     = "image.restored"  // from the archive
	ImageUndeleted    = "image.undeleted" // restored after it was deleted
	RepositoryCreated = "repository.created"
	RepositoryChanged = "repository.changed"
	RepositoryDeleted = "repository.deleted"

	RepositoryUndeleted = "repository.undeleted"

	SettingChanged = "setting.changed"

	ObjectDamaged = "object.damaged" // bytes of a digest were found missing or wrong: in a registry, of no repository
	ObjectHealed  = "object.healed"  // they are whole again
)

// Event is something that happened. It is written to the outbox in the
// transaction that made it happen, and handed out from there.
type Event struct {
	Kind          string        `json:"-"`
	Ref           Ref           `json:"-"`
	RepositoryUID string        `json:"-"`
	Time          time.Time     `json:"-"`
	Digest        digest.Digest `json:"digest,omitempty"`
	Tag           string        `json:"tag,omitempty"`
	MediaType     string        `json:"mediaType,omitempty"`    // of the manifest
	ArtifactType  string        `json:"artifactType,omitempty"` // of the artifact, or its configuration's media type
	Subject       digest.Digest `json:"subject,omitempty"`
	Principal     string        `json:"principal,omitempty"` // whose call it was
	Detail        string        `json:"detail,omitempty"`    // what has changed of a registry: a setting by its name, or "template team"; what is wrong with an object
}

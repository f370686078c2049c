// Package lifecycle reads lifecycle policies and decides what they mean for the
// images of a repository.
//
// It is pure: it is given the images and the time, and changes nothing. The
// grammar and its limits are those of the ECR User Guide, "Lifecycle policy
// properties"; [Options] allow more.
package lifecycle

import "berth/internal/fault"

// Policy is a lifecycle policy that has been found to be valid. Its rules are in
// the order of their priorities, lowest first: a rule comes before those that it
// keeps images from.
type Policy struct {
	Rules []Rule
}

// Rule says what is to happen to which images.
type Rule struct {
	Priority    int // at least 1, unique in the policy
	Description string
	Selection   Selection
	Action      Action
}

// Selection says which images a rule is about, and which of those are over its
// limit.
type Selection struct {
	TagStatus TagStatus
	Prefixes  []string // each must begin some tag of the image; only with Tagged
	Patterns  []string // each must match some tag of the image; only with Tagged
	Excluded  []string // none may match any tag of the image; an extension
	Class     Class
	Count     CountType
	Number    int // images, or days; 0 only with NoCount
}

// TagStatus says whether a rule is about images with or without tags.
type TagStatus string

// The values of tagStatus.
const (
	Tagged   TagStatus = "tagged"
	Untagged TagStatus = "untagged"
	Any      TagStatus = "any"
)

// Class is a storage class.
type Class string

// The storage classes.
const (
	Standard Class = "standard"
	Archive  Class = "archive"
)

// CountType says what a rule's number counts.
type CountType string

// The values of countType.
const (
	MoreThan          CountType = "imageCountMoreThan"
	SincePushed       CountType = "sinceImagePushed"
	SincePulled       CountType = "sinceImagePulled"
	SinceTransitioned CountType = "sinceImageTransitioned"
	NoCount           CountType = "" // of a retain rule that keeps all that it selects
)

// Action is what happens to an image.
type Action string

// The actions. A rule has one of the first three; a decision has one of the
// first two, or is Keep.
const (
	Expire     Action = "expire"
	Transition Action = "transition" // to the archive
	Retain     Action = "retain"     // an extension: images within the limit are out of reach for later rules
	Keep       Action = ""
)

// Options say what of the grammar is allowed beside ECR's.
type Options struct {
	// Extended allows
	//
	//   - sinceImagePulled with expire;
	//   - {"type": "retain"}: what is within the rule's limit is kept from the
	//     rules after it, and what is over it is left to them; without countType
	//     all that the rule selects is kept;
	//   - tagPatternExcludeList: images with a matching tag are not selected;
	//   - sinceImageTransitioned with fewer than 90 days.
	Extended bool
}

const (
	maxRules     = 50
	maxWildcards = 4
	minArchived  = 90 // days that ECR keeps an image in the archive at least
)

const envelope = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "

// refuse returns ECR's error about a policy.
func refuse(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidParameterException", envelope+format+"'", args...)
}

// refuseOpen is refuse without the closing quote, which ECR leaves out of some
// of its texts.
func refuseOpen(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidParameterException", envelope+format, args...)
}

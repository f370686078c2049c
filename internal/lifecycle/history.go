package lifecycle

import "time"

// History is what was in a repository over some time.
type History struct {
	Images []Past
	Tags   []TagChange // those of one tag in their order
}

// Past is an image that was in a repository at some time. Its tags are in the
// history's changes of tags.
type Past struct {
	Image                // as it was last; Tags and Orphan do not count
	DeletedAt  time.Time // zero if it is still there
	Expired    bool      // a lifecycle policy deleted it
	OrphanedAt time.Time // when its subject was first deleted after the image had been pushed; zero if never
}

// TagChange is a tag that was put on an image, or that went away.
type TagChange struct {
	At     time.Time
	Tag    string
	Digest string // of the image; "" if the tag went away
	Policy bool   // a lifecycle policy did it
}

// Removal is what a policy would have done to an image.
type Removal struct {
	Image       Image // as it was then, with its tags
	At          time.Time
	Action      Action // Expire or Transition
	Rule        int    // the priority of the rule; 0 if none decided
	Reason      Reason
	LastPull    time.Time // of which is known; zero if none is
	PulledLater bool      // the last pull came after that
	StillThere  bool      // the image is in the repository now
}

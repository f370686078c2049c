package access

import "time"

// Session is what is special about a caller with temporary credentials.
type Session struct {
	// Parent is the ARN of the role, path included, or of the user that a federated
	// user's session was made by; "" for a session of a user or a root itself.
	Parent string
	// Owner is the id of the role, the user or the root that the session is of.
	Owner string
	// Token is the SHA-256 of the token that must come with every request.
	Token             [32]byte
	IssuedAt, Expires time.Time
	// Limited is true of sessions that must not call IAM, and little of STS.
	Limited        bool
	SourceIdentity string
	Provider       string // the ARN of the provider whose token the session was made with
	ServiceLinked  bool   // the role is linked to a service
}

// Revoked says which of a principal's registry passwords no longer work.
type Revoked struct {
	Before time.Time       // those made then or earlier
	Tokens map[string]bool // those with these ids
}

// Has reports whether a password that was made at a time no longer works.
func (r *Revoked) Has(made time.Time, id string) bool {
	return r != nil && (!made.After(r.Before) || r.Tokens[id])
}

package gc

import "time"

// request is the last run that somebody has asked for.
type request struct {
	Number int64 `json:"number"`
	Full   int64 `json:"full"` // the last one that is to look everything through
}

// Queue is what waits.
type Queue struct {
	Repositories int64     `json:"repositories"` // deleted
	Images       int64     `json:"images"`       // deleted, apart from those of such repositories
	Layers       int64     `json:"layers"`       // that no image is known to refer to
	Objects      int64     `json:"objects"`      // that something has let go of
	Keys         int64     `json:"keys"`         // in the bucket, whose bytes are to go
	KeysUntil    time.Time `json:"keysUntil,omitzero"`
}

// Run is a run, or the last one.
type Run struct {
	Served    int64     `json:"served"` // the number of the last request that it was for, or one before it
	Full      int64     `json:"full"`   // likewise of those to look everything through
	Running   bool      `json:"running"`
	Phase     string    `json:"phase,omitempty"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
	Removed
	Repositories int64  `json:"repositories"`
	Found        int64  `json:"found"`   // what nobody had noted, when all was looked through
	Orphans      int64  `json:"orphans"` // keys in the bucket that nobody knew of
	Examined     int64  `json:"examined"`
	Error        string `json:"error,omitempty"`

	Total Removed `json:"total"` // of all runs
	Runs  int64   `json:"runs"`
}

// Status says how far garbage collection has come.
type Status struct {
	Requested int64 `json:"requested"` // the number of the last request for a run
	Run       Run   `json:"run"`
	Queue     Queue `json:"queue"`
}

// position is how far everything has been looked through.
type position struct {
	StartedAt time.Time  `json:"startedAt,omitzero"` // zero if it is not under way
	EndedAt   time.Time  `json:"endedAt,omitzero"`   // the last time
	Layer     LooseLayer `json:"layer,omitzero"`
	Layers    bool       `json:"layers,omitempty"` // the layers are done
	Object    string     `json:"object,omitempty"`
	Objects   bool       `json:"objects,omitempty"` // and the objects
}

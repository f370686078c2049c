package registry

import (
	"context"
	"sync"
	"time"

	"berth/internal/access"
)

// pullResolution is how far apart recorded pull times are at least: pulls of an
// image that was pulled just before cost nothing.
const pullResolution = time.Minute

// maxPulls bounds how many pulls are remembered between two flushes.
const maxPulls = 100_000

// pull is an image and who pulled it.
type pull struct {
	image     string // its UID
	registry  ID
	principal string
}

// pulls remembers when images were pulled until it is stored. The zero value is
// empty.
type pulls struct {
	mu sync.Mutex
	at map[pull]time.Time // guarded by mu
}

// note remembers that an image was pulled, unless that is recorded already.
func (p *pulls) note(id ID, img *Image, c access.Caller, now time.Time) {
	if now.Sub(img.PulledAt) < pullResolution {
		return
	}
	p.put(pull{img.UID, id, c.ARN}, now)
}

func (p *pulls) put(k pull, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[pull]time.Time{}
	}
	if before, ok := p.at[k]; ok && !before.Before(at) || !ok && len(p.at) >= maxPulls {
		return
	}
	p.at[k] = at
}

// take empties it.
func (p *pulls) take() map[pull]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.at
	p.at = nil
	return at
}

// flushPulls stores the pull times that were remembered, but for those of
// principals that the registry excludes. Those that cannot be
// stored are kept for the next call.
func (r *Registry) flushPulls(ctx context.Context) error {
	at := r.pulls.take()
	if len(at) == 0 {
		return nil
	}
	err := r.store.KeepRelaxed(ctx, func(tx Tx) error {
		return recordPulls(tx, at)
	})
	if err != nil {
		for p, t := range at {
			r.pulls.put(p, t)
		}
	}
	return err
}

func recordPulls(tx Tx, at map[pull]time.Time) error {
	type puller struct {
		registry  ID
		principal string
	}
	excluded := map[puller]bool{}
	for p, t := range at {
		who := puller{p.registry, p.principal}
		out, known := excluded[who]
		if !known {
			var err error
			if out, err = tx.PullTimeExcluded(who.registry, who.principal); err != nil {
				return err
			}
			excluded[who] = out
		}
		if out {
			continue
		}
		if err := tx.RecordPull(p.image, t); err != nil {
			return err
		}
	}
	return nil
}

package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Role is a role and how it is assumed.
type Role struct {
	ARN         string
	SessionName string
	ExternalID  string        // "" for none
	Policy      string        // a session policy; "" for none
	Duration    time.Duration // of a session; an hour if 0
}

// SessionName returns a text as the name of a session can have it: what cannot be in
// one is a hyphen, what is too long is cut.
func SessionName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+=,.@-", r) {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), 64)]
}

// Assume returns what assumes the role, each time that it is asked, as the caller
// that a configuration is of. endpoint is where STS is, or "" for what the
// configuration says.
func (r Role) Assume(c aws.Config, endpoint string) aws.CredentialsProvider {
	client := sts.NewFromConfig(c, func(o *sts.Options) { o.BaseEndpoint = or(endpoint, o.BaseEndpoint) })
	return stscreds.NewAssumeRoleProvider(client, r.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = r.SessionName
		o.Duration = r.Duration
		if o.Duration == 0 {
			o.Duration = time.Hour
		}
		if r.ExternalID != "" {
			o.ExternalID = &r.ExternalID
		}
		if r.Policy != "" {
			o.Policy = &r.Policy
		}
	})
}

// Session holds the credentials of a role that is assumed again and again. It is
// safe for concurrent use: however many ask, the role is assumed once.
type Session struct {
	assume aws.CredentialsProvider
	now    func() time.Time
	log    func(error)

	mu      sync.Mutex
	held    aws.Credentials // guarded by mu
	since   time.Time       // when held was issued; guarded by mu
	failed  time.Time       // when it was last tried in vain; guarded by mu
	pending *attempt        // guarded by mu; nil if the role is not being assumed now
}

// attempt is one call of STS that several may wait for. Its result can be read once
// done is closed.
type attempt struct {
	done chan struct{}
	c    aws.Credentials
	err  error
}

const (
	assumeTimeout = 20 * time.Second // bounds one attempt to assume a role
	assumePause   = 10 * time.Second // after one that failed, while what is held works
)

// NewSession returns a session of a role that a provider assumes. log is told why
// credentials could not be renewed while those held still work. now is time.Now if
// nil.
func NewSession(assume aws.CredentialsProvider, log func(error), now func() time.Time) *Session {
	if now == nil {
		now = time.Now
	}
	return &Session{assume: assume, now: now, log: log}
}

// Credentials returns credentials of the role. Once half of the life of those that are
// held is over, they are renewed; nobody waits for that as long as they work.
func (s *Session) Credentials(ctx context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	now := s.now()
	held, works := s.held, s.held.AccessKeyID != "" && s.held.Expires.After(now)
	if works && (s.fresh(now) || now.Sub(s.failed).Abs() < assumePause) {
		s.mu.Unlock()
		return held, nil
	}
	a := s.pending
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		s.pending = a
		// The attempt is for all who wait, whoever leaves; it ends by its timeout.
		go s.run(context.WithoutCancel(ctx), a)
	}
	s.mu.Unlock()
	if works {
		return held, nil
	}
	select {
	case <-a.done:
		return a.c, a.err
	case <-ctx.Done():
		return aws.Credentials{}, ctx.Err()
	}
}

// fresh reports whether half of the life of what is held remains. mu must be held.
func (s *Session) fresh(now time.Time) bool {
	return s.held.AccessKeyID != "" && !now.Before(s.since) && s.held.Expires.Sub(now) >= s.held.Expires.Sub(s.since)/2
}

// run makes an attempt.
func (s *Session) run(ctx context.Context, a *attempt) {
	defer close(a.done)
	ctx, cancel := context.WithTimeout(ctx, assumeTimeout)
	defer cancel()
	began := s.now()
	a.c, a.err = s.assume.Retrieve(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
	if a.err == nil {
		s.held, s.since = a.c, began
		return
	}
	s.failed = s.now()
	if s.held.Expires.After(s.failed) {
		s.log(fmt.Errorf("credentials are not renewed: %w", a.err))
		a.c, a.err = s.held, nil
	}
}

// PrintProcess prints credentials as the AWS tools want them of a
// credential_process.
func PrintProcess(out io.Writer, c aws.Credentials) error {
	if !c.HasKeys() || !c.CanExpire {
		return errors.New("the answer has no temporary credentials")
	}
	return json.NewEncoder(out).Encode(struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}{1, c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires.UTC().Format(time.RFC3339)})
}

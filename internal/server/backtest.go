package server

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/lifecycle"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// BacktestPath is where it is found out what a lifecycle policy would have done
// over the last days:
//
//	POST {"repositoryName": "app", "lifecyclePolicyText": "...", "days": 90}
//	200  {"repositoryName": "app", "from": "...", "to": "...", "images": [...], ...}
//
// Without a text it is the repository's policy. It is signed, and answers errors,
// as ECR's operations do. The caller must be allowed
// ecr:StartLifecyclePolicyPreview. Nothing is changed.
const BacktestPath = "/_berth/v1/lifecycle/backtest"

// BacktestRequest is the body of a request to BacktestPath.
type BacktestRequest struct {
	RegistryID     *string `json:"registryId,omitempty"` // the caller's account if nil
	RepositoryName string  `json:"repositoryName"`
	PolicyText     *string `json:"lifecyclePolicyText,omitempty"` // the repository's policy if nil
	Days           *int    `json:"days,omitempty"`                // from 1 to 365; 90 if it is not given
}

// BacktestResponse is the answer.
type BacktestResponse struct {
	RepositoryName registry.RepositoryName `json:"repositoryName"`
	From           time.Time               `json:"from"`
	To             time.Time               `json:"to"`
	Expiring       int                     `json:"expiringImageTotalCount"`      // that would have been deleted
	Transitioning  int                     `json:"transitioningImageTotalCount"` // that would have been archived
	PulledLater    int                     `json:"pulledLaterTotalCount"`        // of both, those that were pulled after that
	Images         []BacktestImage         `json:"images"`                       // in the order of time
	Truncated      bool                    `json:"truncated"`                    // there are more images, later ones
}

// BacktestImage is an image that a policy would have deleted or archived.
type BacktestImage struct {
	Digest   digest.Digest    `json:"imageDigest"`
	Tags     []string         `json:"imageTags"` // that it had then
	PushedAt time.Time        `json:"imagePushedAt"`
	At       time.Time        `json:"removedAt"` // when it would have been deleted or archived
	Action   lifecycle.Action `json:"action"`
	Rule     int              `json:"appliedRulePriority,omitempty"`
	Reason   lifecycle.Reason `json:"reason"`
	// LastPull is the last pull that is recorded; earlier ones are not known.
	LastPull    *time.Time `json:"lastRecordedPullTime,omitempty"`
	PulledLater bool       `json:"pulledLater"` // LastPull came after that
	StillThere  bool       `json:"stillThere"`  // the image is in the repository now
}

const backtestLifecyclePolicy = "BacktestLifecyclePolicy"

// backtest tests a lifecycle policy for a caller.
func (s *Server) backtest(ctx context.Context, c access.Call, in BacktestRequest) (BacktestResponse, error) {
	test := registry.BacktestLifecyclePolicyInput{Days: in.Days}
	var err error
	test.Ref, err = repositoryOf(c, in.RegistryID, in.RepositoryName)
	if in.PolicyText != nil {
		if test.Text = *in.PolicyText; err == nil && test.Text == "" {
			err = errParameter("lifecyclePolicyText", "must not be empty")
		}
	}
	if err != nil {
		s.refused(c, "ecr", backtestLifecyclePolicy, err)
		return BacktestResponse{}, err
	}
	b, err := s.registry.BacktestLifecyclePolicy(ctx, c.Caller, test)
	if err != nil {
		return BacktestResponse{}, err
	}
	out := BacktestResponse{
		RepositoryName: test.Name, From: b.From, To: b.To, Expiring: b.Expiring, Transitioning: b.Transitioning, PulledLater: b.PulledLater,
		Images: []BacktestImage{}, Truncated: b.Truncated,
	}
	for _, r := range b.Removals {
		i := BacktestImage{
			Digest: digest.Digest(r.Image.Digest), Tags: append([]string{}, r.Image.Tags...), PushedAt: r.Image.PushedAt, At: r.At,
			Action: r.Action, Rule: r.Rule, Reason: r.Reason, PulledLater: r.PulledLater, StillThere: r.StillThere,
		}
		if !r.LastPull.IsZero() {
			i.LastPull = &r.LastPull
		}
		out.Images = append(out.Images, i)
	}
	return out, nil
}

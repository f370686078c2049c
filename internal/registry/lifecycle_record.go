package registry

import (
	"time"

	"berth/internal/access"
	"berth/internal/lifecycle"
)

// policyExecution returns the record of what a policy has done: CloudTrail's
// PolicyExecutionEvent.
func (r *Registry) policyExecution(repo *Repository, p *plan, done []lifecycle.Decision) access.Record {
	details := executionDetails{
		Repository: repo.Name,
		Policy:     executionPolicy{Rules: []executionRule{}, LastEvaluatedAt: millis(p.stored.EvaluatedAt), Version: 1, ID: p.stored.Version},
		Actions:    []executionAction{}, Failures: []string{},
	}
	for i := range p.policy.Rules {
		details.Policy.Rules = append(details.Policy.Rules, newExecutionRule(&p.policy.Rules[i]))
	}
	for _, d := range done {
		details.Actions = append(details.Actions, newExecutionAction(d))
	}
	return access.Record{
		Time: r.now(), Caller: access.Caller{Account: repo.Account}, Service: "ecr", Event: "PolicyExecutionEvent",
		Account: repo.Account, Region: repo.Region, Resource: repo.ARN(), ReadOnly: true, Details: details,
	}
}

// executionDetails are the serviceEventDetails of the event.
type executionDetails struct {
	Repository RepositoryName    `json:"repositoryName"`
	Policy     executionPolicy   `json:"lifecycleEventPolicy"`
	Actions    []executionAction `json:"lifecycleEventImageActions"`
	Failures   []string          `json:"lifecycleEventFailureDetails"`
}

type executionPolicy struct {
	Rules           []executionRule `json:"lifecycleEventRules"`
	LastEvaluatedAt int64           `json:"lastEvaluatedAt"` // milliseconds since 1970
	Version         int             `json:"policyVersion"`
	ID              string          `json:"policyId"`
}

type executionRule struct {
	Priority    int                `json:"rulePriority"`
	Description string             `json:"description"`
	Selection   executionSelection `json:"lifecycleEventSelection"`
	Action      lifecycle.Action   `json:"action"`
}

type executionSelection struct {
	TagStatus string          `json:"tagStatus"`
	Prefixes  []string        `json:"tagPrefixList"`
	Patterns  []string        `json:"tagPatternList,omitempty"`
	Excluded  []string        `json:"tagPatternExcludeList,omitempty"`
	Class     lifecycle.Class `json:"storageClass"`
	Count     string          `json:"countType,omitempty"`
	Unit      string          `json:"countUnit,omitempty"`
	Number    int             `json:"countNumber,omitempty"`
}

type executionAction struct {
	Image    executionImage   `json:"lifecycleEventImage"`
	Priority int              `json:"rulePriority,omitempty"`
	Action   lifecycle.Action `json:"action"`
	Reason   lifecycle.Reason `json:"reason"`
}

type executionImage struct {
	Digest    string   `json:"digest"`
	TagStatus string   `json:"tagStatus"`
	Tags      []string `json:"tagList"`
	PushedAt  int64    `json:"pushedAt"` // milliseconds since 1970
}

// The event's words for a policy's.
var (
	executionTagStatus = map[lifecycle.TagStatus]string{lifecycle.Tagged: "Tagged", lifecycle.Untagged: "Untagged", lifecycle.Any: "Any"}
	executionCount     = map[lifecycle.CountType]string{
		lifecycle.MoreThan: "Image count more than", lifecycle.SincePushed: "Since image pushed",
		lifecycle.SincePulled: "Since image pulled", lifecycle.SinceTransitioned: "Since image transitioned",
	}
)

func newExecutionRule(r *lifecycle.Rule) executionRule {
	s := r.Selection
	out := executionSelection{
		TagStatus: executionTagStatus[s.TagStatus], Prefixes: append([]string{}, s.Prefixes...), Patterns: s.Patterns, Excluded: s.Excluded,
		Class: s.Class, Count: executionCount[s.Count], Number: s.Number,
	}
	if s.Count != lifecycle.MoreThan && s.Count != lifecycle.NoCount {
		out.Unit = "days"
	}
	return executionRule{r.Priority, r.Description, out, r.Action}
}

func newExecutionAction(d lifecycle.Decision) executionAction {
	status := executionTagStatus[lifecycle.Untagged]
	if len(d.Image.Tags) > 0 {
		status = executionTagStatus[lifecycle.Tagged]
	}
	return executionAction{
		executionImage{d.Image.Digest, status, append([]string{}, d.Image.Tags...), d.Image.PushedAt.UnixMilli()}, d.Rule, d.Action, d.Reason,
	}
}

// millis returns milliseconds since 1970, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

package identity

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

const (
	assumeRole     = "AssumeRole"
	chainedSession = 3600  // seconds, at most, of a session that another one assumes
	minSession     = 900   // seconds
	maxAssumed     = 43200 // of a session of a role
	maxSessionARNs = 10
	maxSessionText = 2048 // characters of session policies: the inline one and the ARNs
	maxPackedTerms = 8192 // bytes of session policies and tags
	roleResource   = "role/"
)

// AssumeRoleInput says what session of a role is asked for.
type AssumeRoleInput struct {
	RoleARN, SessionName string
	Policy               string
	PolicyARNs           []string
	Tags                 []Tag
	Transitive           []string // keys of tags
	ExternalID           string
	SourceIdentity       string
	Seconds              int64 // an hour if 0
	MFA                  bool  // a device's code is there
}

// Assumed is a session of a role.
type Assumed struct {
	Credentials
	ARN, ID        string // arn:aws:sts::123456789012:assumed-role/ROLE/SESSION, AROA...:SESSION
	SourceIdentity string
	Packed         *int32 // how much of what is allowed the policies and tags take, in percent; nil without any
}

// params are those of the record: no documents, and no more ARNs than may be asked
// for.
func (in *AssumeRoleInput) params() params {
	p := params{"roleArn": in.RoleARN, "roleSessionName": in.SessionName}
	if in.Seconds != 0 {
		p["durationSeconds"] = in.Seconds
	}
	if in.ExternalID != "" {
		p["externalId"] = in.ExternalID
	}
	if in.SourceIdentity != "" {
		p["sourceIdentity"] = in.SourceIdentity
	}
	if n := len(in.PolicyARNs); n > 0 {
		p["policyArns"] = in.PolicyARNs[:min(n, maxSessionARNs)]
	}
	if len(in.Tags) > 0 {
		p["tags"], p["transitiveTagKeys"] = in.Tags, in.Transitive
	}
	return p
}

// conditions are the condition keys that a request for a session sets.
func (in *AssumeRoleInput) conditions() map[string][]string {
	out := map[string][]string{"sts:RoleSessionName": {in.SessionName}}
	maps.Copy(out, requestTags(in.Tags))
	if in.Seconds != 0 {
		out["sts:DurationSeconds"] = []string{strconv.FormatInt(in.Seconds, 10)}
	}
	if in.ExternalID != "" {
		out["sts:ExternalId"] = []string{in.ExternalID}
	}
	if in.SourceIdentity != "" {
		out["sts:SourceIdentity"] = []string{in.SourceIdentity}
	}
	if len(in.Transitive) > 0 {
		out["sts:TransitiveTagKeys"] = in.Transitive
	}
	return out
}

// AssumeRole issues a session of a role. The identity policies of the caller and
// the trust policy of the role decide, by the rules for one account or for two; a
// refusal does not say whether there is the role. Errors: AccessDenied,
// ValidationException, MalformedPolicyDocument, PackedPolicyTooLarge,
// InvalidParameterValue for a tag that the calling session has for good.
func (d *Directory) AssumeRole(ctx context.Context, c access.Call, in AssumeRoleInput) (Assumed, error) {
	q := &request{call: c, service: "sts", event: assumeRole, params: in.params(), context: in.conditions()}
	a, role, err := parseRole(in.RoleARN)
	if err != nil {
		d.auditor.Record(q.record(d.now(), err))
		return Assumed{}, err
	}
	if c.Type == access.FederatedUser {
		err = errSessionCall(assumeRole, "federated user")
		d.auditor.Record(q.record(d.now(), err))
		return Assumed{}, err
	}
	var out Assumed
	out.Credentials, err = d.issue(ctx, q, a.Account, func(tx ReadTx) (Session, error) {
		inherited, err := inherit(tx, c)
		if err != nil {
			return Session{}, err
		}
		e, err := readRole(tx, a, role)
		if err != nil {
			return Session{}, err
		}
		if err := d.decideAssume(ctx, tx, q, in.actions(inherited), e); err != nil {
			return Session{}, err
		}
		terms, packed, err := in.terms(tx, a.Account, inherited)
		if err != nil {
			return Session{}, err
		}
		seconds, err := in.duration(e, c.Session != nil && !c.Session.Limited)
		if err != nil {
			return Session{}, err
		}
		terms.By = c.ARN
		q.issued = issuedTo(e, in.SessionName)
		out.ARN, out.ID, out.SourceIdentity, out.Packed = assumedARN(e, in.SessionName), e.ID+":"+in.SessionName, terms.SourceIdentity, packed
		return d.lasting(Session{Account: a.Account, Owner: e.ID, Operation: assumeRole, Terms: terms}, seconds), nil
	})
	if err != nil {
		return Assumed{}, err
	}
	return out, nil
}

// issuedTo is whose credentials a record says that a session of a role has.
func issuedTo(role *Entity, session string) params {
	return params{"assumedRoleUser": params{"arn": assumedARN(role, session), "assumedRoleId": role.ID + ":" + session}}
}

// errSessionCall refuses what temporary credentials must not call.
func errSessionCall(operation, kind string) error {
	return fault.New(fault.Denied, "AccessDeniedException", "Cannot call %s with %s credentials", operation, kind)
}

// parseRole reads the ARN of a role.
func parseRole(arn string) (a policy.ARN, name string, err error) {
	a, ok := policy.ParseARN(arn)
	resource, isRole := strings.CutPrefix(a.Resource, roleResource)
	if !ok || !isRole || a.Partition != "aws" || a.Service != "iam" || a.Region != "" || !accountID.MatchString(a.Account) || resource == "" {
		return a, "", errValidation("%.128s is invalid", arn)
	}
	return a, resource[strings.LastIndexByte(resource, '/')+1:], nil
}

// readRole returns the role of an ARN, nil if there is none that can be assumed.
func readRole(tx ReadTx, arn policy.ARN, name string) (*Entity, error) {
	e, err := tx.Entity(arn.Account, Role, nameKey(name))
	if err != nil || e == nil || e.ARN() != arn.String() || e.Service != "" {
		return nil, err
	}
	return e, nil
}

// inherit returns the terms of the calling session, which must still be there, as
// must its principal, as far as they hold for further ones: the transitive tags and the source identity.
func inherit(tx ReadTx, c access.Call) (Terms, error) {
	if c.Session == nil {
		return Terms{}, nil
	}
	s, err := tx.Session(c.AccessKeyID)
	if err != nil {
		return Terms{}, err
	}
	if s == nil {
		return Terms{}, errUnknownKey()
	}
	owner, err := ownerOf(tx, s.Account, s.Owner)
	if err != nil {
		return Terms{}, err
	}
	if owner == nil {
		return Terms{}, errUnknownKey()
	}
	out := Terms{SourceIdentity: s.Terms.SourceIdentity, Transitive: s.Terms.Transitive}
	for _, t := range s.Terms.Tags {
		if hasKey(s.Terms.Transitive, t.Key) {
			out.Tags = append(out.Tags, t)
		}
	}
	return out, nil
}

func hasKey(keys []string, key string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return nameKey(k) == nameKey(key) })
}

// actions are those that must be allowed on the role.
func (in *AssumeRoleInput) actions(inherited Terms) []string {
	out := []string{"sts:" + assumeRole}
	if len(in.Tags)+len(inherited.Tags) > 0 {
		out = append(out, "sts:TagSession")
	}
	if in.SourceIdentity != "" || inherited.SourceIdentity != "" {
		out = append(out, "sts:SetSourceIdentity")
	}
	return out
}

// decideAssume decides a call that asks for a session of a role, which is nil if
// there is none.
func (d *Directory) decideAssume(ctx context.Context, tx ReadTx, q *request, actions []string, role *Entity) error {
	trust := []policy.Attached{{}}
	keys := q.context
	arn, _ := q.params["roleArn"].(string)
	a, _ := policy.ParseARN(arn)
	if role != nil {
		t, err := attached(policy.Trust, arn, role.Trust)
		if err != nil {
			return err
		}
		trust[0] = t
		keys = role.conditions()
		maps.Copy(keys, q.context)
	}
	services, err := tx.ServicesOf(q.call.Principal())
	if err != nil {
		return err
	}
	for _, action := range actions {
		q.decided, q.resource = true, arn
		err := d.auth.Decide(ctx, access.Request{
			Caller: q.call.Caller, Action: action, Account: a.Account, Resource: arn, Context: keys, Trust: trust, Services: services,
		})
		if err != nil {
			return q.refuseAssume(err, action, arn)
		}
	}
	return nil
}

// refuseAssume gives a refusal STS's words, which do not say what lacks.
func (q *request) refuseAssume(err error, action, arn string) error {
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.Denied {
		return err
	}
	refusal := *f
	switch q.call.Type {
	case access.Root:
		refusal.Message = "Roles may not be assumed by root accounts."
	case access.WebIdentity:
		refusal.Message = "Not authorized to perform " + action
	default:
		refusal.Message = "User: " + q.call.ARN + " is not authorized to perform: " + action + " on resource: " + arn
	}
	return &refusal
}

// duration returns how many seconds the session lasts.
func (in *AssumeRoleInput) duration(role *Entity, chained bool) (int64, error) {
	switch {
	case in.MFA:
		return 0, errNoDevice()
	case in.Seconds != 0 && in.Seconds < minSession:
		return 0, errSeconds(maxAssumed)
	case chained && in.Seconds > chainedSession:
		return 0, errValidation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	case in.Seconds > min(role.MaxSession, maxAssumed):
		return 0, errValidation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case in.Seconds == 0:
		return standardSession, nil
	}
	return in.Seconds, nil
}

func errSeconds(most int64) error {
	return errValidation("The requested DurationSeconds is not between %d and %d.", minSession, most)
}

// terms checks what a session is to be issued with, and adds what it inherits.
func (in *AssumeRoleInput) terms(tx ReadTx, account string, inherited Terms) (Terms, *int32, error) {
	out := Terms{
		Name: in.SessionName, SourceIdentity: in.SourceIdentity, Policy: in.Policy, PolicyARNs: in.PolicyARNs,
		Tags: append(inherited.Tags, in.Tags...), Transitive: append(slices.Clone(inherited.Transitive), in.Transitive...),
	}
	if !sessionName.MatchString(in.SessionName) {
		return out, nil, errValidation("The role session name is not valid.")
	}
	if in.SourceIdentity != "" && !sessionName.MatchString(in.SourceIdentity) {
		return out, nil, errValidation("The source identity is not valid.")
	}
	if inherited.SourceIdentity != "" {
		if in.SourceIdentity != "" && in.SourceIdentity != inherited.SourceIdentity {
			return out, nil, errValidation("The source identity of the calling session cannot be changed.")
		}
		out.SourceIdentity = inherited.SourceIdentity
	}
	for _, t := range in.Tags {
		if hasKey(inherited.Transitive, t.Key) {
			return out, nil, fault.New(fault.Invalid, "InvalidParameterValue",
				"One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
	}
	for _, key := range in.Transitive {
		if !slices.ContainsFunc(in.Tags, func(t Tag) bool { return nameKey(t.Key) == nameKey(key) }) {
			return out, nil, fault.New(fault.Invalid, "InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
	}
	if err := checkSessionTags(out.Tags); err != nil {
		return out, nil, err
	}
	packed, err := out.packed() // before long documents are parsed
	if err != nil {
		return out, nil, err
	}
	return out, packed, checkSessionPolicies(tx, account, out)
}

func checkSessionTags(tags []Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		key := nameKey(t.Key)
		if !tagKey.MatchString(t.Key) || !tagValue.MatchString(t.Value) {
			return errValidation("A session tag is not valid.")
		}
		if seen[key] {
			return fault.New(fault.Invalid, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if strings.HasPrefix(key, "aws:") {
			return fault.New(fault.Invalid, "InvalidParameterValue", "Tag keys that begin with aws: are reserved for AWS.")
		}
		seen[key] = true
	}
	if len(tags) > maxTags {
		return errValidation("A session has at most %d tags.", maxTags)
	}
	return nil
}

var (
	tagKey   = regexp.MustCompile(`\A[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}\z`)
	tagValue = regexp.MustCompile(`\A[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}\z`)
)

// sessionName is what names of sessions, and source identities, may be.
var sessionName = regexp.MustCompile(`\A[A-Za-z0-9_+=,.@-]{2,64}\z`)

// sessionText is what session policies may be written with.
var sessionText = regexp.MustCompile(`\A[\x09\x0A\x0D\x{20}-\x{FF}]*\z`)

func checkSessionPolicies(tx ReadTx, account string, t Terms) error {
	if t.Policy != "" {
		if !sessionText.MatchString(t.Policy) {
			return errMalformed("The policy has a character that policies cannot have.")
		}
		if err := checkDocument(policy.Session, t.Policy); err != nil {
			return err
		}
	}
	if len(t.PolicyARNs) > maxSessionARNs {
		return errValidation("A session has at most %d managed session policies.", maxSessionARNs)
	}
	for _, arn := range t.PolicyARNs {
		p, err := findPolicy(tx, account, arn)
		if _, bad := fault.As(err); err != nil && !bad {
			return err
		}
		if p == nil {
			return errValidation("PolicyArn %.128s does not exist or is not attachable.", arn)
		}
	}
	return nil
}

// packed returns how many percent of what is allowed policies and tags take, nil
// if there are none.
func (t *Terms) packed() (*int32, error) {
	text := len([]rune(t.Policy))
	for _, arn := range t.PolicyARNs {
		text += len(arn)
	}
	all := text
	for _, tag := range t.Tags {
		all += len(tag.Key) + len(tag.Value)
	}
	if all == 0 {
		return nil, nil
	}
	percent := int32((100*all + maxPackedTerms - 1) / maxPackedTerms)
	if text > maxSessionText {
		percent = max(percent, int32((100*text+maxSessionText-1)/maxSessionText))
	}
	if percent > 100 {
		return nil, fault.New(fault.Invalid, "PackedPolicyTooLarge", "Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
	}
	return &percent, nil
}

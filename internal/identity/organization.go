package identity

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/policy"
)

// Organization is what the accounts of an installation can be gathered in. There
// is one at most.
type Organization struct {
	ID         string // o-a1b2c3d4e5
	Management string // the account that manages it
	Types      []ControlType
	Version    int64 // goes up with every change of the organization and what is in it
	CreatedAt  time.Time
}

// ControlType is a type of policies that an organization can have.
type ControlType string

// The types that there are.
const (
	ServiceControl  ControlType = "SERVICE_CONTROL_POLICY"
	ResourceControl ControlType = "RESOURCE_CONTROL_POLICY"
)

// controls says what is special about a type of policies.
var controls = map[ControlType]struct {
	kind policy.Kind
	full ControlPolicy // what everything has to begin with
}{
	ServiceControl: {policy.ServiceControl, ControlPolicy{
		ID: "p-FullAWSAccess", Type: ServiceControl, Name: "FullAWSAccess", Description: "Allows access to every operation", AWSManaged: true,
		Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	}},
	ResourceControl: {policy.ResourceControl, ControlPolicy{
		ID: "p-RCPFullAWSAccess", Type: ResourceControl, Name: "RCPFullAWSAccess", Description: "Allows access to every resource", AWSManaged: true,
		Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`,
	}},
}

// Unit is the root of an organization or an organizational unit.
type Unit struct {
	ID        string // r-ab12, ou-ab12-11111111
	Parent    string // "" of the root
	Name      string
	CreatedAt time.Time
}

// Member is an account in an organization.
type Member struct {
	Account  string
	Parent   string // the unit that it is in
	Alias    string // "" for none
	JoinedAt time.Time
}

// ControlPolicy is a policy of an organization.
type ControlPolicy struct {
	ID                         string // p-a1b2c3d4
	Type                       ControlType
	Name, Description, Content string
	AWSManaged                 bool
}

// ControlAttachment says that a unit or an account has a policy.
type ControlAttachment struct{ Target, Policy string }

// tree is an organization with all that is in it.
type tree struct {
	Organization
	root     string
	units    map[string]Unit
	members  map[string]Member
	policies map[string]ControlPolicy // with those of AWS
	attached map[string][]string      // the ids of policies, sorted, by target
}

// readTree reads the organization, nil if there is none.
func readTree(tx ReadTx) (*tree, error) {
	o, err := tx.Organization()
	if err != nil || o == nil {
		return nil, err
	}
	t := &tree{Organization: *o, units: map[string]Unit{}, members: map[string]Member{}, policies: map[string]ControlPolicy{}, attached: map[string][]string{}}
	units, err := tx.Units()
	if err != nil {
		return nil, err
	}
	for _, u := range units {
		t.units[u.ID] = u
		if u.Parent == "" {
			t.root = u.ID
		}
	}
	members, err := tx.Members()
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		t.members[m.Account] = m
	}
	return t, t.readPolicies(tx)
}

func (t *tree) readPolicies(tx ReadTx) error {
	for _, c := range controls {
		t.policies[c.full.ID] = c.full
	}
	policies, err := tx.ControlPolicies()
	if err != nil {
		return err
	}
	for _, p := range policies {
		t.policies[p.ID] = p
	}
	attachments, err := tx.ControlAttachments()
	for _, a := range attachments {
		t.attached[a.Target] = append(t.attached[a.Target], a.Policy)
	}
	return err
}

// has reports whether something of an id is in the organization that can have
// policies.
func (t *tree) has(target string) bool {
	_, unit := t.units[target]
	_, member := t.members[target]
	return unit || member
}

// parent returns the unit that a unit or an account is in, "" of the root.
func (t *tree) parent(id string) string {
	if m, ok := t.members[id]; ok {
		return m.Parent
	}
	return t.units[id].Parent
}

// chain returns the ids from the root down to a unit or an account.
func (t *tree) chain(id string) []string {
	var out []string
	for ; id != ""; id = t.parent(id) {
		out = append(out, id)
	}
	slices.Reverse(out)
	return out
}

// of returns the policies of a type that a target has, by id.
func (t *tree) of(target string, c ControlType) []ControlPolicy {
	out := []ControlPolicy{}
	for _, id := range t.attached[target] {
		if p := t.policies[id]; p.Type == c {
			out = append(out, p)
		}
	}
	return out
}

// arn returns the ARN of a unit or an account by its id.
func (t *tree) arn(id string) string {
	kind := "account"
	switch {
	case strings.HasPrefix(id, "r-"):
		kind = "root"
	case strings.HasPrefix(id, "ou-"):
		kind = "ou"
	}
	return OrganizationARN(t.Management, kind, t.ID, id)
}

// policyARN returns the ARN of a policy, also of one that there is not.
func (t *tree) policyARN(id string) string {
	p, ok := t.policies[id]
	if !ok {
		p = ControlPolicy{ID: id, Type: ServiceControl}
	}
	return p.ARN(t.Organization)
}

// ARN returns the policy's ARN.
func (p ControlPolicy) ARN(o Organization) string {
	kind := strings.ToLower(string(p.Type))
	if p.AWSManaged {
		return "arn:aws:organizations::aws:policy/" + kind + "/" + p.ID
	}
	return OrganizationARN(o.Management, "policy", o.ID, kind, p.ID)
}

// OrganizationARN returns the ARN of something that a management account has.
func OrganizationARN(management, kind string, ids ...string) string {
	return "arn:aws:organizations::" + management + ":" + kind + "/" + strings.Join(ids, "/")
}

// randomText returns lower-case letters and digits.
func randomText(n int) string {
	return strings.ToLower(rand.Text()[:n]) // letters, and digits from 2 to 7
}

// seat is an account's place, or why it is not known.
type seat struct {
	place *access.Membership
	err   error
}

// seats returns the place of every account. That of an account which a policy
// limits that cannot be read is not known.
func (t *tree) seats() map[string]seat {
	parsed := map[string]policy.Attached{}
	unread := map[string]error{}
	for _, ids := range t.attached {
		for _, id := range ids {
			p := t.policies[id]
			a, err := attached(controls[p.Type].kind, p.Name, p.Content)
			if err != nil {
				unread[id] = fmt.Errorf("policy %s of the organization: %w", id, err)
			}
			parsed[id] = a
		}
	}
	out := map[string]seat{}
	for account, m := range t.members {
		place := &access.Membership{Organization: t.ID, Path: t.ID + "/" + strings.Join(t.chain(m.Parent), "/") + "/"}
		s := seat{place: place}
		if account != t.Management {
			place.ServiceControl = t.levels(account, ServiceControl, parsed)
			place.ResourceControl = t.levels(account, ResourceControl, parsed)
			for _, target := range t.chain(account) {
				for _, id := range t.attached[target] {
					s.err = cmp.Or(s.err, unread[id])
				}
			}
		}
		out[account] = s
	}
	return out
}

// levels returns the policies of a type that limit an account, from the root down
// to the account; none if they let everything through.
func (t *tree) levels(account string, c ControlType, parsed map[string]policy.Attached) [][]policy.Attached {
	if !slices.Contains(t.Types, c) {
		return nil
	}
	var out [][]policy.Attached
	limited := false
	for _, target := range t.chain(account) {
		level := []policy.Attached{}
		for _, p := range t.of(target, c) {
			level = append(level, parsed[p.ID])
			limited = limited || p.ID != controls[c].full.ID
		}
		limited = limited || len(level) == 0
		out = append(out, level)
	}
	if !limited {
		return nil
	}
	return out
}

// roster is what is known of the organization at a time.
type roster struct {
	id      string // "" if there is none
	version int64
	members map[string]seat
}

const (
	readTimeout = 2 * time.Second  // of reading the organization
	rosterLife  = 10 * time.Second // how long what is known counts while it cannot be read
)

// Membership implements [access.Organizations]. What another process has changed
// counts from the next [Directory.ReadOrganization] on.
func (d *Directory) Membership(account string, exists bool) (*access.Membership, error) {
	r := d.roster.Load()
	if r == nil {
		return nil, errUnread
	}
	s, ok := r.members[account]
	if !ok && exists && r.id != "" { // the account was made since
		return nil, errUnread
	}
	return s.place, s.err
}

// ReadOrganization reads the organization if it has changed. If that fails what is
// known stays for ten seconds; then nothing is decided any more until it succeeds.
func (d *Directory) ReadOrganization(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return d.readOrganization(ctx, rosterLife)
}

// reread is ReadOrganization after a change of ours. If that fails nothing is decided
// any more until it succeeds: what is known is known to be wrong.
func (d *Directory) reread(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	_ = d.readOrganization(ctx, 0) // which is reported when it is tried again
}

func (d *Directory) readOrganization(ctx context.Context, life time.Duration) error {
	d.reading.Lock()
	defer d.reading.Unlock()
	known := d.roster.Load()
	next := known
	err := d.store.View(ctx, func(tx ReadTx) error {
		next = &roster{}
		o, err := tx.Organization()
		if err != nil || o == nil {
			return err
		}
		if known != nil && known.id == o.ID && known.version == o.Version {
			next = known
			return nil
		}
		t, err := readTree(tx)
		if err != nil {
			return err
		}
		next.id, next.version, next.members = t.ID, t.Version, t.seats()
		return nil
	})
	switch now := d.now(); {
	case err == nil:
		d.roster.Store(next)
		d.readAt = now
	case now.Sub(d.readAt) >= life:
		d.roster.Store(nil)
	}
	return err
}

// accounts returns the members in the order of their accounts.
func (t *tree) accounts() []Member {
	return slices.SortedFunc(maps.Values(t.members), func(a, b Member) int { return strings.Compare(a.Account, b.Account) })
}

// children returns the units in a unit, by id.
func (t *tree) children(parent string) []Unit {
	out := []Unit{}
	for _, u := range t.units {
		if u.Parent == parent {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b Unit) int { return strings.Compare(a.ID, b.ID) })
	return out
}

package identity

import (
	"context"
	"regexp"
	"strings"

	"berth/internal/access"
)

// maxEntities are how many entities of a kind an account may have: IAM's quotas,
// those of groups, roles and policies as they are without an increase.
var maxEntities = map[Kind]int{User: 5000, Group: 300, Role: 1000, Policy: 1500}

// NewEntity is what CreateUser, CreateGroup, CreateRole and CreatePolicy make.
type NewEntity struct {
	Name, Path  string // the path "/" if ""
	Description string
	Tags        []Tag
	Boundary    string // the ARN of a policy; "" for none
	Trust       string // of a role
	MaxSession  int64  // of a role; an hour if 0
	Document    string // of a policy
}

// Create makes an entity. Errors: EntityAlreadyExists, LimitExceeded,
// MalformedPolicyDocument, InvalidInput, ValidationException, and NoSuchEntity for
// a boundary that is no policy.
func (d *Directory) Create(ctx context.Context, c access.Call, k Kind, in NewEntity) (*Entity, error) {
	if in.Path == "" {
		in.Path = "/"
	}
	q := &request{
		call: c, event: "Create" + k.title(), params: params{string(k) + "Name": in.Name, "path": in.Path}, context: requestTags(in.Tags),
	}
	if len(in.Tags) > 0 {
		q.params["tags"] = in.Tags
	}
	q.addBoundary(in.Boundary)
	var out *Entity
	err := d.update(ctx, q, func(tx Tx) error {
		now := d.time()
		out = &Entity{
			ID: newID(k), Account: c.Account, Kind: k, Name: in.Name, Path: in.Path, Description: in.Description, Tags: sortTags(in.Tags),
			Boundary: in.Boundary, CreatedAt: now, UpdatedAt: now, Trust: in.Trust, MaxSession: in.MaxSession,
		}
		if err := d.decide(ctx, q, c.Account, out.ARN(), nil); err != nil {
			return err
		}
		if err := d.checkNew(tx, out, in); err != nil {
			return err
		}
		if err := d.insert(tx, out); err != nil || k != Policy {
			return err
		}
		return tx.InsertVersion(out.ID, Version{1, in.Document, now})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// addBoundary sets the condition key of a boundary that is asked for.
func (q *request) addBoundary(arn string) {
	if arn == "" {
		return
	}
	if q.context == nil {
		q.context = map[string][]string{}
	}
	q.context["iam:PermissionsBoundary"] = []string{arn}
	q.params["permissionsBoundary"] = arn
}

// entityPath is what paths may be: / or /a/b/.
var entityPath = regexp.MustCompile(`\A/([!-~]{0,510}/)?\z`)

func checkPath(path string) error {
	if !entityPath.MatchString(path) {
		return errValidation("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return nil
}

// checkNew checks what is special about an entity of its kind, and completes it.
func (d *Directory) checkNew(tx Tx, e *Entity, in NewEntity) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	switch e.Kind {
	case Role:
		if strings.HasPrefix(e.Path, serviceRolePath) {
			return errValidation("The path %s is for service-linked roles: make them with CreateServiceLinkedRole.", serviceRolePath)
		}
		if e.MaxSession == 0 {
			e.MaxSession = standardSession
		}
		if err := checkTrust(in.Trust); err != nil {
			return err
		}
	case Policy:
		e.DefaultVersion, e.LastVersion = 1, 1
		if err := checkManaged(in.Document); err != nil {
			return err
		}
	}
	return d.checkBoundary(tx, e)
}

// insert stores a new entity unless its name is taken or there are too many.
func (d *Directory) insert(tx Tx, e *Entity) error {
	there, err := tx.Entity(e.Account, e.Kind, nameKey(e.Name))
	if err != nil {
		return err
	}
	if there != nil {
		return errEntityExists(e.Kind, e.Name)
	}
	n, err := tx.CountEntities(e.Account, e.Kind)
	if err != nil {
		return err
	}
	if most := maxEntities[e.Kind]; n >= most {
		return errQuota(e.Kind.plural()+"PerAccount", most)
	}
	return tx.InsertEntity(e)
}

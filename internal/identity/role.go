package identity

import (
	"context"
	"crypto/rand"
	"strings"

	"berth/internal/access"
	"berth/internal/policy"
)

const (
	standardSession = 3600 // seconds
	maxTrust        = 2048 // characters of a trust policy
	serviceRolePath = "/aws-service-role/"
)

func checkTrust(document string) error {
	if err := checkDocument(policy.Trust, document); err != nil {
		return err
	}
	if documentSize(document) > maxTrust {
		return errQuota("ACLSizePerRole", maxTrust)
	}
	return nil
}

// changeRole changes a role.
func (d *Directory) changeRole(ctx context.Context, q *request, name string, change func(*Entity) error) (*Entity, error) {
	q.params["roleName"] = name
	var out *Entity
	err := d.update(ctx, q, func(tx Tx) error {
		role, err := d.open(ctx, tx, q, Role, name)
		if err != nil {
			return err
		}
		if role.Service != "" && q.event != "UpdateRoleDescription" {
			return errProtected(role.Name)
		}
		if err := change(role); err != nil {
			return err
		}
		role.UpdatedAt = d.time()
		out = role
		return tx.UpdateEntity(role)
	})
	return out, err
}

// UpdateRole changes the description of a role and how long its sessions may be.
// What is nil becomes what it is by default: no description, an hour. Errors:
// NoSuchEntity, UnmodifiableEntity.
func (d *Directory) UpdateRole(ctx context.Context, c access.Call, name string, description *string, maxSession *int32) error {
	q := &request{call: c, event: "UpdateRole", params: params{}}
	_, err := d.changeRole(ctx, q, name, func(r *Entity) error {
		r.Description, r.MaxSession = "", standardSession
		if description != nil {
			r.Description = *description
		}
		if maxSession != nil {
			r.MaxSession = int64(*maxSession)
		}
		return nil
	})
	return err
}

// UpdateRoleDescription changes the description of a role. Errors: NoSuchEntity.
func (d *Directory) UpdateRoleDescription(ctx context.Context, c access.Call, name, description string) (*Entity, error) {
	q := &request{call: c, event: "UpdateRoleDescription", params: params{}}
	return d.changeRole(ctx, q, name, func(r *Entity) error {
		r.Description = description
		return nil
	})
}

// UpdateAssumeRolePolicy changes who may assume a role. Errors: NoSuchEntity,
// MalformedPolicyDocument, LimitExceeded, UnmodifiableEntity.
func (d *Directory) UpdateAssumeRolePolicy(ctx context.Context, c access.Call, name, document string) error {
	q := &request{call: c, event: "UpdateAssumeRolePolicy", params: params{}}
	_, err := d.changeRole(ctx, q, name, func(r *Entity) error {
		r.Trust = document
		return checkTrust(document)
	})
	return err
}

// ListInstanceProfilesForRole checks that there is the role. There are no instance
// profiles. Errors: NoSuchEntity.
func (d *Directory) ListInstanceProfilesForRole(ctx context.Context, c access.Call, name string) error {
	q := &request{call: c, event: "ListInstanceProfilesForRole", params: params{"roleName": name}}
	return d.view(ctx, q, func(tx ReadTx) error {
		_, err := d.open(ctx, tx, q, Role, name)
		return err
	})
}

// serviceRoles are the roles that services have: the name and the policy.
var serviceRoles = map[string]struct{ name, policy, description string }{
	"replication.ecr.amazonaws.com": {
		"AWSServiceRoleForECRReplication", "ECRReplicationServiceRolePolicy", "Service-linked role of ECR for replication",
	},
	"pullthroughcache.ecr.amazonaws.com": {
		"AWSServiceRoleForECRPullThroughCache", "AWSECRPullThroughCache_ServiceRolePolicy", "Service-linked role of ECR for pull through cache",
	},
}

// serviceTrust is a trust policy that trusts a service.
func serviceTrust(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
}

// CreateServiceLinkedRole makes the role of a service. Errors: InvalidInput for a
// service that has none, and if the role is there.
func (d *Directory) CreateServiceLinkedRole(ctx context.Context, c access.Call, service, description, suffix string) (*Entity, error) {
	q := &request{
		call: c, event: "CreateServiceLinkedRole", params: params{"aWSServiceName": service},
		context: map[string][]string{"iam:AWSServiceName": {service}},
	}
	kind := serviceRoles[service]
	now := d.time()
	out := &Entity{
		ID: newID(Role), Account: c.Account, Kind: Role, Name: kind.name, Path: serviceRolePath + service + "/", Description: description,
		CreatedAt: now, UpdatedAt: now, Service: service, MaxSession: standardSession,
		Trust: serviceTrust(service),
	}
	if description == "" {
		out.Description = kind.description
	}
	err := d.update(ctx, q, func(tx Tx) error {
		if err := d.decide(ctx, q, c.Account, out.ARN(), nil); err != nil {
			return err
		}
		if kind.name == "" {
			return errInput("There is no service-linked role for the service %s.", service)
		}
		if suffix != "" {
			return errInput("Custom suffix is not allowed for %s", service)
		}
		there, err := tx.Entity(c.Account, Role, nameKey(out.Name))
		if err != nil {
			return err
		}
		if there != nil {
			return errInput("Service role name %s has been taken in this account, please try a different suffix.", out.Name)
		}
		if err := d.insert(tx, out); err != nil {
			return err
		}
		return tx.Attach(c.Account, out.ID, builtInARN(serviceRolePath, kind.policy))
	})
	return out, err
}

// DeleteServiceLinkedRole deletes the role of a service and returns the id of the
// task that has done so. Errors: NoSuchEntity, and InvalidInput for other roles.
func (d *Directory) DeleteServiceLinkedRole(ctx context.Context, c access.Call, name string) (string, error) {
	q := &request{call: c, event: "DeleteServiceLinkedRole", params: params{"roleName": name}}
	task := ""
	err := d.update(ctx, q, func(tx Tx) error {
		role, err := d.open(ctx, tx, q, Role, name)
		if err != nil {
			return err
		}
		if role.Service == "" {
			return errInput("The role %s is not linked to a service.", name)
		}
		attached, err := tx.Attachments(role.ID)
		if err != nil {
			return err
		}
		for _, arn := range attached {
			if _, err := tx.Detach(role.ID, arn); err != nil {
				return err
			}
		}
		task = "task" + role.Path + role.Name + "/" + strings.ToLower(rand.Text())
		return tx.DeleteEntity(role.ID)
	})
	return task, err
}

// ServiceLinkedRoleDeleted checks the id of a task of DeleteServiceLinkedRole,
// which is always done. Errors: NoSuchEntity.
func (d *Directory) ServiceLinkedRoleDeleted(ctx context.Context, c access.Call, task string) error {
	q := &request{call: c, event: "GetServiceLinkedRoleDeletionStatus", params: params{"deletionTaskId": task}}
	return d.view(ctx, q, func(ReadTx) error {
		p := strings.Split(task, "/") // task/aws-service-role/SERVICE/NAME/ID
		whole := len(p) == 5 && "/"+p[1]+"/" == serviceRolePath && p[0] == "task" && serviceRoles[p[2]].name == p[3] && p[4] != ""
		resource := q.arn("role" + serviceRolePath)
		if whole {
			resource += p[2] + "/" + p[3]
		}
		if err := d.decide(ctx, q, c.Account, resource, nil); err != nil {
			return err
		}
		if !whole {
			return errNoSuch("The deletion task with id %.128s cannot be found.", task)
		}
		return nil
	})
}

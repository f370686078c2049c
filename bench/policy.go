package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

const (
	underPolicies = "manifest GET as a user with 10 policies"
	perKind       = 10 // policies, and statements of each
)

// policies compares manifest GETs of a user, whom the last statement of ten
// policies allows them, with those of the root.
func (b *bench) policies(ctx context.Context, t *table) error {
	dir := filepath.Join(b.dir, "data", "policies")
	p, err := b.start(ctx, berth, dir)
	if err != nil {
		return err
	}
	defer func() {
		p.stop()
		_ = os.RemoveAll(dir)
	}()
	password, err := p.userWithPolicies(ctx)
	if err != nil {
		return err
	}
	if _, err := b.load(ctx, p, 1, "-workload", "manifest-get", "-duration", "100ms"); err != nil {
		return err
	}
	get := []string{"-workload", "manifest-get", "-keep", "-conc", "64"}
	var root, user, rootRates, userRates []float64
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", underPolicies, round+1, b.rounds)
		r, err := b.load(ctx, p, 1, get...)
		if err != nil {
			return err
		}
		u, err := b.load(ctx, p, 1, append(get, "-user", "AWS", "-password", password)...)
		if err != nil {
			return err
		}
		root, user = append(root, r.CPU), append(user, u.CPU)
		rootRates, userRates = append(rootRates, r.OpsPerS), append(userRates, u.OpsPerS)
	}
	t.note("manifest GET as the root", fmt.Sprintf("%s, %.4g per second", duration(median(root)), median(rootRates)))
	t.note(underPolicies, fmt.Sprintf("%s, %.4g per second", duration(median(user)), median(userRates)))
	t.limit(underPolicies+", CPU of that as the root", median(user)/median(root), 1.10, "x")
	return nil
}

// userWithPolicies makes the user and returns a registry password.
func (p *process) userWithPolicies(ctx context.Context) (string, error) {
	c := iam.NewFromConfig(config(p.env))
	name := new("bench")
	if _, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); err != nil {
		return "", fmt.Errorf("make a user: %w", err)
	}
	for i := range perKind {
		made, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new(fmt.Sprintf("bench-%d", i)), PolicyDocument: new(statements(i))})
		if err != nil {
			return "", fmt.Errorf("make a policy: %w", err)
		}
		if _, err := c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: made.Policy.Arn}); err != nil {
			return "", fmt.Errorf("attach a policy: %w", err)
		}
	}
	key, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	env := map[string]string{
		"AWS_ENDPOINT_URL": p.env["AWS_ENDPOINT_URL"], "AWS_REGION": p.env["AWS_REGION"],
		"AWS_ACCESS_KEY_ID": *key.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY": *key.AccessKey.SecretAccessKey,
	}
	return logIn(ctx, ecr.NewFromConfig(config(env)))
}

// statements are those of a policy: half are about the same action and fail by a
// condition, half are about others; the last one of the last policy allows.
func statements(policy int) string {
	var list []string
	for i := range perKind {
		team := fmt.Sprintf("team-%d-%d", policy, i)
		switch {
		case policy == perKind-1 && i == perKind-1:
			list = append(list, `{"Effect":"Allow","Action":"ecr:*","Resource":"*"}`)
		case i%2 == 0:
			list = append(list, `{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:PutImage"],"Resource":"arn:aws:ecr:*:*:repository/*",`+
				`"Condition":{"StringEquals":{"aws:ResourceTag/team":"`+team+`"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`)
		default:
			list = append(list, `{"Effect":"Deny","Action":["ecr:Delete*","s3:*"],"Resource":"arn:aws:ecr:*:*:repository/`+team+`/*"}`)
		}
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
}

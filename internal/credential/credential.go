// Package credential gets registry passwords and the credentials of roles for
// other programs: for docker, for the kubelet, for the AWS tools and for tasks. It
// is a client of Berth, or of any registry with ECR's API, and knows nothing of
// the server.
package credential

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
)

// Password is what a program logs in to a registry with.
type Password struct {
	User    string    `json:"user"`
	Secret  string    `json:"secret"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// fresh reports whether at least half of the password's life remains.
func (p Password) fresh(now time.Time) bool {
	return !now.Before(p.Issued) && p.Expires.Sub(now) >= p.Expires.Sub(p.Issued)/2
}

// ErrNoCredentials is returned where nobody has given AWS credentials.
var ErrNoCredentials = errors.New("no AWS credentials")

// Load returns the AWS tools' configuration of whoever runs this process, with the
// credentials that their default chain finds: variables, the shared files (and the
// processes and roles that those name), web identity, a container's endpoint. The
// metadata of an EC2 instance are asked only where the target is AWS, or a variable
// names their endpoint: other registries do not know an instance's role.
//
// What STS is asked for on the way goes to the target's endpoint, unless
// AWS_ENDPOINT_URL_STS names another. The SDK takes that from nothing but a
// variable, so Load sets it: a process should have one target only.
func Load(ctx context.Context, t Target) (aws.Config, error) { return load(ctx, t) }

// load is Load with further options.
func load(ctx context.Context, t Target, options ...func(*config.LoadOptions) error) (aws.Config, error) {
	if t.Region != "" {
		options = append(options, config.WithRegion(t.Region))
	}
	if t.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(t.Profile))
	}
	if t.Endpoint != "" {
		if os.Getenv("AWS_ENDPOINT_URL_STS") == "" {
			if err := os.Setenv("AWS_ENDPOINT_URL_STS", t.Endpoint); err != nil {
				return aws.Config{}, err
			}
		}
		if os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT") == "" {
			options = append(options, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
		}
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return c, fmt.Errorf("AWS configuration: %w", err)
	}
	c.Region = cmp.Or(c.Region, standardRegion)
	return c, nil
}

// standardRegion is where requests are signed for if nothing says another.
const standardRegion = "us-east-1"

// Source gets registry passwords.
type Source struct {
	Cache Cache // the zero Cache keeps nothing
	// Load returns who asks; the function Load if nil.
	Load func(context.Context, Target) (aws.Config, error)
	Now  func() time.Time // time.Now if nil
}

func (s *Source) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// Password returns a password for a registry: one that is kept, if half of its life
// remains, else a new one. None is kept where the SDK chooses the endpoint, nor for
// temporary credentials, whose key is another one each time.
// ErrNoCredentials says that there is nobody to ask as.
func (s *Source) Password(ctx context.Context, t Target) (Password, error) {
	from := s.Load
	if from == nil {
		from = Load
	}
	c, err := from(ctx, t)
	if err != nil {
		return Password{}, err
	}
	if c.Credentials == nil {
		return Password{}, ErrNoCredentials
	}
	who, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return Password{}, fmt.Errorf("%w: %w", ErrNoCredentials, err)
	}
	c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return who, nil })
	if t.Endpoint == "" || who.CanExpire { // without one it is not known here where the password would be from
		return s.ask(ctx, c, t)
	}
	key := cacheKey{endpoint: t.Endpoint, region: c.Region, accessKeyID: who.AccessKeyID, public: t.Public}
	if p, ok := s.Cache.get(key); ok && p.fresh(s.now()) {
		return p, nil
	}
	p, err := s.ask(ctx, c, t)
	if err == nil {
		s.Cache.put(key, p, s.now())
	}
	return p, err
}

// ask gets a new password.
func (s *Source) ask(ctx context.Context, c aws.Config, t Target) (Password, error) {
	request := private
	if t.Public {
		request = public
	}
	token, expires, err := request(ctx, c, t.Endpoint)
	if err != nil {
		return Password{}, fmt.Errorf("ask %s for a password: %w", cmp.Or(t.Endpoint, "ECR"), err)
	}
	b, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	user, secret, ok := strings.Cut(string(b), ":")
	if err != nil || !ok || expires == nil {
		return Password{}, fmt.Errorf("%s answers without a password", cmp.Or(t.Endpoint, "ECR"))
	}
	return Password{user, secret, s.now().UTC(), expires.UTC()}, nil
}

// private asks for a token for the private registries.
func private(ctx context.Context, c aws.Config, endpoint string) (*string, *time.Time, error) {
	client := ecr.NewFromConfig(c, func(o *ecr.Options) { o.BaseEndpoint = or(endpoint, o.BaseEndpoint) })
	out, err := client.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil || len(out.AuthorizationData) == 0 {
		return nil, nil, err
	}
	return out.AuthorizationData[0].AuthorizationToken, out.AuthorizationData[0].ExpiresAt, nil
}

// public asks for a token for the public registries.
func public(ctx context.Context, c aws.Config, endpoint string) (*string, *time.Time, error) {
	client := ecrpublic.NewFromConfig(c, func(o *ecrpublic.Options) {
		o.Region, o.BaseEndpoint = publicRegion, or(endpoint, o.BaseEndpoint)
	})
	out, err := client.GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil || out.AuthorizationData == nil {
		return nil, nil, err
	}
	return out.AuthorizationData.AuthorizationToken, out.AuthorizationData.ExpiresAt, nil
}

func or(endpoint string, standard *string) *string {
	if endpoint != "" {
		return &endpoint
	}
	return standard
}

package keyservice

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/logging"
)

// kmsAttempts is how often KMS is asked at most, kmsBackoff how long it is left alone
// in between.
const (
	kmsAttempts = 4
	kmsBackoff  = time.Second
)

// kmsKeeper is a key of KMS. What it encrypts has the master key's id as encryption
// context, which is also in the service's own records.
type kmsKeeper struct {
	client *kms.Client
	key    string
}

var _ keeper = (*kmsKeeper)(nil)

// openKMS finds credentials as AWS's tools do.
func openKMS(ctx context.Context, u *url.URL) (keeper, error) {
	given, err := parameters(u, "region", "endpoint", "profile")
	if err != nil {
		return nil, err
	}
	key, err := keyName(u)
	if err != nil {
		return nil, err
	}
	endpoint := given["endpoint"]
	if e, err := url.Parse(endpoint); endpoint != "" && (err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil) {
		return nil, errors.New("its endpoint is not http(s)://HOST[:PORT]")
	}
	load := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}), // it would write to standard error
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = kmsAttempts, kmsBackoff })
		}),
	}
	if given["region"] != "" {
		load = append(load, config.WithRegion(given["region"]))
	}
	if given["profile"] != "" {
		load = append(load, config.WithSharedConfigProfile(given["profile"]))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("configure its client: %w", err)
	}
	if parts := strings.Split(key, ":"); c.Region == "" && len(parts) == 6 {
		c.Region = parts[3] // of the key's ARN
	}
	if c.Region == "" {
		return nil, errors.New("it has no region: add ?region=REGION, or set AWS_REGION")
	}
	client := kms.NewFromConfig(c, func(o *kms.Options) {
		o.BaseEndpoint = nil // AWS_ENDPOINT_URL may be set to this very server
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	return &kmsKeeper{client, key}, nil
}

func kmsContext(id string) map[string]string { return map[string]string{"berth-master-key": id} }

func (k *kmsKeeper) encrypt(ctx context.Context, plain []byte, id string) ([]byte, error) {
	out, err := k.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.key, Plaintext: plain, EncryptionContext: kmsContext(id)})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// decrypt names the key: what another has encrypted is not taken.
func (k *kmsKeeper) decrypt(ctx context.Context, wrapped []byte, id string) ([]byte, error) {
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.key, CiphertextBlob: wrapped, EncryptionContext: kmsContext(id)})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

//go:build unix

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"
)

// client is a client that does not try again.
type client struct {
	url  string
	http *http.Client
}

// answer is what a server has said to the end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// errGone says that the server has not answered: whether it has done what it was asked
// for is not known.
var errGone = errors.New("the server has not answered")

func (c *client) send(r *http.Request) (answer, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errGone, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errGone, err)
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

// do makes a request of the distribution API.
func (c *client) do(method, path string, body []byte, header ...string) (answer, error) {
	if !strings.HasPrefix(path, "http") {
		path = c.url + path
	}
	r, err := http.NewRequest(method, path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.SetBasicAuth(rootID, rootSecret)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.send(r)
}

// want makes a request that must be answered with a status.
func (c *client) want(status int, method, path string, body []byte, header ...string) (answer, error) {
	a, err := c.do(method, path, body, header...)
	if err == nil && a.status != status {
		err = fmt.Errorf("%s %s = %d %s, want %d", method, path, a.status, a.body, status)
	}
	return a, err
}

func (c *client) config() aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &c.url, RetryMaxAttempts: 1, HTTPClient: c.http,
		Credentials: credentials.NewStaticCredentialsProvider(rootID, rootSecret, ""),
	}
}

func (c *client) ecr() *ecr.Client { return ecr.NewFromConfig(c.config()) }

// called returns the error of the SDK's: errGone unless the server has answered.
func called(err error) error {
	var api smithy.APIError
	if err != nil && !errors.As(err, &api) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// ask makes a call of those that ECR does not have.
func (c *client) ask(path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequest("POST", c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	key := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	if err := v4.NewSigner().SignHTTP(context.Background(), key, r, hex.EncodeToString(sum[:]), "ecr", "us-east-1", time.Now()); err != nil {
		return err
	}
	a, err := c.send(r)
	if err == nil && a.status != 200 {
		err = fmt.Errorf("%s = %d %s", path, a.status, a.body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(a.body, out)
}

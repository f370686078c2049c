package servertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// AWS returns the SDK's configuration of a client of the server that signs with
// the root's key.
func (s *Server) AWS() aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: &s.URL,
		Credentials:      credentials.NewStaticCredentialsProvider(s.Config.RootAccessKeyID, s.Config.RootSecretAccessKey, ""),
		RetryMaxAttempts: 1, HTTPClient: s.httpClient(),
	}
}

// ECR returns the SDK's client.
func (s *Server) ECR() *ecr.Client { return ecr.NewFromConfig(s.AWS()) }

// ECRIn returns the SDK's client for a region.
func (s *Server) ECRIn(region string) *ecr.Client {
	return ecr.NewFromConfig(s.AWS(), func(o *ecr.Options) { o.Region = region })
}

// STS returns the SDK's client.
func (s *Server) STS() *sts.Client { return sts.NewFromConfig(s.AWS()) }

// ServiceQuotas returns the SDK's client.
func (s *Server) ServiceQuotas() *servicequotas.Client { return servicequotas.NewFromConfig(s.AWS()) }

// IAM returns the SDK's client.
func (s *Server) IAM() *iam.Client { return iam.NewFromConfig(s.AWS()) }

// KMS returns the SDK's client.
func (s *Server) KMS() *kms.Client { return kms.NewFromConfig(s.AWS()) }

// CreateKey makes a KMS key and returns its ARN.
func (s *Server) CreateKey(t testing.TB) string {
	t.Helper()
	out, err := s.KMS().CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn
}

// ManagedKey returns the ARN of the KMS key that AWS manages for ECR.
func (s *Server) ManagedKey(t testing.TB) string {
	t.Helper()
	out, err := s.KMS().DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/aws/ecr")})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn
}

// As returns the SDK's configuration of a client that signs with a key.
func (s *Server) As(id, secret string) aws.Config {
	c := s.AWS()
	c.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "")
	return c
}

// CreateUser makes a user with an access key and returns the configuration of a
// client that signs with it.
func (s *Server) CreateUser(t testing.TB, name string) aws.Config {
	t.Helper()
	return s.CreateUserOf(t, s.AWS(), name, "")
}

// CreateRepository makes a repository with default settings.
func (s *Server) CreateRepository(t testing.TB, name string) {
	t.Helper()
	if _, err := s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}); err != nil {
		t.Fatal(err)
	}
}

// Call makes a call of a JSON service as the root and returns the answer. It is for
// what the SDK's clients do not send.
func (s *Server) Call(t testing.TB, service, target, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	sum := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: s.Config.RootAccessKeyID, SecretAccessKey: s.Config.RootSecretAccessKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), service, Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := s.httpClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// Password returns a registry password of the root's.
func (s *Server) Password(t testing.TB) string {
	t.Helper()
	out, err := s.ECR().GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken)
	if err != nil {
		t.Fatal(err)
	}
	_, password, _ := strings.Cut(string(b), ":")
	return password
}

// Client speaks the distribution API as one who is logged in.
type Client struct {
	Server *Server
	Host   string // for the Host header; "" for the server's address
	User   string
	Pass   string
	Token  string // sent as Bearer; instead of user and password unless it is ""
	HTTP   *http.Client
}

// Login returns a client for the default registry.
func (s *Server) Login(t testing.TB) *Client {
	t.Helper()
	return &Client{Server: s, User: "AWS", Pass: s.Password(t), HTTP: s.httpClient()}
}

// httpClient returns a client that follows no redirect. Its connections end with
// the server, so that none is used again that the server has closed.
func (s *Server) httpClient() *http.Client {
	return &http.Client{
		Transport:     s.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Response is a response, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Code returns the first error code in the body, "" if there is none.
func (r *Response) Code() string { return r.field("code") }

// Message returns the first error message in the body, "" if there is none.
func (r *Response) Message() string { return r.field("message") }

// Do sends a request. Headers are given in pairs of name and value.
func (c *Client) Do(t testing.TB, method, path string, body []byte, header ...string) *Response {
	t.Helper()
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	return c.Send(t, method, path, r, header...)
}

// Send is Do with a body that is read as it is sent, in chunks if its size is
// not known.
func (c *Client) Send(t testing.TB, method, path string, body io.Reader, header ...string) *Response {
	t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = c.Server.URL + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if c.User != "" && c.Token == "" {
		req.SetBasicAuth(c.User, c.Pass)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	req.Host = c.Host
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return &Response{res.StatusCode, res.Header, b}
}

// Want fails the test unless the response has the status wanted.
func (r *Response) Want(t testing.TB, status int) *Response {
	t.Helper()
	if r.Status != status {
		t.Fatalf("status = %d, want %d; body: %.500s", r.Status, status, r.Body)
	}
	return r
}

// ErrorCode returns the exception that the SDK's error stands for, "" for nil.
func ErrorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// ErrorMessage returns the message of the SDK's error, "" if it has none.
func ErrorMessage(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return ""
}

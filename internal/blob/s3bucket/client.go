package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// attempts is how often a request is made at most.
const attempts = 6

func newClient(ctx context.Context, o Options) (*s3.Client, error) {
	buildable := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256
		t.DisableCompression = true
	})
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(buildable), // of this kind, so that AWS_CA_BUNDLE can be added
		config.WithLogger(logging.Nop{}), // it would write to standard error
		config.WithRetryer(func() aws.Retryer { return newRetryer(o) }),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.AccessKeyID != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, "")))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("configure the S3 client: %w", err)
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if b, ok := c.HTTPClient.(*awshttp.BuildableClient); ok {
		buildable = b
	}
	return s3.NewFromConfig(c, func(s *s3.Options) {
		s.HTTPClient = &watched{buildable.GetTransport(), o.Stall, o.Patience}
		s.BaseEndpoint = optional(o.Endpoint) // AWS_ENDPOINT_URL may be set to this very server
		s.UsePathStyle = o.PathStyle
		// Uploads carry checksums that are computed here; what is read is held
		// against its digest by who reads it.
		s.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		s.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}), nil
}

// unsigned leaves the body out of the signature where TLS protects it: the sum of
// all bytes would cost as much as their digest.
func (b *Bucket) unsigned(o *s3.Options) {
	if b.options.Endpoint == "" || strings.HasPrefix(b.options.Endpoint, "https://") {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
}

func newRetryer(o Options) aws.Retryer {
	return retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts, s.MaxBackoff = attempts, o.Backoff
		s.RateLimiter = ratelimit.None // else one bad minute would fail requests for the next
		s.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(brokenAnswer)}, s.Retryables...)
	})
}

// brokenAnswer says of an answer that broke off that it may be asked for again.
func brokenAnswer(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// isNotFound reports whether the store says that there is no such thing.
func isNotFound(err error) bool {
	var status interface{ HTTPStatusCode() int }
	return errors.As(err, &status) && status.HTTPStatusCode() == http.StatusNotFound && codeOf(err) != "NoSuchBucket"
}

// isLost reports whether the store says that a multipart upload, or a part of it, is
// not there, or not as it was.
func isLost(err error) bool {
	switch codeOf(err) {
	case "NoSuchUpload", "InvalidPart", "InvalidPartOrder", "BadDigest":
		return true
	}
	return false
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// errStalled is why a request ends that makes no progress.
var errStalled = errors.New("the store does not answer")

// watched ends requests that make no progress for a while: neither is their body
// taken nor an answer given. How long they take as a whole does not matter. It follows
// no redirect.
type watched struct {
	next            http.RoundTripper
	stall, patience time.Duration // patience for requests on which the store has to work
}

// Do implements [s3.HTTPClient].
func (t *watched) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &watch{stall: t.stall, cancel: cancel, sending: true}
	if r.Header.Get("X-Amz-Copy-Source") != "" || r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
		w.stall = t.patience
	}
	w.timer = time.AfterFunc(w.stall, w.end)
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &sentBody{r.Body, w}
	}
	resp, err := t.next.RoundTrip(r)
	w.answered()
	if err != nil {
		cancel(nil)
		return nil, w.why(ctx, err)
	}
	resp.Body = &receivedBody{resp.Body, w, ctx}
	return resp, nil
}

// watch is the clock of one request.
type watch struct {
	stall  time.Duration
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	sending bool // guarded by mu
}

func (w *watch) end() { w.cancel(errStalled) }

// sent is told of every piece of the request's body.
func (w *watch) sent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sending {
		w.timer.Reset(w.stall)
	}
}

// answered stops the clock: the body of the answer has one while it is read.
func (w *watch) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sending = false
	w.timer.Stop()
}

func (w *watch) why(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

type sentBody struct {
	io.ReadCloser
	watch *watch
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.watch.sent()
	return b.ReadCloser.Read(p)
}

type receivedBody struct {
	io.ReadCloser
	watch *watch
	ctx   context.Context
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.watch.timer.Reset(b.watch.stall)
	n, err := b.ReadCloser.Read(p)
	b.watch.timer.Stop()
	if err != nil && err != io.EOF {
		err = b.watch.why(b.ctx, err)
	}
	return n, err
}

// Close implements [io.Closer].
func (b *receivedBody) Close() error {
	b.watch.timer.Stop()
	err := b.ReadCloser.Close()
	b.watch.cancel(nil)
	return err
}

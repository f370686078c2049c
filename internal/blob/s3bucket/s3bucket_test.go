package s3bucket

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/blob/buckettest"

	"github.com/opencontainers/go-digest"
)

// open returns an empty bucket in the store at the endpoint.
func open(t testing.TB, endpoint string, change ...func(*Options)) *Bucket {
	t.Helper()
	o := Options{
		Bucket: buckettest.S3Bucket, Prefix: "/" + rand.Text() + "/", Region: "us-east-1", Endpoint: endpoint, PathStyle: true,
		AccessKeyID: "access", SecretAccessKey: "the secret", Stall: 10 * time.Second, Patience: 10 * time.Second, Backoff: 10 * time.Millisecond,
	}
	for _, c := range change {
		c(&o)
	}
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucket(t *testing.T) {
	t.Parallel()
	url := buckettest.StartFakeS3(t)
	buckettest.Run(t, func(t *testing.T) blob.Bucket { return open(t, url) })
}

func TestFaults(t *testing.T) {
	t.Parallel()
	faults(t, buckettest.StartFakeS3(t))
}

// faults opens buckets that lose their patience soon where the store is to be silent.
func faults(t *testing.T, url string) {
	buckettest.RunS3(t, url, func(t *testing.T, endpoint string, silent bool) blob.Bucket {
		return open(t, endpoint, func(o *Options) {
			if silent {
				o.Stall, o.Patience = time.Second, time.Second
			}
		})
	})
}

func TestABucketThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), Options{
		Bucket: "absent", Endpoint: buckettest.StartFakeS3(t), PathStyle: true, AccessKeyID: "access", SecretAccessKey: "the secret",
	})
	if err == nil {
		t.Error("Open of a bucket that is not there succeeded")
	}
}

func TestAPresignedURLGivesTheObject(t *testing.T) {
	t.Parallel()
	presigned(t, open(t, buckettest.StartFakeS3(t)))
}

func presigned(t *testing.T, b *Bucket) {
	key := "000102030405060708090a0b0c0d0e0f"
	w, err := b.Upload(t.Context(), key, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if key, err = w.Finish(); err != nil {
		t.Fatal(err)
	}
	url, err := b.Presign(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.ContentLength != 5 || resp.Header.Get("Content-Type") != contentType {
		t.Errorf("GET of the URL = %s, %d bytes, %q, want 5 bytes of %s", resp.Status, resp.ContentLength, resp.Header.Get("Content-Type"), contentType)
	}
}

func TestPartsReachFarEnough(t *testing.T) {
	t.Parallel()
	var total int64
	p := standardPlan
	for n := 1; n <= maxParts; n++ {
		size := p.size(n)
		if size < minPart || 2*size > memory || n > 1 && size < p.size(n-1) {
			t.Fatalf("part %d has %d bytes", n, size)
		}
		if p.isSection(n) {
			size *= p.section
		}
		total += int64(size)
	}
	if total < 5<<40 {
		t.Errorf("%d parts are %d bytes, want at least 5 TiB", maxParts, total)
	}
}

func TestAVeryLargeObjectIsMadeOfSections(t *testing.T) {
	t.Parallel()
	sections(t, open(t, buckettest.StartFakeS3(t)), 12<<20, 24<<20, 27<<20+5)
}

func TestSectionsBearFaults(t *testing.T) {
	t.Parallel()
	url := buckettest.StartFakeS3(t)
	for operation, faults := range map[string][]buckettest.Fault{
		"UploadPartCopy":          {buckettest.InternalError, buckettest.LostAnswer, buckettest.Truncated},
		"CompleteMultipartUpload": {buckettest.LostAnswer}, // of the first section
	} {
		for _, f := range faults {
			t.Run(operation+" has a passing fault: "+string(f), func(t *testing.T) {
				t.Parallel()
				p := buckettest.StartProxy(t, url)
				b := open(t, p.URL)
				p.Plan(buckettest.Once(operation, f))
				sections(t, b, 12<<20, 15<<20+5)
			})
		}
	}
}

// sections pushes an object in pieces that end there. The first leaves one part of a
// section.
func sections(t *testing.T, b *Bucket, ends ...int) {
	b.plan = plan{[]step{{1, minPart}}, 2} // then sections of 10 MiB
	s := blob.NewStore(b)
	content := make([]byte, ends[len(ends)-1])
	for i := range content {
		content[i] = byte(i >> 12)
	}
	var u blob.Upload
	for _, end := range ends {
		if err := s.Append(t.Context(), &u, bytes.NewReader(content[u.Size:end])); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), o); err != nil {
		t.Errorf("Verify = %v", err)
	}
	if err := s.Settle(t.Context(), u); err != nil {
		t.Errorf("Settle = %v", err)
	}
	for e, err := range b.Uploads(t.Context()) {
		t.Errorf("%+v is left behind, %v", e, err)
	}
}

func TestTheEnvironmentsEndpointIsNotTheStore(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	client, err := newClient(t.Context(), Options{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if e := client.Options().BaseEndpoint; e != nil {
		t.Errorf("requests go to %s", *e)
	}
}

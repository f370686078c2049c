package aws

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"berth/internal/fault"
)

// caller is what the fronts of these tests know of a caller.
type caller struct {
	signed string // the service that the signature is scoped to
	body   [32]byte
}

// front is an ECR and STS of functions.
type front struct {
	createRepository func(*ecr.CreateRepositoryInput) (*ecr.CreateRepositoryOutput, error)
	describeImages   func(*ecr.DescribeImagesInput) (*ecr.DescribeImagesOutput, error)
	putImage         func(*ecr.PutImageInput) (*ecr.PutImageOutput, error)
	uploadLayerPart  func(*ecr.UploadLayerPartInput) (*ecr.UploadLayerPartOutput, error)
	getIdentity      func(caller, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error)
	withWebIdentity  func(caller, *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error)
}

func op[I, O any](name string, fn func(*I) (*O, error)) Operation[caller] {
	return Op(name, func(_ context.Context, _ caller, in *I) (*O, error) { return fn(in) })
}

func (f *front) services(t testing.TB) []Service[caller] {
	return []Service[caller]{
		{
			Name:         "ecr",
			TargetPrefix: "AmazonEC2ContainerRegistry_V20150921",
			Model:        ecrModel(t),
			Operations: []Operation[caller]{
				op("CreateRepository", f.createRepository),
				op("DescribeImages", f.describeImages),
				op("PutImage", f.putImage).WithMaxBody(16 << 20),
				op("UploadLayerPart", f.uploadLayerPart).WithMaxBody(29 << 20),
				{Name: "StartImageScan", Refused: "there is no scanner"},
			},
		},
		{
			Name:      "sts",
			Protocol:  Query,
			Version:   "2011-06-15",
			Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
			Operations: []Operation[caller]{
				Op("GetCallerIdentity", func(_ context.Context, c caller, in *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
					return f.getIdentity(c, in)
				}),
				Op("AssumeRoleWithWebIdentity", func(_ context.Context, c caller, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
					return f.withWebIdentity(c, in)
				}).WithoutSignature(),
				{Name: "AssumeRoot", Refused: "there are no organizations"},
			},
		},
	}
}

// begin knows every key but "UNKNOWN" and takes any signature.
func begin(r *http.Request) (Signature[caller], error) {
	auth := r.Header.Get("Authorization")
	if strings.Contains(auth, "Credential=UNKNOWN/") {
		return Signature[caller]{}, fault.New(fault.Unauthenticated, "UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	service := ""
	if scope := strings.Split(auth, "/"); len(scope) > 3 { // AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request
		service = scope[3]
	}
	return Signature[caller]{Service: service, Verify: func(body [32]byte) (caller, error) {
		return caller{signed: service, body: body}, nil
	}}, nil
}

func (f *front) handler(t testing.TB, log *slog.Logger) http.Handler {
	t.Helper()
	h, err := New(Options[caller]{
		Services:  f.services(t),
		Begin:     begin,
		RequestID: func(*http.Request) string { return "test-request" },
		Log:       log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// clients returns SDK clients of f.
func (f *front) clients(t testing.TB) (*ecr.Client, *sts.Client) {
	t.Helper()
	srv := httptest.NewServer(f.handler(t, nil))
	t.Cleanup(srv.Close)
	cfg := awssdk.Config{
		Region:       "us-east-1",
		BaseEndpoint: &srv.URL,
		Retryer:      func() awssdk.Retryer { return awssdk.NopRetryer{} },
		Credentials: awssdk.CredentialsProviderFunc(func(context.Context) (awssdk.Credentials, error) {
			return awssdk.Credentials{AccessKeyID: "KNOWN", SecretAccessKey: "secret"}, nil
		}),
	}
	return ecr.NewFromConfig(cfg), sts.NewFromConfig(cfg)
}

func TestSDKCreateRepositoryWithEverythingSet(t *testing.T) {
	var got *ecr.CreateRepositoryInput
	created := time.UnixMilli(1700000000123).UTC()
	client, _ := (&front{createRepository: func(in *ecr.CreateRepositoryInput) (*ecr.CreateRepositoryOutput, error) {
		got = in
		return &ecr.CreateRepositoryOutput{Repository: &types.Repository{
			RepositoryName:                     in.RepositoryName,
			CreatedAt:                          &created,
			EncryptionConfiguration:            in.EncryptionConfiguration,
			ImageScanningConfiguration:         in.ImageScanningConfiguration,
			ImageTagMutability:                 in.ImageTagMutability,
			ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
		}}, nil
	}}).clients(t)
	in := &ecr.CreateRepositoryInput{
		RepositoryName:             ptr("team/app"),
		RegistryId:                 ptr("123456789012"),
		EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: ptr("alias/a")},
		ImageScanningConfiguration: &types.ImageScanningConfiguration{},
		ImageTagMutability:         types.ImageTagMutabilityImmutableWithExclusion,
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{
			{Filter: ptr("dev-*"), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard},
		},
		Tags: []types.Tag{{Key: ptr("k"), Value: ptr("v \u2028 \U0001F600")}},
	}
	out, err := client.CreateRepository(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	exported := cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "noSmithyDocumentSerde") }, cmp.Ignore())
	if diff := cmp.Diff(in, got, exported); diff != "" {
		t.Errorf("input (-sent +received):\n%s", diff)
	}
	want := &types.Repository{
		RepositoryName: in.RepositoryName, CreatedAt: &created,
		EncryptionConfiguration: in.EncryptionConfiguration, ImageScanningConfiguration: in.ImageScanningConfiguration,
		ImageTagMutability: in.ImageTagMutability, ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
	}
	if diff := cmp.Diff(want, out.Repository, exported); diff != "" {
		t.Errorf("output (-sent +received):\n%s", diff)
	}
	if id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata); id != "test-request" {
		t.Errorf("request id = %q", id)
	}
}

func TestSDKUploadLayerPartOf20MiB(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789abcdef"), 20<<16)
	client, _ := (&front{uploadLayerPart: func(in *ecr.UploadLayerPartInput) (*ecr.UploadLayerPartOutput, error) {
		if !bytes.Equal(in.LayerPartBlob, blob) || *in.PartFirstByte != 0 {
			return nil, errors.New("another blob")
		}
		return &ecr.UploadLayerPartOutput{LastByteReceived: in.PartLastByte}, nil
	}}).clients(t)
	out, err := client.UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{
		RepositoryName: ptr("app"),
		UploadId:       ptr("01234567-89ab-cdef-0123-456789abcdef"),
		PartFirstByte:  ptr(int64(0)),
		PartLastByte:   ptr(int64(20<<20 - 1)),
		LayerPartBlob:  blob,
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.LastByteReceived != 20<<20-1 {
		t.Errorf("lastByteReceived = %d", *out.LastByteReceived)
	}
}

func TestSDKPutImageOf4MiBOfEscapes(t *testing.T) {
	manifest := strings.Repeat("\"\\\n<\u2028\U0001F600", 4<<20/11)
	client, _ := (&front{putImage: func(in *ecr.PutImageInput) (*ecr.PutImageOutput, error) {
		return &ecr.PutImageOutput{Image: &types.Image{ImageManifest: in.ImageManifest}}, nil
	}}).clients(t)
	out, err := client.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: ptr("app"), ImageManifest: &manifest, ImageTag: ptr("v1.0")})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Image.ImageManifest != manifest {
		t.Error("the manifest changed on the way")
	}
}

func TestSDKDescribeImages(t *testing.T) {
	client, _ := (&front{describeImages: func(in *ecr.DescribeImagesInput) (*ecr.DescribeImagesOutput, error) {
		if *in.MaxResults != 7 || in.Filter.TagStatus != types.TagStatusTagged || len(in.ImageIds) != 2 || *in.ImageIds[1].ImageTag != "b" {
			return nil, errors.New("another input")
		}
		return &ecr.DescribeImagesOutput{ImageDetails: []types.ImageDetail{}, NextToken: ptr("next")}, nil
	}}).clients(t)
	out, err := client.DescribeImages(t.Context(), &ecr.DescribeImagesInput{
		RepositoryName: ptr("app"),
		MaxResults:     ptr(int32(7)),
		Filter:         &types.DescribeImagesFilter{TagStatus: types.TagStatusTagged},
		ImageIds:       []types.ImageIdentifier{{ImageDigest: ptr("sha256:00")}, {ImageTag: ptr("b")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.NextToken != "next" || out.ImageDetails == nil {
		t.Errorf("DescribeImages = %+v", out)
	}
}

func TestSDKSeesTypedErrors(t *testing.T) {
	client, _ := (&front{
		describeImages: func(*ecr.DescribeImagesInput) (*ecr.DescribeImagesOutput, error) {
			return nil, fault.New(fault.NotFound, "RepositoryNotFoundException", "no \"app\" <here>")
		},
		uploadLayerPart: func(*ecr.UploadLayerPartInput) (*ecr.UploadLayerPartOutput, error) {
			return nil, &fault.Error{
				Kind: fault.OutOfRange, Code: "InvalidLayerPartException", Message: "a gap",
				Members: map[string]any{"repositoryName": "app", "lastValidByteReceived": int64(41)},
			}
		},
	}).clients(t)

	_, err := client.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: ptr("app")})
	var notFound *types.RepositoryNotFoundException
	if !errors.As(err, &notFound) || *notFound.Message != `no "app" <here>` {
		t.Errorf("DescribeImages error = %v", err)
	}

	_, err = client.UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{
		RepositoryName: ptr("app"), UploadId: ptr("01234567-89ab-cdef-0123-456789abcdef"),
		PartFirstByte: ptr(int64(0)), PartLastByte: ptr(int64(0)), LayerPartBlob: []byte{},
	})
	var part *types.InvalidLayerPartException
	if !errors.As(err, &part) || *part.Message != "a gap" || *part.RepositoryName != "app" || *part.LastValidByteReceived != 41 {
		t.Errorf("UploadLayerPart error = %v", err)
	}

	_, err = client.StartImageScan(t.Context(), &ecr.StartImageScanInput{RepositoryName: ptr("app"), ImageId: &types.ImageIdentifier{}})
	wantAPIError(t, err, "UnsupportedCommandException", "The operation StartImageScan is not supported by Berth: there is no scanner")

	_, err = client.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: ptr("Bad!")})
	var invalid *types.InvalidParameterException
	if !errors.As(err, &invalid) {
		t.Errorf("CreateRepository error = %v", err)
	}
}

func wantAPIError(t *testing.T, err error, code, message string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || api.ErrorMessage() != message {
		t.Errorf("error = %v, want %s: %s", err, code, message)
	}
}

func TestSDKGetCallerIdentity(t *testing.T) {
	f := &front{getIdentity: func(c caller, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		return &sts.GetCallerIdentityOutput{Arn: ptr("arn:aws:iam::123456789012:root"), UserId: ptr(c.signed)}, nil
	}}
	_, client := f.clients(t)
	out, err := client.GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *out.Arn != "arn:aws:iam::123456789012:root" || *out.UserId != "sts" || out.Account != nil {
		t.Errorf("GetCallerIdentity = %s %s", *out.Arn, *out.UserId)
	}

	f.getIdentity = func(caller, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		return nil, fault.New(fault.Denied, "AccessDeniedException", "not you")
	}
	_, err = client.GetCallerIdentity(t.Context(), nil)
	wantAPIError(t, err, "AccessDenied", "not you")

	_, err = client.AssumeRoot(t.Context(), &sts.AssumeRootInput{
		TargetPrincipal: ptr("123456789012"), TaskPolicyArn: &ststypes.PolicyDescriptorType{},
	})
	wantAPIError(t, err, "UnsupportedCommandException", "The operation AssumeRoot is not supported by Berth: there are no organizations")
}

func TestSDKAssumesARoleWithoutASignature(t *testing.T) {
	_, client := (&front{withWebIdentity: func(c caller, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
		if c.signed != "" || *in.DurationSeconds != 900 {
			return nil, errors.New("another caller")
		}
		return &sts.AssumeRoleWithWebIdentityOutput{SubjectFromWebIdentityToken: in.WebIdentityToken}, nil
	}}).clients(t)
	out, err := client.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: ptr("arn"), RoleSessionName: ptr("s"), WebIdentityToken: ptr("a.b+c="), DurationSeconds: ptr(int32(900)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.SubjectFromWebIdentityToken != "a.b+c=" {
		t.Errorf("subject = %s", *out.SubjectFromWebIdentityToken)
	}
}

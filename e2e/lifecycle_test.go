//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"
)

// What the scripts about lifecycle policies do again and again is done here: the
// aws command takes a second to start.

// namesKey finds the names of a script's images, by digest.
type namesKey struct{}

type imageNames map[string]string

func client(ts *testscript.TestScript) *ecr.Client {
	return ecr.New(ecr.Options{
		Region: ts.Getenv("AWS_REGION"), BaseEndpoint: aws.String(ts.Getenv("AWS_ENDPOINT_URL")),
		Credentials: credentials.NewStaticCredentialsProvider(ts.Getenv("AWS_ACCESS_KEY_ID"), ts.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	})
}

// unless returns err unless it is an exception of the type.
func unless[T error](err error) error {
	if e := *new(T); errors.As(err, &e) {
		return nil
	}
	return err
}

func putImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: image REPOSITORY NAME TAG...")
	}
	repository, name, tags := &args[0], args[1], args[2:]
	c, ctx := client(ts), context.Background()
	_, err := c.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: repository})
	ts.Check(unless[*types.RepositoryAlreadyExistsException](err))
	ts.Check(unless[*types.LayerAlreadyExistsException](putLayer(ctx, c, repository, "{}")))
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` +
		digest.FromString("{}").String() + `","size":2},"layers":[],"annotations":{"name":"` + name + `"}}`
	in := &ecr.PutImageInput{RepositoryName: repository, ImageManifest: &manifest}
	for i := range max(len(tags), 1) {
		if len(tags) > 0 {
			in.ImageTag = &tags[i]
		}
		_, err := c.PutImage(ctx, in)
		ts.Check(err)
	}
	ts.Value(namesKey{}).(imageNames)[digest.FromString(manifest).String()] = name
}

func putLayer(ctx context.Context, c *ecr.Client, repository *string, content string) error {
	upload, err := c.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: repository})
	if err != nil {
		return err
	}
	_, err = c.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{
		RepositoryName: repository, UploadId: upload.UploadId, PartFirstByte: aws.Int64(0), PartLastByte: aws.Int64(int64(len(content) - 1)), LayerPartBlob: []byte(content),
	})
	if err == nil {
		_, err = c.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{
			RepositoryName: repository, UploadId: upload.UploadId, LayerDigests: []string{digest.FromString(content).String()},
		})
	}
	return err
}

// putImages pushes the images of a table, the oldest first, with an hour less
// than the days between them and the end.
func putImages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: images FILE")
	}
	byAge := map[int][][]string{}
	oldest := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		f := strings.Fields(line) // REPOSITORY DAYS NAME TAG...
		age, err := strconv.Atoi(f[1])
		ts.Check(err)
		byAge[age] = append(byAge[age], slices.Delete(f, 1, 2))
		oldest = max(oldest, age)
	}
	for age := oldest; age > 0; age-- {
		for _, f := range byAge[age] {
			putImage(ts, false, f)
		}
		if age > 1 {
			setClock(ts, false, []string{"+24h"})
		}
	}
	setClock(ts, false, []string{"+23h"})
}

// has returns nil if the repository has just the images of the names.
func has(ts *testscript.TestScript, repository string, want []string) error {
	var got []string
	pages := ecr.NewListImagesPaginator(client(ts), &ecr.ListImagesInput{RepositoryName: &repository})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return err
		}
		for _, id := range page.ImageIds {
			name := ts.Value(namesKey{}).(imageNames)[*id.ImageDigest]
			if name == "" {
				name = *id.ImageDigest
			}
			got = append(got, name)
		}
	}
	slices.Sort(got)
	got = slices.Compact(got)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		return fmt.Errorf("%s has the images %v, want %v", repository, got, want)
	}
	return nil
}

func left(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: left REPOSITORY NAME...")
	}
	ts.Check(has(ts, args[0], args[1:]))
}

func awaitLeft(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: awaitleft REPOSITORY NAME...")
	}
	ts.Check(poll(time.Minute, func() error { return has(ts, args[0], args[1:]) }))
}

func setClock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: clock +DURATION")
	}
	req, err := http.NewRequest(http.MethodPut, ts.Getenv("AWS_ENDPOINT_URL")+"/_berth/v1/clock", strings.NewReader(args[0]))
	ts.Check(err)
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		ts.Fatalf("clock %s: %s %s", args[0], res.Status, text)
	}
}

// setAge sets the clock to when an image is of an age.
func setAge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: age REPOSITORY NAME DURATION")
	}
	age, err := time.ParseDuration(args[2])
	ts.Check(err)
	for d, name := range ts.Value(namesKey{}).(imageNames) {
		if name != args[1] {
			continue
		}
		out, err := client(ts).DescribeImages(context.Background(), &ecr.DescribeImagesInput{
			RepositoryName: &args[0], ImageIds: []types.ImageIdentifier{{ImageDigest: &d}},
		})
		ts.Check(err)
		setClock(ts, false, []string{out.ImageDetails[0].ImagePushedAt.Add(age).Format(time.RFC3339Nano)})
		return
	}
	ts.Fatalf("there is no image %s", args[1])
}

// putPolicy puts a policy, or finds it refused with a text.
func putPolicy(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg && len(args) != 3 {
		ts.Fatalf("usage: policy REPOSITORY FILE.json, or RULE..., or ! policy REPOSITORY FILE.json TEXT")
	}
	var text string
	if strings.HasSuffix(args[1], ".json") {
		text = ts.ReadFile(args[1])
	} else {
		text = policyOf(args[1:])
	}
	_, err := client(ts).PutLifecyclePolicy(context.Background(), &ecr.PutLifecyclePolicyInput{RepositoryName: &args[0], LifecyclePolicyText: &text})
	if !neg {
		ts.Check(err)
		return
	}
	if e := (*types.InvalidParameterException)(nil); !errors.As(err, &e) || !strings.Contains(e.ErrorMessage(), args[2]) {
		ts.Fatalf("policy %s: %v, want InvalidParameterException with %q", args[1], err, args[2])
	}
}

// policyOf returns the text of a policy that deletes, of rules that are written as
// PRIORITY SELECTION COUNT NUMBER.
func policyOf(rules []string) string {
	var out []string
	for _, rule := range rules {
		f := strings.Fields(rule)
		selection := `"tagStatus":"` + f[1] + `"`
		if f[1] != "any" && f[1] != "untagged" {
			selection = `"tagStatus":"tagged","tagPatternList":["` + strings.ReplaceAll(f[1], ",", `","`) + `"]`
		}
		if strings.HasPrefix(f[2], "since") {
			selection += `,"countUnit":"days"`
		}
		out = append(out, fmt.Sprintf(`{"rulePriority":%s,"selection":{%s,"countType":"%s","countNumber":%s},"action":{"type":"expire"}}`, f[0], selection, f[2], f[3]))
	}
	return `{"rules":[` + strings.Join(out, ",") + `]}`
}

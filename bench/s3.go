package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	inS3     = "layers in S3"
	s3Bucket = "bench"
	s3Key    = "access"
	s3Secret = "secret"
)

// s3 compares pulls by redirect with reads from versitygw itself, and pushes with what
// aws s3 cp takes for as many bytes.
func (b *bench) s3(ctx context.Context, t *table) error {
	for _, program := range []string{"versitygw", "aws"} {
		if _, err := exec.LookPath(program); err != nil {
			t.note(inS3, program+" is not installed: scripts/tools.sh all does that")
			return nil
		}
	}
	dir := filepath.Join(b.dir, "data", "s3")
	endpoint, stop, err := b.startGateway(ctx, dir)
	if err != nil {
		return err
	}
	defer func() {
		stop()
		_ = os.RemoveAll(dir)
	}()
	b.s3Env = []string{
		"BERTH_STORAGE=s3://" + s3Bucket, "BERTH_S3_ENDPOINT=" + endpoint, "BERTH_S3_REGION=us-east-1", "BERTH_S3_PATH_STYLE=true",
		"BERTH_S3_ACCESS_KEY_ID=" + s3Key, "BERTH_S3_SECRET_ACCESS_KEY=" + s3Secret, "BERTH_S3_REDIRECTS=on",
	}
	p, err := b.start(ctx, onS3, filepath.Join(dir, "berth"))
	if err != nil {
		return err
	}
	defer func() { p.stop() }()
	if err := b.s3Pushes(ctx, t, p, endpoint, dir); err != nil {
		return err
	}
	return b.s3Pulls(ctx, t, p, endpoint)
}

// startGateway starts versitygw on a directory, and returns its URL and what ends it.
func (b *bench) startGateway(ctx context.Context, dir string) (string, func(), error) {
	for _, d := range []string{"objects/" + s3Bucket, "sidecar"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return "", nil, err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, "versitygw", "--port", address, "posix", "--sidecar", filepath.Join(dir, "sidecar"), filepath.Join(dir, "objects"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s3Key, "ROOT_SECRET_KEY="+s3Secret)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
	// By another name than Berth's address: clients send a password to one host only.
	_, port, _ := net.SplitHostPort(address)
	endpoint := "http://localhost:" + port
	if err := waitFor(ctx, endpoint); err != nil {
		stop()
		return "", nil, err
	}
	return endpoint, stop, nil
}

// s3Pushes measures pushes of a GiB: their rate, and how much memory they take.
func (b *bench) s3Pushes(ctx context.Context, t *table, p *process, endpoint, dir string) error {
	file := filepath.Join(dir, "file")
	if out, err := exec.CommandContext(ctx, "dd", "if=/dev/urandom", "of="+file, "bs=1M", "count=1024").CombinedOutput(); err != nil {
		return fmt.Errorf("make a file: %w %s", err, out)
	}
	defer os.Remove(file)
	idle := p.rss()
	var ours, theirs []float64
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "%s: push: round %d of %d\n", inS3, round+1, b.rounds)
		r, err := b.load(ctx, p, 7000+round, "-workload", "push-mono", "-count", "1", "-size", gib)
		if err != nil {
			return err
		}
		ours = append(ours, r.OpsPerS)
		if round == 0 {
			t.limit(inS3+": memory above idle while 1 pushes 1 GiB", float64(r.RSSPeak-idle)/1024, 64, "MiB")
		}
		begin := time.Now()
		if out, err := awsS3(ctx, endpoint, "cp", "--quiet", file, "s3://"+s3Bucket+"/copied").CombinedOutput(); err != nil {
			return fmt.Errorf("aws s3 cp: %w %s", err, out)
		}
		theirs = append(theirs, 1/time.Since(begin).Seconds())
	}
	t.least(inS3+": push of 1 GiB, rate of aws s3 cp's", median(ours)/median(theirs), 0.6, "x")
	return nil
}

// s3Pulls compares a layer of a GiB that Berth redirects to with the same object asked
// for directly.
func (b *bench) s3Pulls(ctx context.Context, t *table, p *process, endpoint string) error {
	if _, err := b.load(ctx, p, 1, "-workload", "pull", "-count", "1", "-size", gib); err != nil {
		return err
	}
	var ours, theirs []float64
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "%s: pull: round %d of %d\n", inS3, round+1, b.rounds)
		begin := time.Now()
		if err := readObject(ctx, endpoint+"/"+s3Bucket+"/copied"); err != nil {
			return err
		}
		theirs = append(theirs, 1/time.Since(begin).Seconds())
		r, err := b.load(ctx, p, 1, "-workload", "pull", "-keep", "-count", "1", "-size", gib)
		if err != nil {
			return err
		}
		ours = append(ours, r.OpsPerS)
	}
	t.least(inS3+": pull of 1 GiB by redirect, rate of a read's from the store", median(ours)/median(theirs), 0.9, "x")
	return nil
}

// readObject reads an object of a GiB.
func readObject(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	const unsigned = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	key := aws.Credentials{AccessKeyID: s3Key, SecretAccessKey: s3Secret}
	if err := v4.NewSigner().SignHTTP(ctx, key, r, unsigned, "s3", "us-east-1", time.Now()); err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && n != 1<<30 {
		err = fmt.Errorf("%s, and %d bytes were read, want a GiB", res.Status, n)
	}
	return err
}

// awsS3 is a command of aws s3.
func awsS3(ctx context.Context, endpoint string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "aws", append([]string{"--endpoint-url", endpoint, "--region", "us-east-1", "s3"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+s3Key, "AWS_SECRET_ACCESS_KEY="+s3Secret)
	return cmd
}

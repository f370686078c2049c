package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/opencontainers/go-digest"
)

// transcript is a buffer that many may write.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements [io.Writer].
func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// String returns what was written.
func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// Whatever holds a secret, and wherever a client can put one that is none: the log
// with all that there is for debugging, the metrics and the records never hold it.
func TestNoSecretIsWrittenDown(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		t.Run(map[bool]string{false: "sqlite", true: "postgres"}[postgres], func(t *testing.T) {
			t.Parallel()
			log := &transcript{}
			s := servertest.Start(t, servertest.Options{
				Postgres: postgres, Log: slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}),
				Configure: func(c *config.Config) { c.PasswordLogin, c.AdminListen = "access-key", "127.0.0.1:0" },
			})
			secrets := map[string]string{"the root's secret": s.Config.RootSecretAccessKey, "the master key": s.Config.MasterKey}
			if u, err := url.Parse(s.Config.Database); err == nil && postgres {
				if p, ok := u.User.Password(); ok && p != "" {
					secrets["the database's password"] = p
				}
			}
			if s.Config.S3SecretAccessKey != "" {
				secrets["the store's secret"] = s.Config.S3SecretAccessKey
			}
			useSecrets(t, s, secrets)
			guessSecrets(t, s, secrets)
			res, err := http.Get("http://" + s.Config.AdminListen + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != 200 || len(metrics) == 0 {
				t.Fatalf("metrics = %d, %v", res.StatusCode, err)
			}
			records := strings.Join(s.AuditRecords(t), "\n")
			if strings.Count(log.String(), "\n") < 30 || strings.Count(records, "\n") < 10 {
				t.Errorf("%d lines of the log, %d records: too few to show anything", strings.Count(log.String(), "\n"), strings.Count(records, "\n"))
			}
			for what, secret := range secrets {
				for where, text := range map[string]string{"log": log.String(), "metrics": string(metrics), "records": records} {
					for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("AWS:" + secret)), hex.EncodeToString([]byte(secret))} {
						if at := strings.Index(text, form); at >= 0 {
							t.Errorf("the %s: %s is there: %s", where, what, text[max(0, at-200):at+len(form)])
						}
					}
				}
			}
		})
	}
}

// useSecrets has the server make all kinds of secrets, and uses them.
func useSecrets(t *testing.T, s *servertest.Server, secrets map[string]string) {
	t.Helper()
	as, c := withPolicy(t, s, "alice", anything)
	role := s.CreateRole(t, s.AWS(), "r", trustHome, anything)
	session, _ := assumeRole(t, s, as, role)
	key, err := as.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	temporary, err := session.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secrets["a user's secret"], secrets["a session's secret"], secrets["a session's token"] = key.SecretAccessKey, temporary.SecretAccessKey, temporary.SessionToken
	s.CreateRepository(t, "aa")
	s.CreateRepository(t, "bb")
	img := servertest.NewImage(1, 100)
	c.Push(t, "aa", "v1", img)
	secrets["a password"] = c.Pass
	inSession := s.LoginAs(t, session)
	secrets["a session's password"] = inSession.Pass
	inSession.Do(t, "GET", manifestPath("aa", "v1"), nil).Want(t, 200)
	inSession.Do(t, "GET", manifestPath("aa", "never"), nil).Want(t, 404)
	own := *c
	own.User, own.Pass = key.AccessKeyID, key.SecretAccessKey
	own.Do(t, "GET", "/v2/aa/tags/list", nil).Want(t, 200)
	public := s.LoginPublic(t)
	public.Do(t, "GET", "/v2/", nil).Want(t, 200)
	anonymous := s.Anonymous(t)
	anonymous.Do(t, "GET", "/v2/", nil).Want(t, 200)
	secrets["a public token"], secrets["an anonymous token"] = public.Token, anonymous.Token
	layer := digest.FromBytes(img.Layers[0]).String()
	link, err := s.ECR().GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: new("aa"), LayerDigest: &layer})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(*link.DownloadUrl)
	if err != nil {
		t.Fatal(err)
	}
	secrets["the signature of a link"] = u.Query().Get("signature")
	(&servertest.Client{Server: s, HTTP: c.HTTP}).Do(t, "GET", u.RequestURI(), nil).Want(t, 200)
	page, err := s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{MaxResults: new(int32(1))})
	if err != nil {
		t.Fatal(err)
	}
	secrets["a page token"] = *page.NextToken
	if _, err := s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: page.NextToken}); err != nil {
		t.Fatal(err)
	}
	if status, text := s.PostAs(t, as, server.TokenPath, `{"expiresIn":900}`); status >= 500 {
		t.Errorf("a token = %d %s", status, text)
	}
}

// guessSecrets sends what could be secrets of somewhere else in all places where a
// client can err.
func guessSecrets(t *testing.T, s *servertest.Server, secrets map[string]string) {
	t.Helper()
	const canary = "canary-jK3vQ9xZ"
	secrets["what a client sent"] = canary
	bare := &servertest.Client{Server: s, HTTP: http.DefaultClient}
	for _, host := range []string{"", s.PublicHost()} {
		for _, header := range []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:"+canary)), "Basic " + base64.StdEncoding.EncodeToString([]byte("AKIAROOT:"+canary)),
			"Basic " + canary, "Bearer " + canary, "Negotiate " + canary, canary, "AWS4-HMAC-SHA256 Credential=AKIAROOT/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=" + canary} {
			for _, path := range []string{"/v2/", "/v2/aa/manifests/v1", "/token/", "/_berth/v1/layers/a/b/c/d?signature=" + canary, "/?X-Amz-Signature=" + canary + "&X-Amz-Security-Token=" + canary} {
				in := *bare
				in.Host = host
				for _, method := range []string{"GET", "POST"} {
					r := in.Do(t, method, path, []byte(`{"password":"`+canary+`"}`), "Authorization", header, "Cookie", "session="+canary,
						"X-Amz-Security-Token", canary, "Proxy-Authorization", "Basic "+canary, "X-Registry-Auth", canary, "X-Amz-Target", ecrTarget+"ListImages", "Content-Type", "application/x-amz-json-1.1")
					if r.Status >= 500 || strings.Contains(string(r.Body), canary) {
						t.Errorf("%s %s with %s = %d %s", method, path, header, r.Status, r.Body)
					}
				}
			}
		}
	}
	role := "arn:aws:iam::123456789012:role/r"
	_, err := s.STS().AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: new("x"), WebIdentityToken: new("e30." + canary + ".e30")})
	if err == nil || strings.Contains(servertest.ErrorMessage(err), canary) {
		t.Errorf("a bad identity token: %v", err)
	}
	_, err = s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: new(canary)})
	if err == nil || strings.Contains(servertest.ErrorMessage(err), canary) {
		t.Errorf("a bad page token: %v", err)
	}
	if status, text := call(t, s, "UploadLayerPart", `{"layerPartBlob":"`+canary+`"`); status != 400 || strings.Contains(text, canary) {
		t.Errorf("a document that is none = %d %s", status, text)
	}
}

package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	firstEndpoint  = "vpce-0123456789abcdef0"
	secondEndpoint = "vpce-0123456789abcdef1"
	openEndpoint   = `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
)

// withEndpoints configures two endpoints. The second has a policy.
func withEndpoints(t *testing.T, policy string) servertest.Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return servertest.Options{Configure: func(c *config.Config) {
		c.Endpoints = []config.Endpoint{
			{ID: firstEndpoint, VPC: "vpc-01234567", Listen: "127.0.0.1:0"},
			{ID: secondEndpoint, VPC: "vpc-89abcdef", Listen: "127.0.0.1:0", Policy: file},
		}
	}}
}

// through returns the configuration of a client of an endpoint, and a client of
// the distribution API there that sends a password.
func through(s *servertest.Server, as aws.Config, n int, password string) (aws.Config, *servertest.Client) {
	host := s.Config.Endpoints[n].Listen
	as.BaseEndpoint = new("http://" + host)
	return as, &servertest.Client{Server: &servertest.Server{URL: "http://" + host, Host: host}, User: "AWS", Pass: password, HTTP: as.HTTPClient.(*http.Client)}
}

func TestARepositoryCanBeLimitedToAnEndpoint(t *testing.T) {
	t.Parallel()
	servertest.Each(t, withEndpoints(t, openEndpoint), func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		login := s.Login(t)
		img := servertest.NewImage(1, 100)
		login.Push(t, "app", "v1", img)
		_, first := through(s, s.AWS(), 0, login.Pass)
		_, second := through(s, s.AWS(), 1, login.Pass)
		pull := func(c *servertest.Client) string {
			return c.Do(t, "GET", "/v2/app/manifests/v1", nil).Message()
		}
		const refusal = "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:BatchGetImage on resource: " +
			"arn:aws:ecr:us-east-1:123456789012:repository/app with an explicit deny in a resource-based policy"
		for _, tt := range []struct {
			condition           string
			main, first, second string
		}{
			{`"StringNotEquals":{"aws:SourceVpce":"` + firstEndpoint + `"}`, refusal, "", refusal},
			{`"StringEquals":{"aws:SourceVpc":"vpc-89abcdef"}`, "", "", refusal},
			{`"IpAddress":{"aws:VpcSourceIp":"127.0.0.1"}`, "", refusal, refusal},
			{`"IpAddress":{"aws:SourceIp":"127.0.0.1"}`, refusal, "", ""},
			{`"Null":{"aws:SourceVpce":"true"}`, refusal, "", ""},
		} {
			text := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"ecr:BatchGetImage","Condition":{` + tt.condition + `}}]}`
			if _, err := s.ECR().SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &text}); err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]struct {
				client *servertest.Client
				want   string
			}{"no endpoint": {login, tt.main}, "the first": {first, tt.first}, "the second": {second, tt.second}} {
				if got := pull(c.client); got != c.want {
					t.Errorf("%s: a pull through %s: %q, want %q", tt.condition, name, got, c.want)
				}
			}
		}
	})
}

func TestThePolicyOfAnEndpointBites(t *testing.T) {
	t.Parallel()
	policy := `{"Statement":[
		{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"123456789012"}}},
		{"Effect":"Deny","Principal":"*","Action":["ecr:PutImage","ecr:DeleteRepository","iam:CreateUser"],"Resource":"*"}]}`
	servertest.Each(t, withEndpoints(t, policy), func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		login := s.Login(t)
		img := servertest.NewImage(1, 100)
		login.Push(t, "app", "v1", img)
		firstAWS, first := through(s, s.AWS(), 0, login.Pass)
		secondAWS, second := through(s, s.AWS(), 1, login.Pass)
		second.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)
		const denied = " with an explicit deny in a VPC endpoint policy"
		r := second.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest)
		if r.Status != 403 || !strings.HasSuffix(r.Message(), "ecr:PutImage on resource: arn:aws:ecr:us-east-1:123456789012:repository/app"+denied) {
			t.Errorf("a push as root: %d %s", r.Status, r.Body)
		}
		first.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
		_, err := ecr.NewFromConfig(secondAWS).DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true})
		if m := servertest.ErrorMessage(err); servertest.ErrorCode(err) != "AccessDeniedException" || !strings.HasSuffix(m, denied) {
			t.Errorf("DeleteRepository = %v", err)
		}
		_, err = iam.NewFromConfig(secondAWS).CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("a")})
		if m := servertest.ErrorMessage(err); !strings.HasSuffix(m, denied) {
			t.Errorf("CreateUser = %v", err)
		}
		if _, err = iam.NewFromConfig(firstAWS).CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("a")}); err != nil {
			t.Error(err)
		}
		stranger := s.CreateAccount(t, "111122223333")
		strangerAWS, _ := through(s, stranger, 1, "")
		_, err = ecr.NewFromConfig(strangerAWS).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
		want := "User: arn:aws:iam::111122223333:root is not authorized to perform: ecr:GetAuthorizationToken on resource: * " +
			"because no VPC endpoint policy allows the ecr:GetAuthorizationToken action"
		if servertest.ErrorMessage(err) != want {
			t.Errorf("GetAuthorizationToken of another account = %v, want %s", err, want)
		}
		if _, err = ecr.NewFromConfig(stranger).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatAnEndpointTellsLeadsBackToIt(t *testing.T) {
	t.Parallel()
	servertest.Each(t, withEndpoints(t, openEndpoint), func(t *testing.T, s *servertest.Server) {
		login := s.Login(t)
		as, c := through(s, s.AWS(), 0, login.Pass)
		api := ecr.NewFromConfig(as)
		made, err := api.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("app")})
		if err != nil || *made.Repository.RepositoryUri != c.Server.Host+"/app" {
			t.Fatalf("CreateRepository = %v, %v, want a URI at %s", made, err, c.Server.Host)
		}
		token, err := api.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
		if err != nil || *token.AuthorizationData[0].ProxyEndpoint != c.Server.URL {
			t.Errorf("GetAuthorizationToken = %v, %v, want %s", token, err, c.Server.URL)
		}
		nobody := *c
		nobody.User = ""
		want := `Basic realm="` + c.Server.URL + `/",service="ecr.amazonaws.com"`
		if r := nobody.Do(t, "GET", "/v2/", nil); r.Status != 401 || r.Header.Get("Www-Authenticate") != want {
			t.Errorf("challenge: %d %s, want %s", r.Status, r.Header.Get("Www-Authenticate"), want)
		}
		img := servertest.NewImage(1, 100)
		c.Push(t, "app", "v1", img)
		start := c.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202)
		if at := start.Header.Get("Location"); !strings.HasPrefix(at, "/") {
			t.Errorf("Location of an upload: %s", at)
		}
		layer := digest.FromBytes(img.Layers[0]).String()
		links := map[string]string{}
		_, second := through(s, s.AWS(), 1, login.Pass)
		servers := map[string]*servertest.Client{"main": login, "first": c, "second": second}
		for name, at := range servers {
			as.BaseEndpoint = &at.Server.URL
			out, err := ecr.NewFromConfig(as).GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: new("app"), LayerDigest: &layer})
			if err != nil || !strings.HasPrefix(*out.DownloadUrl, at.Server.URL+"/") {
				t.Fatalf("GetDownloadUrlForLayer of %s = %v, %v", name, out, err)
			}
			links[name] = strings.TrimPrefix(*out.DownloadUrl, at.Server.URL)
		}
		for made, link := range links {
			for name, at := range servers {
				want := 403
				if made == name {
					want = 200
				}
				if r := at.Do(t, "GET", link, nil); r.Status != want {
					t.Errorf("a link made at %s, asked for at %s: %d, want %d", made, name, r.Status, want)
				}
			}
		}
	})
}

func TestPublicRepositoriesAreNotBehindEndpoints(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, withEndpoints(t, openEndpoint))
	name := s.CreatePublicRepository(t, "app")
	img := servertest.NewImage(1, 100)
	s.LoginPublic(t).Push(t, name, "v1", img)
	_, c := through(s, s.AWS(), 0, "")
	c.User = ""
	c.Host = "public.localhost"
	for _, path := range []string{"/v2/" + name + "/manifests/v1", "/v2/"} {
		if r := c.Do(t, "GET", path, nil, "Authorization", "Bearer "+s.PublicToken(t)); r.Status != 401 {
			t.Errorf("GET %s: %d %s", path, r.Status, r.Body)
		}
	}
	c.Do(t, "GET", "/token/", nil).Want(t, 404)
}

func TestEndpointsAreRecorded(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, withEndpoints(t, openEndpoint))
	as, _ := through(s, s.AWS(), 1, "")
	c := ecr.NewFromConfig(as)
	if _, err := c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("app")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{}); err != nil {
		t.Fatal(err)
	}
	s.CreateRepository(t, "other")
	var got []string
	for _, text := range s.AuditRecords(t) {
		var r struct{ EventName, VPCEndpointID string }
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		got = append(got, r.EventName+" "+r.VPCEndpointID)
	}
	slices.Sort(got)
	if want := []string{"CreateRepository ", "CreateRepository " + secondEndpoint, "DescribeRepositories " + secondEndpoint}; !slices.Equal(got, want) {
		t.Errorf("records: %q, want %q", got, want)
	}
}

func TestAnEndpointWithABadPolicyKeepsTheServerFromOpening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, want := range map[string]string{
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`: "Principal",
		`nothing`: "policy of endpoint " + firstEndpoint,
		"":        "policy of endpoint " + firstEndpoint,
	} {
		file := filepath.Join(dir, "policy.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &config.Config{Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Account: "123456789012", Region: "us-east-1", Public: "on", DeletedRetention: "0", GCGrace: "0s", GCLease: "1h", GCDelay: "1h", GCShare: 50,
			Endpoints: []config.Endpoint{{ID: firstEndpoint, VPC: "vpc-01234567", Listen: "127.0.0.1:0", Policy: file}}}
		s, err := server.Open(context.Background(), c, server.Options{})
		if err == nil {
			t.Errorf("Open with the policy %q succeeded: %v", text, s.Close(context.Background()))
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("Open with the policy %q = %v, want %q", text, err, want)
		}
	}
	c := &config.Config{Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Account: "123456789012", Region: "us-east-1", Public: "on", DeletedRetention: "0", GCGrace: "0s", GCLease: "1h", GCDelay: "1h", GCShare: 50,
		Endpoints: []config.Endpoint{{ID: firstEndpoint, VPC: "vpc-01234567", Listen: "127.0.0.1:0", Policy: filepath.Join(dir, "none")}}}
	if _, err := server.Open(context.Background(), c, server.Options{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Open without the file = %v", err)
	}
}

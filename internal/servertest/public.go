package servertest

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
)

// PublicHost returns the host of the public registries.
func (s *Server) PublicHost() string {
	return "public.localhost" + s.Host[strings.LastIndexByte(s.Host, ':'):]
}

// ECRPublic returns the SDK's client of ECR Public.
func (s *Server) ECRPublic() *ecrpublic.Client { return ecrpublic.NewFromConfig(s.AWS()) }

// CreatePublicRepository makes a public repository and returns what it is called
// at the public host: its registry's alias and its name.
func (s *Server) CreatePublicRepository(t testing.TB, name string) string {
	t.Helper()
	out, err := s.ECRPublic().CreateRepository(t.Context(), &ecrpublic.CreateRepositoryInput{RepositoryName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(*out.Repository.RepositoryUri, s.PublicHost()+"/")
}

// PublicToken returns an authorization token of the root's for the public
// registries.
func (s *Server) PublicToken(t testing.TB) string {
	t.Helper()
	out, err := s.ECRPublic().GetAuthorizationToken(t.Context(), &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.AuthorizationData.AuthorizationToken
}

// PublicPassword returns the password in a token of PublicToken.
func (s *Server) PublicPassword(t testing.TB) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s.PublicToken(t))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(b), "AWS:")
}

// LoginPublic returns a client for the public host that is logged in.
func (s *Server) LoginPublic(t testing.TB) *Client {
	t.Helper()
	return &Client{Server: s, Host: s.PublicHost(), Token: s.PublicToken(t), HTTP: s.httpClient()}
}

// Anonymous returns a client for the public host that is not, and has the token
// that such clients get.
func (s *Server) Anonymous(t testing.TB) *Client {
	t.Helper()
	c := &Client{Server: s, Host: s.PublicHost(), HTTP: s.httpClient()}
	c.Token = c.FetchToken(t)
	return c
}

// FetchToken asks for a token as the client is logged in, by user and password
// or not at all.
func (c *Client) FetchToken(t testing.TB) string {
	t.Helper()
	bare := *c
	bare.Token = ""
	r := bare.Do(t, "GET", "/token/?service=public.ecr.aws&scope=aws", nil).Want(t, 200)
	var body struct{ Token string }
	if err := json.Unmarshal(r.Body, &body); err != nil || body.Token == "" {
		t.Fatalf("GET /token/ = %s, want a token: %v", r.Body, err)
	}
	return body.Token
}

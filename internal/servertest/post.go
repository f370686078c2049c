package servertest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// PostAs asks for an operation that ECR does not have, signed with a client's key,
// and returns status and body of the answer.
func (s *Server) PostAs(t testing.TB, as aws.Config, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	key, err := as.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), "ecr", Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := s.httpClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Allow returns an identity policy that allows actions on everything.
func Allow(actions ...string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}}`
}

// LoginAs returns a client for the default registry that is logged in with a
// password of the one who signs with a client's key.
func (s *Server) LoginAs(t testing.TB, as aws.Config) *Client {
	t.Helper()
	out, err := ecr.NewFromConfig(as).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken)
	if err != nil {
		t.Fatal(err)
	}
	_, password, _ := strings.Cut(string(b), ":")
	return &Client{Server: s, User: "AWS", Pass: password, HTTP: s.httpClient()}
}

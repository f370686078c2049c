package credential

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"berth/internal/config"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Kubelet is a credential provider of the kubelet's exec protocol
// (credentialprovider.kubelet.k8s.io): one request on standard input, one response
// on standard output.
type Kubelet struct {
	Config *config.Client
	Source *Source
	// RoleARN is the role that a service account stands for that has no annotation.
	RoleARN string
	// Duration is how long the session of a service account's role is; STS's
	// standard if 0.
	Duration time.Duration
}

// The annotations of a service account that name its role. The second one is that
// of EKS.
const (
	RoleAnnotation    = "berth.dev/role-arn"
	eksRoleAnnotation = "eks.amazonaws.com/role-arn"
)

// What the kubelet calls itself and the plugin. All versions have the same form;
// the service account's members are in v1 only.
const (
	kubeletGroup = "credentialprovider.kubelet.k8s.io/"
	requestKind  = "CredentialProviderRequest"
	responseKind = "CredentialProviderResponse"
)

var kubeletVersions = []string{"v1", "v1beta1", "v1alpha1"}

// KubeletRequest is what the kubelet asks.
type KubeletRequest struct {
	APIVersion          string            `json:"apiVersion"`
	Kind                string            `json:"kind"`
	Image               string            `json:"image"`
	ServiceAccountToken string            `json:"serviceAccountToken"`
	Annotations         map[string]string `json:"serviceAccountAnnotations"`
}

// KubeletResponse is what it is told. Without Auth nobody needs to log in, or not
// with us.
type KubeletResponse struct {
	APIVersion    string                 `json:"apiVersion"`
	Kind          string                 `json:"kind"`
	CacheKeyType  string                 `json:"cacheKeyType"` // Registry: a password is good for all images of a host
	CacheDuration string                 `json:"cacheDuration,omitempty"`
	Auth          map[string]KubeletAuth `json:"auth"`
}

// KubeletAuth is a login.
type KubeletAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Run answers one request. The password is to be kept for half of the time that it
// works.
//
// If the request has the token of a service account, the password is one of the role
// that the account's annotation names, or else of RoleARN: the token is exchanged for
// it by AssumeRoleWithWebIdentity. Such a request is never answered with what the
// node itself may do. The kubelet keeps what it gets for a token apart from what it
// gets for others.
func (k *Kubelet) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	req, err := readRequest(in)
	if err != nil {
		return err
	}
	resp := KubeletResponse{APIVersion: req.APIVersion, Kind: responseKind, CacheKeyType: "Registry"}
	registry, ok := registryOf(req.Image)
	t, found := Find(k.Config, registry, true)
	if !ok || !found {
		return json.NewEncoder(out).Encode(resp)
	}
	source := *k.Source
	if req.ServiceAccountToken != "" {
		if source.Load, err = k.serviceAccount(req); err != nil {
			return err
		}
	}
	p, err := source.Password(ctx, t)
	if t.Public && errors.Is(err, ErrNoCredentials) && req.ServiceAccountToken == "" {
		return json.NewEncoder(out).Encode(resp) // nobody needs to log in there
	}
	if err != nil {
		return err
	}
	resp.CacheDuration = max(0, p.Expires.Sub(source.now())/2).Truncate(time.Second).String()
	resp.Auth = map[string]KubeletAuth{registry: {p.User, p.Secret}}
	return json.NewEncoder(out).Encode(resp)
}

func readRequest(in io.Reader) (KubeletRequest, error) {
	var req KubeletRequest
	text, err := io.ReadAll(io.LimitReader(in, maxRequest))
	if err != nil {
		return req, err
	}
	if err := json.Unmarshal(text, &req); err != nil {
		return req, errors.New("the request is not JSON") // it may hold a token: no part of it is told
	}
	version, ok := strings.CutPrefix(req.APIVersion, kubeletGroup)
	if !ok || !slices.Contains(kubeletVersions, version) || req.Kind != requestKind {
		return req, fmt.Errorf("apiVersion %.100q and kind %.100q are not those of a %s", req.APIVersion, req.Kind, requestKind)
	}
	if req.Image == "" {
		return req, errors.New("the request names no image")
	}
	return req, nil
}

// registryOf returns the registry in the name of an image, if it has one: what is
// before the first slash and could not be a part of a name.
func registryOf(image string) (string, bool) {
	host, _, slash := strings.Cut(image, "/")
	return host, slash && (strings.ContainsAny(host, ".:") || host == "localhost")
}

// serviceAccount returns what loads the configuration of a service account's role.
func (k *Kubelet) serviceAccount(req KubeletRequest) (func(context.Context, Target) (aws.Config, error), error) {
	role := cmp.Or(req.Annotations[RoleAnnotation], req.Annotations[eksRoleAnnotation], k.RoleARN)
	if role == "" {
		return nil, fmt.Errorf("the service account has no annotation %s, and there is no --role-arn", RoleAnnotation)
	}
	return func(ctx context.Context, t Target) (aws.Config, error) {
		c, err := load(ctx, t, awsconfig.WithCredentialsProvider(aws.AnonymousCredentials{}))
		if err != nil {
			return c, err
		}
		client := sts.NewFromConfig(c) // at the target's endpoint: see Load
		c.Credentials = stscreds.NewWebIdentityRoleProvider(client, role, identityToken(req.ServiceAccountToken), func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName, o.Duration = sessionName(req.ServiceAccountToken), k.Duration
		})
		return c, nil
	}, nil
}

// identityToken is a token that is at hand.
type identityToken string

// GetIdentityToken implements [stscreds.IdentityTokenRetriever].
func (t identityToken) GetIdentityToken() ([]byte, error) { return []byte(t), nil }

// sessionName makes a name for a session of the subject that a token claims,
// system:serviceaccount:NAMESPACE:NAME. STS checks the claim; the name is for people
// who read audit records.
func sessionName(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	var claims struct {
		Subject string `json:"sub"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return "kubelet"
	}
	if name := SessionName(strings.TrimPrefix(claims.Subject, "system:serviceaccount:")); len(name) >= 2 {
		return name
	}
	return "kubelet"
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"berth/internal/config"
	"berth/internal/credential"
	"berth/internal/egress"
	"berth/internal/oidc"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"
)

// loginOptions are the flags of berth login.
type loginOptions struct {
	issuer, client, secret string
	scopes                 []string
	port                   int
	role, session          string
	duration               time.Duration
	endpoint, region       string
	profile, ca            string
	noBrowser, device      bool
}

func loginCommand(environ []string, io stdio) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login --issuer URL --client-id ID --role-arn ARN",
		Short: "Log in with an OpenID Connect issuer and get credentials of a role",
		Long: `Log in with an OpenID Connect issuer, in a browser, assume a role with the identity
token that it gives, and write the credentials of the session into a profile of
~/.aws/credentials (or $AWS_SHARED_CREDENTIALS_FILE):

  berth login --issuer https://login.example.com --client-id berth \
    --role-arn arn:aws:iam::123456789012:role/developer
  export AWS_PROFILE=berth
  aws ecr get-login-password | docker login --username AWS --password-stdin $ECR_REGISTRY

The account must trust the issuer (aws iam create-open-id-connect-provider) with the
client id, and the role's trust policy must let its tokens assume it. The client must
be one for programs: authorization code with PKCE, and http://127.0.0.1/callback with
any port (or the one of --port) as redirect URI. If the issuer insists on a secret for
the client, give it in OIDC_CLIENT_SECRET.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return login(cmd.Context(), o, environ, io) },
	}
	f := cmd.Flags()
	f.StringVar(&o.issuer, "issuer", "", "URL of the issuer")
	f.StringVar(&o.client, "client-id", "", "id of the client that the issuer knows berth by")
	f.StringSliceVar(&o.scopes, "scopes", []string{"openid", "email"}, "scopes to ask for")
	f.IntVar(&o.port, "port", 0, "port on 127.0.0.1 that the browser comes back to (default any)")
	f.StringVar(&o.role, "role-arn", "", "role to assume")
	f.StringVar(&o.session, "session-name", "", "name of the session (default: made from the token's email, preferred_username or sub)")
	f.DurationVar(&o.duration, "duration", time.Hour, "how long the credentials last, from 15m to what the role allows")
	f.StringVar(&o.endpoint, "endpoint", "", "URL of the server (default: $AWS_ENDPOINT_URL_STS or $AWS_ENDPOINT_URL)")
	f.StringVar(&o.region, "region", "", "region (default: $AWS_REGION, else us-east-1)")
	f.StringVar(&o.profile, "profile", "berth", "profile to write")
	f.StringVar(&o.ca, "ca", "", "file with certificates (PEM) to trust besides the system's")
	f.BoolVar(&o.noBrowser, "no-browser", false, "only print the address to open")
	f.BoolVar(&o.device, "device", false, "log in on another machine, with a code to type in there")
	for _, name := range []string{"issuer", "client-id", "role-arn"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

// loginTime is how long somebody may take to log in.
const loginTime = 10 * time.Minute

func login(ctx context.Context, o loginOptions, environ []string, io stdio) error {
	o.secret = config.Variable(environ, "OIDC_CLIENT_SECRET")
	o.endpoint = cmp.Or(o.endpoint, config.Variable(environ, "AWS_ENDPOINT_URL_STS"), config.Variable(environ, "AWS_ENDPOINT_URL"))
	o.region = cmp.Or(o.region, config.Variable(environ, "AWS_REGION"), config.Variable(environ, "AWS_DEFAULT_REGION"), "us-east-1")
	if o.endpoint == "" {
		return errors.New("say with --endpoint or AWS_ENDPOINT_URL where the server is")
	}
	if u, err := url.Parse(o.endpoint); err != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(net.JoinHostPort(u.Hostname(), "0"))) {
		return fmt.Errorf("endpoint: %q is not https://HOST: who reads the token on its way can use it", o.endpoint)
	}
	file, err := credentialsFile(environ)
	if err != nil {
		return err
	}
	client, err := loginClient(o.ca)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	l := &oidc.Login{Issuer: o.issuer, ClientID: o.client, ClientSecret: o.secret, Scopes: o.scopes, Port: o.port, Client: client}
	l.Open = func(address string) error {
		fmt.Fprintf(io.err, "Log in at\n\n  %s\n\n", address)
		if !o.noBrowser {
			openBrowser(address)
		}
		return nil
	}
	l.OpenWithCode = func(address, code string) error {
		_, err := fmt.Fprintf(io.err, "Log in at\n\n  %s\n\nwith the code %s\n", address, code)
		return err
	}
	run := l.Run
	if o.device {
		run = l.RunDevice
	}
	text, token, err := run(ctx)
	if err != nil {
		return err
	}
	out, err := assume(ctx, o, text, cmp.Or(o.session, sessionName(token)))
	if err != nil {
		return err
	}
	expires := out.Credentials.Expiration.UTC().Format(time.RFC3339)
	if err := saveProfile(file, o.profile, []setting{
		{"aws_access_key_id", *out.Credentials.AccessKeyId}, {"aws_secret_access_key", *out.Credentials.SecretAccessKey},
		{"aws_session_token", *out.Credentials.SessionToken}, {"x_security_token_expires", expires},
	}); err != nil {
		return err
	}
	fmt.Fprintf(io.out, "You are %s until %s, in the profile %s of %s.\n", aws.ToString(out.AssumedRoleUser.Arn), expires, o.profile, file)
	return nil
}

// loginClient reaches issuers wherever the person can, but only by TLS.
func loginClient(ca string) (*http.Client, error) {
	options := egress.Options{Allow: []string{"0.0.0.0/0", "::/0"}}
	if ca != "" {
		var err error
		if options.CA, err = os.ReadFile(ca); err != nil {
			return nil, err
		}
	}
	g, err := egress.New(options)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return g.Client(egress.ClientOptions{Redirects: 3}), nil
}

// openBrowser tries to open an address. That it was printed is enough if it fails.
func openBrowser(address string) {
	command := map[string][]string{
		"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"},
	}[runtime.GOOS]
	if command == nil {
		command = []string{"xdg-open"}
	}
	cmd := exec.Command(command[0], append(command[1:], address)...) // it may outlast the login
	if cmd.Start() == nil {
		_ = cmd.Process.Release()
	}
}

// assume exchanges the token for credentials of the role.
func assume(ctx context.Context, o loginOptions, token, session string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	options := sts.Options{Region: o.region, BaseEndpoint: &o.endpoint, Credentials: aws.AnonymousCredentials{}}
	if o.ca != "" && strings.HasPrefix(o.endpoint, "https://") {
		client, err := loginClient(o.ca)
		if err != nil {
			return nil, err
		}
		defer client.CloseIdleConnections()
		options.HTTPClient = client
	}
	out, err := sts.New(options).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &o.role, RoleSessionName: &session, WebIdentityToken: &token, DurationSeconds: aws.Int32(int32(o.duration / time.Second)),
	})
	if e := smithy.APIError(nil); errors.As(err, &e) {
		return nil, fmt.Errorf("%s: %s", e.ErrorCode(), e.ErrorMessage())
	}
	if err == nil && (out.Credentials == nil || out.Credentials.AccessKeyId == nil || out.Credentials.SecretAccessKey == nil ||
		out.Credentials.SessionToken == nil || out.Credentials.Expiration == nil || out.AssumedRoleUser == nil) {
		return nil, fmt.Errorf("%s answers without credentials", o.endpoint)
	}
	return out, err
}

// sessionName makes the name of a session from what a token says of a person.
func sessionName(t *oidc.Token) string {
	names := append(slices.Concat(t.Claims["email"], t.Claims["preferred_username"]), t.Subject)
	name := strings.Trim(credential.SessionName(names[0]), "-")
	if len(name) < 2 {
		name = "login-" + name
	}
	return name[:min(len(name), 64)]
}

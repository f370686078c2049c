package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"berth/internal/config"
	"berth/internal/credential"

	"github.com/spf13/cobra"
)

func credentialsCommand(environ []string, io stdio) *cobra.Command {
	return group("credentials", "Give the AWS tools, and tasks, the credentials of roles",
		credentialsProcessCommand(environ, io), credentialsServeCommand(environ, io))
}

// roleFlags say as whom, and how, roles are assumed.
type roleFlags struct {
	target     credential.Target
	role       credential.Role
	policyFile string
}

func (f *roleFlags) add(cmd *cobra.Command) {
	host, _ := os.Hostname() // a name without the host is good enough
	fs := cmd.Flags()
	fs.StringVar(&f.target.Endpoint, "endpoint", "", "URL of the AWS APIs (default: what the AWS tools use, such as AWS_ENDPOINT_URL)")
	fs.StringVar(&f.target.Profile, "profile", "", "profile of the AWS tools' files to assume the role with")
	fs.StringVar(&f.target.Region, "region", "", "region to sign requests for (default: that of the AWS tools, or us-east-1)")
	fs.StringVar(&f.role.SessionName, "session-name", credential.SessionName("berth-"+host), "name of the session, which audit records show")
	fs.StringVar(&f.role.ExternalID, "external-id", "", "external id, if the role's trust policy asks for one")
	fs.DurationVar(&f.role.Duration, "duration", time.Hour, "how long a session is")
	fs.StringVar(&f.policyFile, "policy-file", "", "file with a session policy: no more is allowed than it allows")
}

// load reads the files that the flags name.
func (f *roleFlags) load() error {
	if f.policyFile == "" {
		return nil
	}
	text, err := os.ReadFile(f.policyFile)
	f.role.Policy = string(text)
	return err
}

// withinVariable has the calls of berth credentials process that this process runs
// in. A profile whose credential_process assumes the role with that same profile
// would go on starting processes forever.
const withinVariable = "_BERTH_CREDENTIALS_PROCESS"

func credentialsProcessCommand(environ []string, io stdio) *cobra.Command {
	var f roleFlags
	cmd := &cobra.Command{
		Use:   "process --role-arn ARN",
		Short: "Print the credentials of a role, as a credential_process",
		Long: `Assume a role and print its credentials as the AWS tools want them of a
credential_process. In ~/.aws/config:

  [profile deploy]
  credential_process = berth credentials process --role-arn arn:aws:iam::123456789012:role/deploy --profile me
  endpoint_url = https://registry.example.com

--profile is the profile with the credentials that may assume the role; without it they
are found as the AWS tools find them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.load(); err != nil {
				return err
			}
			within := os.Getenv(withinVariable)
			this := "\n" + f.target.Profile + " " + f.role.ARN + "\n"
			if strings.Contains(within, this) {
				return errors.New("the profile has its credentials from itself: say with --profile which other one may assume the role")
			}
			if err := os.Setenv(withinVariable, within+this); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			c, err := credential.Load(ctx, f.target)
			if err != nil {
				return err
			}
			got, err := f.role.Assume(c, f.target.Endpoint).Retrieve(ctx)
			if err != nil {
				return err
			}
			return credential.PrintProcess(io.out, got)
		},
	}
	cmd.Flags().StringVar(&f.role.ARN, "role-arn", "", "the role")
	_ = cmd.MarkFlagRequired("role-arn") // the flag is there
	f.add(cmd)
	return cmd
}

// tokenVariable holds what tasks must send, if no file does.
const tokenVariable = "AWS_CONTAINER_AUTHORIZATION_TOKEN"

func credentialsServeCommand(environ []string, io stdio) *cobra.Command {
	var f roleFlags
	var listen string
	var roles, tokens []string
	var insecure bool
	cmd := &cobra.Command{
		Use:   "serve --role-arn [NAME=]ARN... --token-file [NAME=]FILE...",
		Short: "Serve the credentials of roles to tasks, as a container does",
		Long: `Assume roles and serve their credentials to tasks, as ECS and EKS do it in containers.
The AWS tools of a task find them by two variables:

  AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:4170` + credential.RolePath + `NAME
  AWS_CONTAINER_AUTHORIZATION_TOKEN=...    # or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=...

NAME is that of the role unless another is given. A request must have the token that is
in the file, or in this process's ` + tokenVariable + `. A role that has a file
of its own (--token-file NAME=FILE) is given for that one only, so that a task gets no
other task's role. Files are read at each request, so they can be replaced.

Roles are assumed again when half of a session is over, with credentials that are found
as the AWS tools find them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.load(); err != nil {
				return err
			}
			arns, err := namedRoles(roles)
			if err != nil {
				return err
			}
			token, err := tokenSource(arns, tokens, config.Variable(environ, tokenVariable))
			if err != nil {
				return err
			}
			if !insecure && !loopback(listen) {
				return fmt.Errorf("listen: %s can be reached from other machines, which could read credentials on the way: give --insecure-http if that is meant", listen)
			}
			c, err := credential.Load(cmd.Context(), f.target)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(io.err, nil))
			served := map[string]credential.Served{}
			for name, arn := range arns {
				role := f.role
				role.ARN = arn
				session := credential.NewSession(role.Assume(c, f.target.Endpoint), func(err error) { log.Warn(err.Error(), "role", name) }, nil)
				served[name] = credential.Served{ARN: arn, Session: session, Token: token(name)}
			}
			return serveCredentials(cmd.Context(), listen, &credential.Container{Roles: served, Log: log}, log)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&listen, "listen", "127.0.0.1:4170", "address to serve on")
	fs.StringArrayVar(&roles, "role-arn", nil, "a role, as ARN or NAME=ARN; can be repeated")
	fs.StringArrayVar(&tokens, "token-file", nil, "file with the token that tasks must send, for all roles or as NAME=FILE for one; can be repeated")
	fs.BoolVar(&insecure, "insecure-http", false, "serve on an address that is not loopback")
	_ = cmd.MarkFlagRequired("role-arn") // the flag is there
	f.add(cmd)
	return cmd
}

// namedRoles reads roles given as ARN or NAME=ARN.
func namedRoles(texts []string) (map[string]string, error) {
	arns := map[string]string{}
	for _, text := range texts {
		name, arn := "", text
		if before, after, ok := strings.Cut(text, "=arn:"); ok {
			name, arn = before, "arn:"+after
		}
		parts := strings.SplitN(arn, ":", 6)
		if len(parts) != 6 || parts[2] != "iam" || !strings.HasPrefix(parts[5], "role/") {
			return nil, fmt.Errorf("role-arn: %q is not the ARN of a role", text)
		}
		name = cmp.Or(name, arn[strings.LastIndexByte(arn, '/')+1:])
		if name != credential.SessionName(name) {
			return nil, fmt.Errorf("role-arn: %q is no name for a role", name)
		}
		if arns[name] != "" {
			return nil, fmt.Errorf("role-arn: two roles are named %s: name one of them with NAME=ARN", name)
		}
		arns[name] = arn
	}
	return arns, nil
}

// tokenSource returns what reads the token of a role.
func tokenSource(roles map[string]string, files []string, fixed string) (func(role string) func() (string, error), error) {
	var all string
	own := map[string]string{}
	for _, file := range files {
		// What begins like a path is one: = may be in it.
		name, path, named := strings.Cut(file, "=")
		if roles[name] == "" && (strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".")) {
			named = false
		}
		switch {
		case !named && file != "":
			if all != "" {
				return nil, errors.New("token-file: there are two for all roles: give the others as NAME=FILE")
			}
			all = file
		case name == "" || path == "":
			return nil, fmt.Errorf("token-file: %q names no file", file)
		case roles[name] == "":
			return nil, fmt.Errorf("token-file: there is no role named %s; if %q is a file, give it as ./%s", name, file, file)
		case own[name] != "":
			return nil, fmt.Errorf("token-file: there are two for %s", name)
		default:
			own[name] = path
		}
	}
	for name := range roles {
		if own[name] == "" && all == "" && fixed == "" {
			return nil, fmt.Errorf("token-file: tasks need a token for %s: give a file, or %s", name, tokenVariable)
		}
	}
	return func(role string) func() (string, error) {
		file := cmp.Or(own[role], all)
		if file == "" {
			return func() (string, error) { return fixed, nil }
		}
		return func() (string, error) {
			text, err := os.ReadFile(file)
			return strings.TrimSpace(string(text)), err
		}
	}, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, _ := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || ip.IsLoopback())
}

// serveCredentials serves until ctx ends.
func serveCredentials(ctx context.Context, address string, c *credential.Container, log *slog.Logger) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler: c, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	names := make([]string, 0, len(c.Roles))
	for name := range c.Roles {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		log.Info("serving credentials", "role", c.Roles[name].ARN, "url", "http://"+l.Addr().String()+credential.RolePath+name)
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = s.Shutdown(ctx)
	if e := <-ended; err == nil && !errors.Is(e, http.ErrServerClosed) {
		err = e
	}
	return err
}

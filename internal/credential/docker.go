package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"berth/internal/config"
)

// The texts that docker's clients know a helper's errors by.
var (
	errNotFound = errors.New("credentials not found in native keychain")
	errNoServer = errors.New("no credentials server URL")
)

// errStore says why nothing is stored.
var errStore = errors.New("docker-credential-berth stores no passwords: it asks for one when there is need, so no login is needed")

// Docker is a credential helper of Docker's protocol.
type Docker struct {
	Config *config.Client
	Source *Source
}

// DockerVerbs are what a helper can be asked for.
var DockerVerbs = []string{"get", "store", "erase", "list", "version"}

// Run does what a verb says: the request is on in, the answer goes to out. The
// protocol wants the text of an error there too, and an exit code that is not 0.
func (d *Docker) Run(ctx context.Context, verb string, in io.Reader, out io.Writer) error {
	switch verb {
	case "get":
		return d.get(ctx, in, out)
	case "store":
		_, _ = io.Copy(io.Discard, io.LimitReader(in, maxRequest)) // else the client sees a broken pipe
		return errStore
	case "erase":
		return d.erase(in)
	case "list":
		return d.list(out)
	}
	return fmt.Errorf("%q is none of %v", verb, DockerVerbs)
}

// maxRequest bounds what is read of a request, in bytes.
const maxRequest = 1 << 20

func (d *Docker) get(ctx context.Context, in io.Reader, out io.Writer) error {
	registry, err := serverURL(in)
	if err != nil {
		return err
	}
	t, ok := Find(d.Config, registry, false)
	if !ok {
		return errNotFound
	}
	p, err := d.Source.Password(ctx, t)
	if t.Public && errors.Is(err, ErrNoCredentials) {
		return errNotFound // nobody needs to log in there
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(struct {
		ServerURL, Username, Secret string
	}{registry, p.User, p.Secret})
}

// erase forgets passwords. That there are none is no error: docker logout wants
// none left.
func (d *Docker) erase(in io.Reader) error {
	registry, err := serverURL(in)
	if err != nil {
		return err
	}
	if t, ok := Find(d.Config, registry, false); ok {
		d.Source.Cache.Forget(t.Endpoint)
	}
	return nil
}

// list names the registries that are configured, which is where docker, as it
// builds, may want to log in.
func (d *Docker) list(out io.Writer) error {
	users := map[string]string{}
	for _, h := range d.Config.Hosts() {
		users[h] = "AWS"
	}
	return json.NewEncoder(out).Encode(users)
}

func serverURL(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxRequest))
	if err != nil {
		return "", err
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "", errNoServer
	}
	return string(text), nil
}

//go:build unix

package storm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// answer is what a server has said to the end.
type answer struct {
	status int
	header http.Header
	body   []byte
	called time.Time // just before it was asked
	said   time.Time // just after it has answered
}

// says reports whether the answer is an error with a code in it.
func (a answer) says(code string) bool {
	return a.status >= 400 && bytes.Contains(a.body, []byte(code))
}

// errGone says that the server has not answered: whether it has done what it was asked
// for is not known.
var errGone = errors.New("the server has not answered")

// worker is one client. It speaks to all servers in turn, and to the others while one
// does not run.
type worker struct {
	*storm
	id   int
	r    *rand.Rand
	http *http.Client
	only *seat // if it is not nil, all requests are made there
}

// send makes a request, which make makes for a URL. Nobody else asks for what a server
// does not answer: what became of it, its client must find out.
func (w *worker) send(newRequest func(url string) (*http.Request, error)) (answer, error) {
	for deadline := time.Now().Add(time.Minute); ; {
		s := w.seats[w.r.IntN(len(w.seats))]
		if w.only != nil {
			s = w.only
		}
		url, life := s.where()
		if url == "" {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		r, err := newRequest(url)
		if err != nil {
			return answer{}, err
		}
		w.requests.Add(1)
		a, err := w.exchange(r)
		if err == nil {
			if a.status >= 500 {
				w.fail("%s %s = %d %s", r.Method, r.URL, a.status, a.body)
			}
			return a, nil
		}
		if s.lives(life) {
			w.fail("%s %s: %v, and nobody has killed the server", r.Method, r.URL, err)
		}
		var dial *net.OpError
		if !errors.As(err, &dial) || dial.Op != "dial" {
			w.unknown.Add(1)
			return a, fmt.Errorf("%w: %w", errGone, err)
		}
		if time.Now().After(deadline) {
			return a, fmt.Errorf("no server answers: %w", err)
		}
	}
}

func (w *worker) exchange(r *http.Request) (a answer, err error) {
	a.called = time.Now()
	defer func() { a.said = time.Now() }()
	resp, err := w.http.Do(r)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}

// do makes a request of the distribution API.
func (w *worker) do(method, path string, body []byte, header ...string) (answer, error) {
	if at := strings.Index(path, "/v2/"); at > 0 {
		path = path[at:] // uploads are gone on with on any server
	}
	return w.send(func(url string) (*http.Request, error) {
		r, err := http.NewRequest(method, url+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.SetBasicAuth(rootID, rootSecret)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r, nil
	})
}

// signed makes a signed request and decodes what is answered.
func (w *worker) signed(path, target string, in, out any) (answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return answer{}, err
	}
	a, err := w.send(func(url string) (*http.Request, error) {
		r, err := http.NewRequest("POST", url+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if target != "" {
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921."+target)
		}
		sum := sha256.Sum256(body)
		key := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
		return r, v4.NewSigner().SignHTTP(context.Background(), key, r, hex.EncodeToString(sum[:]), "ecr", "us-east-1", time.Now())
	})
	if err == nil && a.status == http.StatusOK && out != nil {
		err = json.Unmarshal(a.body, out)
	}
	return a, err
}

// ecr makes a call of ECR's.
func (w *worker) ecr(operation string, in, out any) (answer, error) {
	return w.signed("/", operation, in, out)
}

// must makes a call that has to be answered, and done.
func (w *worker) must(path, target string, in, out any) error {
	for {
		a, err := w.signed(path, target, in, out)
		if errors.Is(err, errGone) {
			continue
		}
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%s%s = %d %s", path, target, a.status, a.body)
		}
		return err
	}
}

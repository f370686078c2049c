package credential_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/credential"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// caller is somebody who may assume roles.
func caller() aws.Config {
	return aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAAGENT", "secret", ""), RetryMaxAttempts: 1}
}

func TestAssumeSendsWhatARoleAsksFor(t *testing.T) {
	t.Parallel()
	a := newAPI(t, noon)
	role := credential.Role{ARN: "arn:aws:iam::123456789012:role/task", SessionName: "me", ExternalID: "ext", Policy: "{}", Duration: 15 * time.Minute}
	if _, err := role.Assume(caller(), a.URL).Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Action": "AssumeRole", "RoleArn": role.ARN, "RoleSessionName": "me", "ExternalId": "ext", "Policy": "{}", "DurationSeconds": "900",
	} {
		if got := a.seen[0][name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %v, want %s", name, got, want)
		}
	}
}

func TestPrintProcess(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := aws.Credentials{AccessKeyID: "ASIAX", SecretAccessKey: "s", SessionToken: "t", CanExpire: true, Expires: noon.In(time.FixedZone("", 3600))}
	const want = `{"Version":1,"AccessKeyId":"ASIAX","SecretAccessKey":"s","SessionToken":"t","Expiration":"2026-05-04T12:00:00Z"}` + "\n"
	if err := credential.PrintProcess(&out, c); err != nil || out.String() != want {
		t.Errorf("PrintProcess = %s, %v, want %s", &out, err, want)
	}
	if err := credential.PrintProcess(&out, aws.Credentials{}); err == nil {
		t.Error("PrintProcess of nothing = no error")
	}
}

// provider answers with the credentials, or the error, of the moment.
type provider struct {
	mu    sync.Mutex
	calls int           // guarded by mu
	err   error         // guarded by mu
	takes time.Duration // to answer
}

// Retrieve implements [aws.CredentialsProvider].
func (p *provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	select {
	case <-time.After(p.takes):
	case <-ctx.Done():
		return aws.Credentials{}, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.err != nil {
		return aws.Credentials{}, p.err
	}
	return aws.Credentials{AccessKeyID: "ASIA" + string(rune('A'+p.calls)), CanExpire: true, Expires: time.Now().Add(time.Hour)}, nil
}

func (p *provider) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func TestASessionIsRenewedAtHalfOfItsLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged []error
		p := &provider{}
		s := credential.NewSession(p, func(err error) { logged = append(logged, err) }, nil)
		want := func(id string) {
			t.Helper()
			c, err := s.Credentials(t.Context())
			if c.AccessKeyID != id || err != nil || id != "" && time.Until(c.Expires) <= 0 {
				t.Errorf("Credentials = %+v, %v, want %s", c, err, id)
			}
		}
		want("ASIAB")
		time.Sleep(30 * time.Minute)
		want("ASIAB")
		time.Sleep(time.Second)
		want("ASIAB") // while it is renewed
		synctest.Wait()
		want("ASIAC")

		// While the role cannot be assumed the old ones serve, as long as they work.
		p.set(errors.New("away"))
		time.Sleep(59 * time.Minute)
		for range 5 {
			want("ASIAC")
			synctest.Wait()
		}
		if len(logged) != 1 {
			t.Errorf("logged = %v, want one error: a pause is made after one", logged)
		}
		time.Sleep(10 * time.Second)
		want("ASIAC")
		synctest.Wait()
		if len(logged) != 2 {
			t.Errorf("logged = %v, want another error", logged)
		}
		time.Sleep(time.Minute)
		if c, err := s.Credentials(t.Context()); err == nil {
			t.Errorf("Credentials after they expired = %+v, want an error", c)
		}
		p.set(nil)
		if c, err := s.Credentials(t.Context()); err != nil || c.AccessKeyID == "ASIAC" {
			t.Errorf("Credentials = %+v, %v, want new ones", c, err)
		}
	})
}

func TestNobodyWaitsWhileASessionWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		s := credential.NewSession(p, func(error) {}, nil)
		if _, err := s.Credentials(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.takes = time.Hour
		time.Sleep(31 * time.Minute)
		for range 100 {
			began := time.Now()
			if c, err := s.Credentials(t.Context()); c.AccessKeyID != "ASIAB" || err != nil || time.Since(began) > 0 {
				t.Errorf("Credentials while STS hangs = %+v, %v after %v, want the ones before at once", c, err, time.Since(began))
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute) // the last attempt ends
	})
}

func TestARoleIsAssumedOnceForAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &provider{takes: 10 * time.Second}
		s := credential.NewSession(p, func(error) {}, nil)
		impatient, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := s.Credentials(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Credentials for one who leaves = %v", err)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if c, err := s.Credentials(t.Context()); err != nil || c.AccessKeyID != "ASIAB" {
					t.Errorf("Credentials = %+v, %v", c, err)
				}
			})
		}
		wg.Wait()
		if p.calls != 1 {
			t.Errorf("the role was assumed %d times, want once", p.calls)
		}

		// An attempt ends by itself.
		stuck := credential.NewSession(&provider{takes: time.Hour}, func(error) {}, nil)
		began := time.Now()
		if _, err := stuck.Credentials(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Minute {
			t.Errorf("Credentials of STS that hangs = %v after %v", err, time.Since(began))
		}
	})
}

//go:build unix

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"berth/internal/blob/buckettest"

	"github.com/rogpeppe/go-internal/testscript"
)

// startS3 starts an S3 store that ends with the script, and writes s3.yaml: the
// configuration of a berth that keeps its layers there. The store is in the memory of
// the tests unless it is versitygw; if it is slow, all that it is sent takes it half a second.
func startS3(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 || len(args) == 1 && args[0] != "versitygw" && args[0] != "slow" {
		ts.Fatalf("usage: s3 [versitygw|slow]")
	}
	address := freeAddress(ts)
	if len(args) == 1 && args[0] == "versitygw" {
		cmd, err := runVersity(ts.MkAbs("versitygw"), address)
		ts.Check(err)
		ts.Defer(func() {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()         // it was killed
		})
	} else {
		l, err := net.Listen("tcp", address)
		ts.Check(err)
		store := buckettest.FakeS3()
		if len(args) == 1 {
			store = slow(store)
		}
		s := &http.Server{Handler: store, ReadHeaderTimeout: time.Minute}
		ended := make(chan struct{})
		go func() {
			_ = s.Serve(l) // it ends when it is closed
			close(ended)
		}()
		ts.Defer(func() {
			_ = s.Close() // requests are for a server that has ended
			<-ended
		})
	}
	ts.Setenv("S3_ENDPOINT", "http://"+address)
	text := fmt.Sprintf("storage: s3://%s/e2e\ns3-endpoint: http://%s\ns3-path-style: true\ns3-redirects: on\ns3-access-key-id: %s\ns3-secret-access-key: %s\n",
		buckettest.S3Bucket, address, s3Key, s3Secret)
	ts.Check(os.WriteFile(ts.MkAbs("s3.yaml"), []byte(text), 0o600))
}

func slow(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-time.After(500 * time.Millisecond)
		}
		store.ServeHTTP(w, r)
	})
}

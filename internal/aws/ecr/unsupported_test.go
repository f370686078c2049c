package ecr_test

import (
	"reflect"
	"slices"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// unsupported are the operations that Berth does not have, with why.
var unsupported = map[string]string{
	"StartImageScan":               "scanning is not implemented yet",
	"StartReplicationBackfill":     "replication is not implemented yet",
	"ValidatePullThroughCacheRule": "the pull-through cache is not implemented yet",
}

// implemented returns the operations that Berth has; these tests call them all.
func implemented() []string {
	return slices.DeleteFunc(operations(), func(name string) bool { return unsupported[name] != "" })
}

// operations returns the names of the operations that the SDK has: the methods
// of its client that take a context, an input and options.
func operations() []string {
	var names []string
	client := reflect.TypeFor[*ecr.Client]()
	for m := range client.Methods() {
		if m.Type.NumIn() == 4 && m.Type.In(2).Elem().Name() == m.Name+"Input" {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestEveryOperationOfTheSDKIsImplementedOrRefused(t *testing.T) {
	t.Parallel()
	all := operations()
	if len(all) < 62 {
		t.Fatalf("the SDK has %d operations, want at least 62", len(all))
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range all {
			got := rawCall{target: name, body: "{}"}.do(t, s)
			if reason, ok := unsupported[name]; ok {
				got.wantFailure(t, 400, "UnsupportedCommandException", "The operation "+name+" is not supported by Berth: "+reason)
			} else if code := got.header.Get("X-Amzn-Errortype"); code == "UnsupportedCommandException" || code == "UnknownOperationException" {
				t.Errorf("%s: %s", name, code)
			}
		}
	})
}

func TestTheSDKSeesARefusalAsAnError(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		_, err := s.ECR().ValidatePullThroughCacheRule(t.Context(), &ecr.ValidatePullThroughCacheRuleInput{EcrRepositoryPrefix: new("quay")})
		wantError(t, err, "UnsupportedCommandException",
			"The operation ValidatePullThroughCacheRule is not supported by Berth: "+unsupported["ValidatePullThroughCacheRule"])
	})
}

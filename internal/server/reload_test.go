package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/config"
)

func TestABadPolicyOfAnEndpointKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*","Resource":"*"}]}`)
	c := &config.Config{Listen: "127.0.0.1:1", Endpoints: []config.Endpoint{{ID: "vpce-01234567", VPC: "vpc-01234567", Listen: "127.0.0.1:2", Policy: file}}}
	entrances, err := newEntrances(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s := &Server{config: c, entrances: entrances, log: slog.New(slog.NewTextHandler(&log, nil))}
	actions := func() string { return strings.Join(entrances[1].endpoint.Load().Policy[0].Actions(), " ") }
	if entrances[0].endpoint.Load() != nil || actions() != "ecr:*" {
		t.Errorf("the endpoint allows %s, and the main address is %v", actions(), entrances[0].endpoint.Load())
	}
	write(`{"Statement":[{"Effect":"Allow"`)
	s.reload()
	if actions() != "ecr:*" || !strings.Contains(log.String(), `level=ERROR msg="the policy was not replaced" endpoint=vpce-01234567`) {
		t.Errorf("after a bad policy %s are allowed; the log has %s", actions(), log.String())
	}
	log.Reset()
	write(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:Get*","Resource":"*"}]}`)
	s.reload()
	if actions() != "ecr:Get*" || !strings.Contains(log.String(), `msg="policy replaced" endpoint=vpce-01234567`) {
		t.Errorf("after a good policy %s are allowed; the log has %s", actions(), log.String())
	}
}

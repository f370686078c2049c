package server

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/maintenance"
	"berth/internal/metadata"

	"github.com/prometheus/client_golang/prometheus"
)

// Here all servers on the database are told to refuse changes, to take them again, and
// asked which it is:
//
//	POST /_berth/v1/maintenance/on      {"reason": "the disk is replaced"}
//	POST /_berth/v1/maintenance/off     {}
//	POST /_berth/v1/maintenance/status  {}
//	200  {"readOnly": true, "reason": "the disk is replaced", "since": "...", "principalArn": "arn:aws:iam::123456789012:root"}
//
// When the first one is answered no change is committed any more, on whatever server. "option"
// is true if the server that answers was started with read-only, which no request ends. They
// are signed, and answer errors, as ECR's operations do. The caller must be the
// administrator, or be allowed berth:StartMaintenance, berth:EndMaintenance or
// berth:GetMaintenance there.
const (
	MaintenanceOnPath     = "/_berth/v1/maintenance/on"
	MaintenanceOffPath    = "/_berth/v1/maintenance/off"
	MaintenanceStatusPath = "/_berth/v1/maintenance/status"
)

// The bodies of requests and answers.
type (
	// MaintenanceOnRequest is the body of a request to MaintenanceOnPath.
	MaintenanceOnRequest = maintenance.Input
	// MaintenanceRequest is the body of requests to the others.
	MaintenanceRequest struct{}
	// MaintenanceResponse is the answer.
	MaintenanceResponse = maintenance.Status
)

func (s *Server) maintenanceOn(ctx context.Context, c access.Call, in MaintenanceOnRequest) (MaintenanceResponse, error) {
	return s.maintenance.On(ctx, c, in)
}

func (s *Server) maintenanceOff(ctx context.Context, c access.Call, _ MaintenanceRequest) (MaintenanceResponse, error) {
	return s.maintenance.Off(ctx, c)
}

func (s *Server) maintenanceStatus(ctx context.Context, c access.Call, _ MaintenanceRequest) (MaintenanceResponse, error) {
	return s.maintenance.Status(ctx, c)
}

// maintenanceInterval is how soon a server notices that another one was told.
const maintenanceInterval = 500 * time.Millisecond

// newSwitch makes what says whether changes are refused, and shows it.
func (s *Server) newSwitch(ctx context.Context, a *access.Authorizer) error {
	s.maintenance = maintenance.New(maintenance.Options{
		Store: metadata.For[maintenance.Tx, maintenance.Tx](s.db), Authorizer: a, Auditor: s.auditLog, Account: s.config.Account,
		Now: s.options.Now, Log: s.log, Option: s.config.ReadOnly,
	})
	if s.config.ReadOnly {
		s.log.Info("changes are refused: the server was started with read-only")
	}
	s.metrics.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "berth_read_only", Help: "1 if changes are refused, for maintenance or as the server was started so, else 0.",
	}, func() float64 {
		if s.maintenance.Refused() != nil {
			return 1
		}
		return 0
	}))
	return s.maintenance.Refresh(ctx)
}

// unlessRefused is do while changes are not refused, and else nothing.
func (s *Server) unlessRefused(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if s.maintenance.Refused() != nil {
			return nil
		}
		return do(ctx)
	}
}

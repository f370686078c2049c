package server

import (
	"context"
	"fmt"
	"time"

	"berth/internal/config"
	"berth/internal/registry"

	"github.com/prometheus/client_golang/prometheus"
)

// quotas returns the quotas of the configuration.
func quotas(c *config.Config) (map[string]int64, []registry.StorageQuota, error) {
	values, err := c.QuotaValues()
	if err != nil {
		return nil, nil, err
	}
	if err := registry.CheckQuotas(values, requestRates(c)); err != nil {
		return nil, nil, fmt.Errorf("quota: %w", err)
	}
	limits, err := c.StorageLimits()
	if err != nil {
		return nil, nil, err
	}
	var storage []registry.StorageQuota
	for _, l := range limits {
		storage = append(storage, registry.StorageQuota(l))
	}
	return values, storage, nil
}

func requestRates(c *config.Config) bool { return c.RequestRates == "ecr" }

// beginQuotas begins to count what storage quotas are about, and to show it, and
// learns of rates that were granted.
func (s *Server) beginQuotas(ctx context.Context) error {
	if err := s.registry.CountStorage(ctx); err != nil {
		return fmt.Errorf("count what storage quotas are about: %w", err)
	}
	if err := s.registry.RefreshRates(ctx); err != nil {
		return fmt.Errorf("read the rates that were granted: %w", err)
	}
	return s.metrics.registry.Register(storageCollector{s})
}

// storageCollector reads the use of storage quotas when metrics are asked for.
// Their labels come from the configuration.
type storageCollector struct{ s *Server }

var (
	storageUsed = prometheus.NewDesc("berth_storage_quota_used_bytes",
		"Bytes of layers in the repositories of a storage quota.", []string{"account", "prefix"}, nil)
	storageLimit = prometheus.NewDesc("berth_storage_quota_bytes",
		"What a storage quota allows.", []string{"account", "prefix"}, nil)
	storageWarning = prometheus.NewDesc("berth_storage_quota_warning",
		"1 if at least 80 % of a storage quota are used, else 0.", []string{"account", "prefix"}, nil)
)

// Describe implements [prometheus.Collector].
func (c storageCollector) Describe(out chan<- *prometheus.Desc) {
	out <- storageUsed
	out <- storageLimit
	out <- storageWarning
}

// Collect implements [prometheus.Collector].
func (c storageCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	uses, err := c.s.registry.StorageUse(ctx)
	if err != nil {
		c.s.log.Warn("storage quotas not read", "error", err)
		return
	}
	for _, u := range uses {
		warning := 0.0
		if nearlyFull(u) {
			warning = 1
		}
		for desc, v := range map[*prometheus.Desc]float64{storageUsed: float64(u.Used), storageLimit: float64(u.Bytes), storageWarning: warning} {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, u.Account, u.Prefix)
		}
	}
}

// nearlyFull reports whether 80 % of a storage quota are used.
func nearlyFull(u registry.StorageUse) bool { return u.Used >= u.Bytes-u.Bytes/5 }

// quotaInterval is how often quotas are looked at.
const quotaInterval = 10 * time.Second

// watchQuotas learns of rates that other replicas have granted, and warns of
// storage quotas that are nearly full, once until less than 75 % are used again.
func (s *Server) watchQuotas(ctx context.Context) {
	tick := time.NewTicker(quotaInterval)
	defer tick.Stop()
	warned := map[registry.StorageQuota]bool{}
	for {
		if err := s.lookAtQuotas(ctx, warned); err != nil && ctx.Err() == nil {
			s.log.Warn("quotas not read; will be tried again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) lookAtQuotas(ctx context.Context, warned map[registry.StorageQuota]bool) error {
	if err := s.registry.RefreshRates(ctx); err != nil {
		return err
	}
	uses, err := s.registry.StorageUse(ctx)
	for _, u := range uses {
		if nearlyFull(u) && !warned[u.StorageQuota] {
			s.log.Warn("storage quota nearly full", "account", u.Account, "prefix", u.Prefix, "bytes", u.Bytes, "used", u.Used)
		}
		// Use that goes up and down around 80 % is one warning.
		warned[u.StorageQuota] = nearlyFull(u) || warned[u.StorageQuota] && u.Used >= u.Bytes-u.Bytes/4
	}
	return err
}

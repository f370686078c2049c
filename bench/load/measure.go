package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Result is what one run prints.
type Result struct {
	Label     string         `json:"label,omitempty"`
	Workload  string         `json:"workload"`
	Conc      int            `json:"conc"`
	Ops       int64          `json:"ops"`
	Errors    int64          `json:"errors"`
	FirstErr  string         `json:"first_error,omitempty"`
	WallS     float64        `json:"wall_s"`
	OpsPerS   float64        `json:"ops_per_s"`
	Bytes     int64          `json:"bytes,omitempty"`
	MBPerS    float64        `json:"mb_per_s,omitempty"` // 10^6 bytes
	P50ms     float64        `json:"p50_ms"`
	P99ms     float64        `json:"p99_ms"`
	MaxMs     float64        `json:"max_ms"`
	SrvCPUs   float64        `json:"server_cpu_s,omitempty"`
	SrvUser   float64        `json:"server_user_s,omitempty"`
	SrvSys    float64        `json:"server_sys_s,omitempty"`
	CPUusOp   float64        `json:"server_cpu_us_per_op,omitempty"`
	CPUsGiB   float64        `json:"server_cpu_s_per_gib,omitempty"`
	RSSBefore int64          `json:"server_rss_before_kib,omitempty"`
	RSSPeak   int64          `json:"server_rss_peak_kib,omitempty"`
	RSSAfter  int64          `json:"server_rss_after_kib,omitempty"`
	DiskWrite int64          `json:"server_disk_write_bytes,omitempty"`
	CliCPUs   float64        `json:"client_cpu_s"`
	Extra     map[string]any `json:"extra,omitempty"`
}

// measure runs f between two readings of the server's counters.
func (g *gen) measure(ctx context.Context, f func(context.Context)) (*Result, error) {
	r := &Result{Label: g.o.label, Workload: g.o.workload, Conc: g.o.conc}
	before, err := procStat(g.o.pid)
	if err != nil {
		return nil, err
	}
	stop, sampled := make(chan struct{}), make(chan int64, 1)
	go sampleRSS(g.o.pid, stop, sampled)
	cli0 := selfCPU()
	start := time.Now()
	f(ctx)
	wall := time.Since(start)
	r.CliCPUs = round(selfCPU() - cli0)
	close(stop)
	r.RSSPeak = <-sampled
	after, err := procStat(g.o.pid)
	if err != nil {
		return nil, fmt.Errorf("server gone: %w", err)
	}
	r.Ops, r.Errors, r.FirstErr, r.Bytes = g.ops.Load(), g.errs.Load(), g.firstErr, g.bytes.Load()
	r.WallS = round(wall.Seconds())
	r.OpsPerS = round(float64(r.Ops) / wall.Seconds())
	r.MBPerS = round(float64(r.Bytes) / 1e6 / wall.Seconds())
	slices.Sort(g.lats)
	if n := len(g.lats); n > 0 {
		r.P50ms, r.P99ms, r.MaxMs = ms(g.lats[n/2]), ms(g.lats[min(n-1, n*99/100)]), ms(g.lats[n-1])
	}
	if g.o.pid != 0 {
		r.SrvUser, r.SrvSys = round(after.user-before.user), round(after.sys-before.sys)
		r.SrvCPUs = round(r.SrvUser + r.SrvSys)
		r.RSSBefore, r.RSSAfter, r.DiskWrite = before.rssKiB, after.rssKiB, after.write-before.write
		if r.Ops > 0 {
			r.CPUusOp = round(r.SrvCPUs * 1e6 / float64(r.Ops))
		}
		if r.Bytes > 1<<20 {
			r.CPUsGiB = round(r.SrvCPUs / (float64(r.Bytes) / (1 << 30)))
		}
	}
	if len(g.extra) > 0 {
		r.Extra = g.extra
	}
	return r, nil
}

func ms(d time.Duration) float64 { return round(float64(d) / 1e6) }

func round(f float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 5, 64), 64)
	return r
}

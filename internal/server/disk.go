package server

import (
	"path/filepath"
	"time"

	"berth/internal/disk"

	"github.com/prometheus/client_golang/prometheus"
)

// diskEvery is how often it is found out how much room there is, at most. Tests do not wait.
var diskEvery = time.Second

// watchDisk begins to watch the file systems that pushes fill: those of the database and of
// the layers, as far as they are in the data directory.
func (s *Server) watchDisk() error {
	bytes, percent, err := s.config.Reserve()
	if err != nil {
		return err
	}
	var paths []string
	if s.config.Database == "" {
		paths = append(paths, s.config.Data)
	}
	if s.config.UsesDirectory() {
		paths = append(paths, filepath.Join(s.config.Data, blobsDir))
	}
	s.disk = disk.NewWatch(paths, disk.Reserve{Bytes: bytes, Percent: percent}, diskEvery, s.log, s.options.DiskFree)
	if len(paths) == 0 {
		return nil
	}
	for name, g := range map[string]struct {
		help string
		read func() int64
	}{
		"berth_disk_free_bytes":    {"Bytes that are free on the disk of the data directory, the fullest if there are several.", func() int64 { free, _ := s.disk.Free(); return free }},
		"berth_disk_reserve_bytes": {"Bytes that pushes leave free there.", func() int64 { _, reserve := s.disk.Free(); return reserve }},
		"berth_disk_level":         {"0 if there is room, 1 if less than twice the reserve is free, 2 if pushes are refused.", func() int64 { return int64(s.disk.Level()) }},
	} {
		s.metrics.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: g.help}, func() float64 { return float64(g.read()) }))
	}
	return nil
}

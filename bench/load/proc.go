package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type pstat struct {
	user, sys float64
	rssKiB    int64
	write     int64
}

func procStat(pid int) (pstat, error) {
	var s pstat
	if pid == 0 || runtime.GOOS != "linux" {
		return s, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	u, _ := strconv.ParseFloat(f[11], 64)
	k, _ := strconv.ParseFloat(f[12], 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	s.user, s.sys, s.rssKiB = u/100, k/100, pages*int64(os.Getpagesize())/1024
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid)); err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
				s.write, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			}
		}
	}
	return s, nil
}

func sampleRSS(pid int, stop <-chan struct{}, out chan<- int64) {
	var peak int64
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		if s, err := procStat(pid); err == nil {
			peak = max(peak, s.rssKiB)
		}
		select {
		case <-stop:
			out <- peak
			return
		case <-t.C:
		}
	}
}

func selfCPU() float64 {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return float64(ru.Utime.Sec+ru.Stime.Sec) + float64(ru.Utime.Usec+ru.Stime.Usec)/1e6
}

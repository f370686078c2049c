package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	garbage       = "garbage of 2,000 deleted images"
	garbageImages = 2000
	pushedImages  = 200 // meanwhile
	garbageBerth  = "berth that keeps nothing"
)

// layersOfGarbage are load's flags for the images: their layers are files.
var layersOfGarbage = []string{"-layers", "2", "-layer-size", "70000"}

// spent is what something has taken.
type spent struct{ wall, cpu float64 } // microseconds

// garbage compares what it takes to remove deleted images: a Berth that goes on being
// pushed to, and docker-registry's garbage-collect, for which it must stand still.
func (b *bench) garbage(ctx context.Context, t *table) error {
	var wall, cpu, peerWall, peerCPU, slower []float64
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", garbage, round+1, b.rounds)
		own, ratio, err := b.collectOnline(ctx)
		if err != nil {
			return err
		}
		other, err := b.collectStopped(ctx)
		if err != nil {
			return err
		}
		wall, cpu, slower = append(wall, own.wall), append(cpu, own.cpu), append(slower, ratio)
		peerWall, peerCPU = append(peerWall, other.wall), append(peerCPU, other.cpu)
	}
	t.note(garbage+", by docker-registry, stopped", fmt.Sprintf("%s, CPU %s", duration(median(peerWall)), duration(median(peerCPU))))
	t.note(garbage+", while images are pushed", fmt.Sprintf("%s, CPU %s", duration(median(wall)), duration(median(cpu))))
	t.note("rate of these pushes, of that without", fmt.Sprintf("%.2f", median(slower)))
	t.limit(garbage+", time of docker-registry's", median(wall)/median(peerWall), 1, "x")
	t.limit(garbage+", CPU of docker-registry's", median(cpu)/median(peerCPU), 1, "x")
	return nil
}

// fill pushes images and deletes them.
func (b *bench) fill(ctx context.Context, p *process) error {
	for _, workload := range []string{"push-images", "delete-images"} {
		args := append([]string{"-workload", workload, "-count", strconv.Itoa(garbageImages), "-conc", "8"}, layersOfGarbage...)
		if _, err := b.load(ctx, p, 1, args...); err != nil {
			return err
		}
	}
	return nil
}

// collectOnline has a Berth remove all, bytes too, and returns what that has taken
// beyond what pushes take, and how much slower these were.
func (b *bench) collectOnline(ctx context.Context) (s spent, slower float64, err error) {
	dir := filepath.Join(b.dir, "data", "garbage")
	p, err := b.start(ctx, garbageBerth, dir)
	if err != nil {
		return s, 0, err
	}
	defer func() {
		p.stop()
		_ = os.RemoveAll(dir)
	}()
	if err := b.fill(ctx, p); err != nil {
		return s, 0, err
	}
	push := append([]string{"-workload", "push-images", "-count", strconv.Itoa(pushedImages), "-conc", "2"}, layersOfGarbage...)
	alone, err := b.load(ctx, p, 2, push...)
	if err != nil {
		return s, 0, err
	}
	if err := p.putClock(ctx, "+5h"); err != nil { // no push relies on what was pushed
		return s, 0, err
	}
	var pushed result
	ended := make(chan error, 1)
	before := p.cpu()
	go func() {
		var err error
		pushed, err = b.load(ctx, p, 3, push...)
		ended <- err
	}()
	begin := time.Now()
	err = b.runGarbage(ctx, p)
	s.wall = float64(time.Since(begin).Microseconds())
	if err = errors.Join(err, <-ended); err != nil {
		return s, 0, err
	}
	s.cpu = p.cpu() - before - alone.CPU*pushedImages
	if err := p.putClock(ctx, "+2h"); err != nil { // the bytes can go
		return s, 0, err
	}
	before, begin = p.cpu(), time.Now()
	err = b.runGarbage(ctx, p)
	s.wall += float64(time.Since(begin).Microseconds())
	s.cpu += p.cpu() - before
	if left := files(filepath.Join(dir, "blobs", "objects")); err == nil && left != 2*2*pushedImages {
		err = fmt.Errorf("%s: %d files are left, want those of the images that were pushed: %d", garbage, left, 2*2*pushedImages)
	}
	return s, pushed.OpsPerS / alone.OpsPerS, err
}

func (b *bench) runGarbage(ctx context.Context, p *process) error {
	out, err := exec.CommandContext(ctx, b.path("berth"), "gc", "run", "--wait", "--data", p.dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("berth gc run: %w\n%s", err, out)
	}
	return nil
}

// collectStopped has docker-registry remove all, while it serves nobody.
func (b *bench) collectStopped(ctx context.Context) (s spent, err error) {
	dir := filepath.Join(b.dir, "data", "garbage")
	p, err := b.start(ctx, peer, dir)
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	err = b.fill(ctx, p)
	p.stop()
	if err != nil {
		return s, err
	}
	cmd := exec.CommandContext(ctx, "docker-registry", "garbage-collect", filepath.Join(dir, "config.yml"))
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return s, fmt.Errorf("docker-registry garbage-collect: %w", err)
	}
	s.wall = float64(time.Since(begin).Microseconds())
	s.cpu = float64((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Microseconds())
	return s, nil
}

// putClock puts the clock of a berth dev forward.
func (p *process) putClock(ctx context.Context, by string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, p.url+"/_berth/v1/clock", strings.NewReader(by))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		err = fmt.Errorf("put the clock: %s", res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

// cpu returns the CPU time that a process has spent, in microseconds.
func (p *process) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) * 1e4 // of hundredths of a second
}

// files counts the files below a directory.
func files(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

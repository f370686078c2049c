package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/internal/metadata/pgtest"
)

const (
	millionImages = "a million images"
	few, many     = 1000, 1_000_000
)

// inCrowd are the loads that must not get slower. Each is seconds.
var inCrowd = []struct {
	name string
	args []string
}{
	{"push small images, 8 clients", []string{"-workload", "push-images", "-count", "200", "-conc", "8"}},
	{"delete images, 8 clients", []string{"-workload", "delete-images", "-count", "200", "-conc", "8"}}, // those
	{"mount, 8 clients", []string{"-workload", "mount", "-count", "400", "-conc", "8", "-size", "10240"}},
	{"manifest GET by tag", []string{"-workload", "manifest-get", "-keep", "-conc", "16", "-duration", "1s"}},
	{"manifest HEAD by tag", []string{"-workload", "manifest-head", "-keep", "-conc", "16", "-duration", "1s"}},
	{"manifest GET of one or another of 1,000 images", []string{"-workload", "filled-get", "-conc", "16", "-duration", "1s", "-count", strconv.Itoa(few)}},
	{"blob GET, 10 KiB", []string{"-workload", "blob-get", "-keep", "-conc", "16", "-duration", "1s", "-size", "10240"}},
	{"1,000 tags", []string{"-workload", "get", "-path", "/v2/fill/r00000000/tags/list?n=1000", "-conc", "4", "-duration", "1s"}},
	{"a page of the catalog", []string{"-workload", "get", "-path", "/v2/_catalog?n=1", "-conc", "4", "-duration", "1s"}},
}

// inCrowd compares a Berth with many images in the database with one that has few.
func (b *bench) inCrowd(ctx context.Context, t *table, database string) error {
	dir := filepath.Join(b.dir, "data", "crowd")
	defer os.RemoveAll(dir)
	var servers []*process
	for _, n := range []int{few, many} {
		fmt.Fprintf(os.Stderr, "%s: fill with %d images\n", database, n)
		p, err := b.crowd(ctx, database, filepath.Join(dir, strconv.Itoa(n)), n)
		if err != nil {
			return err
		}
		defer p.stop()
		servers = append(servers, p)
	}
	for _, c := range inCrowd {
		var took [2][]float64
		for round := range b.rounds + 1 {
			fmt.Fprintf(os.Stderr, "%s: %s: round %d of %d\n", database, c.name, round, b.rounds)
			for i, p := range servers {
				seed := 1
				if strings.Contains(c.name, "images, 8") || strings.Contains(c.name, "mount") { // its own content in each round
					seed = 1000 + round
				}
				r, err := b.load(ctx, p, seed, c.args...)
				if err != nil {
					return err
				}
				if round > 0 { // what was read before
					took[i] = append(took[i], 1e6/r.OpsPerS)
				}
			}
		}
		one, other := median(took[0]), median(took[1])
		t.limit(fmt.Sprintf("%s: %s, %s: time with them, of that with 1,000 (%s)", millionImages, database, c.name, duration(one)), other/one, 1.33, "x")
	}
	return nil
}

// crowd starts a Berth with that many images in its database.
func (b *bench) crowd(ctx context.Context, database, dir string, images int) (p *process, err error) {
	if database == "PostgreSQL" {
		if b.url, err = pgtest.Schema(); err != nil {
			return nil, err
		}
		defer func() { b.url = "" }()
	}
	if p, err = b.start(ctx, berth, dir); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"-workload", "push-images", "-count", "1", "-repo", filledRepository},
		{"-workload", "manifest-get", "-duration", "100ms"},
		{"-workload", "blob-get", "-duration", "100ms", "-size", "10240"},
	} {
		if _, err := b.load(ctx, p, 1, args...); err != nil {
			p.stop()
			return nil, err
		}
	}
	p.stop()
	if database == "PostgreSQL" {
		err = fillPostgres(ctx, b.url, images)
	} else {
		err = fillSQLite(ctx, filepath.Join(dir, "berth.db"), images)
	}
	if err != nil {
		return nil, err
	}
	return b.start(ctx, berth, dir)
}

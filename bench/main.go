// Command bench measures Berth against the least that a Go program can do (bench/
// floor) and against Debian's docker-registry, all on this machine, in one run.
//
// For every workload the servers take turns, round after round, so that a change
// of the machine's speed hits all of them. What counts are medians: rates, and
// the CPU time that the server spent on one operation. Each figure that Berth
// promises is held against its target; the exit code is 1 if one is missed.
//
//	go run ./bench [-rounds 5] [-only pull] [-markdown]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds of each workload")
	only := flag.String("only", "", "run only workloads whose name contains this")
	markdown := flag.Bool("markdown", false, "print the table in Markdown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, *rounds, *only, *markdown)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, only string, markdown bool) (bool, error) {
	b, err := newBench(ctx, rounds, "-trimpath")
	if err != nil {
		return false, err
	}
	defer b.close()
	fmt.Printf("%d cores, %s, %d rounds\n\n", runtime.NumCPU(), runtime.Version(), rounds)
	t := &table{markdown: markdown}
	defer t.print(os.Stdout) // what there is, even after an error
	for _, g := range groups {
		if only != "" && !g.has(only) {
			continue
		}
		if err := b.group(ctx, g, only, t); err != nil {
			return false, err
		}
	}
	if only == "" || strings.Contains("process", only) {
		if err := b.process(ctx, t); err != nil {
			return false, err
		}
	}
	if only == "" || strings.Contains(underPolicies, only) {
		if err := b.policies(ctx, t); err != nil {
			return false, err
		}
	}
	if only == "" || strings.Contains(inS3, only) {
		if err := b.s3(ctx, t); err != nil {
			return false, err
		}
	}
	if only == "" || strings.Contains(describeImages, only) {
		if err := b.describe(ctx, t); err != nil {
			return false, err
		}
	}
	if only == "" || strings.Contains(garbage, only) {
		if err := b.garbage(ctx, t); err != nil {
			return false, err
		}
	}
	for _, database := range []string{"SQLite", "PostgreSQL"} {
		if strings.Contains(millionImages+": "+database, only) {
			if err := b.inCrowd(ctx, t, database); err != nil {
				return false, err
			}
		}
	}
	return t.met, nil
}

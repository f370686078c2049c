package main

import "strings"

// group is workloads that share one start of the servers, in order: a workload
// may use what one before it has stored.
type group struct {
	servers   []string
	prepare   [][]string // loads that are not measured
	workloads []workload
}

// workload is one measured load and what Berth promises of it.
type workload struct {
	name    string
	args    []string
	varies  bool   // each round stores its own content, on a server of its own
	subject string // whose figures are held against the targets; berth if ""
	base    string
	targets []target
}

// target is a bound on the subject's figure divided by the base's. That of overCipher is
// on how often the CPU time of the cipher alone is in what the subject needs more than
// the base.
type target struct {
	figure string // rate or cpu
	bound  float64
}

const (
	gib        = "1073741824"
	rate       = "rate"
	cpu        = "cpu"
	overCipher = "cpu over cipher"
	floor      = "floor"
	floorFS    = "floor -fsync"
	peer       = "docker-registry"
	berth      = "berth"        // with --seal=off
	sealed     = "berth sealed" // with --seal=on
	onS3       = "berth on S3"  // with --seal=off and redirects
	alone      = "AES-256-GCM"  // no server: what sealing a GiB costs
)

var (
	pulls = []target{{rate, 0.85}, {cpu, 1.3}}
	reads = []target{{cpu, 3}}

	sealedPulls = []target{{rate, 0.35}, {overCipher, 1.5}}
)

// groups is the whole plan.
var groups = []group{
	{
		servers: []string{floor, berth, peer},
		prepare: [][]string{{"-workload", "pull", "-count", "1", "-size", gib}},
		workloads: []workload{
			{name: "pull 1 GiB, 1 client", args: []string{"-workload", "pull", "-keep", "-count", "4", "-size", gib}, base: floor, targets: pulls},
			{name: "pull 1 GiB, 16 clients", args: []string{"-workload", "pull", "-keep", "-count", "16", "-conc", "16", "-size", gib}, base: floor, targets: pulls},
		},
	},
	{
		servers: []string{floor, berth, sealed, alone},
		prepare: [][]string{{"-workload", "pull", "-count", "1", "-size", gib}},
		workloads: []workload{
			{name: "sealed: pull 1 GiB, 1 client", args: []string{"-workload", "pull", "-keep", "-count", "4", "-size", gib}, subject: sealed, base: floor, targets: sealedPulls},
			{name: "sealed: pull 1 GiB, 16 clients", args: []string{"-workload", "pull", "-keep", "-count", "16", "-conc", "16", "-size", gib}, subject: sealed, base: floor, targets: sealedPulls},
		},
	},
	{
		servers: []string{berth, sealed, alone},
		workloads: []workload{
			{name: "sealed: push 1 GiB", args: []string{"-workload", "push-mono", "-count", "1", "-size", gib}, varies: true, subject: sealed, base: berth, targets: []target{{cpu, 1.25}}},
		},
	},
	{
		servers: []string{floorFS, berth, peer},
		workloads: []workload{
			{name: "push 1 GiB", args: []string{"-workload", "push-mono", "-count", "1", "-size", gib}, varies: true, base: floorFS, targets: []target{{cpu, 1.2}}},
			{name: "push 1 GiB, 4 clients", args: []string{"-workload", "push-mono", "-count", "4", "-conc", "4", "-size", gib}, varies: true, base: floorFS, targets: []target{{cpu, 1.2}}},
			{name: "push 1 GiB in chunks", args: []string{"-workload", "push-chunked", "-count", "1", "-size", gib}, varies: true, base: floorFS},
			{name: "push small images, 8 clients", args: []string{"-workload", "push-images", "-count", "400", "-conc", "8"}, varies: true, base: floorFS},
		},
	},
	{
		servers: []string{floor, berth, peer},
		prepare: [][]string{
			{"-workload", "manifest-get", "-duration", "100ms"},
			{"-workload", "seed-tags", "-count", "10000", "-conc", "32"},
		},
		workloads: []workload{
			{name: "manifest GET by tag", args: []string{"-workload", "manifest-get", "-keep", "-conc", "64"}, base: floor, targets: reads},
			{name: "manifest HEAD by tag", args: []string{"-workload", "manifest-head", "-keep", "-conc", "64"}, base: floor, targets: reads},
			{name: "manifest GET by digest", args: []string{"-workload", "manifest-digest", "-keep", "-conc", "64"}, base: floor, targets: reads},
			{name: "manifest GET, one of 10,000 tags", args: []string{"-workload", "get", "-path", "/v2/bench/tags/manifests/t05000", "-conc", "64"}, base: floor, targets: reads},
			{name: "list 10,000 tags", args: []string{"-workload", "list-tags", "-rounds", "30"}, base: floor, targets: reads},
		},
	},
	{
		servers: []string{floor, berth, peer},
		prepare: [][]string{
			{"-workload", "seed-repos", "-count", "5000", "-conc", "32"},
			{"-workload", "seed-referrers", "-count", "1000", "-conc", "32"},
		},
		workloads: []workload{
			{name: "catalog of 5,000 repositories", args: []string{"-workload", "catalog", "-rounds", "100"}, base: floor, targets: reads},
			{name: "1,000 referrers", args: []string{"-workload", "referrers", "-rounds", "200"}, base: floor, targets: reads},
		},
	},
}

func (g group) has(only string) bool {
	for _, w := range g.workloads {
		if strings.Contains(w.name, only) {
			return true
		}
	}
	return false
}

package main

import "strings"

// group is workloads that share one start of the servers, in order: a workload
// may use what one before it has stored.
type group struct {
	servers   []string
	prepare   [][]string // loads that are not measured
	workloads []workload
	notSlower [2]string // the first of these workloads than the second, beside the floor; "" if none
}

// workload is one measured load and what Berth promises of it.
type workload struct {
	name    string
	before  []string // a load before each round that is not measured; nil for none
	args    []string
	varies  bool   // each round stores its own content, on a server of its own
	subject string // whose figures are held against the targets; berth if ""
	all     bool   // so are those of all others but the base and docker-registry
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
	lists = []target{{cpu, 3}}
	reads = []target{{cpu, 2}} // of manifests

	// What the floor does in memory, Berth does in the database, durably.
	changes = []target{{rate, 0.3}}

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
		},
	},
	{
		servers: []string{floorFS, berth, sealed, peer},
		workloads: []workload{
			{name: smallImages8, args: []string{"-workload", "push-images", "-count", "400", "-conc", "8"}, varies: true, all: true, base: floorFS, targets: []target{{rate, 0.4}}},
			{name: smallImages64, args: []string{"-workload", "push-images", "-count", "400", "-conc", "64"}, varies: true, all: true, base: floorFS, targets: []target{{rate, 0.4}}},
		},
		notSlower: [2]string{smallImages64, smallImages8},
	},
	{
		servers: []string{floor, berth, sealed, peer},
		prepare: [][]string{
			{"-workload", "manifest-get", "-duration", "100ms"},
			{"-workload", "blob-get", "-duration", "100ms", "-size", "10240"},
			{"-workload", "seed-tags", "-count", "10000", "-conc", "32"},
		},
		workloads: []workload{
			{name: "manifest GET by tag", all: true, args: []string{"-workload", "manifest-get", "-keep", "-conc", "64", "-duration", "2s"}, base: floor, targets: reads},
			{name: "manifest HEAD by tag", all: true, args: []string{"-workload", "manifest-head", "-keep", "-conc", "64", "-duration", "2s"}, base: floor, targets: reads},
			{name: "manifest GET by digest", all: true, args: []string{"-workload", "manifest-digest", "-keep", "-conc", "64", "-duration", "2s"}, base: floor, targets: reads},
			{name: "manifest GET, one of 10,000 tags", all: true, args: []string{"-workload", "get", "-path", "/v2/bench/tags/manifests/t05000", "-conc", "64", "-duration", "2s"}, base: floor, targets: reads},
			{name: "blob GET, 10 KiB", args: []string{"-workload", "blob-get", "-keep", "-conc", "64", "-duration", "2s", "-size", "10240"}, all: true, base: floor, targets: []target{{rate, 0.5}}},
			{name: "list 10,000 tags", args: []string{"-workload", "list-tags", "-rounds", "30"}, base: floor, targets: lists},
		},
	},
	{
		servers: []string{floor, berth, sealed, peer},
		workloads: []workload{
			{name: "mount, 64 clients", before: []string{"-workload", "mount", "-count", "2000", "-conc", "64", "-size", "1024"}, args: []string{"-workload", "mount", "-count", "2000", "-conc", "64", "-size", "10240"}, varies: true, all: true, base: floor, targets: changes},
			{name: "delete images, 64 clients", before: []string{"-workload", "push-images", "-count", "1000", "-conc", "16", "-layers", "1", "-layer-size", "1024"}, args: []string{"-workload", "delete-images", "-count", "1000", "-conc", "64", "-layers", "1", "-layer-size", "1024"}, varies: true, all: true, base: floor, targets: changes},
		},
	},
	{
		servers: []string{floor, berth, peer},
		prepare: [][]string{
			{"-workload", "seed-repos", "-count", "5000", "-conc", "32"},
			{"-workload", "seed-referrers", "-count", "1000", "-conc", "32"},
		},
		workloads: []workload{
			{name: "catalog of 5,000 repositories", args: []string{"-workload", "catalog", "-rounds", "100"}, base: floor, targets: lists},
			{name: "1,000 referrers", args: []string{"-workload", "referrers", "-rounds", "200"}, base: floor, targets: lists},
		},
	},
}

const (
	smallImages8  = "push small images, 8 clients"
	smallImages64 = "push small images, 64 clients"
)

func (g group) has(only string) bool {
	for _, w := range g.workloads {
		if strings.Contains(w.name, only) {
			return true
		}
	}
	return false
}

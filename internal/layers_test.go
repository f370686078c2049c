// Package internal holds the test of who may import whom.
package internal

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// layers says which packages of ours a package may import. A name ending in /...
// stands for everything below it.
var layers = map[string][]string{
	// Pure: no clock, no store, no network.
	"fault": {}, "sigv4": {}, "config": {}, "seal": {}, "crash": {}, "disk": {}, "durable": {"crash"},
	"lifecycle": {"fault"}, "policy": {"fault"},

	// Who asks, and where the bytes are.
	"access":          {"policy", "fault"},
	"blob":            {"fault"},
	"blob/dirbucket":  {"blob", "crash", "durable"},
	"blob/s3bucket":   {"blob", "crash"},
	"blob/buckettest": {"blob"},

	// Disks that fail, for tests.
	"blob/dirbucket/disktest": {"blob/dirbucket"},

	"page": {"seal"}, // how listings are cut

	// The domains never import each other. None knows HTTP, SQL or wire formats.
	"registry": {"access", "fault", "policy", "lifecycle", "blob", "page", "seal", "crash"},
	"identity": {"access", "fault", "policy", "page", "seal"},
	"keys":     {"access", "fault", "policy", "page", "seal"},
	"audit":    {"access", "fault"},
	"fsck":     {"blob", "fault"},
	"gc":       {"access", "blob", "crash", "fault"},
	"move":     {"access", "blob", "fault", "crash"},
	"backup":   {"blob", "durable"},
	"rotate":   {"access", "blob", "fault", "seal", "crash"},
	"scrub":    {"access", "blob", "fault", "fsck"},

	"maintenance": {"access", "fault"},

	// SQL.
	"metadata":            {"registry", "identity", "keys", "audit", "fsck", "gc", "access", "blob", "fault", "lifecycle", "move", "rotate", "scrub", "seal", "crash", "backup", "maintenance"},
	"metadata/pgtest":     {},
	"metadata/sqlitetest": {},

	// The way out.
	"egress":        {},
	"oidc":          {"egress", "fault"},
	"oidc/oidctest": {},

	// Whom the operator trusts with the master key.
	"keyservice": {"seal"},

	// Who is calling.
	"authn": {"access", "fault", "seal", "sigv4"},

	// What gets passwords and credentials for other programs, as a client.
	"credential": {"config"},

	// The fronts never import each other, metadata or a bucket.
	"aws":               {"fault"},
	"aws/ecr":           {"aws", "access", "fault", "lifecycle", "registry"},
	"aws/ecrpublic":     {"aws", "access", "fault", "registry"},
	"aws/sts":           {"aws", "access", "fault", "identity"},
	"aws/iam":           {"aws", "access", "identity"},
	"aws/kms":           {"aws", "access", "fault", "keys"},
	"aws/organizations": {"aws", "access", "fault", "identity"},
	"aws/servicequotas": {"aws", "access", "registry"},
	"oci":               {"access", "fault", "registry"},

	// Assembly. Only server imports everything, only cmd imports server.
	"server":     {"..."},
	"servertest": {"blob", "server", "blob/buckettest", "blob/dirbucket", "config", "access", "identity", "registry", "metadata", "metadata/pgtest", "metadata/sqlitetest"},
}

// weighty are third-party modules that only one package may import, or as many as are
// named, tests and the SDK's wire types aside.
var weighty = map[string]string{
	"github.com/aws/aws-sdk-go-v2/config": "credential blob/s3bucket keyservice",
	"modernc.org/sqlite":                  "metadata",
	"github.com/jackc/pgx/v5":             "metadata",
	"github.com/pressly/goose/v3":         "metadata",
	"github.com/prometheus/client_golang": "server",
	"github.com/goccy/go-yaml":            "config",
	"github.com/gofrs/flock":              "server",
	"github.com/spf13/cobra":              "",
	"github.com/go-jose/go-jose/v4":       "oidc",

	"github.com/aws/aws-sdk-go-v2/service/s3": "blob/s3bucket",
	"github.com/johannesboyne/gofakes3":       "blob/buckettest",
	"github.com/hashicorp/vault":              "keyservice",
}

const prefix = "berth/internal/"

type goPackage struct {
	ImportPath                               string
	Imports, TestImports, XTestImports, Deps []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "berth/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range packages(t) {
		name, ours := strings.CutPrefix(p.ImportPath, prefix)
		for _, i := range p.Imports {
			if owner, heavy := heavyModule(i); heavy && (!ours || !slices.Contains(strings.Fields(owner), name)) && !(owner == "" && !ours) && !strings.HasSuffix(name, "test") {
				t.Errorf("%s imports %s, which belongs to %s", p.ImportPath, i, owner)
			}
			dep, internal := strings.CutPrefix(i, prefix)
			if !internal || !ours {
				continue
			}
			may, listed := layers[name]
			if !listed {
				t.Errorf("%s is not in the table of layers", name)
				break
			}
			if !slices.Contains(may, dep) && !slices.Contains(may, "...") {
				t.Errorf("%s must not import %s", name, dep)
			}
		}
		if ours && layers[name] == nil {
			t.Errorf("%s is not in the table of layers", name)
		}
	}
}

func TestOnlyCommandsAndTestsImportTheServer(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(p.Imports, prefix+"server") && !strings.HasPrefix(p.ImportPath, "berth/cmd/") && p.ImportPath != prefix+"servertest" {
			t.Errorf("%s imports the server", p.ImportPath)
		}
	}
}

func heavyModule(path string) (owner string, heavy bool) {
	for m, owner := range weighty {
		if path == m || strings.HasPrefix(path, m+"/") {
			return owner, true
		}
	}
	return "", false
}

func TestImportsAreNotDeep(t *testing.T) {
	const deepest = 6
	deps := map[string][]string{}
	for _, p := range packages(t) {
		deps[p.ImportPath] = p.Imports
	}
	depth := map[string]int{}
	var measure func(string) int
	measure = func(p string) int {
		if d, ok := depth[p]; ok {
			return d
		}
		d := 0
		for _, i := range deps[p] {
			if strings.HasPrefix(i, prefix) {
				d = max(d, measure(i)+1)
			}
		}
		depth[p] = d
		return d
	}
	for p := range deps {
		if d := measure(p); d > deepest {
			t.Errorf("%s imports %d levels deep, want at most %d", p, d, deepest)
		}
	}
}

// opens is what opens connections, and what has certificates not verified.
var opens = regexp.MustCompile(`\bInsecureSkipVerify\b|\bhttp\.(DefaultClient|DefaultTransport|(Get|Head|Post|PostForm)\(|Client\{|Transport\{)|` +
	`\bnet\.(Dial|Dialer)\b|\btls\.(Dial|Dialer|Client)\b`)

// Whatever the server connects to, package egress looks at first. Its database, its
// S3 store and its key service are the administrator's own choice.
func TestOnlyEgressOpensConnections(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		dir := filepath.Base(filepath.Dir(path))
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(dir, "test") || dir == "egress" {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if found := opens.Find(text); found != nil {
			t.Errorf("%s has %s: only package egress may", path, found)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files were looked at: %v", files, err)
	}
	own, err := filepath.Glob("egress/*.go")
	if err != nil || len(own) == 0 {
		t.Errorf("package egress has the files %v, %v", own, err)
	}
	for _, path := range own {
		if text, err := os.ReadFile(path); !strings.HasSuffix(path, "_test.go") && (err != nil || strings.Contains(string(text), "InsecureSkipVerify")) {
			t.Errorf("%s must not skip the verification of certificates: %v", path, err)
		}
	}
}

package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/config"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// load reads a configuration from the text of a file, if there is one, the
// environment and arguments.
func load(t *testing.T, file string, environ []string, args ...string) (*config.Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(fs)
	if file != "" {
		path := filepath.Join(t.TempDir(), "berth.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return config.Load(fs, environ)
}

// defaults is the configuration of one who says nothing.
func defaults() *config.Config {
	return &config.Config{
		Data: "data", Listen: "127.0.0.1:5000", Account: "123456789012", Region: "us-east-1", LogLevel: "info", LogFormat: "text",
		ImmutableRepush: "refuse", RequestRates: "off", Public: "on", DeletedRetention: "168h", GCGrace: "24h", GCLease: "4h", GCDelay: "1h", GCShare: 50, PasswordLogin: "off", Seal: "on", ScrubInterval: "720h", ScrubRate: 16 << 20,
		S3Checksums: "when-supported", S3Redirects: "off",
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file    string
		environ []string
		args    []string
		want    func(*config.Config) // changes the defaults
	}{
		"nothing":                       {"", nil, nil, func(*config.Config) {}},
		"a file":                        {"data: /var/lib/berth\nlog-level: debug\n", nil, nil, func(c *config.Config) { c.Data, c.LogLevel = "/var/lib/berth", "debug" }},
		"the environment":               {"", []string{"BERTH_DATA=/d", "PATH=/bin", "BERTHOLD=x"}, nil, func(c *config.Config) { c.Data = "/d" }},
		"flags":                         {"", nil, []string{"--data", "/d", "--listen=[::1]:80"}, func(c *config.Config) { c.Data, c.Listen = "/d", "[::1]:80" }},
		"the environment before a file": {"data: /file\nregion: eu-west-1\n", []string{"BERTH_DATA=/env"}, nil, func(c *config.Config) { c.Data, c.Region = "/env", "eu-west-1" }},
		"flags before the environment": {
			"data: /file\n", []string{"BERTH_DATA=/env", "BERTH_REGION=eu-west-1"}, []string{"--data=/flag"},
			func(c *config.Config) { c.Data, c.Region = "/flag", "eu-west-1" },
		},
		"a flag that says the default": {"data: /file\n", nil, []string{"--data=data"}, func(*config.Config) {}},
		"an empty variable":            {"domain: example.com\n", []string{"BERTH_DOMAIN="}, nil, func(*config.Config) {}},
		"a key without a value":        {"domain:\nadmin-listen: ~\nlog-level: debug\n", nil, nil, func(c *config.Config) { c.LogLevel = "debug" }},
		"an empty file":                {"# nothing\n", nil, nil, func(*config.Config) {}},
		"numbers that are text":        {"account: 210987654321\n", nil, nil, func(c *config.Config) { c.Account = "210987654321" }},
		"text in quotes":               {"account: \"012345678901\"\n", nil, nil, func(c *config.Config) { c.Account = "012345678901" }},
		"a secret that looks like a number": {
			"root-access-key-id: 0x10\nroot-secret-access-key: 0123456701234567\n", nil, nil,
			func(c *config.Config) { c.RootAccessKeyID, c.RootSecretAccessKey = "0x10", "0123456701234567" },
		},
		"text on several lines":       {"data: |-\n  /a b\n", nil, nil, func(c *config.Config) { c.Data = "/a b" }},
		"a boolean in a file":         {"listen: 192.0.2.1:80\ninsecure-http: true\n", nil, nil, func(c *config.Config) { c.Listen, c.InsecureHTTP = "192.0.2.1:80", true }},
		"a boolean in a variable":     {"", []string{"BERTH_INSECURE_HTTP=1"}, nil, func(c *config.Config) { c.InsecureHTTP = true }},
		"a boolean as a flag":         {"", []string{"BERTH_INSECURE_HTTP=1"}, []string{"--insecure-http=false"}, func(*config.Config) {}},
		"a list in a file":            {"trusted-proxies: [10.0.0.0/8, 'fd00::/8']\n", nil, nil, func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/8", "fd00::/8"} }},
		"a list in a file, as text":   {"trusted-proxies: 10.0.0.0/8,fd00::/8\n", nil, nil, func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/8", "fd00::/8"} }},
		"a list in a variable":        {"", []string{"BERTH_TRUSTED_PROXIES= 10.0.0.0/8, ,fd00::/8,"}, nil, func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/8", "fd00::/8"} }},
		"a list of flags":             {"", nil, []string{"--trusted-proxies=10.0.0.0/8", "--trusted-proxies=fd00::/8"}, func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/8", "fd00::/8"} }},
		"quotas in a file":            {"quotas: {repositories: 5, layer-size: '6'}\n", nil, nil, func(c *config.Config) { c.Quotas = []string{"repositories=5", "layer-size=6"} }},
		"one quota in a file":         {"quotas:\n  repositories: 5\n", nil, nil, func(c *config.Config) { c.Quotas = []string{"repositories=5"} }},
		"quotas in a file, as a list": {"quotas: [repositories=5]\n", nil, nil, func(c *config.Config) { c.Quotas = []string{"repositories=5"} }},
		"quotas in a variable":        {"", []string{"BERTH_QUOTA=repositories=5,layer-size=6"}, nil, func(c *config.Config) { c.Quotas = []string{"repositories=5", "layer-size=6"} }},
		"quotas as flags":             {"quotas: {repositories: 5}\n", nil, []string{"--quota=layer-size=6", "--quota", "layer-parts=7"}, func(c *config.Config) { c.Quotas = []string{"layer-size=6", "layer-parts=7"} }},
		"storage quotas in a file": {
			"storage-quotas:\n  - account: \"012345678901\"\n    bytes: 5\n  - {account: 123456789012, prefix: team/app, bytes: 6}\n  - 123456789012=7\n", nil, nil,
			func(c *config.Config) {
				c.StorageQuotas = []string{"012345678901=5", "123456789012/team/app=6", "123456789012=7"}
			},
		},
		"keys of issuers": {
			"oidc-jwks: {https://token.actions.githubusercontent.com: /etc/berth/github.json}\negress-allow: [gitlab.internal:8443, 10.0.0.0/8]\n", nil, nil,
			func(c *config.Config) {
				c.OIDCKeys = []string{"https://token.actions.githubusercontent.com=/etc/berth/github.json"}
				c.EgressAllow = []string{"gitlab.internal:8443", "10.0.0.0/8"}
			},
		},
		"no retention":                {"deleted-retention: 0\n", nil, nil, func(c *config.Config) { c.DeletedRetention = "0" }},
		"the longest retention":       {"", nil, []string{"--deleted-retention=2160h"}, func(c *config.Config) { c.DeletedRetention = "2160h" }},
		"request rates":               {"request-rates: ecr\n", nil, nil, func(c *config.Config) { c.RequestRates = "ecr" }},
		"a value with an equals sign": {"", []string{"BERTH_DATA=a=b"}, nil, func(c *config.Config) { c.Data = "a=b" }},
		"layers on their way back": {
			"storage-from: s3://bucket\ns3-region: eu-west-1\n", nil, nil,
			func(c *config.Config) { c.StorageFrom, c.S3Region = "s3://bucket", "eu-west-1" },
		},
		"S3": {
			"storage: s3://bucket/a/b\ns3-path-style: true\ns3-redirects: on\n", []string{"BERTH_S3_ACCESS_KEY_ID=id", "BERTH_S3_SECRET_ACCESS_KEY=s"}, []string{"--s3-sse=aws:kms:k"},
			func(c *config.Config) {
				c.Storage, c.S3PathStyle, c.S3Redirects, c.S3Encryption = "s3://bucket/a/b", true, "on", "aws:kms:k"
				c.S3AccessKeyID, c.S3SecretAccessKey = "id", "s"
			},
		},
		"PostgreSQL": {
			"database: postgres://localhost/berth\n", []string{"BERTH_MASTER_KEY=k", "BERTH_ROOT_ACCESS_KEY_ID=id", "BERTH_ROOT_SECRET_ACCESS_KEY=sixteen letters!"}, nil,
			func(c *config.Config) {
				c.Database, c.MasterKey, c.RootAccessKeyID, c.RootSecretAccessKey = "postgres://localhost/berth", "k", "id", "sixteen letters!"
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := load(t, tt.file, tt.environ, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			tt.want(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Load (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFileCanBeNamedInTheEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, region := range map[string]string{"a": "eu-west-1", "b": "eu-west-2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("region: "+region+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := load(t, "", []string{"BERTH_CONFIG=" + filepath.Join(dir, "a")})
	if err != nil || c.Region != "eu-west-1" {
		t.Errorf("Load = %v, %v, want the region of the file", c, err)
	}
	c, err = load(t, "", []string{"BERTH_CONFIG=" + filepath.Join(dir, "a")}, "--config", filepath.Join(dir, "b"))
	if err != nil || c.Region != "eu-west-2" {
		t.Errorf("Load = %v, %v, want the region of the file that the flag names", c, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file    string
		environ []string
		args    []string
		want    string // part of the error
	}{
		"an unknown key":               {"dta: /x\n", nil, nil, `unknown key "dta"`},
		"a key in another case":        {"Data: /x\n", nil, nil, `unknown key "Data"`},
		"a key twice":                  {"data: /x\ndata: /y\n", nil, nil, "is not YAML"},
		"no YAML":                      {"data: [\n", nil, nil, "is not YAML"},
		"a list for a file":            {"- data\n", nil, nil, "is not YAML"},
		"a map for a value":            {"data: {a: b}\n", nil, nil, "data: is not a value"},
		"a list for a value":           {"data: [a, b]\n", nil, nil, "data: is not a list"},
		"a map of other things":        {"trusted-proxies: {a: b}\n", nil, nil, "trusted-proxies: is not a value"},
		"a list of maps":               {"trusted-proxies: [{a: b}]\n", nil, nil, "trusted-proxies: has an unknown key \"a\""},
		"a list of maps as quotas":     {"quotas: [{account: 123456789012, bytes: 5}]\n", nil, nil, "quotas: is not a value"},
		"a quota that is a list":       {"quotas: {repositories: [5]}\n", nil, nil, "quotas: is not a value"},
		"a quota without a value":      {"", nil, []string{"--quota=repositories"}, `quota: "repositories" is not NAME=VALUE with a whole number`},
		"a quota with a fraction":      {"quotas: {repositories: 1.5}\n", nil, nil, `quota: "repositories=1.5" is not NAME=VALUE`},
		"a quota twice":                {"", nil, []string{"--quota=repositories=1,repositories=2"}, "quota: repositories is given twice"},
		"storage of no account":        {"", nil, []string{"--storage-quota=team=5"}, `storage-quota: "team" is not an account id of twelve digits`},
		"storage without bytes":        {"storage-quotas: [{account: 123456789012}]\n", nil, nil, `storage-quota: "123456789012=" is not ACCOUNT=BYTES`},
		"storage of no bytes":          {"", nil, []string{"--storage-quota=123456789012=0"}, "is not ACCOUNT=BYTES"},
		"storage below no path":        {"", nil, []string{"--storage-quota=123456789012/Team=5"}, `storage-quota: "Team" is no path that repositories can have`},
		"storage twice":                {"", nil, []string{"--storage-quota=123456789012/a=5,123456789012/a/=6"}, "storage-quota: 123456789012/a/ is given twice"},
		"storage of an unknown member": {"storage-quotas: [{account: 123456789012, limit: 5}]\n", nil, nil, `storage-quotas: has an unknown key "limit"`},
		"keys of no file":              {"", nil, []string{"--oidc-jwks=https://example.com"}, `oidc-jwks: "https://example.com" is not ISSUER=FILE`},
		"keys of an issuer by http":    {"oidc-jwks: {http://example.com: f}\n", nil, nil, `oidc-jwks: "http://example.com=f" is not ISSUER=FILE`},
		"keys of an issuer twice":      {"", nil, []string{"--oidc-jwks=https://a.b=f,https://a.b=g"}, "oidc-jwks: https://a.b is given twice"},
		"a grace of no unit":           {"", nil, []string{"--gc-grace=1"}, `gc-grace: "1" is not a time from 0 to 2160h`},
		"a lease of nothing":           {"gc-lease: 0s\n", nil, nil, `gc-lease: "0s" is not a time from 1s to 168h`},
		"bytes that never go":          {"", []string{"BERTH_GC_DELAY=-1s"}, nil, `gc-delay: "-1s" is not a time`},
		"bytes that URLs lead to":      {"", []string{"BERTH_STORAGE=s3://bucket", "BERTH_S3_REDIRECTS=on", "BERTH_GC_DELAY=29m"}, nil, `gc-delay: 29m is less than clients have`},
		"a share of nothing":           {"", []string{"BERTH_GC_SHARE=0"}, nil, `gc-share: 0 is not a percentage`},
		"a scrub interval too short":   {"", nil, []string{"--scrub-interval=1m"}, `scrub-interval: "1m" is neither 0 nor a time of 1h or more`},
		"a reserve of no unit":         {"disk-reserve: 5GB\n", nil, nil, `disk-reserve: "5GB" is neither a number of bytes`},
		"a reserve of everything":      {"", nil, []string{"--disk-reserve=100%"}, `disk-reserve: "100%" is neither`},
		"a retention of no unit":       {"", nil, []string{"--deleted-retention=7"}, `deleted-retention: "7" is not a time from 0 to 2160h`},
		"a retention below zero":       {"deleted-retention: -1h\n", nil, nil, `deleted-retention: "-1h" is not a time`},
		"a retention of too long":      {"", []string{"BERTH_DELETED_RETENTION=2160h1s"}, nil, `deleted-retention: "2160h1s" is not a time`},
		"other request rates":          {"", nil, []string{"--request-rates=on"}, `request-rates: "on" is neither ecr nor off`},
		"a list in a list":             {"trusted-proxies: [[10.0.0.0/8]]\n", nil, nil, "trusted-proxies: is not a value"},
		"a file that is not there":     {"", nil, []string{"--config=/nowhere/berth.yaml"}, "read the configuration: open /nowhere/berth.yaml"},
		"an unknown variable":          {"", []string{"BERTH_DTA=/x"}, nil, "unknown variable BERTH_DTA in the environment"},
		"a variable in another case":   {"", []string{"BERTH_data=/x"}, nil, "unknown variable BERTH_data in the environment"},
		"an unknown flag":              {"", nil, []string{"--dta=/x"}, "unknown flag: --dta"},
		"storage that is not S3":       {"", nil, []string{"--storage=gs://bucket"}, `storage: "gs://bucket" is not s3://BUCKET`},
		"storage of no bucket":         {"", nil, []string{"--storage=s3://"}, "is not s3://BUCKET"},
		"storage above the bucket":     {"", nil, []string{"--storage=s3://bucket/a//b"}, "is not s3://BUCKET"},
		"a dot in a host":              {"", nil, []string{"--storage=s3://a.bucket"}, "storage: TLS cannot name a bucket with a dot"},
		"S3 without storage":           {"", nil, []string{"--s3-region=us-east-1"}, "s3-region: give storage too"},
		"redirects without storage":    {"", nil, []string{"--s3-redirects=on"}, "s3-redirects: give storage too"},
		"redirects out of TLS": {"", nil, []string{"--storage=s3://bucket", "--s3-redirects=on", "--s3-endpoint=http://localhost:1", "--url=https://a.example"},
			"s3-redirects: clients that come with TLS follow no redirect to http://localhost:1"},
		"from where the layers are": {"", nil, []string{"--storage-from=directory"}, "storage-from: the layers are in the directory already"},
		"from one bucket to another": {"", nil, []string{"--storage=s3://bucket", "--storage-from=s3://other"},
			"storage-from: layers move between the directory and S3"},
		"from what is not S3":          {"", nil, []string{"--storage-from=gs://bucket"}, `storage: "gs://bucket" is not s3://BUCKET`},
		"half a key for S3":            {"", nil, []string{"--storage=s3://bucket", "--s3-access-key-id=id"}, "s3-access-key-id and s3-secret-access-key: give both or neither"},
		"the secret of S3 as a flag":   {"", nil, []string{"--s3-secret-access-key=s"}, "unknown flag: --s3-secret-access-key"},
		"an endpoint that is none":     {"", nil, []string{"--storage=s3://bucket", "--s3-endpoint=localhost:80"}, `s3-endpoint: "localhost:80" is not http(s)://HOST[:PORT]`},
		"a class that is frozen":       {"", nil, []string{"--storage=s3://bucket", "--s3-storage-class=DEEP_ARCHIVE"}, "s3-storage-class: what is in DEEP_ARCHIVE cannot be read at once"},
		"an archive without S3":        {"", nil, []string{"--s3-archive-class=GLACIER_IR"}, "s3-archive-class: give storage too"},
		"an archive that is left":      {"", nil, []string{"--storage-from=s3://bucket", "--s3-archive-class=GLACIER_IR"}, "s3-archive-class: give storage too"},
		"a frozen archive":             {"", nil, []string{"--storage=s3://bucket", "--s3-archive-class=GLACIER"}, "s3-archive-class: what is in GLACIER cannot be read at once"},
		"an archive of another class":  {"", nil, []string{"--storage=s3://bucket", "--s3-archive-class=STANDARD"}, `s3-archive-class: "STANDARD" is not STANDARD_IA, ONEZONE_IA`},
		"other encryption in S3":       {"", nil, []string{"--storage=s3://bucket", "--s3-sse=DES"}, `s3-sse: "DES" is not AES256`},
		"other checksums":              {"", nil, []string{"--s3-checksums=md5"}, `s3-checksums: "md5" is neither`},
		"other redirects":              {"", nil, []string{"--storage=s3://bucket", "--s3-redirects=yes"}, `s3-redirects: "yes" is neither on nor off`},
		"a secret as a flag":           {"", nil, []string{"--master-key=x"}, "unknown flag: --master-key"},
		"another secret as a flag":     {"", nil, []string{"--root-secret-access-key=x"}, "unknown flag: --root-secret-access-key"},
		"a boolean that is none":       {"", []string{"BERTH_INSECURE_HTTP=yes please"}, nil, "BERTH_INSECURE_HTTP: insecure-http is neither true nor false"},
		"a boolean that is a number":   {"insecure-http: 2\n", nil, nil, "insecure-http is neither true nor false"},
		"no directory":                 {"", []string{"BERTH_DATA="}, nil, "data: name a directory"},
		"an account that is none":      {"", nil, []string{"--account=1"}, `account: "1" is not an account id of twelve digits`},
		"a region that is none":        {"", nil, []string{"--region=local"}, `region: "local" is not a region such as us-east-1`},
		"a domain with a port":         {"", nil, []string{"--domain=example.com:80"}, `domain: "example.com:80" is not a domain name in lower case`},
		"a domain in capitals":         {"", nil, []string{"--domain=Example.com"}, "is not a domain name in lower case"},
		"a domain with a last dot":     {"", nil, []string{"--domain=example.com."}, "is not a domain name in lower case"},
		"a certificate without a key":  {"", nil, []string{"--tls-cert=c"}, "tls-cert and tls-key: give both or neither"},
		"a key without a certificate":  {"", nil, []string{"--tls-key=k"}, "tls-cert and tls-key: give both or neither"},
		"another format of the log":    {"", nil, []string{"--log-format=xml"}, `log-format: "xml" is neither text nor json`},
		"another rule about re-pushes": {"", nil, []string{"--immutable-repush=maybe"}, `immutable-repush: "maybe" is neither refuse nor accept`},
		"two master keys":              {"", []string{"BERTH_MASTER_KEY=k", "BERTH_MASTER_KEY_FILE=f"}, nil, "master-key and master-key-file: give one of them"},
		"half a root key":              {"", []string{"BERTH_ROOT_ACCESS_KEY_ID=id"}, nil, "root-access-key-id and root-secret-access-key: give both or neither"},
		"a short secret": {
			"", []string{"BERTH_ROOT_ACCESS_KEY_ID=id", "BERTH_ROOT_SECRET_ACCESS_KEY=fifteen letters"}, nil, "root-secret-access-key: at least 16 characters",
		},
		"a proxy that is no network":   {"", nil, []string{"--trusted-proxies=10.0.0.1"}, `trusted-proxies: "10.0.0.1" is not a network such as 10.0.0.0/8`},
		"no port":                      {"", nil, []string{"--listen=127.0.0.1"}, `listen: "127.0.0.1" is not HOST:PORT`},
		"every address without TLS":    {"", nil, []string{"--listen=:5000", "--url=https://example.com"}, "listen: :5000 is reachable from other machines: give --tls-cert and --tls-key, or --insecure-http"},
		"no address for clients":       {"", nil, []string{"--listen=:5000", "--insecure-http"}, "listen: :5000 is no address that clients can reach: say with --url or --domain where they do"},
		"none of IPv6 either":          {"", nil, []string{"--listen=[::]:5000", "--insecure-http"}, "listen: [::]:5000 is no address that clients can reach"},
		"another address without TLS":  {"", nil, []string{"--listen=192.0.2.1:80"}, "is reachable from other machines"},
		"another database":             {"", nil, []string{"--database=mysql://x"}, "database: give a URL that begins with postgres://"},
		"PostgreSQL without a key":     {"", nil, []string{"--database=postgres://x"}, "every replica needs the same master key"},
		"PostgreSQL without a root":    {"", []string{"BERTH_MASTER_KEY=k"}, []string{"--database=postgres://x"}, "every replica needs the same root key"},
		"a negative number":            {"", nil, []string{"--public-anonymous-rate=-1"}, "public-anonymous-rate is not a whole number of 0 or more"},
		"a half":                       {"", nil, []string{"--public-anonymous-bytes=1.5"}, "public-anonymous-bytes is not a whole number of 0 or more"},
		"neither on nor off":           {"", nil, []string{"--public=yes"}, `public: "yes" is neither on nor off`},
		"the public host":              {"", nil, []string{"--url=http://Public.localhost:5000"}, "url: Public.localhost:5000 is where public repositories are"},
		"the public host of a domain":  {"", nil, []string{"--url=https://public.example.com", "--domain=example.com"}, "is where public repositories are"},
		"Amazon's public host":         {"", nil, []string{"--url=https://public.ecr.aws"}, "is where public repositories are"},
		"a URL without a scheme":       {"", nil, []string{"--url=example.com"}, `url: "example.com" is not http(s)://HOST[:PORT]`},
		"a URL of another scheme":      {"", nil, []string{"--url=ftp://example.com"}, "is not http(s)://HOST[:PORT]"},
		"a URL with a path":            {"", nil, []string{"--url=https://example.com/registry"}, "is not http(s)://HOST[:PORT]"},
		"a URL with a query":           {"", nil, []string{"--url=https://example.com?x"}, "is not http(s)://HOST[:PORT]"},
		"a URL with a password":        {"", nil, []string{"--url=https://a:b@example.com"}, "is not http(s)://HOST[:PORT]"},
		"a URL with only a port":       {"", nil, []string{"--url=https://:443"}, "is not http(s)://HOST[:PORT]"},
		"all that is wrong, not a bit": {"", nil, []string{"--region=local", "--account=1"}, "account: \"1\" is not an account id of twelve digits\nregion:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tt.file, tt.environ, tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestLoopbackNeedsNoTLS(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"127.0.0.1:80", "127.1.2.3:80", "[::1]:80", "localhost:80"} {
		if _, err := load(t, "", nil, "--listen", listen); err != nil {
			t.Errorf("Load with %s: %v", listen, err)
		}
	}
	for _, args := range [][]string{{"--insecure-http"}, {"--tls-cert=c", "--tls-key=k"}} {
		if _, err := load(t, "", nil, append(args, "--listen=192.0.2.1:80")...); err != nil {
			t.Errorf("Load with %v: %v", args, err)
		}
	}
}

func TestThePublicURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "http://127.0.0.1:5000"},
		{[]string{"--listen=[::1]:5000"}, "http://[::1]:5000"},
		{[]string{"--listen=[::1]:80"}, "http://[::1]"},
		{[]string{"--listen=localhost:443", "--tls-cert=c", "--tls-key=k"}, "https://localhost"},
		{[]string{"--listen=localhost:443"}, "http://localhost:443"},
		{[]string{"--url=https://example.com:443"}, "https://example.com"},
		{[]string{"--url=https://example.com:8443"}, "https://example.com:8443"},
		{[]string{"--url=https://example.com:80"}, "https://example.com:80"},
		{[]string{"--url=https://registry.example.com/"}, "https://registry.example.com"},
		{[]string{"--url=http://example.com:8080"}, "http://example.com:8080"},
	} {
		c, err := load(t, "", nil, tt.args...)
		if err != nil {
			t.Errorf("Load(%v): %v", tt.args, err)
			continue
		}
		if u, err := c.PublicURL(); err != nil || u.String() != tt.want {
			t.Errorf("PublicURL with %v = %v, %v, want %s", tt.args, u, err, tt.want)
		}
	}
}

func TestProxiesAreNetworks(t *testing.T) {
	t.Parallel()
	c, err := load(t, "", nil, "--trusted-proxies=10.1.2.3/8,fd00::1/8")
	if err != nil {
		t.Fatal(err)
	}
	networks, err := c.Proxies()
	if err != nil || len(networks) != 2 || networks[0].String() != "10.0.0.0/8" || networks[1].String() != "fd00::/8" {
		t.Errorf("Proxies = %v, %v, want 10.0.0.0/8 and fd00::/8", networks, err)
	}
}

// Package config is the configuration of a Berth server: one struct, read from
// a file, the environment and flags, each overriding the one before.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is all that a server can be told. A field's key is its name in the
// configuration file; as a flag it is --key, in the environment BERTH_KEY in
// upper case with underscores. Secrets have no flag: other users can see those.
type Config struct {
	Data                string   `key:"data" default:"data" help:"directory that holds the database, the layers and the keys"`
	Listen              string   `key:"listen" default:"127.0.0.1:5000" help:"address to serve on"`
	AdminListen         string   `key:"admin-listen" help:"address to serve metrics on, at /metrics; none if empty"`
	URL                 string   `key:"url" help:"where clients reach the server (default: made from the listen address)"`
	Domain              string   `key:"domain" help:"domain whose subdomains are the registries: <account>.dkr.ecr.<region>.<domain>"`
	Account             string   `key:"account" default:"123456789012" help:"id of the default account"`
	Region              string   `key:"region" default:"us-east-1" help:"the default region"`
	Database            string   `key:"database" help:"postgres:// URL of the database (default: SQLite in the data directory)" secret:"true" flag:"true"`
	Storage             string   `key:"storage" help:"where the layers are: s3://BUCKET or s3://BUCKET/PREFIX (default: the data directory)"`
	StorageFrom         string   `key:"storage-from" help:"where layers were before, until berth storage migrate has moved them: directory, or s3://BUCKET/PREFIX"`
	S3Region            string   `key:"s3-region" help:"region of the S3 bucket (default: as AWS's tools find it, or us-east-1)"`
	S3Endpoint          string   `key:"s3-endpoint" help:"URL of an S3-compatible store (default: Amazon's)"`
	S3PathStyle         bool     `key:"s3-path-style" help:"name the bucket in the path of URLs and not in their host, as most stores of one's own want it"`
	S3AccessKeyID       string   `key:"s3-access-key-id" help:"access key id for the S3 bucket (default: as AWS's tools find credentials)"`
	S3SecretAccessKey   string   `key:"s3-secret-access-key" help:"the secret that goes with it" secret:"true"`
	S3StorageClass      string   `key:"s3-storage-class" help:"storage class of the layers in S3 (default: the bucket's)"`
	S3ArchiveClass      string   `key:"s3-archive-class" help:"storage class in S3 of layers that only archived images have: STANDARD_IA, ONEZONE_IA, GLACIER_IR or INTELLIGENT_TIERING (default: none of their own)"`
	S3Encryption        string   `key:"s3-sse" help:"have S3 encrypt the layers: AES256, aws:kms or aws:kms:KEYID (default: the bucket's own setting)"`
	S3Checksums         string   `key:"s3-checksums" default:"when-supported" help:"send checksums to S3: when-supported, or when-required for stores that do not know them"`
	S3Redirects         string   `key:"s3-redirects" default:"off" help:"have clients fetch layers from S3 itself: on, or off for through berth"`
	TLSCert             string   `key:"tls-cert" help:"file with the certificate chain to serve TLS with; read again on SIGHUP"`
	TLSKey              string   `key:"tls-key" help:"file with the certificate's key"`
	InsecureHTTP        bool     `key:"insecure-http" help:"serve without TLS on an address that is not loopback"`
	TrustedProxies      []string `key:"trusted-proxies" help:"networks (CIDR) of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed"`
	LogLevel            string   `key:"log-level" default:"info" help:"debug, info, warn or error"`
	LogFormat           string   `key:"log-format" default:"text" help:"text or json"`
	ImmutableRepush     string   `key:"immutable-repush" default:"refuse" help:"push of an immutable tag with the same content: refuse, as ECR does, or accept"`
	Quotas              []string `key:"quota" file:"quotas" form:"map" help:"quotas that differ from ECR's, as NAME=VALUE"`
	StorageQuotas       []string `key:"storage-quota" file:"storage-quotas" form:"maps" help:"most bytes of layers in an account's repositories, or in those at and below a path, as ACCOUNT=BYTES or ACCOUNT/PATH=BYTES"`
	RequestRates        string   `key:"request-rates" default:"off" help:"limits on how often a principal may call an operation: ecr for ECR's, or off"`
	Public              string   `key:"public" default:"on" help:"ECR Public, where everybody can pull public repositories: on, or off for no API, no public host, no tokens, no logos"`
	AnonymousRate       int64    `key:"public-anonymous-rate" default:"0" help:"requests a second, for manifests, tag lists and referrers, that an address may make of public registries without a login; 0 for no limit"`
	AnonymousBytes      int64    `key:"public-anonymous-bytes" default:"0" help:"bytes in 30 days that an address is sent from public registries without a login; 0 for no limit"`
	PasswordLogin       string   `key:"password-login" default:"off" help:"let clients that cannot renew passwords log in to registries with an access key id and its secret: access-key, or off"`
	DeletedRetention    string   `key:"deleted-retention" default:"168h" help:"how long deleted images and repositories can be restored, at most 2160h (90 days); 0 for never"`
	GCGrace             string   `key:"gc-grace" default:"24h" help:"how long a layer stays that no image refers to, after the last push that may rely on it; at most 2160h"`
	GCLease             string   `key:"gc-lease" default:"4h" help:"how long a push may rely on an answer that a layer is there, from 1s to 168h"`
	GCDelay             string   `key:"gc-delay" default:"1h" help:"how long the bytes stay of what was removed, for pulls that have begun and servers that have looked it up; at most 168h"`
	GCShare             int64    `key:"gc-share" default:"50" help:"percentage of the time that removing garbage may work, from 1 to 100"`
	EgressAllow         []string `key:"egress-allow" help:"networks (CIDR), addresses and hosts, the last two with a port or without, that connections may be opened to though they are not public"`
	EgressCA            string   `key:"egress-ca" help:"file with certificates (PEM) to trust besides the system's when connections are opened"`
	OIDCKeys            []string `key:"oidc-jwks" form:"map" help:"files with the keys (JWK sets) of token issuers that are not to be asked for them, as ISSUER=FILE"`
	MasterKey           string   `key:"master-key" help:"the key that all others derive from: 32 bytes in hex or base64" secret:"true"`
	MasterKeyFile       string   `key:"master-key-file" help:"file that holds the master key (default: made in the data directory)"`
	OldMasterKeys       []string `key:"old-master-keys" help:"master keys that came before, until berth keys rotate has been run" secret:"true"`
	OldMasterKeyFiles   []string `key:"old-master-key-files" help:"files that hold such keys, one each"`
	MasterKeyService    string   `key:"master-key-service" help:"URL of the key service that the master key is wrapped by: awskms:///KEY?region=REGION or hashivault://KEY (default: the key is not wrapped)" secret:"true" flag:"true"`
	OldMasterKeyService string   `key:"old-master-key-service" help:"URL of the one that wrapped master keys that came before are wrapped by (default: the same)" secret:"true" flag:"true"`
	Seal                string   `key:"seal" default:"on" help:"encrypt layers and manifests at rest: on, or off for volumes that are encrypted below; what has a KMS key is always sealed"`
	ScrubInterval       string   `key:"scrub-interval" default:"720h" help:"how often all bytes that are stored are read and held against their digests; 0 for only when berth scrub run asks for it"`
	ScrubRate           int64    `key:"scrub-rate" default:"16777216" help:"bytes a second that are read for that; 0 for no limit"`
	DiskReserve         string   `key:"disk-reserve" help:"space on the disks of the data directory that pushes leave free, as in 10GiB or 5%; 0 for none (default: 5%, at most 1GiB)"`
	ReadOnly            bool     `key:"read-only" help:"refuse all changes as long as the server runs: images can be pulled; see berth maintenance for all servers at once, and without a restart"`
	RootAccessKeyID     string   `key:"root-access-key-id" help:"access key id of the default account's root (default: made in the data directory)"`
	RootSecretAccessKey string   `key:"root-secret-access-key" help:"the secret that goes with it" secret:"true"`

	// Endpoints are further listeners, which only the file has.
	Endpoints []Endpoint
}

// option is one field of a Config and what its tags say.
type option struct {
	key, help, standard string
	file                string // the key in the configuration file
	form                string // of the value there besides a list of texts: map, maps or ""
	flag                bool   // may be given on the command line
	value               reflect.Value
}

// options returns the fields of c in order.
func (c *Config) options() []option {
	v := reflect.ValueOf(c).Elem()
	var out []option
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if tag.Get("key") == "" {
			continue
		}
		out = append(out, option{
			key: tag.Get("key"), file: cmp.Or(tag.Get("file"), tag.Get("key")), form: tag.Get("form"), help: tag.Get("help"), standard: tag.Get("default"),
			flag: tag.Get("secret") == "" || tag.Get("flag") != "", value: v.Field(i),
		})
	}
	return out
}

// variable is the option's name in the environment.
func (o option) variable() string {
	return "BERTH_" + strings.ToUpper(strings.ReplaceAll(o.key, "-", "_"))
}

// set reads the option from text. A list is separated by commas.
func (o option) set(text string) error {
	switch o.value.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s is neither true nor false", o.key)
		}
		o.value.SetBool(b)
	case reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%s is not a whole number of 0 or more", o.key)
		}
		o.value.SetInt(n)
	case reflect.Slice:
		var list []string
		for s := range strings.SplitSeq(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
		o.value.Set(reflect.ValueOf(list))
	default:
		o.value.SetString(text)
	}
	return nil
}

var (
	accountRegexp = regexp.MustCompile(`\A[0-9]{12}\z`)
	regionRegexp  = regexp.MustCompile(`\A[a-z]{2}(-[a-z]+)+-[0-9]{1,2}\z`)
	domainRegexp  = regexp.MustCompile(`\A([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?\z`)
)

// Validate returns all that is wrong with the configuration, each with what to
// do about it.
func (c *Config) Validate() error {
	var errs []error
	bad := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(c.Data == "", "data: name a directory")
	bad(!accountRegexp.MatchString(c.Account), "account: %q is not an account id of twelve digits", c.Account)
	bad(!regionRegexp.MatchString(c.Region), "region: %q is not a region such as us-east-1", c.Region)
	bad(c.Domain != "" && !domainRegexp.MatchString(c.Domain), "domain: %q is not a domain name in lower case", c.Domain)
	bad((c.TLSCert == "") != (c.TLSKey == ""), "tls-cert and tls-key: give both or neither")
	bad(c.LogFormat != "text" && c.LogFormat != "json", "log-format: %q is neither text nor json", c.LogFormat)
	bad(c.ImmutableRepush != "refuse" && c.ImmutableRepush != "accept", "immutable-repush: %q is neither refuse nor accept", c.ImmutableRepush)
	bad(c.MasterKey != "" && c.MasterKeyFile != "", "master-key and master-key-file: give one of them")
	bad(c.Seal != "on" && c.Seal != "off", "seal: %q is neither on nor off", c.Seal)
	bad((c.RootAccessKeyID == "") != (c.RootSecretAccessKey == ""), "root-access-key-id and root-secret-access-key: give both or neither")
	bad(c.RootSecretAccessKey != "" && len(c.RootSecretAccessKey) < 16, "root-secret-access-key: at least 16 characters")
	bad(c.RequestRates != "ecr" && c.RequestRates != "off", "request-rates: %q is neither ecr nor off", c.RequestRates)
	bad(c.PasswordLogin != "access-key" && c.PasswordLogin != "off", "password-login: %q is neither access-key nor off", c.PasswordLogin)
	for _, parse := range []func() error{
		func() error { _, err := c.Proxies(); return err },
		func() error { _, err := c.QuotaValues(); return err },
		func() error { _, err := c.StorageLimits(); return err },
		func() error { _, err := c.Retention(); return err },
		func() error { _, _, err := c.Garbage(); return err },
		func() error { _, err := c.RemovalDelay(); return err },
		func() error { _, err := c.PinnedKeys(); return err },
		func() error { _, err := c.ScrubEvery(); return err },
		func() error { _, _, err := c.Reserve(); return err },
	} {
		errs = append(errs, parse())
	}
	errs = append(errs, c.validateListen(), c.validateDatabase(), c.validatePublic(), c.validateEndpoints(), c.validateStorage())
	return errors.Join(errs...)
}

func (c *Config) validateListen() error {
	return validateListen(c.Listen, c.URL != "" || c.Domain != "", c.TLSCert != "" || c.InsecureHTTP)
}

// validateListen checks an address. Named says whether there is another name for
// it, safe whether it may be one that other machines reach.
func validateListen(listen string, named, safe bool) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen: %q is not HOST:PORT", listen)
	}
	if ip, _ := netip.ParseAddr(host); (host == "" || ip.IsUnspecified()) && !named {
		return fmt.Errorf("listen: %s is no address that clients can reach: say with --url or --domain where they do", listen)
	}
	if safe || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("listen: %s is reachable from other machines: give --tls-cert and --tls-key, or --insecure-http if something in front of berth speaks TLS", listen)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c *Config) validateDatabase() error {
	if c.Database == "" {
		return nil
	}
	if !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		return errors.New("database: give a URL that begins with postgres://, or nothing for SQLite")
	}
	if c.MasterKey == "" && c.MasterKeyFile == "" {
		return errors.New("database: with PostgreSQL every replica needs the same master key: give BERTH_MASTER_KEY or --master-key-file")
	}
	if c.RootAccessKeyID == "" {
		return errors.New("database: with PostgreSQL every replica needs the same root key: give BERTH_ROOT_ACCESS_KEY_ID and BERTH_ROOT_SECRET_ACCESS_KEY")
	}
	return nil
}

// validatePublic also sees to it that the default registry has a name of its own.
func (c *Config) validatePublic() error {
	u, err := c.PublicURL()
	if err != nil {
		return err
	}
	taken := []string{"public." + cmp.Or(c.Domain, "localhost"), "public.ecr.aws", "ecr-public.aws.com"}
	switch {
	case c.Public != "on" && c.Public != "off":
		return fmt.Errorf("public: %q is neither on nor off", c.Public)
	case c.Public == "on" && slices.Contains(taken, strings.ToLower(u.Hostname())):
		return fmt.Errorf("url: %s is where public repositories are: give another host, or --public off", u.Host)
	}
	return nil
}

// PublicURL returns where clients reach the server: scheme and host, no path.
func (c *Config) PublicURL() (*url.URL, error) { return publicURL(c.URL, c.Listen, c.scheme()) }

// publicURL returns a URL that is configured, or else that of an address.
func publicURL(text, listen, scheme string) (*url.URL, error) {
	if text == "" {
		return withoutDefaultPort(&url.URL{Scheme: scheme, Host: listen}), nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("url: %q is not http(s)://HOST[:PORT]", text)
	}
	return withoutDefaultPort(&url.URL{Scheme: u.Scheme, Host: u.Host}), nil
}

// withoutDefaultPort takes away a port that the scheme implies: clients leave it
// out of the names that they sign and show.
func withoutDefaultPort(u *url.URL) *url.URL {
	standard := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	u.Host = strings.TrimSuffix(u.Host, standard)
	return u
}

func (c *Config) scheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// maxRetention is how long deleted things can be kept restorable at most.
const maxRetention = 90 * 24 * time.Hour

// Retention returns how long deleted images and repositories can be restored, 0
// for never.
func (c *Config) Retention() (time.Duration, error) {
	d, err := time.ParseDuration(c.DeletedRetention)
	if err != nil || d < 0 || d > maxRetention {
		return 0, fmt.Errorf("deleted-retention: %q is not a time from 0 to 2160h, such as 168h", c.DeletedRetention)
	}
	return d, nil
}

// Garbage returns how long a layer stays that no image refers to, and how long a push may
// rely on an answer that one is there.
func (c *Config) Garbage() (grace, lease time.Duration, err error) {
	grace, err = time.ParseDuration(c.GCGrace)
	if err != nil || grace < 0 || grace > maxRetention {
		return 0, 0, fmt.Errorf("gc-grace: %q is not a time from 0 to 2160h, such as 24h", c.GCGrace)
	}
	lease, err = time.ParseDuration(c.GCLease)
	if err != nil || lease < time.Second || lease > 7*24*time.Hour {
		return 0, 0, fmt.Errorf("gc-lease: %q is not a time from 1s to 168h, such as 4h", c.GCLease)
	}
	if c.GCShare < 1 || c.GCShare > 100 {
		return 0, 0, fmt.Errorf("gc-share: %d is not a percentage from 1 to 100", c.GCShare)
	}
	return grace, lease, nil
}

// redirectDelay is how long bytes must stay where clients are sent to them by URL: longer
// than such a URL works.
const redirectDelay = 30 * time.Minute

// RemovalDelay returns how long the bytes stay of what was removed as garbage.
func (c *Config) RemovalDelay() (time.Duration, error) {
	d, err := time.ParseDuration(c.GCDelay)
	if err != nil || d < 0 || d > 7*24*time.Hour {
		return 0, fmt.Errorf("gc-delay: %q is not a time from 0 to 168h, such as 1h", c.GCDelay)
	}
	if c.S3Redirects == "on" && d < redirectDelay {
		return 0, fmt.Errorf("gc-delay: %s is less than clients have to follow the URLs of s3-redirects: give 30m or more", c.GCDelay)
	}
	return d, nil
}

// minScrubInterval keeps a typing error from having all bytes read all the time.
const minScrubInterval = time.Hour

// ScrubEvery returns how often all bytes are read, 0 for never unless asked for.
func (c *Config) ScrubEvery() (time.Duration, error) {
	d, err := time.ParseDuration(c.ScrubInterval)
	if err != nil || d != 0 && d < minScrubInterval {
		return 0, fmt.Errorf("scrub-interval: %q is neither 0 nor a time of 1h or more, such as 720h", c.ScrubInterval)
	}
	return d, nil
}

// The reserve that is kept on a disk if nothing is said of it: a percentage, but no more than so
// many bytes.
const (
	reservePercent = 5
	reserveBytes   = 1 << 30
)

// Reserve returns what pushes leave free on a disk: a number of bytes, or if percent is not 0
// that part of it, but no more than bytes if these are not 0.
func (c *Config) Reserve() (bytes, percent int64, err error) {
	if c.DiskReserve == "" {
		return reserveBytes, reservePercent, nil
	}
	number, isPart := strings.CutSuffix(c.DiskReserve, "%")
	unit := int64(1)
	for suffix, size := range map[string]int64{"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if n, ok := strings.CutSuffix(number, suffix); ok && !isPart {
			number, unit = n, size
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || isPart && n > 90 || n > 1<<60/unit {
		return 0, 0, fmt.Errorf("disk-reserve: %q is neither a number of bytes such as 10GiB nor a part such as 5%%", c.DiskReserve)
	}
	if isPart {
		return 0, n, nil
	}
	return n * unit, 0, nil
}

// Proxies returns the networks whose forwarded headers are believed.
func (c *Config) Proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trusted-proxies: %q is not a network such as 10.0.0.0/8", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// PinnedKeys returns the files with the keys of issuers, by issuer.
func (c *Config) PinnedKeys() (map[string]string, error) {
	out := map[string]string{}
	for _, s := range c.OIDCKeys {
		issuer, file, _ := strings.Cut(s, "=")
		if !strings.HasPrefix(issuer, "https://") || file == "" {
			return nil, fmt.Errorf("oidc-jwks: %q is not ISSUER=FILE with an issuer that begins with https://", s)
		}
		if out[issuer] != "" {
			return nil, fmt.Errorf("oidc-jwks: %s is given twice", issuer)
		}
		out[issuer] = file
	}
	return out, nil
}

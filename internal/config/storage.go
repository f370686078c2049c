package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// S3 is where the layers are, if they are in an S3 bucket.
type S3 struct {
	Bucket, Prefix string
	// Encryption and EncryptionKey are what S3 is asked to encrypt with, and the
	// id of the key, if any.
	Encryption, EncryptionKey string
}

var (
	bucketRegexp       = regexp.MustCompile(`\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z`)
	bucketPrefixRegexp = regexp.MustCompile(`\A[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*\z`)
	storageClassRegexp = regexp.MustCompile(`\A[A-Z][A-Z0-9_]*\z`)
)

// Directory is what storage-from is for the data directory.
const Directory = "directory"

// location returns the bucket that storage or storage-from names, "" if none does.
func (c *Config) location() string {
	if c.Storage == "" && c.StorageFrom != Directory {
		return c.StorageFrom
	}
	return c.Storage
}

// UsesDirectory reports whether layers are in the data directory.
func (c *Config) UsesDirectory() bool { return c.Storage == "" || c.StorageFrom == Directory }

// Bucket returns the bucket that layers are in, that of storage-from included, or nil if
// there is none.
func (c *Config) Bucket() (*S3, error) {
	location := c.location()
	if location == "" {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(location, "s3://")
	var b S3
	b.Bucket, b.Prefix, _ = strings.Cut(rest, "/")
	b.Prefix = strings.TrimSuffix(b.Prefix, "/")
	if !ok || !bucketRegexp.MatchString(b.Bucket) || b.Prefix != "" && !bucketPrefixRegexp.MatchString(b.Prefix) {
		return nil, fmt.Errorf("storage: %q is not s3://BUCKET or s3://BUCKET/PREFIX", location)
	}
	switch key, kms := strings.CutPrefix(c.S3Encryption, "aws:kms:"); {
	case kms && key != "":
		b.Encryption, b.EncryptionKey = "aws:kms", key
	case c.S3Encryption == "", c.S3Encryption == "AES256", c.S3Encryption == "aws:kms":
		b.Encryption = c.S3Encryption
	default:
		return nil, fmt.Errorf("s3-sse: %q is not AES256, aws:kms or aws:kms:KEYID", c.S3Encryption)
	}
	return &b, nil
}

// Shared reports whether everything that the server stores is where other processes
// can reach it: many may then run at once.
func (c *Config) Shared() bool { return c.Database != "" && !c.UsesDirectory() }

func (c *Config) validateStorage() error {
	b, err := c.Bucket()
	errs := []error{err}
	bad := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for key, value := range map[string]string{
		"s3-region": c.S3Region, "s3-endpoint": c.S3Endpoint, "s3-access-key-id": c.S3AccessKeyID, "s3-secret-access-key": c.S3SecretAccessKey,
		"s3-storage-class": c.S3StorageClass, "s3-sse": c.S3Encryption,
	} {
		bad(value != "" && c.location() == "", "%s: give storage too, as s3://BUCKET", key)
	}
	bad(c.StorageFrom == Directory && c.Storage == "", "storage-from: the layers are in the directory already; storage says where they shall be")
	bad(c.StorageFrom != "" && c.StorageFrom != Directory && c.Storage != "", "storage-from: layers move between the directory and S3; say directory, or give no storage")
	bad(c.S3PathStyle && c.location() == "", "s3-path-style: give storage too, as s3://BUCKET")
	bad((c.S3AccessKeyID == "") != (c.S3SecretAccessKey == ""), "s3-access-key-id and s3-secret-access-key: give both or neither")
	bad(c.S3Checksums != "when-supported" && c.S3Checksums != "when-required", "s3-checksums: %q is neither when-supported nor when-required", c.S3Checksums)
	bad(c.S3Redirects != "on" && c.S3Redirects != "off", "s3-redirects: %q is neither on nor off", c.S3Redirects)
	bad(c.S3Redirects == "on" && c.location() == "", "s3-redirects: give storage too, as s3://BUCKET")
	bad(c.S3Redirects == "on" && strings.HasPrefix(c.S3Endpoint, "http://") && (c.TLSCert != "" || strings.HasPrefix(c.URL, "https://")),
		"s3-redirects: clients that come with TLS follow no redirect to %s", c.S3Endpoint)
	bad(c.S3StorageClass != "" && !storageClassRegexp.MatchString(c.S3StorageClass), "s3-storage-class: %q is not a storage class such as STANDARD_IA", c.S3StorageClass)
	bad(c.S3StorageClass == "GLACIER" || c.S3StorageClass == "DEEP_ARCHIVE", "s3-storage-class: what is in %s cannot be read at once", c.S3StorageClass)
	bad(c.S3ArchiveClass != "" && c.Storage == "", "s3-archive-class: give storage too, as s3://BUCKET")
	errs = append(errs, c.validateArchiveClass())
	if b != nil && strings.Contains(b.Bucket, ".") && !c.S3PathStyle && !strings.HasPrefix(c.S3Endpoint, "http://") {
		bad(true, "storage: TLS cannot name a bucket with a dot in a host: give --s3-path-style")
	}
	if c.S3Endpoint != "" {
		u, err := url.Parse(c.S3Endpoint)
		bad(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.User != nil,
			"s3-endpoint: %q is not http(s)://HOST[:PORT]", c.S3Endpoint)
	}
	return errors.Join(errs...)
}

// validateArchiveClass returns an error for a class in which layers cannot be read at once: an
// image that is brought back from the archive can be pulled a second later.
func (c *Config) validateArchiveClass() error {
	switch c.S3ArchiveClass {
	case "", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "INTELLIGENT_TIERING":
		return nil
	case "GLACIER", "DEEP_ARCHIVE":
		return fmt.Errorf("s3-archive-class: what is in %s cannot be read at once, as it must be when an image is brought back; GLACIER_IR can", c.S3ArchiveClass)
	}
	return fmt.Errorf("s3-archive-class: %q is not STANDARD_IA, ONEZONE_IA, GLACIER_IR or INTELLIGENT_TIERING", c.S3ArchiveClass)
}

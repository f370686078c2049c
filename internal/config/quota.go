package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// QuotaValues returns the quotas by name.
func (c *Config) QuotaValues() (map[string]int64, error) {
	out := map[string]int64{}
	for _, s := range c.Quotas {
		name, text, _ := strings.Cut(s, "=")
		value, err := strconv.ParseInt(text, 10, 64)
		if err != nil || name == "" {
			return nil, fmt.Errorf("quota: %q is not NAME=VALUE with a whole number", s)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("quota: %s is given twice", name)
		}
		out[name] = value
	}
	return out, nil
}

// StorageLimit is how many bytes of layers the repositories of an account may
// hold together.
type StorageLimit struct {
	Account string
	Prefix  string // only repositories of this name and below this path; "" for all
	Bytes   int64
}

var prefixRegexp = regexp.MustCompile(`\A[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*\z`)

// StorageLimits returns the storage quotas.
func (c *Config) StorageLimits() ([]StorageLimit, error) {
	var out []StorageLimit
	seen := map[string]bool{}
	for _, s := range c.StorageQuotas {
		of, text, _ := strings.Cut(s, "=")
		account, prefix, below := strings.Cut(strings.TrimSuffix(of, "/"), "/")
		bytes, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil || bytes < 1:
			return nil, fmt.Errorf("storage-quota: %q is not ACCOUNT=BYTES or ACCOUNT/PATH=BYTES with a whole number", s)
		case !accountRegexp.MatchString(account):
			return nil, fmt.Errorf("storage-quota: %q is not an account id of twelve digits", account)
		case below && !prefixRegexp.MatchString(prefix):
			return nil, fmt.Errorf("storage-quota: %q is no path that repositories can have", prefix)
		case seen[account+"/"+prefix]:
			return nil, fmt.Errorf("storage-quota: %s is given twice", of)
		}
		seen[account+"/"+prefix] = true
		out = append(out, StorageLimit{account, prefix, bytes})
	}
	return out, nil
}

package registry

import (
	"regexp"
	"strings"
	"unicode"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"

	"github.com/opencontainers/go-digest"
)

// ID names a registry: an account in a region.
type ID struct {
	Account string `json:"registryId"`
	Region  string `json:"-"`
}

// Ref names a repository of a registry. The name has been parsed.
type Ref struct {
	ID
	Name RepositoryName `json:"repositoryName,omitempty"`
}

// ARN returns arn:aws:ecr:region:account:repository/name, or of a public
// repository arn:aws:ecr-public::account:repository/name.
func (r Ref) ARN() string {
	if r.Public() {
		return access.PublicRepositoryARN(r.Account, string(r.Name))
	}
	return access.RepositoryARN(r.Account, r.Region, string(r.Name))
}

// RepositoryName is the name of a repository: 2 to 256 characters, lower case,
// path components separated by slashes.
type RepositoryName string

const repositoryPattern = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`

var repositoryRegexp = regexp.MustCompile(`\A` + repositoryPattern + `\z`)

// ParseRepositoryName checks a name against ECR's grammar, which is also the
// distribution specification's. The error is InvalidParameterException.
func ParseRepositoryName(s string) (RepositoryName, error) {
	if len(s) < 2 || len(s) > 256 || !repositoryRegexp.MatchString(s) {
		return "", invalidParameter("repositoryName", "must satisfy regular expression '"+repositoryPattern+"'")
	}
	return RepositoryName(s), nil
}

var (
	accountRegexp = regexp.MustCompile(`\A[0-9]{12}\z`)
	regionRegexp  = regexp.MustCompile(`\A([a-z]{2}|eusc)(-[a-z]+)+-[0-9]{1,2}\z`)
	tagRegexp     = regexp.MustCompile(`\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z`)
)

// ValidAccount reports whether s is an account id: twelve digits.
func ValidAccount(s string) bool { return accountRegexp.MatchString(s) }

// ValidRegion reports whether s has the form of a region's name, such as
// us-east-1, us-gov-west-1 or eusc-de-east-1.
func ValidRegion(s string) bool { return len(s) <= 25 && regionRegexp.MatchString(s) }

// partition is a part of AWS that has nothing to do with the others.
type partition struct{ name, domain string }

// partitions are those whose regions' names begin like no region of aws itself.
var partitions = map[string]partition{
	"cn-":      {"aws-cn", "amazonaws.com.cn"},
	"us-gov-":  {"aws-us-gov", "amazonaws.com"},
	"us-iso-":  {"aws-iso", "c2s.ic.gov"},
	"us-isob-": {"aws-iso-b", "sc2s.sgov.gov"},
	"us-isof-": {"aws-iso-f", "csp.hci.ic.gov"},
	"eu-isoe-": {"aws-iso-e", "cloud.adc-e.uk"},
	"eusc-":    {"aws-eusc", "amazonaws.eu"},
}

// partitionOf returns the partition that a region is in.
func partitionOf(region string) partition {
	for prefix, p := range partitions {
		if strings.HasPrefix(region, prefix) {
			return p
		}
	}
	return partition{"aws", "amazonaws.com"}
}

// ValidTag reports whether s is a tag: at most 128 characters, as the
// distribution specification has it.
func ValidTag(s string) bool { return tagRegexp.MatchString(s) }

// ValidDigest reports whether s is a digest in canonical form of an algorithm
// that Berth computes: sha256 or sha512.
func ValidDigest(s string) bool {
	d := digest.Digest(s)
	if d.Validate() != nil {
		return false
	}
	return d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512
}

func checkTag(s string) error {
	if !ValidTag(s) {
		return invalidParameter("imageTag", "must satisfy regular expression '[a-zA-Z0-9-_.]+'")
	}
	return nil
}

func checkDigest(field, s string) error {
	if !ValidDigest(s) {
		return invalidParameter(field, "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'")
	}
	return nil
}

// hasControl reports whether s has control characters, which no text that is
// kept may have: not every database takes a NUL.
func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// checkText returns InvalidParameterException for text that cannot be kept.
func checkText(field, text string) error {
	if hasControl(text) {
		return invalidParameter(field, "must have no control characters")
	}
	return nil
}

// checkRole returns InvalidParameterException for what is not the ARN of a role
// of the registry's account, nor empty.
func checkRole(id ID, arn string) error {
	if arn == "" {
		return nil
	}
	a, ok := policy.ParseARN(arn)
	if !ok || hasControl(arn) || a.Service != "iam" || a.Account != id.Account || !strings.HasPrefix(a.Resource, "role/") {
		return invalidParameter("customRoleArn", "must be the ARN of a role in the account of the registry")
	}
	return nil
}

// invalidParameter is ECR's own validation error. The closing quote is doubled
// after a regular expression, as ECR writes it.
func invalidParameter(field, constraint string) *fault.Error {
	return fault.New(fault.Invalid, "InvalidParameterException",
		"Invalid parameter at '%s' failed to satisfy constraint: '%s'", field, constraint)
}

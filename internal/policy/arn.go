// Package policy reads policies of AWS's language and decides requests by them.
//
// [Parse] compiles a document of some [Kind]; [Decide] asks all policies that may
// have a say in a [Request], by the rules of IAM, and names the statement that
// decided. What the language leaves open is in docs/compatibility.md.
//
// The package is pure: no clock, no store, no network. Whatever a decision
// depends on, the time included, is in the request's [Context].
package policy

import "strings"

// ARN is an Amazon Resource Name, parsed.
type ARN struct {
	Partition, Service, Region, Account, Resource string
}

// ParseARN parses arn:partition:service:region:account:resource. The resource
// may hold further colons. Region and account may be empty, as in IAM's and
// S3's ARNs; the other parts may not.
func ParseARN(s string) (ARN, bool) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[1] == "" || p[2] == "" || p[5] == "" {
		return ARN{}, false
	}
	return ARN{p[1], p[2], p[3], p[4], p[5]}, true
}

// String returns the ARN as AWS writes it.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

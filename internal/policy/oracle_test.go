package policy_test

import (
	"encoding/json"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/internal/policy"
)

// The oracle decides as policy.Decide does, in the plainest way and however long
// it takes. It works on the JSON of documents as encoding/json reads it, shares
// no code with the package, and is written from the rules, not from the code.

// oracle is one request with all that it needs to be decided.
type oracle struct {
	request policy.Request
	context map[string][]string // as given, in any case
	// The documents of each kind, by level; kinds without levels have one.
	policies map[policy.Kind][][]map[string]any
}

// The order in which denies and lacking allows are reported.
var oracleOrder = []policy.Kind{
	policy.ServiceControl, policy.ResourceControl, policy.Endpoint, policy.Repository, policy.Registry,
	policy.Trust, policy.Key, policy.Identity, policy.Boundary, policy.Session,
}

// decide returns whether the request is allowed, why, and the kind of policy that
// denied or that lacks an allow; of an allowed request, no kind.
func (o *oracle) decide() (allowed bool, why policy.Reason, kind policy.Kind) {
	p := o.request.Principal
	mine := p.Account != "" && p.Account == o.request.ResourceAccount
	root := p.Type == policy.Root
	spared := func(k policy.Kind) bool {
		switch k {
		case policy.ServiceControl:
			return p.ServiceLinked || p.Account == ""
		case policy.ResourceControl:
			return p.ServiceLinked
		}
		return false
	}
	for _, k := range oracleOrder {
		repairs := (k == policy.Repository || k == policy.Registry) && o.request.RootRepairs && root && mine
		for _, level := range o.policies[k] {
			if !spared(k) && !repairs && o.says("Deny", level) != "" {
				return false, policy.ExplicitDeny, k
			}
		}
	}
	for _, k := range oracleOrder[:3] {
		for _, level := range o.policies[k] {
			if len(level) == 0 && k == policy.Endpoint {
				continue
			}
			if !spared(k) && o.says("Allow", level) == "" {
				return false, policy.NoAllow, k
			}
		}
	}
	has := func(k policy.Kind) bool { return len(o.policies[k]) > 0 && len(o.policies[k][0]) > 0 }
	named := o.says("Allow", slices.Concat(o.all(policy.Repository), o.all(policy.Registry), o.all(policy.Trust), o.all(policy.Key)))
	resourceKind := policy.Repository
	if has(policy.Key) {
		resourceKind = policy.Key
	}
	if has(policy.Trust) {
		resourceKind = policy.Trust
	}
	if p.Account == "" {
		if named == "session" || named == "principal" {
			return true, policy.Statement, 0
		}
		return false, policy.NoAllow, resourceKind
	}
	if named == "" && (!mine || has(policy.Trust) || has(policy.Key)) {
		return false, policy.NoAllow, resourceKind
	}
	if root {
		if mine {
			return true, policy.AccountRoot, 0
		}
		return true, policy.Statement, 0
	}
	if mine && named == "session" {
		return true, policy.Statement, 0
	}
	byIdentity := o.says("Allow", o.all(policy.Identity)) != ""
	byResource := mine && named == "principal"
	switch {
	case !byIdentity && !byResource:
		return false, policy.NoAllow, policy.Identity
	case has(policy.Boundary) && o.says("Allow", o.all(policy.Boundary)) == "":
		return false, policy.NoAllow, policy.Boundary
	case (has(policy.Session) || p.Type == policy.FederatedUser) && o.says("Allow", o.all(policy.Session)) == "":
		return false, policy.NoAllow, policy.Session
	}
	return true, policy.Statement, 0
}

// wrote reports whether a statement of the policies is where a decision says, has
// that effect, and applies.
func (o *oracle) wrote(at policy.Source, allow bool) bool {
	doc := o.policies[at.Kind][max(at.Level, 1)-1][at.Index-1]
	s := aslist(doc["Statement"])[at.Statement-1].(map[string]any)
	return (s["Effect"] == "Allow") == allow && o.applies(s, doc["Version"] == "2012-10-17") != ""
}

func (o *oracle) all(k policy.Kind) []map[string]any {
	return slices.Concat(o.policies[k]...)
}

// says returns how directly a statement of that effect names the principal:
// "session", "principal", "account", or "" if none applies.
func (o *oracle) says(effect string, docs []map[string]any) string {
	best := ""
	for _, doc := range docs {
		for _, s := range aslist(doc["Statement"]) {
			s := s.(map[string]any)
			if s["Effect"] != effect {
				continue
			}
			how := o.applies(s, doc["Version"] == "2012-10-17")
			for _, better := range []string{"session", "principal", "account"} {
				if best == better || how == better {
					best = better
					break
				}
			}
		}
	}
	return best
}

func aslist(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

func astexts(v any) []string {
	var out []string
	for _, v := range aslist(v) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case json.Number:
			out = append(out, string(v))
		case bool:
			out = append(out, map[bool]string{true: "true", false: "false"}[v])
		}
	}
	return out
}

func (o *oracle) applies(s map[string]any, vars bool) string {
	allow := s["Effect"] == "Allow"
	inAction := func(v any) bool {
		return slices.ContainsFunc(astexts(v), func(a string) bool {
			return wild(runes(strings.ToLower(a), true), strings.ToLower(o.request.Action))
		})
	}
	if a, ok := s["Action"]; ok && !inAction(a) {
		return ""
	}
	if a, ok := s["NotAction"]; ok && inAction(a) {
		return ""
	}
	if v, ok := s["Resource"]; ok {
		if in, _ := o.inResource(astexts(v), vars); !in {
			return ""
		}
	}
	if v, ok := s["NotResource"]; ok {
		if in, unknown := o.inResource(astexts(v), vars); in || unknown && allow {
			return ""
		}
	}
	how := "principal" // as good as any other for policies that name nobody
	if v, ok := s["Principal"]; ok {
		how = o.named(v)
	}
	if v, ok := s["NotPrincipal"]; ok && o.excepted(v) {
		how = ""
	}
	if block, ok := s["Condition"].(map[string]any); ok {
		for op, keys := range block {
			for key, v := range keys.(map[string]any) {
				if !o.condition(op, key, astexts(v), vars, allow) {
					return ""
				}
			}
		}
	}
	return how
}

func (o *oracle) inResource(list []string, vars bool) (in, unknown bool) {
	for _, text := range list {
		if strings.Count(variable.ReplaceAllString(text, ""), ":") < 5 && text != "*" {
			for strings.Count(variable.ReplaceAllString(text, ""), ":") < 5 {
				text += ":*"
			}
		}
		tokens, ok := o.tokens(text, vars, true)
		if !ok {
			unknown = true
		} else if wild(tokens, o.request.Resource) {
			return true, false
		}
	}
	return false, unknown
}

// named says how Principal names the caller.
func (o *oracle) named(v any) string {
	p := o.request.Principal
	if v == "*" {
		return "session"
	}
	found := map[string]bool{}
	for group, list := range v.(map[string]any) {
		for _, name := range astexts(list) {
			switch {
			case group != "AWS":
				found["principal"] = found["principal"] || name == p.Name
			case name == "*":
				found["session"] = true
			case !strings.HasPrefix(name, "arn:"):
				found["account"] = found["account"] || name == p.Account
			case strings.HasSuffix(name, ":root"):
				found["account"] = found["account"] || strings.Split(name, ":")[4] == p.Account
			case strings.Contains(name, ":role/"):
				found["principal"] = found["principal"] || name == p.Parent || name == p.ARN
			case name == p.ARN:
				found["session"] = true
			case name == p.Parent:
				found["principal"] = true
			}
		}
	}
	for _, how := range []string{"session", "principal", "account"} {
		if found[how] {
			return how
		}
	}
	return ""
}

// excepted reports whether NotPrincipal names everything that the caller is.
func (o *oracle) excepted(v any) bool {
	p := o.request.Principal
	if b := o.policies[policy.Boundary]; len(b) > 0 && len(b[0]) > 0 {
		return false
	}
	if v == "*" {
		return true
	}
	names := map[string]bool{}
	for _, list := range v.(map[string]any) {
		for _, name := range astexts(list) {
			if strings.HasSuffix(name, ":root") {
				name = strings.Split(name, ":")[4]
			}
			names[name] = true
		}
	}
	if names["*"] {
		return true
	}
	is := []string{p.ARN, p.Parent, p.Account}
	switch p.Type {
	case policy.Nobody:
		return false
	case policy.Root:
		is = []string{p.Account}
	case policy.Service, policy.Federated:
		is = []string{p.Name}
	}
	for _, name := range is {
		if name != "" && !names[name] {
			return false
		}
	}
	return true
}

func (o *oracle) values(key string) []string {
	var out []string
	for _, k := range sortedKeys(o.context) {
		if strings.EqualFold(k, key) {
			out = append(out, o.context[k]...)
		}
	}
	return out
}

// condition decides one key of one operator.
func (o *oracle) condition(op, key string, want []string, vars, allow bool) bool {
	have := o.values(key)
	if op == "Null" {
		return slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, "true") == (len(have) == 0) })
	}
	set, name, prefixed := strings.Cut(op, ":")
	if !prefixed {
		set, name = "", op
	}
	name, ifExists := strings.CutSuffix(name, "IfExists")
	positive := strings.Replace(name, "Not", "", 1)
	negated := positive != name
	if set != "" && strings.Join(have, "") == "" {
		have = nil
	}
	if len(have) == 0 {
		switch {
		case ifExists:
			return true
		case set == "ForAllValues":
			return true
		case set == "ForAnyValue":
			return false
		}
		return negated
	}
	good := 0
	for _, h := range have {
		equal, unknown := false, false
		for _, w := range want {
			e, u := o.compare(positive, h, w, vars)
			equal, unknown = equal || e, unknown || u
		}
		switch {
		case !negated && equal:
			good++
		case negated && !equal && !(unknown && allow):
			good++
		}
	}
	if set == "ForAllValues" || set == "" && negated {
		return good == len(have)
	}
	return good > 0
}

// compare compares one value with one of the policy's, as an operator without Not.
func (o *oracle) compare(op, have, want string, vars bool) (equal, unknown bool) {
	switch {
	case strings.HasPrefix(op, "String"):
		tokens, ok := o.tokens(want, vars, op == "StringLike")
		if !ok {
			return false, false
		}
		if op == "StringEqualsIgnoreCase" {
			return strings.EqualFold(literally(tokens), have), false
		}
		return wild(tokens, have), false
	case strings.HasPrefix(op, "Arn"):
		tokens, ok := o.tokens(want, vars, true)
		if !ok {
			return false, false
		}
		return arnWild(tokens, have), false
	case strings.HasPrefix(op, "Numeric"):
		h, ok := number(have)
		w, _ := number(want)
		return ok && order(op, h.Cmp(w)), !ok
	case strings.HasPrefix(op, "Date"):
		h, ok := date(have)
		w, _ := date(want)
		return ok && order(op, h.Compare(w)), !ok
	case op == "Bool":
		h := strings.ToLower(have)
		return h == strings.ToLower(want), h != "true" && h != "false"
	case op == "BinaryEquals":
		return have == want, false
	}
	ip := net.ParseIP(have)
	if ip == nil {
		return false, true
	}
	if !strings.Contains(want, "/") {
		return ip.Equal(net.ParseIP(want)), false
	}
	_, network, err := net.ParseCIDR(want)
	return err == nil && network.Contains(ip), false
}

func order(op string, cmp int) bool {
	switch {
	case strings.HasSuffix(op, "LessThan"):
		return cmp < 0
	case strings.HasSuffix(op, "LessThanEquals"):
		return cmp <= 0
	case strings.HasSuffix(op, "GreaterThan"):
		return cmp > 0
	case strings.HasSuffix(op, "GreaterThanEquals"):
		return cmp >= 0
	}
	return cmp == 0
}

var numeral = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

func number(s string) (*big.Rat, bool) {
	if !numeral.MatchString(s) {
		return new(big.Rat), false
	}
	return new(big.Rat).SetString(s)
}

var isoDate = regexp.MustCompile(`^[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9:]{5}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?)?)?$`)

func date(s string) (time.Time, bool) {
	if isoDate.MatchString(s) {
		for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", time.RFC3339Nano} {
			if t, err := time.Parse(layout, s); err == nil {
				return t, true
			}
		}
		return time.Time{}, false
	}
	n, ok := number(s)
	if !ok || n.Cmp(big.NewRat(253402300800, 1)) >= 0 || n.Cmp(big.NewRat(-1e12, 1)) <= 0 {
		return time.Time{}, false
	}
	n.Mul(n, big.NewRat(1e9, 1))
	nanos := new(big.Int).Quo(n.Num(), n.Denom())
	seconds, rest := new(big.Int).DivMod(nanos, big.NewInt(1e9), new(big.Int))
	return time.Unix(seconds.Int64(), rest.Int64()), true
}

// token is one character of a pattern.
type token struct {
	r       rune
	special bool // * or ? as a wildcard
	own     bool // written in the policy, not the value of a variable
}

var variable = regexp.MustCompile(`\$\{ *(?:([*?$])|([^,}']+?) *(?:, *'([^']*)' *)?)\}`)

func runes(text string, wildcards bool) []token {
	var out []token
	for _, r := range text {
		out = append(out, token{r, wildcards && (r == '*' || r == '?'), true})
	}
	return out
}

// tokens puts values in place of variables; false if one has none.
func (o *oracle) tokens(text string, vars, wildcards bool) ([]token, bool) {
	if !vars || !strings.Contains(text, "${") {
		return runes(text, wildcards), true
	}
	var out []token
	at := 0
	for _, m := range variable.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, runes(text[at:m[0]], wildcards)...)
		at = m[1]
		value := ""
		if m[2] >= 0 {
			value = text[m[2]:m[3]]
		} else if v := o.values(text[m[4]:m[5]]); len(v) == 1 {
			value = v[0]
		} else if m[6] >= 0 {
			value = text[m[6]:m[7]]
		} else {
			return nil, false
		}
		for _, r := range value {
			out = append(out, token{r: r})
		}
	}
	return append(out, runes(text[at:], wildcards)...), true
}

func literally(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteRune(t.r)
	}
	return b.String()
}

// wild matches by the table of all pairs of prefixes.
func wild(pattern []token, text string) bool {
	letters := []rune(text)
	row := make([]bool, len(letters)+1)
	row[0] = true
	for _, p := range pattern {
		next := make([]bool, len(row))
		for j := range row {
			switch {
			case p.special && p.r == '*':
				next[j] = row[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = row[j-1] && (p.special || p.r == letters[j-1])
			}
		}
		row = next
	}
	return row[len(row)-1]
}

// arnWild matches each of an ARN's six segments by itself.
func arnWild(pattern []token, text string) bool {
	parts := [][]token{nil}
	for _, t := range pattern {
		if t.own && t.r == ':' && len(parts) < 6 {
			parts = append(parts, nil)
			continue
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], t)
	}
	if len(parts) < 6 {
		return wild(pattern, text)
	}
	segments := strings.SplitN(text, ":", 6)
	if len(segments) < 6 {
		return false
	}
	for i := range parts {
		if !wild(parts[i], segments[i]) {
			return false
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

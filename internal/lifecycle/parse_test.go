package lifecycle

import (
	"reflect"
	"strings"
	"testing"

	"berth/internal/fault"
)

// policy returns a policy of one rule with the members given.
func policy(selection, action string) string {
	return `{"rules":[{"rulePriority":1,"selection":{` + selection + `},"action":{` + action + `}}]}`
}

const (
	untaggedByAge = `"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":14`
	expire        = `"type":"expire"`
	transition    = `"type":"transition","targetStorageClass":"archive"`
	noSchema      = "instance failed to match exactly one schema (matched 0 out of 2)"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse(`{
		"rules": [
			{"rulePriority": 20, "description": "the rest\u0000", "selection": {"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 90},
			 "action": {"type": "transition", "targetStorageClass": "archive"}},
			{"rulePriority": 1, "selection": {"tagStatus": "tagged", "tagPrefixList": ["prod", "v"], "storageClass": "standard", "countType": "imageCountMoreThan", "countNumber": 1},
			 "action": {"type": "expire"}},
			{"rulePriority": 3, "selection": {"tagStatus": "tagged", "tagPatternList": ["*test*1*2*3"], "storageClass": "archive", "countType": "sinceImageTransitioned",
			 "countUnit": "days", "countNumber": 90}, "action": {"type": "expire"}}
		]
	}`, Options{})
	want := &Policy{Rules: []Rule{
		{1, "", Selection{TagStatus: Tagged, Prefixes: []string{"prod", "v"}, Class: Standard, Count: MoreThan, Number: 1}, Expire},
		{3, "", Selection{TagStatus: Tagged, Patterns: []string{"*test*1*2*3"}, Class: Archive, Count: SinceTransitioned, Number: 90}, Expire},
		{20, "the rest\x00", Selection{TagStatus: Any, Class: Standard, Count: SincePulled, Number: 90}, Transition},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v, %v, want %+v", got, err, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	rule := func(members string) string { return `{"rules":[{` + members + `}]}` }
	two := func(a, b string) string { return `{"rules":[` + a + `,` + b + `]}` }
	numbered := func(n, selection string) string {
		return `{"rulePriority":` + n + `,"selection":{` + selection + `},"action":{"type":"expire"}}`
	}
	const (
		valid   = `"rulePriority":1,"selection":{` + untaggedByAge + `},"action":{"type":"expire"}`
		byCount = `,"countType":"imageCountMoreThan","countNumber":1`
		byPull  = `,"countType":"sinceImagePulled","countUnit":"days","countNumber":1`
		byStay  = `,"countType":"sinceImageTransitioned","countUnit":"days","countNumber":`
	)
	for name, tt := range map[string]struct{ text, want string }{
		"no text":             {"", "Could not map policyString into LifecyclePolicy.'"},
		"no JSON":             {`{"rules":[}`, "Could not map policyString into LifecyclePolicy.'"},
		"two documents":       {`{"rules":[]}{}`, "Could not map policyString into LifecyclePolicy.'"},
		"no object":           {`["rules"]`, "Could not map policyString into LifecyclePolicy.'"},
		"null":                {`null`, "Could not map policyString into LifecyclePolicy.'"},
		"no UTF-8":            {"{\"rules\":[\"\xff\"]}", "Could not map policyString into LifecyclePolicy.'"},
		"great depth":         {strings.Repeat(`{"rules":[`, 50) + strings.Repeat(`]}`, 50), "Could not map policyString into LifecyclePolicy.'"},
		"no rules":            {`{}`, `object has missing required properties (["rules"])'`},
		"rules in other case": {`{"Rules":[]}`, `object has missing required properties (["rules"])'`},
		"another member":      {`{"rules":[],"x":1,"a":2}`, `object instance has properties which are not allowed by the schema: (["a", "x"])'`},
		"a member twice":      {`{"rules":[],"rules":[]}`, `the property ["rules"] is there more than once'`},
		"rules no list":       {`{"rules":{}}`, `instance type (object) does not match any allowed primitive type (allowed: ["array"])'`},
		"an empty list":       {`{"rules":[]}`, `array is too short: must have at least 1 elements but instance has 0 elements'`},
		"51 rules": {
			`{"rules":[` + strings.TrimSuffix(strings.Repeat("{},", 51), ",") + `]}`, `array is too long: must have at most 50 elements but instance has 51 elements'`,
		},
		"a rule no object":        {`{"rules":["x"]}`, `instance type (string) does not match any allowed primitive type (allowed: ["object"])'`},
		"an empty rule":           {rule(""), `object has missing required properties (["action", "rulePriority", "selection"])'`},
		"a rule's other member":   {rule(valid + `,"priority":1`), `object instance has properties which are not allowed by the schema: (["priority"])'`},
		"a description no string": {rule(valid + `,"description":null`), `instance type (null) does not match any allowed primitive type (allowed: ["string"])'`},
		"priority 0":              {strings.Replace(rule(valid), ":1,", ":0,", 1), "numeric instance is lower than the required minimum (minimum: 1, found: 0)"},
		"a great priority": {
			strings.Replace(rule(valid), ":1,", ":2147483648,", 1), "numeric instance is greater than the required maximum (maximum: 2147483647, found: 2147483648)",
		},
		"a priority as text":     {strings.Replace(rule(valid), ":1,", `:"1",`, 1), `instance type (string) does not match any allowed primitive type (allowed: ["integer"])'`},
		"a priority of 1.5":      {strings.Replace(rule(valid), ":1,", `:1.5,`, 1), `instance type (number) does not match any allowed primitive type (allowed: ["integer"])'`},
		"no members to select":   {policy("", expire), `object has missing required properties (["countNumber", "countType", "tagStatus"])'`},
		"no type of action":      {policy(untaggedByAge, ""), `object has missing required properties (["type"])'`},
		"an action no object":    {rule(`"rulePriority":1,"selection":{},"action":"expire"`), `instance type (string) does not match any allowed primitive type (allowed: ["object"])'`},
		"another action":         {policy(untaggedByAge, `"type":"delete"`), `instance value (delete) not found in enum :(possible values: ["expire", "transition"])'`},
		"retain":                 {policy(untaggedByAge, `"type":"retain"`), `instance value (retain) not found in enum :(possible values: ["expire", "transition"])'`},
		"expire with a target":   {policy(untaggedByAge, `"type":"expire","targetStorageClass":null`), noSchema},
		"no target":              {policy(untaggedByAge, `"type":"transition"`), noSchema},
		"another target":         {policy(untaggedByAge, `"type":"transition","targetStorageClass":""`), noSchema},
		"another tag status":     {policy(`"tagStatus":"TAGGED"`+byCount, expire), `instance value (TAGGED) not found in enum :(possible values: ["any", "tagged", "untagged"])'`},
		"a tag status no string": {policy(`"tagStatus":1`+byCount, expire), `instance type (integer) does not match any allowed primitive type (allowed: ["string"])'`},
		"another class": {
			policy(`"tagStatus":"any","storageClass":"glacier"`+byCount, expire), `instance value (glacier) not found in enum :(possible values: ["archive", "standard"])'`,
		},
		"another count":           {policy(`"tagStatus":"any","countType":"sinceImageBuilt","countNumber":1`, expire), noSchema},
		"a count no string":       {policy(`"tagStatus":"any","countType":null,"countNumber":1`, expire), noSchema},
		"another unit":            {policy(strings.Replace(untaggedByAge, "days", "hours", 1), expire), `instance value (hours) not found in enum :(possible values: ["days"])'`},
		"an empty unit":           {policy(strings.Replace(untaggedByAge, "days", "", 1), expire), `instance value () not found in enum :(possible values: ["days"])'`},
		"a unit of null":          {policy(strings.Replace(untaggedByAge, `"days"`, "null", 1), expire), noSchema},
		"no unit":                 {policy(strings.Replace(untaggedByAge, `"countUnit":"days",`, "", 1), expire), noSchema},
		"a count in days":         {policy(`"tagStatus":"any","countUnit":"days"`+byCount, expire), noSchema},
		"a count in null":         {policy(`"tagStatus":"any","countUnit":null`+byCount, expire), noSchema},
		"count 0":                 {policy(strings.Replace(untaggedByAge, "14", "0", 1), expire), "numeric instance is lower than the required minimum (minimum: 1, found: 0)"},
		"count -1":                {policy(strings.Replace(untaggedByAge, "14", "-1", 1), expire), "numeric instance is lower than the required minimum (minimum: 1, found: -1)"},
		"tagged without a list":   {policy(`"tagStatus":"tagged"`+byCount, expire), "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.'"},
		"tagged with empty lists": {policy(`"tagStatus":"tagged","tagPrefixList":[]`+byCount, expire), "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.'"},
		"both lists": {
			policy(`"tagStatus":"tagged","tagPrefixList":["a"],"tagPatternList":["b"]`+byCount, expire), "Only one of tagPrefixList and tagPatternList can be specified.'",
		},
		"untagged with a list": {
			policy(`"tagStatus":"untagged","tagPrefixList":[]`+byCount, expire), "tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED.'",
		},
		"any with a list": {
			policy(`"tagStatus":"any","tagPatternList":["*"]`+byCount, expire), "tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED.'",
		},
		"a list no list":      {policy(`"tagStatus":"tagged","tagPrefixList":"a"`+byCount, expire), `instance type (string) does not match any allowed primitive type (allowed: ["array"])'`},
		"a list of numbers":   {policy(`"tagStatus":"tagged","tagPrefixList":[1]`+byCount, expire), `instance type (integer) does not match any allowed primitive type (allowed: ["string"])'`},
		"an empty prefix":     {policy(`"tagStatus":"tagged","tagPrefixList":[""]`+byCount, expire), `string "" is too short (length: 0, required minimum: 1)'`},
		"a prefix twice":      {policy(`"tagStatus":"tagged","tagPrefixList":["a","a"]`+byCount, expire), `array must not contain duplicate elements'`},
		"six wildcards":       {policy(`"tagStatus":"tagged","tagPatternList":["test*1*2*3*4*5*6"]`+byCount, expire), `A tag pattern can contain at most 4 wildcards (*): test*1*2*3*4*5*6'`},
		"an exclude list":     {policy(`"tagStatus":"any","tagPatternExcludeList":["a"]`+byCount, expire), `object instance has properties which are not allowed by the schema: (["tagPatternExcludeList"])'`},
		"delete by pull time": {policy(`"tagStatus":"any"`+byPull, expire), "countType=SINCE_IMAGE_PULLED can only be specified when the action is TRANSITION.'"},
		"counts in the archive": {
			policy(`"tagStatus":"any","storageClass":"archive"`+byCount, expire), "storageClass=ARCHIVE can only be specified when countType=SINCE_IMAGE_TRANSITIONED.'",
		},
		"time in the archive of what is not": {policy(`"tagStatus":"any"`+byStay+"90", expire), "Must specify storageClass=ARCHIVE when countType=SINCE_IMAGE_TRANSITIONED.'"},
		"89 days in the archive": {
			policy(`"tagStatus":"any","storageClass":"archive"`+byStay+"89", expire),
			"countNumber must be at least 90 when countType=SINCE_IMAGE_TRANSITIONED: images are archived for at least 90 days.'",
		},
		"archive the archive": {policy(`"tagStatus":"any","storageClass":"archive"`+byStay+"90", transition), "Images in storageClass=ARCHIVE can only be expired.'"},
		"a priority twice":    {two(numbered("7", untaggedByAge), numbered("7", `"tagStatus":"any"`+byCount)), "Rule priorities must be unique: 7 is given more than once.'"},
		"untagged twice":      {two(numbered("1", untaggedByAge), numbered("2", `"tagStatus":"untagged"`+byCount)), "Only one rule can select Untagged images per storage class.'"},
		"any before others":   {two(numbered("2", untaggedByAge), numbered("1", `"tagStatus":"any"`+byCount)), "Rule for tagStatus=ANY must have the lowest priority per storage class'"},
		"any twice":           {two(numbered("1", `"tagStatus":"any"`+byCount), numbered("2", `"tagStatus":"any"`+byCount)), "Rule for tagStatus=ANY must have the lowest priority per storage class'"},
		"a prefix in two rules": {
			two(numbered("1", `"tagStatus":"tagged","tagPrefixList":["a"]`+byCount), numbered("2", `"tagStatus":"tagged","tagPrefixList":["b","a"]`+byCount)),
			"Tag prefixes must be unique per storage class: a is in more than one rule.'",
		},
		"a pattern in two rules": {
			two(numbered("1", `"tagStatus":"tagged","tagPatternList":["a*"]`+byCount), numbered("2", `"tagStatus":"tagged","tagPatternList":["a*"]`+byCount)),
			"Tag patterns must be unique per storage class: a* is in more than one rule.'",
		},
	} {
		_, err := Parse(tt.text, Options{})
		f, ok := fault.As(err)
		if !ok || f.Code != "InvalidParameterException" || f.Kind != fault.Invalid || f.Message != envelope+tt.want {
			t.Errorf("%s: Parse = %v\nwant %s", name, err, envelope+tt.want)
		}
	}
}

func TestRulesOfDifferentClassesMayBeAlike(t *testing.T) {
	t.Parallel()
	parse(t, rules("1 a* count 1 expire", "2 untagged count 1 expire", "3 any count 1 transition", "4 a*/archive archived 90 expire",
		"5 untagged/archive archived 91 expire", "6 any/archive archived 92 expire"), Options{})
}

func TestRulesThatRetainMayOverlap(t *testing.T) {
	t.Parallel()
	extended := Options{Extended: true}
	parse(t, rules("1 any pulled 7 retain", "2 untagged count 3 retain", "3 a* count 3 retain", "4 a* count 10 expire", "5 a*!ab* count 5 expire",
		"6 untagged pushed 1 expire", "7 any!a* pushed 7 expire", "8 any pushed 14 expire"), extended)
	for _, text := range []string{
		rules("1 any pushed 7 expire", "2 a* all - retain"),
		rules("1 untagged!a* pushed 7 expire"),
		policy(`"tagStatus":"any","countType":"imageCountMoreThan"`, `"type":"retain"`),
		policy(`"tagStatus":"any","countNumber":1`, `"type":"retain"`),
		policy(`"tagStatus":"any","countUnit":"days"`, `"type":"retain"`),
		policy(`"tagStatus":"any"`, `"type":"expire"`),
	} {
		if _, err := Parse(text, extended); fault.CodeOf(err) != "InvalidParameterException" {
			t.Errorf("Parse(%s) = %v, want InvalidParameterException", text, err)
		}
	}
}

func TestNumbersWithoutAFractionAreIntegers(t *testing.T) {
	t.Parallel()
	p := parse(t, `{"rules":[{"rulePriority":1.0,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1e2},"action":{"type":"expire"}}]}`, Options{})
	if r := p.Rules[0]; r.Priority != 1 || r.Selection.Number != 100 {
		t.Errorf("rule = %+v, want priority 1 and 100 images", r)
	}
}

// FuzzParse feeds texts to Parse. One that is accepted is accepted with the
// extensions, too, means the same then, and can be carried out.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		policy(untaggedByAge, expire), policy(untaggedByAge, transition), rules("1 a*,b count 1 expire", "2 any pulled 3 transition", "3 any/archive archived 90 expire"),
		rules("1 any pulled 7 retain", "2 a*!ab* count 5 expire", "3 k all - retain", "9 any pulled 1 expire"), `{"rules":[]}`, `{"rules":[{"rulePriority":1e400}]}`, "[[[[", "{\"\xff\":1}",
	} {
		f.Add(seed)
	}
	images := []Image{img("A", 9, "a"), img("B", 8, "b", "ab"), img("C", 7).index("A"), img("D", 6).of("B"), img("E", 200).archived(150)}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text, Options{})
		extended, again := Parse(text, Options{Extended: true})
		if err != nil && fault.CodeOf(err) != "InvalidParameterException" || again != nil && fault.CodeOf(again) != "InvalidParameterException" {
			t.Fatalf("Parse = %v, %v, want InvalidParameterException", err, again)
		}
		if err == nil && (again != nil || !reflect.DeepEqual(p, extended)) {
			t.Errorf("with extensions: Parse = %+v, %v, want %+v", extended, again, p)
		}
		if again != nil {
			return
		}
		if n := len(Evaluate(extended, images, now)); n != len(images) {
			t.Errorf("%d decisions about %d images", n, len(images))
		}
	})
}

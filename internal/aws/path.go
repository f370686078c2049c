package aws

import "strconv"

// A path says where in an input a value is. It becomes text only when something
// is wrong.
type path struct {
	up    *path
	name  string // of a member; "" for an element of a list
	index int    // of an element, from 1
}

// String spells the path as AWS does in error messages: tags.1.member.key.
func (p *path) String() string {
	if p == nil {
		return ""
	}
	name := lowerFirst(p.name)
	if p.name == "" {
		name = strconv.Itoa(p.index) + ".member"
	}
	if p.up == nil {
		return name
	}
	return p.up.String() + "." + name
}

func lowerFirst(name string) string {
	if name != "" && 'A' <= name[0] && name[0] <= 'Z' {
		return string(name[0]+'a'-'A') + name[1:]
	}
	return name
}

func upperFirst(name string) string {
	if name != "" && 'a' <= name[0] && name[0] <= 'z' {
		return string(name[0]-('a'-'A')) + name[1:]
	}
	return name
}

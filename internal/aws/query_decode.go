package aws

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxParameters bounds a Query request. The largest legitimate ones carry fifty
// tags of two parameters each.
const maxParameters = 1000

// A param is one level of the dotted names of a Query request:
//
//	Tags.member.1.Key=k  ->  {kids: Tags: {kids: member: {kids: 1: {kids: Key: {value: k}}}}}
//	Map.entry.1.key=k, Map.entry.1.value=v
type param struct {
	set   bool
	value string
	kids  map[string]*param
}

// kid returns the named parameter below p, nil if there is none.
func (p *param) kid(name string) *param {
	if p == nil {
		return nil
	}
	return p.kids[name]
}

// text returns the value of the named parameter below p, "" if there is none.
func (p *param) text(name string) string {
	if kid := p.kid(name); kid != nil {
		return kid.value
	}
	return ""
}

// parseForm reads the body of a Query request. A parameter must not be there
// twice.
func parseForm(body []byte) (*param, error) {
	form := string(body)
	if strings.Count(form, "&") >= maxParameters {
		return nil, malformed("The request has more than %d parameters", maxParameters)
	}
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, malformed("The request body is not a valid form")
	}
	root := &param{}
	for name, v := range values {
		if len(v) != 1 {
			return nil, malformed("The request has a parameter twice")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(v[0]) {
			return nil, malformed("The request body is not valid UTF-8")
		}
		if strings.ContainsFunc(v[0], notInXML) {
			return nil, malformed("The request has a control character in a value")
		}
		if strings.Count(name, ".") >= maxDepth {
			return nil, malformed("The request has a parameter nested more than %d levels deep", maxDepth)
		}
		root.put(name, v[0])
	}
	return root, nil
}

// notInXML reports whether a character cannot be answered with.
func notInXML(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }

func (p *param) put(name, value string) {
	for part := range strings.SplitSeq(name, ".") {
		if p.kids == nil {
			p.kids = make(map[string]*param)
		}
		if p.kids[part] == nil {
			p.kids[part] = &param{}
		}
		p = p.kids[part]
	}
	p.set, p.value = true, value
}

// elements returns the parameters name.1, name.2 and so on below p.
func (p *param) elements(name string, at *path) ([]*param, error) {
	numbered := p.kid(name)
	if numbered == nil {
		if p.set && p.value == "" && len(p.kids) == 0 {
			return nil, nil // an empty list
		}
		return nil, malformed("A list was expected at '%s'", at)
	}
	all := make([]*param, len(numbered.kids))
	for i := range all {
		if all[i] = numbered.kids[strconv.Itoa(i+1)]; all[i] == nil {
			return nil, malformed("The elements at '%s' are not numbered from 1", at)
		}
	}
	return all, nil
}

// decodeQuery fills into, a pointer to an input of the SDK. Members of the shape,
// which may be nil, are taken by the very names that it gives them: by another one
// [Model.checkForm] would not see them. Fields that are no members have the
// names of the parameters. Parameters without a field are ignored.
func decodeQuery(form *param, into any, s *shape) error {
	return fillQuery(form, reflect.ValueOf(into).Elem(), s, nil)
}

func fillQuery(p *param, v reflect.Value, s *shape, at *path) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Type() == timeType:
		return fillQueryScalar(p, v, at)
	case v.Kind() == reflect.Struct:
		return fillQueryStruct(p, v, s, at)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		return fillQueryList(p, v, s, at)
	case v.Kind() == reflect.Map:
		return fillQueryMap(p, v, at)
	}
	return fillQueryScalar(p, v, at)
}

func fillQueryStruct(p *param, v reflect.Value, s *shape, at *path) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, of := s.memberOf(field.Name)
		kid := p.kid(name)
		if kid == nil || !isMember(field) {
			continue
		}
		if err := fillQuery(kid, v.Field(i), of, &path{up: at, name: field.Name}); err != nil {
			return err
		}
	}
	return nil
}

// memberOf returns the name and the shape of the member that a field of the SDK
// stands for: few begin with a small letter, which the field does not.
func (s *shape) memberOf(field string) (string, *shape) {
	if s == nil {
		return field, nil
	}
	for i := range s.Members {
		if name := s.Members[i].Name; strings.ToUpper(name[:1])+name[1:] == field {
			return name, s.Members[i].shape
		}
	}
	return field, nil
}

// isMember reports whether a field of an SDK structure is a member of the shape.
func isMember(f reflect.StructField) bool {
	return f.IsExported() && !f.Anonymous && f.Name != "ResultMetadata"
}

func fillQueryList(p *param, v reflect.Value, s *shape, at *path) error {
	all, err := p.elements("member", at)
	if err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), len(all), len(all)))
	var of *shape
	if s != nil {
		of = s.element
	}
	for i, element := range all {
		if err := fillQuery(element, v.Index(i), of, &path{up: at, index: i + 1}); err != nil {
			return err
		}
	}
	return nil
}

func fillQueryMap(p *param, v reflect.Value, at *path) error {
	all, err := p.elements("entry", at)
	if err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i, entry := range all {
		here := &path{up: at, index: i + 1}
		if entry.kid("key") == nil || entry.kid("value") == nil {
			return malformed("A key and a value were expected at '%s'", here)
		}
		key := reflect.ValueOf(entry.text("key")).Convert(v.Type().Key())
		if v.MapIndex(key).IsValid() {
			return malformed("A key is there twice at '%s'", here)
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if err := fillQuery(entry.kid("value"), value, nil, here); err != nil {
			return err
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

func fillQueryScalar(p *param, v reflect.Value, at *path) error {
	if !p.set || len(p.kids) > 0 {
		return malformed("A single value was expected at '%s'", at)
	}
	if err := setScalar(v, p.value); err != nil {
		return malformed("The value at '%s' is not valid for its type", at)
	}
	return nil
}

func setScalar(v reflect.Value, text string) error {
	if v.Type() == timeType {
		t, err := time.Parse(time.RFC3339, text)
		v.Set(reflect.ValueOf(t))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(text == "true")
		if text != "true" && text != "false" {
			return strconv.ErrSyntax
		}
	case reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(i)
		return err
	case reflect.Slice:
		blob, err := base64.StdEncoding.DecodeString(text)
		v.SetBytes(blob)
		return err
	default:
		return fmt.Errorf("unsupported type %s", v.Type())
	}
	return nil
}

// node returns what the form has of a structure, as the constraints of a model are
// held against it. Lists that are not numbered right are empty.
func (p *param) node(s *shape) node {
	n := node{kind: kindObject}
	switch s.Type {
	case "structure":
		for _, m := range s.Members {
			if kid := p.kid(m.Name); kid != nil {
				member := kid.node(m.shape)
				member.name = m.Name
				n.kids = append(n.kids, member)
			}
		}
	case "list":
		n.kind = kindList
		all, _ := p.elements("member", nil)
		for _, element := range all {
			n.kids = append(n.kids, element.node(s.element))
		}
	default:
		n.kind, n.str = kindString, p.value
	}
	return n
}

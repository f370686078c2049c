package aws

import (
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// parameters adds a value for each member of a shape to a form, whose names are
// spelled by a function.
func parameters(s *shape, name string, to url.Values, spell func(string) string) {
	switch s.Type {
	case "structure":
		for _, m := range s.Members {
			parameters(m.shape, strings.TrimPrefix(name+"."+spell(m.Name), "."), to, spell)
		}
	case "list":
		parameters(s.element, name+".member.1", to, spell)
	case "boolean":
		to.Set(name, "true")
	default:
		to.Set(name, "1")
	}
}

// A member that is decoded is one that the constraints are held against: it has
// the model's name, to the letter.
func TestParametersAreMembersByTheModelsNames(t *testing.T) {
	otherCase := func(name string) string {
		if first := name[:1]; first == strings.ToLower(first) {
			return strings.ToUpper(first) + name[1:]
		}
		return strings.ToLower(name[:1]) + name[1:]
	}
	same := func(name string) string { return name }
	for file, client := range map[string]reflect.Type{
		"iam/model.json": reflect.TypeFor[*iam.Client](), "sts/model.json": reflect.TypeFor[*sts.Client](),
	} {
		m := readModel(t, file)
		for _, name := range m.Operations() {
			method, there := client.MethodByName(name)
			if !there {
				t.Errorf("the SDK has no %s", name)
				continue
			}
			s, typ := m.operations[name].input, method.Type.In(2).Elem()
			for _, known := range []bool{true, false} {
				spell := same
				if !known {
					spell = otherCase
				}
				form := url.Values{}
				parameters(s, "", form, spell)
				p, err := parseForm([]byte(form.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				into := reflect.New(typ)
				if err := decodeQuery(p, into.Interface(), m.inputOf(name)); err != nil {
					t.Errorf("%s?%s: %v", name, form.Encode(), err)
				}
				for _, member := range s.Members {
					if f := into.Elem().FieldByName(upperFirst(member.Name)); f.IsZero() == known {
						t.Errorf("%s?%s: %s is %v", name, form.Encode(), member.Name, f)
					}
				}
			}
		}
	}
}

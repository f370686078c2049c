package aws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/smithy-go"
)

var timeType = reflect.TypeFor[time.Time]()

// decodeJSON fills into, an input of the SDK, from a JSON document and returns
// the document. Members are matched by their exact names, a null counts as
// absent, and members that the SDK does not know are ignored. A value of the
// wrong type is a SerializationException, whose message holds no values.
func decodeJSON(data []byte, into smithy.Serializable) (*node, error) {
	doc, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	if err := fill(doc, inputSchema(into), reflect.ValueOf(into).Elem(), nil); err != nil {
		return nil, err
	}
	return doc, nil
}

// inputSchema returns the schema that the SDK generated for the type of v.
func inputSchema(v smithy.Serializable) *smithy.Schema {
	var s serializer
	v.Serialize(&s)
	return s.root
}

// fill sets v, whose shape the schema describes, from n. It leaves v alone if n
// is null.
func fill(n *node, schema *smithy.Schema, v reflect.Value, at *path) error {
	if n.kind == kindNull {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == timeType {
			return fillTime(n, v, at)
		}
		return fillStruct(n, schema, v, at)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fillBlob(n, v, at)
		}
		return fillList(n, schema, v, at)
	case reflect.Map:
		return fillMap(n, schema, v, at)
	case reflect.String:
		if n.kind != kindString {
			return mismatch(n, "a String", at)
		}
		v.SetString(n.text())
		return nil
	case reflect.Bool:
		if n.kind != kindTrue && n.kind != kindFalse {
			return mismatch(n, "a Boolean", at)
		}
		v.SetBool(n.kind == kindTrue)
		return nil
	case reflect.Int32, reflect.Int64:
		return fillInt(n, v, at)
	case reflect.Float64:
		return fillFloat(n, v, at)
	}
	return fmt.Errorf("decode %s: unsupported type %s", at, v.Type())
}

func fillStruct(n *node, schema *smithy.Schema, v reflect.Value, at *path) error {
	if n.kind != kindObject {
		return mismatch(n, "a Structure", at)
	}
	for i := range n.kids {
		kid := &n.kids[i]
		member := schema.Member(kid.name)
		if member == nil {
			continue
		}
		field := v.FieldByName(upperFirst(kid.name))
		if !field.IsValid() {
			return fmt.Errorf("decode %s: no field in %s", kid.name, v.Type())
		}
		if err := fill(kid, member, field, &path{up: at, name: kid.name}); err != nil {
			return err
		}
	}
	return nil
}

func fillList(n *node, schema *smithy.Schema, v reflect.Value, at *path) error {
	if n.kind != kindList {
		return mismatch(n, "a List", at)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.kids), len(n.kids)))
	for i := range n.kids {
		here := &path{up: at, index: i + 1}
		if n.kids[i].kind == kindNull {
			return mismatch(&n.kids[i], "an element of a List", here)
		}
		if err := fill(&n.kids[i], schema.ListMember(), v.Index(i), here); err != nil {
			return err
		}
	}
	return nil
}

func fillMap(n *node, schema *smithy.Schema, v reflect.Value, at *path) error {
	if n.kind != kindObject {
		return mismatch(n, "a Map", at)
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.kids)))
	for i := range n.kids {
		here := &path{up: at, index: i + 1}
		if n.kids[i].kind == kindNull {
			return mismatch(&n.kids[i], "a value of a Map", here)
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if err := fill(&n.kids[i], schema.MapValue(), value, here); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(n.kids[i].name).Convert(v.Type().Key()), value)
	}
	return nil
}

func fillBlob(n *node, v reflect.Value, at *path) error {
	if n.kind != kindString {
		return mismatch(n, "a Blob", at)
	}
	blob := make([]byte, base64.StdEncoding.DecodedLen(len(n.raw)))
	size, err := base64.StdEncoding.Decode(blob, n.raw)
	if err != nil {
		return malformed("STRING_VALUE can not be converted to a Blob at '%s': it is not base64", at)
	}
	n.size = size
	v.SetBytes(blob[:size])
	return nil
}

func fillInt(n *node, v reflect.Value, at *path) error {
	name := "an Integer"
	if v.Kind() == reflect.Int64 {
		name = "a Long"
	}
	if n.kind != kindNumber {
		return mismatch(n, name, at)
	}
	i, err := strconv.ParseInt(n.text(), 10, v.Type().Bits())
	switch {
	case errors.Is(err, strconv.ErrRange):
		return malformed("NUMBER_VALUE can not be converted to %s at '%s': it is out of range", name, at)
	case err != nil:
		return malformed("NUMBER_VALUE can not be converted to %s at '%s': it is not whole", name, at)
	}
	v.SetInt(i)
	return nil
}

func fillFloat(n *node, v reflect.Value, at *path) error {
	if n.kind != kindNumber {
		return mismatch(n, "a Double", at)
	}
	f, err := strconv.ParseFloat(n.text(), 64)
	if err != nil {
		return malformed("NUMBER_VALUE can not be converted to a Double at '%s': it is out of range", at)
	}
	v.SetFloat(f)
	return nil
}

// fillTime reads seconds since 1970, kept to the millisecond.
func fillTime(n *node, v reflect.Value, at *path) error {
	const last = 253402300799 // the end of the year 9999
	if n.kind != kindNumber {
		return mismatch(n, "a Timestamp", at)
	}
	seconds, err := strconv.ParseFloat(n.text(), 64)
	if err != nil || seconds < 0 || seconds > last {
		return malformed("NUMBER_VALUE can not be converted to a Timestamp at '%s': it is out of range", at)
	}
	v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()))
	return nil
}

var kindNames = [...]string{
	"NULL_VALUE", "TRUE_VALUE", "FALSE_VALUE", "NUMBER_VALUE", "STRING_VALUE", "LIST_VALUE", "STRUCTURE_VALUE",
}

// mismatch says that n cannot be what is wanted. It does not say what n is,
// which may be a secret.
func mismatch(n *node, want string, at *path) error {
	if at == nil {
		return malformed("%s can not be converted to %s", kindNames[n.kind], want)
	}
	return malformed("%s can not be converted to %s at '%s'", kindNames[n.kind], want, at)
}

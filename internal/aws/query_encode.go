package aws

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// encodeXML returns an output of the SDK as the answer to a Query request:
//
//	<OpResponse xmlns="…"><OpResult>…</OpResult><ResponseMetadata><RequestId>…</RequestId></ResponseMetadata></OpResponse>
//
// Lists are made of <member>, maps of <entry> with <key> and <value> in the
// order of the keys. Nil members are left out, and an operation without output
// members has no result unless it is asked for.
func encodeXML(namespace, operation, requestID string, out any, result bool) ([]byte, error) {
	var x xmlWriter
	v := reflect.Indirect(reflect.ValueOf(out))
	x.start(operation+"Response", namespace)
	if result || hasMembers(v.Type()) {
		x.start(operation+"Result", "")
		x.members(v)
		x.end(operation + "Result")
	}
	x.start("ResponseMetadata", "")
	x.leaf("RequestId", requestID)
	x.end("ResponseMetadata")
	x.end(operation + "Response")
	return x.buf.Bytes(), x.err
}

func hasMembers(t reflect.Type) bool {
	for i := range t.NumField() {
		if isMember(t.Field(i)) {
			return true
		}
	}
	return false
}

type xmlWriter struct {
	buf bytes.Buffer
	err error
}

// start opens an element. Element names are ours or the SDK's and need no
// escaping.
func (x *xmlWriter) start(name, namespace string) {
	x.buf.WriteString("<" + name)
	if namespace != "" {
		x.buf.WriteString(` xmlns="` + namespace + `"`)
	}
	x.buf.WriteByte('>')
}

func (x *xmlWriter) end(name string) { x.buf.WriteString("</" + name + ">") }

// leaf writes an element of text. What XML cannot hold becomes U+FFFD.
func (x *xmlWriter) leaf(name, text string) {
	x.start(name, "")
	_ = xml.EscapeText(&x.buf, []byte(text)) // a bytes.Buffer takes everything
	x.end(name)
}

func (x *xmlWriter) members(v reflect.Value) {
	for i := range v.NumField() {
		f, unset := v.Type().Field(i), v.Field(i).Kind() == reflect.String && v.Field(i).Len() == 0
		if isMember(f) && !unset { // a plain string is an enum
			x.value(f.Name, v.Field(i))
		}
	}
}

func (x *xmlWriter) value(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			x.value(name, v.Elem())
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			x.leaf(name, t.UTC().Format("2006-01-02T15:04:05Z"))
			return
		}
		x.start(name, "")
		x.members(v)
		x.end(name)
	case reflect.Slice:
		x.slice(name, v)
	case reflect.Map:
		x.mapping(name, v)
	case reflect.String:
		x.leaf(name, v.String())
	case reflect.Bool:
		x.leaf(name, strconv.FormatBool(v.Bool()))
	case reflect.Int32, reflect.Int64:
		x.leaf(name, strconv.FormatInt(v.Int(), 10))
	default:
		x.err = fmt.Errorf("encode %s: unsupported type %s", name, v.Type())
	}
}

func (x *xmlWriter) slice(name string, v reflect.Value) {
	if v.IsNil() {
		return
	}
	if blob, ok := v.Interface().([]byte); ok {
		x.leaf(name, base64.StdEncoding.EncodeToString(blob))
		return
	}
	x.start(name, "")
	for i := range v.Len() {
		x.value("member", v.Index(i))
	}
	x.end(name)
}

func (x *xmlWriter) mapping(name string, v reflect.Value) {
	if v.IsNil() {
		return
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	x.start(name, "")
	for _, key := range keys {
		x.start("entry", "")
		x.leaf("key", key.String())
		x.value("value", v.MapIndex(key))
		x.end("entry")
	}
	x.end(name)
}

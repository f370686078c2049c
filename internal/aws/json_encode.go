package aws

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/document"
)

// encodeJSON returns an output of the SDK as a JSON document: absent members are
// left out, times are seconds since 1970 to the millisecond, blobs are base64.
func encodeJSON(out smithy.Serializable) ([]byte, error) {
	var s serializer
	out.Serialize(&s)
	if s.err != nil {
		return nil, s.err
	}
	return s.Bytes(), nil
}

// A serializer writes JSON as the generated Serialize methods of the SDK tell
// it to.
type serializer struct {
	root  *smithy.Schema // of the outermost structure
	buf   []byte
	open  []frame
	err   error
	keyed bool // a map key has just been written
}

// A frame is a structure, list or map that is not closed yet.
type frame struct {
	named  bool // a structure: what is in it has names
	filled bool // something is in it
	always []zeroMember
	seen   []string // the members written, kept where always is not empty
}

var _ smithy.ShapeSerializer = (*serializer)(nil)

// Bytes returns what has been written.
func (s *serializer) Bytes() []byte { return s.buf }

// begin writes what comes before a value: a comma, and its name in a structure.
func (s *serializer) begin(schema *smithy.Schema) {
	if len(s.open) == 0 {
		return
	}
	if s.keyed {
		s.keyed = false
		return
	}
	top := &s.open[len(s.open)-1]
	if !top.named {
		top.comma(s)
		return
	}
	s.name(top, schema.MemberName())
	if top.always != nil {
		top.seen = append(top.seen, schema.MemberName())
	}
}

func (s *serializer) name(top *frame, name string) {
	top.comma(s)
	s.buf = appendString(s.buf, name)
	s.buf = append(s.buf, ':')
}

func (f *frame) comma(s *serializer) {
	if f.filled {
		s.buf = append(s.buf, ',')
	}
	f.filled = true
}

func (s *serializer) enter(schema *smithy.Schema, bracket byte, f frame) {
	s.begin(schema)
	s.buf = append(s.buf, bracket)
	s.open = append(s.open, f)
}

func (s *serializer) leave(bracket byte) {
	s.open = s.open[:len(s.open)-1]
	s.buf = append(s.buf, bracket)
}

// unit is the schema of inputs and outputs that have no shape in the model.
var unit = smithy.NewSchema(smithy.ShapeID{Namespace: "smithy.api", Name: "Unit"}, smithy.ShapeTypeStructure, 0)

// WriteStruct begins a structure. The schema of a member names the structure by
// its target, that of the outermost structure by its id.
func (s *serializer) WriteStruct(schema *smithy.Schema) {
	if schema == nil {
		schema = unit
	}
	if s.root == nil {
		s.root = schema
	}
	id := schema.TargetID()
	if id == (smithy.ShapeID{}) {
		id = schema.ID()
	}
	s.enter(schema, '{', frame{named: true, always: alwaysSent[id]})
}

// CloseStruct adds the members that are always sent and ends the structure.
func (s *serializer) CloseStruct() {
	top := &s.open[len(s.open)-1]
	for _, m := range top.always {
		if !slices.Contains(top.seen, m.name) {
			s.name(top, m.name)
			s.buf = append(s.buf, m.zero...)
		}
	}
	s.leave('}')
}

func (s *serializer) WriteList(schema *smithy.Schema) { s.enter(schema, '[', frame{}) }
func (s *serializer) CloseList()                      { s.leave(']') }
func (s *serializer) WriteMap(schema *smithy.Schema)  { s.enter(schema, '{', frame{}) }
func (s *serializer) CloseMap()                       { s.leave('}') }

func (s *serializer) WriteKey(_ *smithy.Schema, key string) {
	s.name(&s.open[len(s.open)-1], key)
	s.keyed = true
}

func (s *serializer) WriteInt8(schema *smithy.Schema, v int8)   { s.WriteInt64(schema, int64(v)) }
func (s *serializer) WriteInt16(schema *smithy.Schema, v int16) { s.WriteInt64(schema, int64(v)) }
func (s *serializer) WriteInt32(schema *smithy.Schema, v int32) { s.WriteInt64(schema, int64(v)) }

func (s *serializer) WriteInt64(schema *smithy.Schema, v int64) {
	s.begin(schema)
	s.buf = strconv.AppendInt(s.buf, v, 10)
}

func (s *serializer) WriteFloat32(schema *smithy.Schema, v float32) {
	s.float(schema, float64(v), 32)
}

func (s *serializer) WriteFloat64(schema *smithy.Schema, v float64) {
	s.float(schema, v, 64)
}

func (s *serializer) float(schema *smithy.Schema, v float64, bits int) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		s.unsupported(schema, "a number that JSON does not have")
		return
	}
	s.begin(schema)
	s.buf = strconv.AppendFloat(s.buf, v, 'g', -1, bits)
}

func (s *serializer) WriteBool(schema *smithy.Schema, v bool) {
	s.begin(schema)
	s.buf = strconv.AppendBool(s.buf, v)
}

func (s *serializer) WriteString(schema *smithy.Schema, v string) {
	s.begin(schema)
	s.buf = appendString(s.buf, v)
}

func (s *serializer) WriteBlob(schema *smithy.Schema, v []byte) {
	s.begin(schema)
	s.buf = append(s.buf, '"')
	s.buf = base64.StdEncoding.AppendEncode(s.buf, v)
	s.buf = append(s.buf, '"')
}

func (s *serializer) WriteTime(schema *smithy.Schema, v time.Time) {
	s.begin(schema)
	s.buf = appendMillis(s.buf, v.UnixMilli())
}

func (s *serializer) WriteNil(schema *smithy.Schema) {
	s.begin(schema)
	s.buf = append(s.buf, "null"...)
}

// The services that Berth speaks have no members of the kinds below.

func (s *serializer) WriteBigInt(schema *smithy.Schema, _ *big.Int) {
	s.unsupported(schema, "a big integer")
}
func (s *serializer) WriteBigFloat(schema *smithy.Schema, _ *big.Float) {
	s.unsupported(schema, "a big decimal")
}
func (s *serializer) WriteUnion(schema, _ *smithy.Schema) { s.unsupported(schema, "a union") }
func (s *serializer) CloseUnion()                         {}
func (s *serializer) WriteDocument(schema *smithy.Schema, _ document.Value) {
	s.unsupported(schema, "a document")
}

func (s *serializer) unsupported(schema *smithy.Schema, what string) {
	if s.err == nil {
		s.err = fmt.Errorf("encode %s: %s is not supported", schema.MemberName(), what)
	}
}

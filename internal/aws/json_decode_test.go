package aws

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var ignoreInternals = cmpopts.IgnoreUnexported(
	ecr.CreateRepositoryInput{}, ecr.DescribeImagesInput{}, types.EncryptionConfiguration{},
	types.ImageScanningConfiguration{}, types.Tag{}, types.ImageIdentifier{}, types.DescribeImagesFilter{},
	types.ImageTagMutabilityExclusionFilter{},
)

func ptr[T any](v T) *T { return &v }

func TestDecodeJSONFillsNestedMembers(t *testing.T) {
	const doc = `
	{
		"repositoryName": "team\/app\u002d\ud83d\ude00",
		"registryId": null,
		"imageTagMutability": "IMMUTABLE",
		"imageScanningConfiguration": {},
		"encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "k"},
		"tags": [{"Key": "a", "Value": "b", "key": "ignored"}, {"Key": "", "Value": null}],
		"imageTagMutabilityExclusionFilters": [],
		"RepositoryName": "another member",
		"somethingNew": [{"a": [1, 2.5e-3, true, null]}, "x"]
	}`
	var got ecr.CreateRepositoryInput
	if _, err := decodeJSON([]byte(doc), &got); err != nil {
		t.Fatal(err)
	}
	want := ecr.CreateRepositoryInput{
		RepositoryName:                     ptr("team/app-\U0001F600"),
		ImageTagMutability:                 types.ImageTagMutabilityImmutable,
		ImageScanningConfiguration:         &types.ImageScanningConfiguration{},
		EncryptionConfiguration:            &types.EncryptionConfiguration{EncryptionType: "KMS", KmsKey: ptr("k")},
		Tags:                               []types.Tag{{Key: ptr("a"), Value: ptr("b")}, {Key: ptr("")}},
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{},
	}
	if diff := cmp.Diff(want, got, ignoreInternals); diff != "" {
		t.Errorf("decodeJSON (-want +got):\n%s", diff)
	}
}

func TestDecodeJSONOfNothingIsAnEmptyInput(t *testing.T) {
	for _, doc := range []string{"", " \n", "{}", "null"} {
		if _, err := decodeJSON([]byte(doc), &ecr.DescribeRegistryInput{}); err != nil {
			t.Errorf("decodeJSON(%q) = %v", doc, err)
		}
	}
}

// kinds has the kinds of members that no input of ECR has.
type kinds struct {
	Map  map[string]string
	Time *time.Time
}

func (k *kinds) Serialize(s smithy.ShapeSerializer) {
	text := smithy.NewSchema(smithy.ShapeID{Name: "Text"}, smithy.ShapeTypeString, 0)
	stamp := smithy.NewSchema(smithy.ShapeID{Name: "Stamp"}, smithy.ShapeTypeTimestamp, 0)
	texts := smithy.NewSchema(smithy.ShapeID{Name: "Texts"}, smithy.ShapeTypeMap, 2)
	texts.AddMember("key", text)
	texts.AddMember("value", text)
	schema := smithy.NewSchema(smithy.ShapeID{Name: "Kinds"}, smithy.ShapeTypeStructure, 2)
	schema.AddMember("map", texts)
	schema.AddMember("time", stamp)
	s.WriteStruct(schema)
	s.CloseStruct()
}

func TestDecodeJSONReadsMapsAndTimes(t *testing.T) {
	var got kinds
	if _, err := decodeJSON([]byte(`{"map": {"k": "v"}, "time": 1.7000000001234E9}`), &got); err != nil {
		t.Fatal(err)
	}
	want := kinds{Map: map[string]string{"k": "v"}, Time: ptr(time.UnixMilli(1700000000123))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decodeJSON (-want +got):\n%s", diff)
	}
	for _, doc := range []string{`{"map": []}`, `{"map": {"k": null}}`, `{"time": "2020-01-01"}`, `{"time": 1e300}`, `{"time": -1}`} {
		_, err := decodeJSON([]byte(doc), &kinds{})
		wantFault(t, err, codeSerialization, "can not be converted")
	}
}

func TestDecodeJSONRefusesWrongTypes(t *testing.T) {
	for _, tt := range []struct {
		doc  string
		into smithy.Serializable
		want string
	}{
		{`[]`, &ecr.PutImageInput{}, "LIST_VALUE can not be converted to a Structure"},
		{`"secret"`, &ecr.PutImageInput{}, "STRING_VALUE can not be converted to a Structure"},
		{`{"imageTag": 1}`, &ecr.PutImageInput{}, "NUMBER_VALUE can not be converted to a String at 'imageTag'"},
		{`{"imageTag": {}}`, &ecr.PutImageInput{}, "STRUCTURE_VALUE can not be converted to a String"},
		{`{"force": "true"}`, &ecr.DeleteRepositoryInput{}, "STRING_VALUE can not be converted to a Boolean"},
		{`{"maxResults": 1.5}`, &ecr.DescribeImagesInput{}, "it is not whole"},
		{`{"maxResults": 1e2}`, &ecr.DescribeImagesInput{}, "it is not whole"},
		{`{"maxResults": "1"}`, &ecr.DescribeImagesInput{}, "STRING_VALUE can not be converted to an Integer"},
		{`{"maxResults": 2147483648}`, &ecr.DescribeImagesInput{}, "it is out of range"},
		{`{"partFirstByte": 9223372036854775808}`, &ecr.UploadLayerPartInput{}, "it is out of range"},
		{`{"layerPartBlob": "§"}`, &ecr.UploadLayerPartInput{}, "it is not base64"},
		{`{"layerPartBlob": "YQ"}`, &ecr.UploadLayerPartInput{}, "it is not base64"},
		{`{"layerPartBlob": [1]}`, &ecr.UploadLayerPartInput{}, "LIST_VALUE can not be converted to a Blob"},
		{`{"filter": []}`, &ecr.DescribeImagesInput{}, "LIST_VALUE can not be converted to a Structure at 'filter'"},
		{`{"filter": {"tagStatus": true}}`, &ecr.DescribeImagesInput{}, "at 'filter.tagStatus'"},
		{`{"imageIds": {}}`, &ecr.DescribeImagesInput{}, "STRUCTURE_VALUE can not be converted to a List"},
		{`{"imageIds": [null]}`, &ecr.DescribeImagesInput{}, "NULL_VALUE can not be converted to an element of a List"},
		{`{"tags": [{"Key": "a"}, {"Key": 7}]}`, &ecr.TagResourceInput{}, "at 'tags.2.member.key'"},
	} {
		_, err := decodeJSON([]byte(tt.doc), tt.into)
		wantFault(t, err, codeSerialization, tt.want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error of %s holds the value: %v", tt.doc, err)
		}
	}
}

func TestParseJSONRefusesBadDocuments(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{`{`, "ends early"},
		{`{"a"`, "ends early"},
		{`{"a":`, "ends early"},
		{`{"a":1`, "ends early"},
		{`{"a":1,`, "ends early"},
		{`{"a":1,}`, "at byte 7"},
		{`{a:1}`, "at byte 1"},
		{`{'a':1}`, "at byte 1"},
		{`{"a" 1}`, "at byte 5"},
		{`{"a":1 "b":2}`, "at byte 7"},
		{`{} {}`, "at byte 3"},
		{`{"a":[1,]}`, "at byte 8"},
		{`{"a":[1 2]}`, "at byte 8"},
		{`{"a":01}`, "at byte 6"},
		{`{"a":-}`, "at byte 6"},
		{`{"a":+1}`, "at byte 5"},
		{`{"a":.5}`, "at byte 5"},
		{`{"a":1.}`, "at byte 7"},
		{`{"a":1e}`, "at byte 7"},
		{`{"a":NaN}`, "at byte 5"},
		{`{"a":tru}`, "at byte 5"},
		{`{"a":nul`, "at byte 5"},
		{`{"a":"`, "ends early"},
		{`{"a":"\`, "ends early"},
		{`{"a":"\"`, "ends early"},
		{"{\"a\":\"\n\"}", "at byte 6"},
		{`{"a":"b\x"}`, "bad escape at byte 7"},
		{`{"a":"\u12"}`, "bad escape at byte 6"},
		{`{"a":"\u12g4"}`, "bad escape"},
		{`{"a":"\ud800"}`, "bad escape"},
		{`{"a":"\ud800\u0041"}`, "bad escape"},
		{`{"a":"\udc00\ud800"}`, "bad escape"},
		{"{\"a\":\"\xff\"}", "not valid UTF-8"},
		{"\xef\xbb\xbf{}", "at byte 0"},
		{`{"a":1,"a":1}`, "names a member twice, at byte 7"},
		{`{"a":1,"\u0061":1}`, "names a member twice"},
		{`{"unknown":[{"b":{},"b":{}}]}`, "names a member twice"},
		{many(`"m%d":0`, 40, `,"m7":0`, "{", "}"), "names a member twice"},
		{strings.Repeat("[", 100_000), "nested more than"},
		{strings.Repeat(`{"a":`, 100_000), "nested more than"},
		{many(`%d`, maxElements, "", "[", "]"), "more than"},
	} {
		_, err := parseJSON([]byte(tt.doc))
		wantFault(t, err, codeSerialization, tt.want)
		if t.Failed() {
			t.Fatalf("document %.80s", tt.doc)
		}
	}
}

// many returns n formatted items between brackets, with an extra one at the end.
func many(format string, n int, extra, left, right string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = strings.ReplaceAll(format, "%d", fmt.Sprint(i))
	}
	return left + strings.Join(items, ",") + extra + right
}

func TestParseJSONTakesWhatIsWithinBounds(t *testing.T) {
	for _, doc := range []string{
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
		many(`%d`, maxElements-1, "", "[", "]"),
		many(`"m%d":0`, 1000, "", "{", "}"),
		` { "a" : [ 0 , -0.5E+7 , "\"\\\/\b\f\n\r\t\u00e9" , true , false , null , { } , [ ] ] } `,
	} {
		if _, err := parseJSON([]byte(doc)); err != nil {
			t.Errorf("parseJSON(%.40s) = %v", doc, err)
		}
	}
}

func BenchmarkDecodeJSON(b *testing.B) {
	blob := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xa5}, 20<<20))
	doc := []byte(`{"repositoryName": "app", "uploadId": "u", "partFirstByte": 0, "partLastByte": 20971519, "layerPartBlob": "` + blob + `"}`)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeJSON(doc, &ecr.UploadLayerPartInput{}); err != nil {
			b.Fatal(err)
		}
	}
}

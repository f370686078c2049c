package aws

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
)

func TestEncodeJSON(t *testing.T) {
	for name, tt := range map[string]struct {
		out  smithy.Serializable
		want string
	}{
		"nothing": {&ecr.TagResourceOutput{}, `{}`},
		"nested structures and a time": {
			&ecr.CreateRepositoryOutput{Repository: &types.Repository{
				CreatedAt:                  ptr(time.UnixMilli(1700000000123)),
				EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: "AES256"},
				ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
				RepositoryName:             ptr("app"),
			}},
			`{"repository":{"createdAt":1700000000.123,"encryptionConfiguration":{"encryptionType":"AES256"},` +
				`"imageScanningConfiguration":{"scanOnPush":true},"repositoryName":"app"}}`,
		},
		"lists": {
			&ecr.BatchGetImageOutput{
				Images:   []types.Image{{ImageId: &types.ImageIdentifier{ImageTag: ptr("v1")}, ImageManifest: ptr("{}")}, {}},
				Failures: []types.ImageFailure{},
			},
			`{"failures":[],"images":[{"imageId":{"imageTag":"v1"},"imageManifest":"{}"},{}]}`,
		},
		"a list of strings and a zero that is set": {
			&ecr.DescribeImagesOutput{ImageDetails: []types.ImageDetail{{ImageTags: []string{"a", "b"}, ImageSizeInBytes: ptr(int64(0))}}},
			`{"imageDetails":[{"imageSizeInBytes":0,"imageTags":["a","b"]}]}`,
		},
		"a map": {
			&ecr.ListImageReferrersOutput{Referrers: []types.ImageReferrer{{Annotations: map[string]string{`k"`: "v"}, Size: ptr(int64(-1))}}},
			`{"referrers":[{"annotations":{"k\"":"v"},"size":-1}]}`,
		},
		"capital members": {
			&ecr.ListTagsForResourceOutput{Tags: []types.Tag{{Key: ptr("k"), Value: ptr("")}}},
			`{"tags":[{"Key":"k","Value":""}]}`,
		},
		"a blob": {
			&ecr.UploadLayerPartInput{LayerPartBlob: []byte{0xfb, 0xff}, PartFirstByte: ptr(int64(math.MaxInt64))},
			`{"layerPartBlob":"+/8=","partFirstByte":9223372036854775807}`,
		},
		"a score": {&types.CvssScore{BaseScore: 9.8}, `{"baseScore":9.8}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := encodeJSON(tt.out)
			if err != nil || string(got) != tt.want {
				t.Errorf("encodeJSON = %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestEncodeJSONRefusesWhatJSONDoesNotHave(t *testing.T) {
	if got, err := encodeJSON(&types.CvssScore{BaseScore: math.NaN()}); err == nil {
		t.Errorf("encodeJSON of NaN = %s", got)
	}
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":                      `""`,
		"plain é \U0001F600":    "\"plain é \U0001F600\"",
		"\"\\/":                 `"\"\\/"`,
		"\n\r\t\b\x00\x1f\x7f":  `"\n\r\t\u0008\u0000\u001f` + "\x7f\"",
		"<&>":                   `"<&>"`,
		"a\u2028b\u2029c":       `"a\u2028b\u2029c"`,
		"\xff\xc3(\xed\xa0\x80": `"\ufffd\ufffd(\ufffd\ufffd\ufffd"`,
		"\ufffd":                "\"\ufffd\"",
	} {
		got := string(appendString(nil, in))
		if got != want {
			t.Errorf("appendString(%q) = %s, want %s", in, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("appendString(%q) = %s, which is not JSON", in, got)
		}
	}
}

func TestAppendMillis(t *testing.T) {
	for in, want := range map[int64]string{
		0:             "0",
		1:             "0.001",
		-1500:         "-1.5",
		1700000000000: "1700000000",
		1700000000120: "1700000000.12",
		1700000000123: "1700000000.123",
	} {
		if got := string(appendMillis(nil, in)); got != want {
			t.Errorf("appendMillis(%d) = %s, want %s", in, got, want)
		}
	}
}

func TestMembersThatAreAlwaysSent(t *testing.T) {
	for _, tt := range []struct {
		out  smithy.Serializable
		want string
	}{
		{
			&ecr.PutImageScanningConfigurationOutput{ImageScanningConfiguration: &types.ImageScanningConfiguration{}},
			`{"imageScanningConfiguration":{"scanOnPush":false}}`,
		},
		{
			&ecr.BatchGetRepositoryScanningConfigurationOutput{ScanningConfigurations: []types.RepositoryScanningConfiguration{{RepositoryName: ptr("app")}}},
			`{"scanningConfigurations":[{"repositoryName":"app","scanOnPush":false}]}`,
		},
		{
			&ecr.ValidatePullThroughCacheRuleOutput{RegistryId: ptr("123456789012")},
			`{"registryId":"123456789012","isValid":false}`,
		},
		{
			&types.ImageScanFindings{EnhancedFindings: []types.EnhancedImageScanFinding{{
				PackageVulnerabilityDetails: &types.PackageVulnerabilityDetails{Cvss: []types.CvssScore{{Version: ptr("3.1")}}},
				ScoreDetails:                &types.ScoreDetails{Cvss: &types.CvssScoreDetails{}},
			}}},
			`{"enhancedFindings":[{"packageVulnerabilityDetails":{"cvss":[{"version":"3.1","baseScore":0}]},` +
				`"scoreDetails":{"cvss":{"score":0}},"score":0}]}`,
		},
		{structure{ecrPublicShape("RegistryAlias")}, `{"primaryRegistryAlias":false,"defaultRegistryAlias":false}`},
	} {
		got, err := encodeJSON(tt.out)
		if err != nil || string(got) != tt.want {
			t.Errorf("encodeJSON = %s, %v\nwant %s", got, err, tt.want)
		}
	}
}

// A structure is an empty structure of some shape.
type structure struct{ shape smithy.ShapeID }

func (v structure) Serialize(s smithy.ShapeSerializer) {
	s.WriteStruct(smithy.NewSchema(v.shape, smithy.ShapeTypeStructure, 0))
	s.CloseStruct()
}

// The SDK drops the zero of every member that it holds as a plain number or
// bool. A new one must be noticed.
func TestNoOutputDropsAZero(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] || typ == timeType {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !isMember(f) {
				continue
			}
			visit(f.Type)
			switch f.Type.Kind() {
			case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64:
				data, err := encodeJSON(newValue(typ))
				if err != nil {
					t.Fatal(err)
				}
				var doc map[string]any
				if err := json.Unmarshal(data, &doc); err != nil {
					t.Fatal(err)
				}
				if _, sent := doc[lowerFirst(f.Name)]; !sent {
					t.Errorf("%s drops the zero of %s", typ, f.Name)
				}
			}
		}
	}
	for _, op := range ecrOperations() {
		visit(op.output)
	}
	if len(seen) < 100 {
		t.Errorf("only %d structures were found", len(seen))
	}
}

package aws

import (
	"strings"
	"testing"

	"berth/internal/fault"
)

// The messages marked "seen" are those of Amazon ECR itself.
func TestCheckInTheStyleOfECR(t *testing.T) {
	m := ecrModel(t)
	name := strings.Repeat("a", 257)
	for _, tt := range []struct{ operation, doc, want string }{
		{ // seen
			"CreateRepository", `{"repositoryName": "Bad_Name!"}`,
			`Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*''`,
		},
		{ // seen
			"DeleteRepository", `{"repositoryName": "app", "registryId": "1"}`,
			`Invalid parameter at 'registryId' failed to satisfy constraint: 'must satisfy regular expression [0-9]{12}'`,
		},
		{ // seen
			"PutImageTagMutability", `{"repositoryName": "app", "imageTagMutability": "mutable"}`,
			`Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set: [IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]'`,
		},
		{ // seen
			"PutImage", `{"repositoryName": "app", "imageManifest": "{}", "imageTag": "a:b"}`,
			`Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_.]+''`,
		},
		{"CreateRepository", `{}`, `Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Cannot be null'`},
		{"CreateRepository", `{"repositoryName": null}`, `at 'repositoryName' failed to satisfy constraint: 'Cannot be null'`},
		{"CreateRepository", `{"RepositoryName": "app"}`, `at 'repositoryName' failed to satisfy constraint: 'Cannot be null'`},
		{"CreateRepository", `{"repositoryName": ""}`, `at 'repositoryName' failed to satisfy constraint: 'must satisfy`},
		{"CreateRepository", `{"repositoryName": "a"}`, `at 'repositoryName' failed to satisfy constraint: 'Member must have length greater than or equal to 2'`},
		{"CreateRepository", `{"repositoryName": "` + name + `"}`, `'Member must have length less than or equal to 256'`},
		{"CreateRepository", `{"repositoryName": "app\n"}`, `'must satisfy regular expression`},
		{"CreateRepository", `{"repositoryName": "app", "encryptionConfiguration": {}}`, `at 'encryptionConfiguration.encryptionType' failed to satisfy constraint: 'Cannot be null'`},
		{"CreateRepository", `{"repositoryName": "app", "tags": [{"Key": "a", "Value": ""}, {"Key": "b"}]}`, `at 'tags.2.member.value' failed to satisfy constraint: 'Cannot be null'`},
		{"DescribeImages", `{"repositoryName": "app", "maxResults": 0}`, `at 'maxResults' failed to satisfy constraint: 'Member must have value greater than or equal to 1'`},
		{"DescribeImages", `{"repositoryName": "app", "maxResults": 1001}`, `'Member must have value less than or equal to 1000'`},
		{"DescribeImages", `{"repositoryName": "app", "imageIds": []}`, `at 'imageIds' failed to satisfy constraint: 'Member must have length greater than or equal to 1'`},
		{"DescribeImages", `{"repositoryName": "app", "imageIds": [{}, {"imageTag": ""}]}`, `at 'imageIds.2.member.imageTag' failed to satisfy constraint: 'Member must have length greater`},
		{"DescribeRepositories", `{"repositoryNames": ["app", "App"]}`, `at 'repositoryNames.2.member' failed to satisfy constraint: 'must satisfy`},
		{"UploadLayerPart", `{"repositoryName": "app", "uploadId": "01234567-89ab-cdef-0123-456789abcdef", "partFirstByte": 0, "partLastByte": 0}`, `at 'layerPartBlob' failed to satisfy constraint: 'Cannot be null'`},
	} {
		err := m.decodeAndCheck(t, tt.operation, tt.doc)
		wantFault(t, err, "InvalidParameterException", tt.want)
		if t.Failed() {
			t.Fatalf("%s %s", tt.operation, tt.doc)
		}
	}
}

func TestCheckInTheStyleOfValidationException(t *testing.T) {
	m := ecrModel(t)
	long := strings.Repeat("é", 300)
	for _, tt := range []struct{ operation, doc, want string }{
		{
			"GetAccountSetting", `{}`,
			`1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null`,
		},
		{
			"GetAccountSetting", `{"name": ""}`,
			`1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1`,
		},
		{
			"GetAccountSetting", `{"name": "` + long + `"}`,
			`Value '` + strings.Repeat("é", 256) + `...' at 'name' failed to satisfy constraint: Member must have length less than or equal to 64`,
		},
		{
			"DescribeImageScanFindings", `{"repositoryName": "A", "maxResults": 0}`,
			`4 validation errors detected: ` +
				`Value 'A' at 'repositoryName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*; ` +
				`Value 'A' at 'repositoryName' failed to satisfy constraint: Member must have length greater than or equal to 2; ` +
				`Value null at 'imageId' failed to satisfy constraint: Member must not be null; ` +
				`Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1`,
		},
		{
			"PutReplicationConfiguration", `{"replicationConfiguration": {"rules": [{"destinations": [{"region": "us-east-1", "registryId": "1"}], "repositoryFilters": []}]}}`,
			`2 validation errors detected: ` +
				`Value '1' at 'replicationConfiguration.rules.1.member.destinations.1.member.registryId' failed to satisfy constraint: Member must satisfy regular expression pattern: [0-9]{12}; ` +
				`Value '[]' at 'replicationConfiguration.rules.1.member.repositoryFilters' failed to satisfy constraint: Member must have length greater than or equal to 1`,
		},
		{
			"PutRegistryScanningConfiguration", `{"scanType": "NONE", "rules": []}`,
			`1 validation error detected: Value 'NONE' at 'scanType' failed to satisfy constraint: Member must satisfy enum value set: [BASIC, ENHANCED]`,
		},
	} {
		err := m.decodeAndCheck(t, tt.operation, tt.doc)
		wantFault(t, err, "ValidationException", tt.want)
		if t.Failed() {
			t.Fatalf("%s %s", tt.operation, tt.doc)
		}
	}
}

func TestCheckReportsABoundedNumberOfViolations(t *testing.T) {
	doc := `{"replicationConfiguration": {"rules": [` + strings.Repeat(`{},`, 10_000) + `{}]}}`
	err := ecrModel(t).decodeAndCheck(t, "PutReplicationConfiguration", doc)
	wantFault(t, err, "ValidationException", "20 validation errors detected: ")
}

func TestCheckNeverRepeatsABlob(t *testing.T) {
	m, err := ParseModel([]byte(`{
		"operations": {"UploadLayerPart": {"input": "In", "errors": ["ValidationException"]}},
		"shapes": {
			"In": {"type": "structure", "members": [{"name": "layerPartBlob", "shape": "Blob"}]},
			"Blob": {"type": "blob", "max": 1}
		}}`))
	if err != nil {
		t.Fatal(err)
	}
	err = m.decodeAndCheck(t, "UploadLayerPart", `{"layerPartBlob": "c2VjcmV0"}`)
	wantFault(t, err, "ValidationException",
		"1 validation error detected: Value at 'layerPartBlob' failed to satisfy constraint: Member must have length less than or equal to 1")
}

func TestCheckWithoutConstraints(t *testing.T) {
	var none *Model
	if err := none.check("CreateRepository", &node{kind: kindObject}); err != nil {
		t.Errorf("check without a model = %v", err)
	}
	if err := ecrModel(t).check("NoSuchOperation", &node{kind: kindObject}); err != nil {
		t.Errorf("check of an operation that is not in the model = %v", err)
	}
}

func (m *Model) decodeAndCheck(t *testing.T, operation, doc string) error {
	t.Helper()
	for _, op := range ecrOperations() {
		if op.name == operation {
			n, err := decodeJSON([]byte(doc), newValue(op.input))
			if err != nil {
				t.Fatalf("decode %s: %v", doc, err)
			}
			return m.check(operation, n)
		}
	}
	return fault.New(fault.Internal, "Test", "no operation %s", operation)
}

package ecr_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"berth/internal/servertest"
)

func TestAnAnswerOnTheWire(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		got := rawCall{target: "CreateRepository", body: `{"repositoryName":"app","imageScanningConfiguration":{}}`}.do(t, s)
		if got.status != 200 || got.header.Get("X-Amzn-Errortype") != "" {
			t.Errorf("CreateRepository = %d %s", got.status, got.body)
		}
		got.wantHeaders(t)
		wantEqual(t, "answer", got.document(t), map[string]any{"repository": map[string]any{
			"repositoryArn": "arn:aws:ecr:us-east-1:123456789012:repository/app", "registryId": "123456789012", "repositoryName": "app",
			"repositoryUri": s.Host + "/app", "createdAt": json.Number(seconds(s)), "imageTagMutability": "MUTABLE",
			"imageScanningConfiguration": map[string]any{"scanOnPush": false}, "encryptionConfiguration": map[string]any{"encryptionType": "AES256"},
		}})
		for target, want := range map[string]string{
			"TagResource":   `{}`,
			"ListImages":    `{"imageIds":[]}`,
			"BatchGetImage": `{"failures":[{"failureCode":"ImageNotFound","failureReason":"Requested image not found","imageId":{"imageTag":"v1"}}],"images":[]}`,
			"BatchDeleteImage": `{"failures":[{"failureCode":"ImageNotFound","failureReason":"Requested image not found",` +
				`"imageId":{"imageTag":"v1"}}],"imageIds":[]}`,
			"DescribeImages": `{"imageDetails":[]}`,
		} {
			body := map[string]string{
				"TagResource": `{"resourceArn":"` + appARN + `","tags":[]}`, "BatchGetImage": `{"repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`,
				"BatchDeleteImage": `{"repositoryName":"app","imageIds":[{"imageTag":"v1"}]}`,
			}[target]
			got := rawCall{target: target, body: or(body, `{"repositoryName":"app"}`)}.do(t, s)
			if got.status != 200 || !sameJSON(t, got.body, want) {
				t.Errorf("%s = %d %s, want %s", target, got.status, got.body, want)
			}
		}
	})
}

// seconds is the server's time as timestamps have it.
func seconds(s *servertest.Server) string {
	b, _ := json.Marshal(s.Clock.Now().Unix()) // an integer
	return string(b)
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	return string(servertest.JSON(answer{body: a}.document(t))) == string(servertest.JSON(answer{body: b}.document(t)))
}

func TestRequestIDsAreUnique(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	seen := map[string]bool{}
	for range 20 {
		id := rawCall{target: "DescribeRepositories", body: "{}"}.do(t, s).header.Get("X-Amzn-Requestid")
		if seen[id] || !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) {
			t.Errorf("request id %q is no UUID, or there twice", id)
		}
		seen[id] = true
	}
}

func TestTheTwoStylesOfValidation(t *testing.T) {
	t.Parallel()
	const invalid, validation = "InvalidParameterException", "ValidationException"
	cases := map[string]struct{ target, body, code, message string }{
		"the older style reports the first violation": {
			"DescribeImages", `{"repositoryName":"A","maxResults":0}`, invalid, nameRegexp,
		},
		"a member that is wanted": {
			"CreateRepository", `{}`, invalid, "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Cannot be null'",
		},
		"null is absent": {
			"CreateRepository", `{"repositoryName":null}`, invalid, "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Cannot be null'",
		},
		"a name in another case is unknown": {
			"CreateRepository", `{"RepositoryName":"app"}`, invalid, "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Cannot be null'",
		},
		"a tag's members are in capitals": {
			"TagResource", `{"resourceArn":"` + appARN + `","tags":[{"key":"k","value":"v"}]}`, invalid,
			"Invalid parameter at 'tags.1.member.key' failed to satisfy constraint: 'Cannot be null'",
		},
		"an empty body is an empty input": {
			"GetAccountSetting", ``, validation, "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
		},
		"the newer style reports all": {
			"PutAccountSetting", `{"name":""}`, validation, "2 validation errors detected: " +
				"Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
				"Value null at 'value' failed to satisfy constraint: Member must not be null",
		},
		"a value is repeated as it was sent": {
			"GetAccountSetting", `{"name":"` + strings.Repeat("<é\\u2028\\\"", 33) + `"}`, validation, "1 validation error detected: Value '" +
				strings.Repeat("<é\u2028\"", 33) + "' at 'name' failed to satisfy constraint: Member must have length less than or equal to 64",
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				rawCall{target: tt.target, body: tt.body}.do(t, s).wantFailure(t, 400, tt.code, tt.message)
			})
		}
	})
}

func TestInputsThatAreNoInputsAreRefused(t *testing.T) {
	t.Parallel()
	const code = "SerializationException"
	bad := func(target, body, message string) struct{ target, body, message string } {
		return struct{ target, body, message string }{target, body, message}
	}
	cases := map[string]struct{ target, body, message string }{
		"no JSON":               bad("ListImages", `x`, "The request body is not valid JSON: unexpected character at byte 0"),
		"half a document":       bad("ListImages", `{"repositoryName":`, "The request body is not valid JSON: it ends early"),
		"two documents":         bad("ListImages", `{}{}`, "The request body is not valid JSON: unexpected character at byte 2"),
		"a comma too many":      bad("ListImages", `{"repositoryName":"app",}`, "The request body is not valid JSON: unexpected character at byte 24"),
		"a list":                bad("ListImages", `[]`, "LIST_VALUE can not be converted to a Structure"),
		"a string":              bad("ListImages", `"app"`, "STRING_VALUE can not be converted to a Structure"),
		"a number for a string": bad("ListImages", `{"repositoryName":1}`, "NUMBER_VALUE can not be converted to a String at 'repositoryName'"),
		"a string for a number": bad("ListImages", `{"repositoryName":"app","maxResults":"5"}`, "STRING_VALUE can not be converted to an Integer at 'maxResults'"),
		"half a number":         bad("ListImages", `{"repositoryName":"app","maxResults":1.5}`, "NUMBER_VALUE can not be converted to an Integer at 'maxResults': it is not whole"),
		"a great number":        bad("ListImages", `{"repositoryName":"app","maxResults":4294967297}`, "NUMBER_VALUE can not be converted to an Integer at 'maxResults': it is out of range"),
		"a string for a list":   bad("BatchGetImage", `{"repositoryName":"app","imageIds":"v1"}`, "STRING_VALUE can not be converted to a List at 'imageIds'"),
		"null in a list":        bad("BatchGetImage", `{"repositoryName":"app","imageIds":[null]}`, "NULL_VALUE can not be converted to an element of a List at 'imageIds.1.member'"),
		"a string in a list of structures": bad("BatchGetImage", `{"repositoryName":"app","imageIds":[{},"v1"]}`,
			"STRING_VALUE can not be converted to a Structure at 'imageIds.2.member'"),
		"a string for a boolean": bad("DeleteRepository", `{"repositoryName":"app","force":"true"}`, "STRING_VALUE can not be converted to a Boolean at 'force'"),
		"no base64": bad("UploadLayerPart", `{"repositoryName":"app","uploadId":"`+absentUpload+`","partFirstByte":0,"partLastByte":0,"layerPartBlob":"%"}`,
			"STRING_VALUE can not be converted to a Blob at 'layerPartBlob': it is not base64"),
		"a member twice":                bad("ListImages", `{"repositoryName":"app","repositoryName":"other"}`, "The request body names a member twice, at byte 24"),
		"a member twice, by an escape":  bad("ListImages", `{"repositoryName":"app","repositoryNam\u0065":"other"}`, "The request body names a member twice, at byte 24"),
		"an unknown member twice":       bad("ListImages", `{"repositoryName":"app","x":1,"x":1}`, "The request body names a member twice, at byte 30"),
		"a member twice further inside": bad("BatchGetImage", `{"imageIds":[{"imageTag":"a","imageTag":"b"}]}`, "The request body names a member twice, at byte 29"),
		"no UTF-8":                      bad("ListImages", "{\"repositoryName\":\"a\xff\"}", "The request body is not valid UTF-8"),
		"half a surrogate pair":         bad("ListImages", `{"repositoryName":"a\ud800"}`, "The request body is not valid JSON: bad escape at byte 20"),
		"33 levels":                     bad("ListImages", strings.Repeat(`{"x":`, 33)+"1"+strings.Repeat("}", 33), "The request body is nested more than 32 levels deep"),
		"a million brackets":            bad("ListImages", strings.Repeat("[", 1_000_000), "The request body is nested more than 32 levels deep"),
		"too many elements":             bad("ListImages", `{"x":[`+strings.Repeat("1,", 40_000)+`1]}`, "The request body has more than 32768 elements"),
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				rawCall{target: tt.target, body: tt.body}.do(t, s).wantFailure(t, 400, code, tt.message)
			})
		}
	})
}

func TestMembersThatAreUnknownAreIgnored(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		for _, body := range []string{
			`{"repositoryName":"app","new":{"deep":[1,{"a":null}]}}`,
			" \r\n\t{ \"repositoryName\" : \"app\" , \"filter\" : { \"newer\" : true } } \n",
			`{"repositoryName":"\u0061pp","maxResults":1000,"nextToken":null}`,
		} {
			if got := (rawCall{target: "ListImages", body: body}).do(t, s); got.status != 200 {
				t.Errorf("ListImages %s = %d %s, want 200", body, got.status, got.body)
			}
		}
	})
}

func TestRequestsThatAreForNoOperation(t *testing.T) {
	t.Parallel()
	const unknown = "UnknownOperationException"
	cases := map[string]struct {
		call          rawCall
		status        int
		code, message string
	}{
		"GET":             {rawCall{method: "GET", target: "-"}, 404, unknown, "API calls are made with POST"},
		"PUT":             {rawCall{method: "PUT", target: "ListImages", body: "{}"}, 404, unknown, "API calls are made with POST"},
		"OPTIONS":         {rawCall{method: "OPTIONS", target: "-"}, 404, unknown, "API calls are made with POST"},
		"no target":       {rawCall{target: "-", body: "{}"}, 400, unknown, "The request does not say which operation it is for"},
		"unknown target":  {rawCall{target: "Invent", body: "{}"}, 400, unknown, `There is no operation "AmazonEC2ContainerRegistry_V20150921.Invent" in this version of the API`},
		"another service": {rawCall{target: "AmazonSSM.DescribeRepositories"}, 400, unknown, `There is no operation "AmazonSSM.DescribeRepositories" in this version of the API`},
		"another case":    {rawCall{target: "listImages"}, 400, unknown, `There is no operation "AmazonEC2ContainerRegistry_V20150921.listImages" in this version of the API`},
		"another type of content": {
			rawCall{target: "ListImages", contentType: "text/plain"}, 400, "SerializationException",
			"The content type of the request is not application/x-amz-json-1.1",
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) { tt.call.do(t, s).wantFailure(t, tt.status, tt.code, tt.message) })
		}
		if got := (rawCall{target: "DescribeRepositories", path: "/x", body: "{}"}).do(t, s); got.status != 404 {
			t.Errorf("POST /x = %d, want 404", got.status)
		}
	})
}

func TestBodiesThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		target string
		size   int
		want   string
	}{
		"most operations": {"ListImages", 1<<20 + 1, "The request body is larger than 1048576 bytes"},
		"PutImage":        {"PutImage", 16<<20 + 1, "The request body is larger than 16777216 bytes"},
		"UploadLayerPart": {"UploadLayerPart", 29<<20 + 1, "The request body is larger than 30408704 bytes"},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				call := rawCall{target: tt.target, body: strings.Repeat(" ", tt.size)}
				call.change = func(r *http.Request) { r.Header.Set("Expect", "100-continue") } // so that the answer is not lost
				call.do(t, s).wantFailure(t, 413, "RequestEntityTooLarge", tt.want)
			})
		}
	})
}

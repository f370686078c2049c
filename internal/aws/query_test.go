package aws

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"berth/internal/fault"
)

func TestDecodeQueryFillsNestedParameters(t *testing.T) {
	form := "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fa+b" +
		"&DurationSeconds=900&Tags.member.2.Key=k2&Tags.member.2.Value=&Tags.member.1.Key=k1&Tags.member.1.Value=v1" +
		"&TransitiveTagKeys.member.1=k1&PolicyArns=&Unknown.member.1=x&ResultMetadata=x"
	p, err := parseForm([]byte(form))
	if err != nil {
		t.Fatal(err)
	}
	var got sts.AssumeRoleInput
	if err := decodeQuery(p, &got, nil); err != nil {
		t.Fatal(err)
	}
	want := sts.AssumeRoleInput{
		RoleArn:           ptr("arn:aws:iam::123456789012:role/a b"),
		DurationSeconds:   ptr(int32(900)),
		Tags:              []ststypes.Tag{{Key: ptr("k1"), Value: ptr("v1")}, {Key: ptr("k2"), Value: ptr("")}},
		TransitiveTagKeys: []string{"k1"},
		PolicyArns:        []ststypes.PolicyDescriptorType{},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(sts.AssumeRoleInput{}, ststypes.Tag{})); diff != "" {
		t.Errorf("decodeQuery (-want +got):\n%s", diff)
	}
}

// queryKinds has the kinds of parameters that no input of STS has.
type queryKinds struct {
	Map  map[string]int64
	Time *time.Time
	Blob []byte
	Flag *bool
}

func TestDecodeQueryReadsEveryKind(t *testing.T) {
	p, err := parseForm([]byte("Map.entry.1.key=a&Map.entry.1.value=7&Time=2024-01-02T03:04:05Z&Blob=%2B%2F8%3D&Flag=true"))
	if err != nil {
		t.Fatal(err)
	}
	var got queryKinds
	if err := decodeQuery(p, &got, nil); err != nil {
		t.Fatal(err)
	}
	want := queryKinds{
		Map:  map[string]int64{"a": 7},
		Time: ptr(time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)),
		Blob: []byte{0xfb, 0xff},
		Flag: ptr(true),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decodeQuery (-want +got):\n%s", diff)
	}
}

func TestDecodeQueryRefusesBadForms(t *testing.T) {
	for _, form := range []string{
		"Flag=maybe", "Flag=true&Flag=true", "Flag", "Flag.member.1=true", "Flag=true&Flag.x=1",
		"Time=yesterday", "Blob=%", "Blob=*", "Flag=%ff", "%ff=1", "a;b",
		"Map=x", "Map.entry.1.key=a", "Map.entry.2.key=a&Map.entry.2.value=1", "Map.entry.01.key=a&Map.entry.01.value=1",
		"Map.entry.1.key=a&Map.entry.1.value=x",
		"Map.entry.1.key=a&Map.entry.1.value=1&Map.entry.2.key=a&Map.entry.2.value=1",
		strings.Repeat("a&", maxParameters),
		"a" + strings.Repeat(".a", maxDepth) + "=1",
	} {
		p, err := parseForm([]byte(form))
		if err == nil {
			err = decodeQuery(p, &queryKinds{}, nil)
		}
		wantFault(t, err, codeSerialization, "")
	}
}

func TestEncodeXML(t *testing.T) {
	const ns = "https://sts.amazonaws.com/doc/2011-06-15/"
	for name, tt := range map[string]struct {
		operation string
		out       any
		want      string
	}{
		"a result": {
			"GetCallerIdentity",
			&sts.GetCallerIdentityOutput{Account: ptr("123456789012"), Arn: ptr("<&\x00>"), UserId: ptr("")},
			`<GetCallerIdentityResponse xmlns="` + ns + `"><GetCallerIdentityResult>` +
				`<Account>123456789012</Account><Arn>&lt;&amp;` + "\ufffd" + `&gt;</Arn><UserId></UserId>` +
				`</GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
		},
		"a time, with nil members left out": {
			"GetSessionToken",
			&sts.GetSessionTokenOutput{Credentials: &ststypes.Credentials{Expiration: ptr(time.UnixMilli(1700000000123))}},
			`<GetSessionTokenResponse xmlns="` + ns + `"><GetSessionTokenResult>` +
				`<Credentials><Expiration>2023-11-14T22:13:20Z</Expiration></Credentials>` +
				`</GetSessionTokenResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetSessionTokenResponse>`,
		},
		"every kind": {
			"Do",
			&struct {
				Blob  []byte
				Enum  string
				Flag  bool
				List  []string
				Map   map[string]int32
				Empty []string
				Nil   []string
			}{Blob: []byte{0xfb}, List: []string{"a", ""}, Map: map[string]int32{"b": 2, "a": 1}, Empty: []string{}},
			`<DoResponse xmlns="` + ns + `"><DoResult><Blob>+w==</Blob><Flag>false</Flag>` +
				`<List><member>a</member><member></member></List>` +
				`<Map><entry><key>a</key><value>1</value></entry><entry><key>b</key><value>2</value></entry></Map><Empty></Empty>` +
				`</DoResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DoResponse>`,
		},
		"a result without members": {
			"Void", &struct{}{},
			`<VoidResponse xmlns="` + ns + `"><VoidResult></VoidResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></VoidResponse>`,
		},
		"no result": {
			"Do", &struct{}{},
			`<DoResponse xmlns="` + ns + `"><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DoResponse>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := encodeXML(ns, tt.operation, "id", tt.out, tt.operation == "Void")
			if err != nil || string(got) != tt.want {
				t.Errorf("encodeXML = %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
	if _, err := encodeXML(ns, "Do", "id", &struct{ F complex64 }{}, false); err == nil {
		t.Error("encodeXML of an unsupported type succeeded")
	}
}

func TestXMLFailure(t *testing.T) {
	for _, tt := range []struct {
		in     *fault.Error
		status int
		want   string
	}{
		{fault.New(fault.Denied, "AccessDeniedException", "no <b>"), 403, "<Type>Sender</Type><Code>AccessDenied</Code><Message>no &lt;b&gt;</Message>"},
		{fault.New(fault.Unauthenticated, "UnrecognizedClientException", "x"), 403, "<Code>InvalidClientTokenId</Code>"},
		{fault.New(fault.Unauthenticated, "InvalidSignatureException", "x"), 403, "<Code>SignatureDoesNotMatch</Code>"},
		{fault.New(fault.Unauthenticated, "ExpiredToken", "x"), 403, "<Code>ExpiredToken</Code>"},
		{fault.New(fault.Invalid, "PackedPolicyTooLarge", "x"), 400, "<Code>PackedPolicyTooLarge</Code>"},
		{fault.New(fault.Throttled, "ThrottlingException", "x"), 400, "<Code>Throttling</Code>"},
		{fault.New(fault.NotFound, "NoSuchEntity", "x"), 404, "<Type>Sender</Type><Code>NoSuchEntity</Code>"},
		{fault.New(fault.Conflict, "DeleteConflict", "x"), 409, "<Code>DeleteConflict</Code>"},
		{fault.New(fault.Exists, "EntityAlreadyExists", "x"), 409, "<Code>EntityAlreadyExists</Code>"},
		{fault.New(fault.Exhausted, "LimitExceeded", "x"), 409, "<Code>LimitExceeded</Code>"},
		{fault.New(fault.Invalid, "ValidationException", "x"), 400, "<Code>ValidationError</Code>"},
		{fault.New(fault.Unavailable, "ServiceUnavailable", "x"), 503, "<Type>Receiver</Type><Code>ServiceUnavailable</Code>"},
		{internalError("InternalFailure", "id"), 500, "<Type>Receiver</Type><Code>InternalFailure</Code><Message>internal error (request id id)</Message>"},
	} {
		got := xmlFailure(tt.in, "https://ns/", "id")
		if got.status != tt.status || !strings.Contains(string(got.body), tt.want) {
			t.Errorf("xmlFailure(%v) = %d %s, want %d with %s", tt.in, got.status, got.body, tt.status, tt.want)
		}
		if !strings.HasPrefix(string(got.body), `<ErrorResponse xmlns="https://ns/"><Error>`) ||
			!strings.HasSuffix(string(got.body), `</Error><RequestId>id</RequestId></ErrorResponse>`) {
			t.Errorf("xmlFailure(%v) = %s", tt.in, got.body)
		}
	}
}

func TestFormsAreHeldAgainstTheModel(t *testing.T) {
	m, err := ParseModel([]byte(`{"operations": {"TagUser": {"input": "In", "errors": ["ValidationException"]}}, "shapes": {
		"In": {"type": "structure", "members": [{"name": "UserName", "shape": "Name", "required": true}, {"name": "Tags", "shape": "Tags"}, {"name": "Max", "shape": "Max"}]},
		"Name": {"type": "string", "min": 1, "max": 4, "pattern": "[\\w+=,.@-]+"},
		"Tags": {"type": "list", "element": "Tag", "max": 2},
		"Tag": {"type": "structure", "members": [{"name": "Key", "shape": "Key", "required": true}]},
		"Key": {"type": "string", "min": 1, "max": 2},
		"Max": {"type": "integer", "min": 1, "max": 10}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for form, want := range map[string]string{
		"UserName=a&Tags.member.1.Key=k&Max=10": "",
		"Max=1":                                 "1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null",
		"UserName=a%21":                         "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
		"UserName=abcde":                        "1 validation error detected: Value 'abcde' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 4",
		"UserName=a&Max=11":                     "1 validation error detected: Value '11' at 'max' failed to satisfy constraint: Member must have value less than or equal to 10",
		"UserName=a&Tags.member.1.Key=abc":      "1 validation error detected: Value 'abc' at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 2",
		"UserName=a&Tags.member.1.Value=abc":    "1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null",
	} {
		p, err := parseForm([]byte(form))
		if err != nil {
			t.Fatal(err)
		}
		if err = m.checkForm("TagUser", p); want != "" {
			wantFault(t, err, "ValidationException", want)
		} else if err != nil {
			t.Errorf("checkForm(%s) = %v", form, err)
		}
	}
	if _, err := parseForm([]byte("UserName=a%00b")); err == nil {
		t.Error("parseForm of a NUL succeeded")
	}
}

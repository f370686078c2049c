package audit

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"berth/internal/access"

	"github.com/google/go-cmp/cmp"
)

func TestARecordHasTheShapeOfCloudTrail(t *testing.T) {
	t.Parallel()
	root := access.Caller{
		Account: "123456789012", ARN: "arn:aws:iam::123456789012:root", ID: "123456789012", AccessKeyID: "AKIAROOT", Type: access.Root,
		SourceIP: netip.MustParseAddr("192.0.2.1"), UserAgent: "docker/28 \x00\xff<&>", RequestID: "request",
	}
	for name, tt := range map[string]struct {
		record access.Record
		want   map[string]any
	}{
		"a change": {
			access.Record{
				Time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), Caller: root, Event: "PutImage", Service: "ecr", Account: "123456789012", Region: "us-east-1",
				Resource: "arn:aws:ecr:us-east-1:123456789012:repository/app", Parameters: map[string]string{"repositoryName": "app"},
				Response: map[string][]string{"tokenIds": {"id"}},
			},
			map[string]any{
				"eventVersion": "1.08", "eventTime": "2026-05-04T03:02:01Z", "eventSource": "ecr.amazonaws.com", "eventName": "PutImage",
				"awsRegion": "us-east-1", "sourceIPAddress": "192.0.2.1", "userAgent": "docker/28 \x00\ufffd<&>", "readOnly": false,
				"requestParameters": map[string]any{"repositoryName": "app"}, "responseElements": map[string]any{"tokenIds": []any{"id"}}, "requestID": "request", "eventID": "id", "eventType": "AwsApiCall",
				"recipientAccountId": "123456789012", "resources": []any{map[string]any{
					"accountId": "123456789012", "ARN": "arn:aws:ecr:us-east-1:123456789012:repository/app",
				}},
				"userIdentity": map[string]any{
					"type": "Root", "principalId": "123456789012", "arn": "arn:aws:iam::123456789012:root", "accountId": "123456789012", "accessKeyId": "AKIAROOT",
				},
			},
		},
		"an event of the service itself": {
			access.Record{
				Time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), Caller: access.Caller{Account: "123456789012"}, Event: "PolicyExecutionEvent",
				Service: "ecr", Account: "123456789012", Region: "us-east-1", ReadOnly: true, Details: map[string]string{"repositoryName": "app"},
				Resource: "arn:aws:ecr:us-east-1:123456789012:repository/app",
			},
			map[string]any{
				"eventVersion": "1.08", "eventTime": "2026-05-04T03:02:01Z", "eventSource": "ecr.amazonaws.com", "eventName": "PolicyExecutionEvent",
				"awsRegion": "us-east-1", "sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal", "readOnly": true, "requestParameters": nil,
				"requestID": "", "eventID": "id", "eventType": "AwsServiceEvent", "recipientAccountId": "123456789012",
				"serviceEventDetails": map[string]any{"repositoryName": "app"},
				"resources": []any{map[string]any{
					"accountId": "123456789012", "ARN": "arn:aws:ecr:us-east-1:123456789012:repository/app", "type": "AWS::ECR::Repository",
				}},
				"userIdentity": map[string]any{"accountId": "123456789012", "invokedBy": "AWS Internal"},
			},
		},
		"a refusal of somebody unknown": {
			access.Record{
				Time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), Caller: access.Caller{SourceIP: netip.MustParseAddr("::1")}, Event: "ListImages",
				Service: "ecr", Account: "123456789012", Region: "us-east-1", ReadOnly: true, Error: "AccessDeniedException", Message: "no",
			},
			map[string]any{
				"eventVersion": "1.08", "eventTime": "2026-05-04T03:02:01Z", "eventSource": "ecr.amazonaws.com", "eventName": "ListImages",
				"awsRegion": "us-east-1", "sourceIPAddress": "::1", "userAgent": "", "readOnly": true, "requestParameters": nil, "requestID": "",
				"eventID": "id", "eventType": "AwsApiCall", "recipientAccountId": "123456789012", "errorCode": "AccessDeniedException",
				"errorMessage": "no", "userIdentity": map[string]any{"type": "Unknown"},
			},
		},
	} {
		text, err := Marshal("id", tt.record)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestIDsOfRecordsSortByTime(t *testing.T) {
	t.Parallel()
	last := ""
	for range 1000 {
		id := NewID()
		if id <= last {
			t.Fatalf("NewID() = %s after %s, want a greater one", id, last)
		}
		last = id
	}
}

func TestTheIdentityOfTemporaryCredentials(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	attributes := map[string]any{"creationDate": "2026-05-04T03:02:01Z", "mfaAuthenticated": "false"}
	for name, tt := range map[string]struct {
		caller access.Caller
		want   map[string]any
	}{
		"a role's session": {
			access.Caller{
				Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/ci/job", ID: "AROAX:job", AccessKeyID: "ASIAX", Type: access.AssumedRole,
				Session: &access.Session{Parent: "arn:aws:iam::123456789012:role/x/ci", Owner: "AROAX", IssuedAt: issued, SourceIdentity: "alice"},
			},
			map[string]any{
				"type": "AssumedRole", "principalId": "AROAX:job", "arn": "arn:aws:sts::123456789012:assumed-role/ci/job", "accountId": "123456789012",
				"accessKeyId": "ASIAX", "sessionContext": map[string]any{
					"attributes": attributes, "sourceIdentity": "alice", "sessionIssuer": map[string]any{
						"type": "Role", "principalId": "AROAX", "arn": "arn:aws:iam::123456789012:role/x/ci", "accountId": "123456789012", "userName": "ci",
					},
				},
			},
		},
		"a federated user of a root": {
			access.Caller{
				Account: "123456789012", ARN: "arn:aws:sts::123456789012:federated-user/guest", ID: "123456789012:guest", AccessKeyID: "ASIAX", Type: access.FederatedUser,
				Session: &access.Session{Parent: "arn:aws:iam::123456789012:root", Owner: "123456789012", IssuedAt: issued},
			},
			map[string]any{
				"type": "FederatedUser", "principalId": "123456789012:guest", "arn": "arn:aws:sts::123456789012:federated-user/guest", "accountId": "123456789012",
				"accessKeyId": "ASIAX", "sessionContext": map[string]any{
					"attributes": attributes, "sessionIssuer": map[string]any{
						"type": "Root", "principalId": "123456789012", "arn": "arn:aws:iam::123456789012:root", "accountId": "123456789012",
					},
				},
			},
		},
		"a user's session": {
			access.Caller{
				Account: "123456789012", ARN: "arn:aws:iam::123456789012:user/alice", ID: "AIDAX", AccessKeyID: "ASIAX", Type: access.User,
				Session: &access.Session{Owner: "AIDAX", IssuedAt: issued},
			},
			map[string]any{
				"type": "IAMUser", "principalId": "AIDAX", "arn": "arn:aws:iam::123456789012:user/alice", "accountId": "123456789012",
				"accessKeyId": "ASIAX", "userName": "alice", "sessionContext": map[string]any{"attributes": attributes},
			},
		},
		"a token": {
			access.Caller{ARN: "arn:aws:iam::123456789012:oidc-provider/p", ID: "p:aud:sub", Type: access.WebIdentity},
			map[string]any{"type": "WebIdentityUser", "principalId": "p:aud:sub", "identityProvider": "arn:aws:iam::123456789012:oidc-provider/p"},
		},
	} {
		text, err := Marshal("id", access.Record{Caller: tt.caller, Service: "sts", Event: "AssumeRole"})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ UserIdentity map[string]any }
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got.UserIdentity); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

package server

import (
	"context"

	"berth/internal/access"
	"berth/internal/rotate"
)

// RotatePath is where what is sealed under earlier keys is sealed anew, step by
// step:
//
//	POST /_berth/v1/keys/rotate {"after": ""}
//	200  {"kind": "objects", "examined": 500, "resealed": 500, "locked": 0, "damaged": 0,
//	      "after": "objects/...", "retired": false, "masterKeyId": "..."}
//
// The next request has the place that the answer names, until that is empty. If earlier
// master keys are still needed then, the last answer says what for:
//
//	"blocked": [{"kind": "objects", "reason": "damaged", "masterKeyId": "...", "count": 2,
//	             "example": "sha256:... in 123456789012/us-east-1/AES256/"},
//	            {"kind": "servers", "reason": "seals", "masterKeyId": "...", "count": 1,
//	             "example": "10.0.0.2:5000, on host ...", "until": "2030-01-01T00:00:00Z"}]
//
// It is signed, and answers errors, as ECR's operations do. The caller must be the
// administrator, or be allowed berth:RotateKeys there.
const RotatePath = "/_berth/v1/keys/rotate"

// RotateRequest is the body of a request to RotatePath.
type RotateRequest struct {
	After string `json:"after,omitempty"`
}

// RotateResponse is the answer.
type RotateResponse = rotate.Progress

func (s *Server) rotate(ctx context.Context, c access.Call, in RotateRequest) (RotateResponse, error) {
	return s.rotator.Step(ctx, c, in.After)
}

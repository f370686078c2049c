package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/fault"
)

// maxExtensionBody bounds the body of a request for an operation of ours.
const maxExtensionBody = 64 << 10

// verifier is the first stage of finding out who has signed a request.
type verifier func(*http.Request) (aws.Signature[access.Call], error)

// extension serves an operation that ECR does not have. A request is a POST of
// one JSON document, signed for the service ecr; an answer is one JSON document,
// and an error is in the form of ECR's. It may take as long as it takes.
func extension[I, O any](s *Server, verify verifier, operation string, perform func(context.Context, access.Call, I) (O, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			answer(w, http.StatusMethodNotAllowed, "this is asked for with POST")
			return
		}
		body, call, err := signedBody(w, r, verify)
		var in I
		if err == nil {
			if in, err = strictJSON[I](body); err != nil {
				s.refused(call, "ecr", operation, err)
			}
		}
		if err == nil {
			// The connection is not expected to bring, or take, anything before the answer.
			conn := http.NewResponseController(w)
			_, _ = conn.SetReadDeadline(time.Time{}), conn.SetWriteDeadline(time.Time{}) // a recorder in tests has none
			var out O
			out, err = perform(r.Context(), call, in)
			_ = conn.SetWriteDeadline(time.Now().Add(stall))
			if err == nil {
				answerJSON(w, http.StatusOK, out)
				return
			}
		}
		if aws.WriteError(w, requestID(r), err) && !errors.Is(err, context.Canceled) {
			s.failed(r, err)
		}
	})
}

// signedBody reads the body of a request and finds out who has sent it.
func signedBody(w http.ResponseWriter, r *http.Request, verify verifier) (body []byte, call access.Call, err error) {
	signature, err := verify(r)
	if err != nil {
		return nil, call, err
	}
	if signature.Service != "ecr" {
		return nil, call, fault.New(fault.Unauthenticated, "InvalidSignatureException", "Credential should be scoped to correct service: 'ecr'.")
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxExtensionBody))
	if err != nil {
		return nil, call, fault.New(fault.Invalid, "SerializationException", "The request body could not be read, or is larger than %d bytes", maxExtensionBody)
	}
	call, err = signature.Verify(sha256.Sum256(body))
	return body, call, err
}

// strictJSON reads one JSON object. Members that are not known, or null, are
// refused: what they leave out might be what says that only a little is meant.
func strictJSON[I any](text []byte) (in I, err error) {
	var members map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err = errors.Join(json.Unmarshal(text, &members), dec.Decode(&in))
	bad := err != nil || members == nil
	for _, m := range members {
		bad = bad || string(m) == "null"
	}
	if bad {
		return in, fault.New(fault.Invalid, "SerializationException", "The request body is not the JSON document that is expected")
	}
	return in, nil
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}

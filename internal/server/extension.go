package server

import (
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
func extension[I, O any](s *Server, verify verifier, perform func(context.Context, access.Call, I) (O, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			answer(w, http.StatusMethodNotAllowed, "this is asked for with POST")
			return
		}
		in, call, err := signedInput[I](w, r, verify)
		if err == nil {
			// The connection is not expected to bring anything before the answer.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a recorder in tests has none
			var out O
			if out, err = perform(r.Context(), call, in); err == nil {
				answerJSON(w, http.StatusOK, out)
				return
			}
		}
		s.answerError(w, r, err)
	})
}

// signedInput reads the document of a request and finds out who has sent it.
func signedInput[I any](w http.ResponseWriter, r *http.Request, verify verifier) (in I, call access.Call, err error) {
	signature, err := verify(r)
	if err != nil {
		return in, call, err
	}
	if signature.Service != "ecr" {
		return in, call, fault.New(fault.Unauthenticated, "InvalidSignatureException", "Credential should be scoped to correct service: 'ecr'.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxExtensionBody))
	if err != nil {
		return in, call, fault.New(fault.Invalid, "SerializationException", "The request body could not be read, or is larger than %d bytes", maxExtensionBody)
	}
	if call, err = signature.Verify(sha256.Sum256(body)); err != nil {
		return in, call, err
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return in, call, fault.New(fault.Invalid, "SerializationException", "The request body is not the JSON document that is expected")
	}
	return in, call, nil
}

// answerError renders an error as ECR's JSON protocol does. What the client may
// not see goes to the log.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	f, ok := fault.As(err)
	if !ok || f.Kind == fault.Internal {
		if !errors.Is(err, context.Canceled) {
			s.failed(r, err)
		}
		status, f = http.StatusInternalServerError, fault.New(fault.Internal, "ServerException", "internal error (request id %s)", requestID(r))
	}
	w.Header().Set("X-Amzn-Errortype", f.Code)
	answerJSON(w, status, map[string]string{"__type": f.Code, "message": f.Message})
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}

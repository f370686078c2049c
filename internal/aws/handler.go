package aws

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strconv"

	"berth/internal/fault"
)

// Signature is a request's signature after the first stage of authentication,
// which has seen the header but not the body.
type Signature[C any] struct {
	// Service is the service that the signature is scoped to, "" if the request
	// is not signed.
	Service string
	// Verify is the second stage: given the SHA-256 of the body, it returns the
	// caller. It is called at most once. For a request that is not signed, it
	// returns an anonymous caller.
	Verify func(body [sha256.Size]byte) (C, error)
}

// Options are what a [Handler] is made from.
type Options[C any] struct {
	Services []Service[C]
	// Begin is the first stage of authentication. It must refuse whatever can be
	// refused without the body: keys that do not exist, dates out of range. Its
	// errors, and those of Verify, are of package fault and have the codes of
	// the JSON protocol; the Query protocol's own spelling is put in here.
	Begin func(*http.Request) (Signature[C], error)
	// RequestID returns the id that the request already has in the log.
	RequestID func(*http.Request) string
	// Log gets the errors that clients do not see. Nil means none.
	Log *slog.Logger
	// Refused is told of calls of known callers that never reached their
	// operation, because their input breaks a constraint, or that it says are
	// Unheard. Nil means nobody.
	Refused func(caller C, service, operation string, err error)
	// Memory bounds the bytes that request bodies above 1 MiB hold at any time,
	// 256 MiB if it is 0. Requests wait for their share.
	Memory int64
}

// Handler serves the AWS APIs that share POST /. It is safe for concurrent use.
type Handler[C any] struct {
	begin     func(*http.Request) (Signature[C], error)
	requestID func(*http.Request) string
	refused   func(caller C, service, operation string, err error)
	log       *slog.Logger
	bodies    *bodies
	targets   map[string]*Service[C] // JSON services by target prefix
	versions  map[string]*Service[C] // Query services by version
}

// New returns a Handler. It fails if a callback is missing or a service's table
// is wrong.
func New[C any](o Options[C]) (*Handler[C], error) {
	if o.Begin == nil || o.RequestID == nil {
		return nil, errors.New("aws: Begin and RequestID must be set")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Refused == nil {
		o.Refused = func(C, string, string, error) {}
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	h := &Handler[C]{
		begin:     o.Begin,
		requestID: o.RequestID,
		refused:   o.Refused,
		log:       o.Log,
		bodies:    newBodies(o.Memory),
		targets:   make(map[string]*Service[C]),
		versions:  make(map[string]*Service[C]),
	}
	for i := range o.Services {
		if err := h.add(&o.Services[i]); err != nil {
			return nil, fmt.Errorf("aws: %w", err)
		}
	}
	return h, nil
}

func (h *Handler[C]) add(s *Service[C]) error {
	if err := s.validate(); err != nil {
		return err
	}
	by, key := h.targets, s.TargetPrefix
	if s.Protocol == Query {
		by, key = h.versions, s.Version
	}
	if by[key] != nil {
		return fmt.Errorf("services %s and %s share %s", by[key].Name, s.Name, key)
	}
	by[key] = s
	return nil
}

// An exchange is what is known of a request on the way, for its error and the
// log.
type exchange[C any] struct {
	id        string
	protocol  Protocol
	service   *Service[C] // nil until found
	operation string
}

// ServeHTTP answers one call.
func (h *Handler[C]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange[C]{id: h.requestID(r)}
	if isForm(r) {
		x.protocol = Query
	}
	w.Header().Set("X-Amzn-Requestid", x.id)
	if r.Method != http.MethodPost {
		res := x.failure(fault.New(fault.NotFound, codeUnknownOperation, "API calls are made with POST"))
		res.status = http.StatusNotFound
		write(w, res)
		return
	}
	serve := h.serveJSON
	if x.protocol == Query {
		serve = h.serveQuery
	}
	body, err := serve(w, r, x)
	if err != nil {
		write(w, x.failure(h.visible(r.Context(), x, err)))
		return
	}
	res := response{status: http.StatusOK, contentType: jsonType, body: body}
	if x.protocol == Query {
		res.contentType = xmlType
	}
	write(w, res)
}

func write(w http.ResponseWriter, res response) {
	w.Header().Set("Content-Type", res.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(res.body)))
	if res.errorType != "" {
		w.Header().Set("X-Amzn-Errortype", res.errorType)
	}
	if res.decisionID != "" {
		w.Header().Set(DecisionHeader, res.decisionID)
	}
	if res.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(res.retryAfter, 10))
	}
	w.WriteHeader(res.status)
	_, _ = w.Write(res.body) // the client is gone
}

// WriteError answers a request that is not for a [Handler] with an error, as the
// JSON protocol does. It reports whether the error is a fault of ours: the client
// sees no more of it than the request's id.
func WriteError(w http.ResponseWriter, requestID string, err error) (internal bool) {
	f, ok := fault.Seen(err)
	if internal = !ok || f.Kind == fault.Internal; internal {
		f = internalError("ServerException", requestID)
	}
	write(w, jsonFailure(f, "message"))
	return internal
}

// isForm tells Query requests from JSON ones.
func isForm(r *http.Request) bool {
	return r.Header.Get("X-Amz-Target") == "" && mediaType(r) == "application/x-www-form-urlencoded"
}

func mediaType(r *http.Request) string {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t
}

// visible returns what the client may see of err. What it may not see goes to
// the log, and so do causes, unless it is the client who has left.
func (h *Handler[C]) visible(ctx context.Context, x *exchange[C], err error) *fault.Error {
	f, ok := fault.Seen(err)
	level := slog.LevelError
	if ok && f.Kind != fault.Internal && f.Kind != fault.Unavailable && f.Kind != fault.Full || ctx.Err() != nil {
		level = slog.LevelDebug
	}
	attrs := []any{"request_id", x.id, "operation", x.operation, "err", err}
	if x.service != nil {
		attrs = append(attrs, "service", x.service.Name)
	}
	h.log.Log(ctx, level, "aws call failed", attrs...)
	if ok && f.Kind != fault.Internal {
		return f
	}
	code := "InternalFailure"
	if x.service != nil {
		code = x.service.internalCode()
	}
	return internalError(code, x.id)
}

// failure renders an error in the protocol of the request.
func (x *exchange[C]) failure(f *fault.Error) response {
	if x.protocol == JSON {
		member := "message"
		if x.service != nil && x.service.ErrorMember != "" {
			member = x.service.ErrorMember
		}
		return jsonFailure(f, member)
	}
	namespace := ""
	if x.service != nil {
		namespace = x.service.Namespace
	}
	return xmlFailure(f, namespace, x.id)
}

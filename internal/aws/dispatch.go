package aws

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"berth/internal/fault"
)

func (h *Handler[C]) serveJSON(w http.ResponseWriter, r *http.Request, x *exchange[C]) ([]byte, error) {
	target := r.Header.Get("X-Amz-Target")
	prefix, name, _ := strings.Cut(target, ".")
	x.service = h.targets[prefix]
	op, err := x.find(name, target)
	if err != nil {
		return nil, err
	}
	switch mediaType(r) {
	case "application/x-amz-json-1.1", "application/x-amz-json-1.0", "application/json":
	default:
		return nil, malformed("The content type of the request is not %s", jsonType)
	}
	sig, err := h.begin(r)
	if err != nil {
		return nil, err
	}
	if err := x.scope(sig, op); err != nil {
		return nil, err
	}
	body, release, err := h.bodies.read(w, r, op.maxBody)
	if err != nil {
		return nil, err
	}
	defer release()
	out, err := h.perform(r.Context(), x, sig, op, body, func(in any) error {
		doc, err := decodeJSON(body, in.(smithy.Serializable))
		if err != nil {
			return err
		}
		return x.service.Model.check(op.Name, doc)
	})
	if err != nil {
		return nil, err
	}
	return encodeJSON(out.(smithy.Serializable))
}

// maxUnsigned bounds the body of a Query request that nobody has signed.
const maxUnsigned = 128 << 10

// serveQuery must read the body before it knows the operation. Of who has not
// signed it reads less, and says no more than that a signature is missing unless
// the operation takes none.
func (h *Handler[C]) serveQuery(w http.ResponseWriter, r *http.Request, x *exchange[C]) ([]byte, error) {
	sig, err := h.begin(r)
	if err != nil {
		return nil, err
	}
	most := int64(defaultMaxBody)
	if sig.Service == "" {
		most = maxUnsigned
	}
	body, release, err := h.bodies.read(w, r, most)
	if err != nil {
		return nil, err
	}
	defer release()
	form, err := parseForm(body)
	if err != nil {
		return nil, err
	}
	x.service = h.versions[form.text("Version")]
	op, err := x.find(form.text("Action"), form.text("Action"))
	if sig.Service == "" && (err != nil || !op.unsigned) {
		return nil, errMissingToken()
	}
	if err != nil {
		return nil, err
	}
	if err := x.scope(sig, op); err != nil {
		return nil, err
	}
	out, err := h.perform(r.Context(), x, sig, op, body, func(in any) error {
		if err := decodeQuery(form, in, x.service.Model.inputOf(op.Name)); err != nil {
			return err
		}
		return x.service.Model.checkForm(op.Name, form)
	})
	if err != nil {
		return nil, err
	}
	return encodeXML(x.service.Namespace, op.Name, x.id, out, op.result)
}

func errMissingToken() error {
	return fault.New(fault.Unauthenticated, codeMissingToken, "Missing Authentication Token")
}

// perform verifies the signature of a request, decodes its input and calls the
// operation.
func (h *Handler[C]) perform(ctx context.Context, x *exchange[C], sig Signature[C], op *Operation[C], body []byte, decode func(any) error) (any, error) {
	caller, err := sig.Verify(sha256.Sum256(body))
	if err != nil {
		return nil, err
	}
	in := op.input()
	if err := decode(in); err != nil {
		h.refused(caller, x.service.Name, op.Name, err)
		return nil, err
	}
	out, err := op.call(ctx, caller, in)
	if isUnheard(err) {
		h.refused(caller, x.service.Name, op.Name, err)
	}
	return out, err
}

// find returns the named operation of x's service. The request calls it by its
// full name.
func (x *exchange[C]) find(name, full string) (*Operation[C], error) {
	var op *Operation[C]
	if x.service != nil {
		op = x.service.operation(name)
	}
	switch {
	case full == "":
		return nil, fault.New(fault.Invalid, codeUnknownOperation, "The request does not say which operation it is for")
	case op == nil:
		return nil, fault.New(fault.Invalid, codeUnknownOperation, "There is no operation %.128q in this version of the API", full)
	case op.Refused != "":
		return nil, fault.New(fault.Unsupported, codeUnsupported, "The operation %s is not supported by Berth: %s", op.Name, op.Refused)
	}
	x.operation = op.Name
	return op, nil
}

// scope checks that the signature, or its absence, is good for op.
func (x *exchange[C]) scope(sig Signature[C], op *Operation[C]) error {
	switch {
	case sig.Service == "" && !op.unsigned:
		return errMissingToken()
	case sig.Service != "" && sig.Service != x.service.Name:
		return fault.New(fault.Unauthenticated, codeInvalidSignature,
			"Credential should be scoped to correct service: '%s'.", x.service.Name)
	}
	return nil
}

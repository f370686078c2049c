package server

import (
	"context"
	"errors"
	"testing"

	"berth/internal/blob"
	"berth/internal/fault"
	"berth/internal/seal"
)

// refusing is a key service that answers with an error.
type refusing struct{ err error }

func (r refusing) Wrap(context.Context, string, []byte, string) ([]byte, error) { return nil, r.err }
func (r refusing) Unwrap(context.Context, string, []byte, string) ([]byte, error) {
	return nil, r.err
}
func (r refusing) Current(context.Context, string, []byte) (bool, error) { return false, r.err }

func TestWhatTheKeyServiceAnswersIsToldOn(t *testing.T) {
	t.Parallel()
	const about = "berth object, format 1, layer 0\n123456789012/us-east-1/KMS/k\n"
	disabled := fault.New(fault.Conflict, "DisabledException", "no")
	invalid := fault.New(fault.Invalid, "InvalidCiphertextException", "no")
	broken := errors.New("the database is away")
	for _, test := range []struct {
		err  error
		want func(error) bool
	}{
		{disabled, func(err error) bool {
			var k *blob.KeyError
			return errors.As(err, &k) && k.Reason == "DisabledException"
		}},
		{invalid, func(err error) bool { return errors.Is(err, blob.ErrDamaged) }},
		{broken, func(err error) bool { return err == broken }},
		{nil, func(err error) bool { return err == nil }},
	} {
		w := newKeyWrapper(seal.NewMaster(), refusing{test.err})
		if _, err := w.Wrap(t.Context(), "k", nil, about); !test.want(err) {
			t.Errorf("Wrap with %v = %v", test.err, err)
		}
		if _, err := w.Unwrap(t.Context(), "k", []byte{byService}, about); !test.want(err) {
			t.Errorf("Unwrap with %v = %v", test.err, err)
		}
		if _, err := w.(blob.Currency).Current(t.Context(), "k", []byte{byService}); !test.want(err) {
			t.Errorf("Current with %v = %v", test.err, err)
		}
		if _, err := w.Unwrap(t.Context(), "k", []byte{1}, about); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("Unwrap of what no KMS key has wrapped = %v, want ErrDamaged", err)
		}
		wrapped, err := w.Wrap(t.Context(), "", make([]byte, 32), about)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Unwrap(t.Context(), "", wrapped, about); err != nil {
			t.Errorf("without a KMS key Unwrap = %v", err)
		}
	}
}

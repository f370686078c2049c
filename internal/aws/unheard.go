package aws

import "errors"

// Unheard marks an error that a front has found before it could call a verb. Verbs
// record the calls that they refuse; the handler records these. nil stays nil.
func Unheard(err error) error {
	if err == nil {
		return nil
	}
	return unheard{err}
}

type unheard struct{ error }

func (e unheard) Unwrap() error { return e.error }

func isUnheard(err error) bool { return errors.As(err, new(unheard)) }

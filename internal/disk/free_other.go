//go:build !linux && !darwin

package disk

import "errors"

func free(string) (avail, size int64, err error) { return 0, 0, errors.ErrUnsupported }

//go:build !unix

package credential

import "os"

// ownersOnly is for systems whose permissions are not in a file's mode.
func ownersOnly(os.FileMode) bool { return true }

//go:build unix

package credential

import "os"

// ownersOnly reports whether only its owner may read or write a file.
func ownersOnly(m os.FileMode) bool { return m.Perm()&0o077 == 0 }

//go:build !linux

package s3bucket

// newChunk returns an empty chunk.
func newChunk() []byte { return make([]byte, 0, chunkSize) }

// cool reports whether the chunk can be used again: it is left to the collector.
func cool([]byte) bool { return false }

package s3bucket

import "syscall"

// newChunk returns an empty chunk, outside of the heap if possible.
func newChunk() []byte {
	p, err := syscall.Mmap(-1, 0, chunkSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		p = make([]byte, chunkSize)
	}
	return p[:0]
}

// cool gives the memory of a chunk back to the system, and reports whether the chunk can
// be used again. It stays mapped: a connection that was given up may still read it.
func cool(p []byte) bool {
	return syscall.Madvise(p[:cap(p)], syscall.MADV_DONTNEED) == nil
}

package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"runtime"
	"syscall"
	"time"
)

// sealGiB seals a GiB with AES-256-GCM, in chunks as Berth does, and returns what that
// costs by itself.
func sealGiB() (result, error) {
	const chunk, chunks = 64 << 10, 16 << 10
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return result{}, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return result{}, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buffer, nonce := make([]byte, chunk, chunk+aead.Overhead()), make([]byte, 12)
	begin, before := time.Now(), threadTime()
	for n := range uint64(chunks) {
		binary.BigEndian.PutUint64(nonce[4:], n)
		aead.Seal(buffer[:0], nonce, buffer, nil)
	}
	used := threadTime() - before
	return result{OpsPerS: 1 / time.Since(begin).Seconds(), CPU: float64(used.Microseconds())}, nil
}

// threadTime is the CPU time that this thread has used.
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	_ = syscall.Getrusage(thread, &u) // fails only for a wrong argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

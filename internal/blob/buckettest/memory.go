package buckettest

import (
	"runtime"
	"time"
)

// PeakMemory returns what returns how far the heap, with its garbage, has grown at most
// in the meantime.
func PeakMemory() func() int64 {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	runtime.GC()
	before := heap()
	var most int64
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			most = max(most, heap()-before)
			select {
			case <-time.After(5 * time.Millisecond):
			case <-end:
				return
			}
		}
	}()
	return func() int64 {
		close(end)
		<-ended
		return most
	}
}

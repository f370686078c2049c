package buckettest

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// PeakMemory returns what returns how much the memory of this process has grown at most
// in the meantime: what is in no file; or, where the system does not say that, the heap
// with its garbage.
func PeakMemory() func() int64 {
	debug.FreeOSMemory()
	before := memory()
	var most int64
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			most = max(most, memory()-before)
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

func memory() int64 {
	if f, err := os.Open("/proc/self/status"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			var kib int64
			if text, ok := strings.CutPrefix(s.Text(), "RssAnon:"); ok {
				if _, err := fmt.Sscan(text, &kib); err == nil {
					return kib << 10
				}
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

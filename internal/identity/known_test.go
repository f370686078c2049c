package identity

import (
	"sync"
	"testing"
	"testing/synctest"
)

// Requests that come while a principal is read wait for it, but not those that
// come after a change.
func TestAReadIsSharedUntilSomethingChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k known
		var mu sync.Mutex
		reads := 0
		release := make(chan struct{})
		read := func() (principal, error) {
			mu.Lock()
			reads++
			p := principal{secret: string(rune('0' + reads))}
			mu.Unlock()
			<-release
			return p, nil
		}
		secrets := make(chan string, 20)
		ask := func() {
			_, generation, _ := k.get("AKIA", k.keys["AKIA"].at)
			p, err := k.once("AKIA", generation, read)
			if err != nil {
				t.Error(err)
			}
			secrets <- p.secret
		}
		for range 10 {
			go ask()
		}
		synctest.Wait()
		k.change()()
		for range 10 {
			go ask()
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		seen := map[string]int{}
		for range 20 {
			seen[<-secrets]++
		}
		if reads != 2 || seen["1"] != 10 || seen["2"] != 10 || len(k.flights) != 0 {
			t.Errorf("%d reads for %v, %d are left", reads, seen, len(k.flights))
		}
	})
}

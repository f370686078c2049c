package gc

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestASteadyClockGoesWithTheTimeThatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		age := Steady()
		time.Sleep(3 * time.Hour)
		if got := age().Sub(start); got != 3*time.Hour {
			t.Errorf("after three hours it says %v", got)
		}
	})
}

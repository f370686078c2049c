package gc

import "time"

// Steady returns a clock that never goes ahead of the time that has really passed since
// it was made: a clock that is set forward by mistake makes nothing garbage. If it is
// set back, so is this one.
func Steady() func() time.Time {
	start := time.Now() // with a reading of the clock that cannot be set
	return func() time.Time {
		passed := start.Add(time.Since(start))
		if now := time.Now(); now.Round(0).Before(passed.Round(0)) {
			return now
		}
		return passed
	}
}

// This file says when to ask again.

package pixazo

import "time"

// PollDelay is how long to wait between two polls of a job of that age:
// an eighth of the age, at least 1 s and at most 15 s, give or take 10 %. The
// age counts from the job's creation, so that a second wait goes on where the
// first one stopped. r is a random number in [0, 1).
func PollDelay(age time.Duration, r float64) time.Duration {
	d := min(max(age/8, time.Second), 15*time.Second)
	return time.Duration(float64(d) * (0.9 + 0.2*r))
}

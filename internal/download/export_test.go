// This file lets tests look at the rules on names and addresses past a transfer,
// and at who waits.

package download

// The rules of this package.
var (
	CheckFilename = checkFilename
	CheckProxied  = checkProxied
	DefaultName   = defaultName
)

// Waiting is how many calls of Save wait for a transfer.
func (s *Saver) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, t := range s.transfers {
		n += t.waiting
	}
	return n
}

// FinishSaves waits for the transfers under way.
func (s *Saver) FinishSaves() { s.running.Wait() }

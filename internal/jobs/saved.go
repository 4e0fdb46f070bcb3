// This file keeps where videos are saved on this computer.

package jobs

// SavedFile is a video on this computer.
type SavedFile struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type"`
	SHA256    string `json:"sha256"` // in hexadecimal
}

// RecordSaved has the journal hold where the files of a job are, in the order of
// its VideoURLs, in place of those it held.
func (t *Tracker) RecordSaved(requestID string, files []SavedFile) error {
	err := t.journal.saved(requestID, files)
	t.tell(requestID, false)
	return err
}

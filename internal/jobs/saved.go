// This file keeps where videos are saved on this computer.

package jobs

import "slices"

// SavedFile is a video on this computer.
type SavedFile struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type"`
	SHA256    string `json:"sha256"`          // in hexadecimal
	Video     int    `json:"video,omitempty"` // index in the job's VideoURLs
}

// AddSaved adds files to those that the journal has for a job, newest first. A
// file takes the place of an older one with the same path.
func (t *Tracker) AddSaved(requestID string, files []SavedFile) error {
	r, err := t.journal.find(requestID)
	if err != nil {
		return err
	}
	all := slices.Clone(files)
	if r != nil {
		for _, old := range r.Saved {
			if !slices.ContainsFunc(files, func(f SavedFile) bool { return f.Path == old.Path }) {
				all = append(all, old)
			}
		}
	}
	err = t.journal.saved(requestID, all[:min(len(all), 50)])
	t.tell(requestID, false)
	return err
}

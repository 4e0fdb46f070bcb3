// This file packs a job into its request_id and reads it back, which is why the
// sandbox stores no jobs, and works out the job's status at a given time.

package sandbox

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

const idPrefix = "heygen-video-agent_"

// maxDuration keeps a duration in milliseconds within the 22 bits an id has for it.
const maxDuration = time.Hour

// job is all that the sandbox knows of a video.
type job struct {
	created  time.Time     // whole milliseconds
	duration time.Duration // whole milliseconds, 0 to maxDuration
	word     int           // its script: a position in Scripts plus one, 0 for none
	portrait bool
	serial   uint32 // 13 bits that tell jobs of the same millisecond apart
}

// id returns the request_id: the prefix and a UUIDv7 (RFC 9562, section 5.7)
// whose free bits are, from the left, 6 of word, 1 of portrait, 22 of duration,
// 13 of serial and 32 of checksum.
func (j job) id() string {
	portrait := uint64(0)
	if j.portrait {
		portrait = 1
	}
	ms := uint64(j.duration.Milliseconds())
	high := uint64(j.created.UnixMilli())<<16 | 7<<12 | uint64(j.word)<<6 | portrait<<5 | ms>>17
	low := 2<<62 | ms&(1<<17-1)<<45 | uint64(j.serial&(1<<13-1))<<32
	low |= uint64(checksum(high, low))
	return fmt.Sprintf("%s%08x-%04x-%04x-%04x-%012x", idPrefix, high>>32, high>>16&0xffff, high&0xffff, low>>48, low&(1<<48-1))
}

// checksum covers the two halves of an id. The prefix keeps it from being the
// plain CRC of the bytes in the id.
func checksum(high, low uint64) uint32 {
	b := binary.BigEndian.AppendUint64([]byte(idPrefix), high)
	return crc32.ChecksumIEEE(binary.BigEndian.AppendUint64(b, low))
}

// parseID is the reverse of job.id. It reports false for everything that id
// cannot have made.
func parseID(id string) (job, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(id, idPrefix), "-", ""))
	if err != nil || len(b) != 16 {
		return job{}, false
	}
	high, low := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	j := job{
		created:  time.UnixMilli(int64(high >> 16)).UTC(),
		duration: time.Duration(high&(1<<5-1)<<17|low>>45&(1<<17-1)) * time.Millisecond,
		word:     int(high >> 6 & (1<<6 - 1)),
		portrait: high>>5&1 == 1,
		serial:   uint32(low >> 32 & (1<<13 - 1)),
	}
	// Packing it again checks all at once: the checksum, the version and variant
	// bits, the letters' case and the place of the hyphens.
	if j.word > len(Scripts) || j.id() != id {
		return job{}, false
	}
	return j, true
}

// script returns the job's script, the zero Script if it has none.
func (j job) script() Script {
	if j.word == 0 {
		return Script{}
	}
	return Scripts[j.word-1]
}

// statusBody is the answer to a status request and the body of a callback.
// What is not known yet is null, as in the documents.
type statusBody struct {
	RequestID   string  `json:"request_id"`
	Status      string  `json:"status"`
	ModelID     string  `json:"model_id"`
	Error       *string `json:"error"`
	Output      *output `json:"output"`
	CreatedAt   string  `json:"created_at"`
	UpdatedAt   *string `json:"updated_at"`
	CompletedAt *string `json:"completed_at"`

	// Of HeyGen, only where a script says so.
	FailureCode    string `json:"failure_code,omitempty"`
	FailureMessage string `json:"failure_message,omitempty"`
}

// ended reports whether the status is the job's last.
func (b statusBody) ended() bool {
	return b.Status == "COMPLETED" || b.Status == "FAILED" || b.Status == "ERROR"
}

type output struct {
	MediaURL  any    `json:"media_url"` // []string, or a string where a script says so
	MediaType string `json:"media_type"`
	*extras
}

// extras are what HeyGen's own API tells of a video besides.
type extras struct {
	Duration          float64 `json:"duration"` // seconds
	Title             string  `json:"title"`
	ThumbnailURL      string  `json:"thumbnail_url"`
	GIFURL            string  `json:"gif_url"`
	SubtitleURL       string  `json:"subtitle_url"`
	CaptionedVideoURL string  `json:"captioned_video_url"`
}

// status returns what a status request made to origin at the time now is told.
func (j job) status(now time.Time, origin string) statusBody {
	age := now.Sub(j.created)
	body := statusBody{
		RequestID: j.id(),
		Status:    "QUEUED",
		ModelID:   "heygen-video-agent",
		CreatedAt: j.created.UTC().Format("2006-01-02T15:04:05.000Z"),
	}
	begin := j.duration * 15 / 100
	switch {
	case age >= j.duration:
		body.Status = "COMPLETED"
		body.Output = &output{
			MediaURL:  j.links(now, origin),
			MediaType: "video/mp4",
		}
		body.UpdatedAt = seconds(j.created.Add(j.duration))
		body.CompletedAt = body.UpdatedAt
	case age >= begin:
		body.Status = "PROCESSING"
		body.UpdatedAt = seconds(j.created.Add(begin))
	}
	if s := j.script(); s.alter != nil && s.holds(age, j.duration) {
		s.alter(&body)
	}
	return body
}

// seconds writes t in the second of the documented forms: UTC without a zone,
// the fraction cut off. For a job of less than a second the end can therefore
// read as earlier than created_at.
func seconds(t time.Time) *string {
	s := t.UTC().Format(time.DateTime)
	return &s
}

// This file encodes a job in its request_id and decodes it again, so that the sandbox
// need not store jobs, and computes a job's status at a given time.

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

// maxDuration is the longest duration. In milliseconds it must fit into 22 bits of an id.
const maxDuration = time.Hour

// job is everything that the sandbox knows of a video.
type job struct {
	created      time.Time     // whole milliseconds
	duration     time.Duration // whole milliseconds, 0 to maxDuration
	scriptNumber int           // the position of its script in Scripts, plus one; 0 for none
	portrait     bool
	serial       uint32 // 13 bits that tell jobs of the same millisecond apart
}

// id returns the request_id: the prefix and a UUIDv7 (RFC 9562, section 5.7). Its free
// bits are, from the left, 6 for scriptNumber, 1 for portrait, 22 for duration, 13 for serial
// and 32 for the checksum.
func (j job) id() string {
	free := uint64(j.scriptNumber)<<36 | uint64(j.duration.Milliseconds())<<13 | uint64(j.serial&(1<<13-1))
	if j.portrait {
		free |= 1 << 35
	}
	high := uint64(j.created.UnixMilli())<<16 | 7<<12 | free>>30
	low := 2<<62 | free&(1<<30-1)<<32
	low |= uint64(checksum(high, low))
	return fmt.Sprintf("%s%08x-%04x-%04x-%04x-%012x", idPrefix, high>>32, high>>16&0xffff, high&0xffff, low>>48, low&(1<<48-1))
}

// checksum returns the CRC of the two halves of an id, with the prefix before them so
// that it differs from the plain CRC of the id's bytes.
func checksum(high, low uint64) uint32 {
	b := binary.BigEndian.AppendUint64([]byte(idPrefix), high)
	return crc32.ChecksumIEEE(binary.BigEndian.AppendUint64(b, low))
}

// parseID decodes a request_id. It reports false for everything that job.id can't return.
func parseID(id string) (job, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(id, idPrefix), "-", ""))
	if err != nil || len(b) != 16 {
		return job{}, false
	}
	high, low := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	free := high&(1<<12-1)<<30 | low>>32&(1<<30-1)
	j := job{
		created:      time.UnixMilli(int64(high >> 16)).UTC(),
		duration:     time.Duration(free>>13&(1<<22-1)) * time.Millisecond,
		scriptNumber: int(free >> 36),
		portrait:     free>>35&1 == 1,
		serial:       uint32(free & (1<<13 - 1)),
	}
	// Encoding the job again checks everything: the checksum, the version and variant
	// bits, the case of the letters and the places of the hyphens.
	if j.scriptNumber > len(Scripts) || j.id() != id {
		return job{}, false
	}
	return j, true
}

// script returns the job's script, the zero Script if it has none.
func (j job) script() Script {
	if j.scriptNumber == 0 {
		return Script{}
	}
	return Scripts[j.scriptNumber-1]
}

// statusBody is the answer to a status request, and the body of a callback. As in the
// documents, what is not known yet is null.
type statusBody struct {
	RequestID   string  `json:"request_id"`
	Status      string  `json:"status"`
	ModelID     string  `json:"model_id"`
	Error       *string `json:"error"`
	Output      *output `json:"output"`
	CreatedAt   string  `json:"created_at"`
	UpdatedAt   *string `json:"updated_at"`
	CompletedAt *string `json:"completed_at"`

	// Fields of HeyGen, set by a script only.
	FailureCode    string `json:"failure_code,omitempty"`
	FailureMessage string `json:"failure_message,omitempty"`
}

// ended reports whether the job has ended.
func (b statusBody) ended() bool {
	return b.Status == "COMPLETED" || b.Status == "FAILED" || b.Status == "ERROR"
}

type output struct {
	MediaURL  any    `json:"media_url"` // []string, or a string if a script sets one
	MediaType string `json:"media_type"`
	*extras
}

// extras are further fields that HeyGen's own API has for a video.
type extras struct {
	Duration          float64 `json:"duration"` // seconds
	Title             string  `json:"title"`
	ThumbnailURL      string  `json:"thumbnail_url"`
	GIFURL            string  `json:"gif_url"`
	SubtitleURL       string  `json:"subtitle_url"`
	CaptionedVideoURL string  `json:"captioned_video_url"`
}

// status returns the answer to a status request that is made to origin at the time now.
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
		body.Output = &output{MediaURL: j.links(now, origin), MediaType: videoType}
		body.UpdatedAt = seconds(j.created.Add(j.duration))
		body.CompletedAt = body.UpdatedAt
	case age >= begin:
		body.Status = "PROCESSING"
		body.UpdatedAt = seconds(j.created.Add(begin))
	}
	if s := j.script(); s.alter != nil && s.covers(age, j.duration) {
		s.alter(s, &body)
	}
	return body
}

// seconds returns t in the second documented form: UTC without a zone, the fraction of a
// second cut off. So completed_at of a very short job can be earlier than created_at.
func seconds(t time.Time) *string {
	s := t.UTC().Format(time.DateTime)
	return &s
}

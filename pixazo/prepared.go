// This file checks, encodes and hashes a VideoRequest, once, before it is sent.

package pixazo

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"pixazo-mcp/internal/text"
)

// Prepared is a request that is checked, encoded and ready to be sent. It must not be
// changed.
type Prepared struct {
	Prompt string // as it is sent

	// Fingerprint is the SHA-256 of the request's normal form, see
	// VideoRequest.normal. Requests with the same one ask for the same video.
	Fingerprint string
	Exact       string // the SHA-256 of the body

	Description string // JSON for the journal: the request without its prompt, with Files as its files
	Files       []File // the description of each item of the request's files

	body body
}

// UploadTime returns the time that sending the attachments over a slow line takes, by
// which the time limit of a submission is extended.
func (p *Prepared) UploadTime() time.Duration {
	return time.Duration(p.body.size()/uploadRate) * time.Second
}

// Prepare checks req against the documented rules and encodes it. Its errors have code
// invalid_argument, or file_refused for an attachment, and name the field, the rule and
// what came.
func Prepare(req VideoRequest) (*Prepared, error) { return prepare(req, Key{}, false) }

// Prepare does what the function Prepare does, encodes files as the configuration says,
// and refuses a request that contains the API key, which a user may have pasted into the
// prompt. A key of fewer than 16 bytes may be an ordinary word and is not looked for.
func (c *Client) Prepare(req VideoRequest) (*Prepared, error) {
	key, err := c.config.Key()
	if err != nil || len(key.value()) < text.MinSecret {
		key = Key{} // Submit reports what is wrong with the key
	}
	return prepare(req, key, c.config.FilesAsObjects)
}

func prepare(req VideoRequest, key Key, objects bool) (*Prepared, error) {
	for _, f := range req.texts() { // before the other checks, whose errors quote what came
		if !key.IsZero() && (strings.Contains(f.value, key.value()) || text.Holds(f.value[:min(len(f.value), 8*MaxPromptLength)], key.value())) {
			return nil, containsKey(f.name)
		}
	}
	req, err := req.checked()
	if err != nil {
		return nil, err
	}
	p := &Prepared{Prompt: req.Prompt}
	if err := p.addFiles(req, key.value()); err != nil {
		return nil, err
	}
	p.body = encode(req, p.Files, objects)
	sum := sha256.New()
	_, _ = io.Copy(sum, p.body.reader()) // neither side can fail
	p.Exact = fmt.Sprintf("%x", sum.Sum(nil))
	p.Fingerprint = fmt.Sprintf("%x", sha256.Sum256([]byte(encodeJSON(req.normal(p.Files)))))
	p.Description = encodeJSON(struct {
		VideoRequest
		Prompt string `json:"prompt,omitempty"`
		Files  []File `json:"files,omitempty"`
	}{VideoRequest: req, Files: p.Files})
	return p, nil
}

func containsKey(field string) error { return invalid(field, "contains the API key: remove it", "it") }

// addFiles checks the files of req and adds their descriptions to p. It refuses files
// that contain key, unless that is "".
func (p *Prepared) addFiles(req VideoRequest, key string) error {
	var total int64
	var refused []string
	last := "" // the rule that the last item of refused breaks
	code := InvalidArgument
	for i, item := range req.Files {
		field, got := fmt.Sprintf("files[%d]", i), text.Quote(item)
		var a *Attachment
		if i < len(req.Attached) {
			a = req.Attached[i]
		}
		f, content, rule := describe(item, a)
		if key != "" && (strings.Contains(item, key) || text.Holds(f.URL+f.AssetID, key) || bytes.Contains(content, []byte(key))) {
			return containsKey(field)
		}
		if rule == "" {
			if rule = sizeRule(f.Size, total+f.Size); rule != "" {
				got = fmt.Sprintf("%d bytes in %s", f.Size, got)
			}
		}
		if rule != "" {
			if a != nil && (refused == nil || a.unread()) {
				code = FileRefused
			}
			if rule != last {
				refused = append(refused, fmt.Sprintf("%s %s; got %s", field, rule, got))
			} else {
				refused[len(refused)-1] += fmt.Sprintf("; so with %s, %s", field, got)
			}
			last = rule
			continue
		}
		total += f.Size
		p.Files = append(p.Files, f)
	}
	if refused != nil {
		return &Error{Code: code, Message: strings.Join(refused, ". ")}
	}
	return nil
}

// normal returns the normal form of r: texts in Unicode NFC, trimmed, with runs of white
// space as one space and without characters that can't be seen; mode filled in; each
// item of files as its URL in normal form, its asset ID or the hash of its data.
func (r VideoRequest) normal(files []File) VideoRequest {
	for _, s := range []*string{&r.Prompt, &r.AvatarID, &r.VoiceID, &r.StyleID, &r.BrandKitID} {
		*s = norm.NFC.String(text.CleanVisible(*s, len(*s)))
	}
	r.Mode = cmp.Or(r.Mode, Modes[0])
	r.Files = nil
	for _, f := range files {
		r.Files = append(r.Files, f.SHA256+" "+normalURL(f.URL)+" "+f.AssetID)
	}
	return r
}

// body is the JSON that is sent, in parts. The data of attachments, which may be tens of
// megabytes, is encoded while it is sent.
type body []part

// part is text that is sent as it is, or data that is sent as base64.
type part struct {
	text string
	data []byte
}

// encode returns the body of req with the items files.
func encode(req VideoRequest, files []File, objects bool) body {
	req.Files = nil
	fields := encodeJSON(req)
	if len(files) == 0 {
		return body{{text: fields}}
	}
	b := body{{text: strings.TrimSuffix(fields, "}") + `,"files":[`}} // behind the prompt, which is never left out
	for i, f := range files {
		if i > 0 {
			b = append(b, part{text: ","})
		}
		b = append(b, f.parts(objects)...)
	}
	return append(b, part{text: "]}"})
}

func encodeJSON(value any) string {
	b, _ := text.JSON(value, "") // can't fail: value is made of strings, numbers and booleans
	return string(b)
}

func (b body) size() int64 {
	n := 0
	for _, p := range b {
		n += len(p.text) + base64.StdEncoding.EncodedLen(len(p.data))
	}
	return int64(n)
}

func (b body) reader() io.Reader {
	readers := make([]io.Reader, len(b))
	for i, p := range b {
		readers[i] = strings.NewReader(p.text)
		if p.data != nil {
			readers[i] = &encoder{rest: p.data}
		}
	}
	return io.MultiReader(readers...)
}

// encoder is a reader of data in base64.
type encoder struct {
	rest    []byte // not yet encoded
	pending []byte // encoded and not yet read; part of buf
	buf     [4 << 10]byte
}

func (e *encoder) Read(p []byte) (int, error) {
	if len(e.pending) == 0 {
		if len(e.rest) == 0 {
			return 0, io.EOF
		}
		n := min(len(e.rest), len(e.buf)/4*3)
		e.pending = base64.StdEncoding.AppendEncode(e.buf[:0], e.rest[:n])
		e.rest = e.rest[n:]
	}
	n := copy(p, e.pending)
	e.pending = e.pending[n:]
	return n, nil
}

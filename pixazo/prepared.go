// This file makes of a VideoRequest what is sent: checked, encoded, and named
// by two hashes, once.

package pixazo

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"pixazo-mcp/internal/text"
)

// Prepared is a checked and encoded request. It does not change, and whoever
// has one need not check or encode anything. The data of its attachments is
// that of the VideoRequest, which must not be written to.
type Prepared struct {
	prompt, orientation, fingerprint, exact, description string

	files    []File
	body     body
	warnings []string
}

// Prompt returns the prompt as it is sent.
func (p *Prepared) Prompt() string { return p.prompt }

// Orientation returns landscape, portrait or "".
func (p *Prepared) Orientation() string { return p.orientation }

// Fingerprint returns the SHA-256 of the request's normal form: Unicode NFC,
// runs of white space folded and trimmed, defaults filled in, data by its hash.
// Requests with the same fingerprint ask for the same video.
func (p *Prepared) Fingerprint() string { return p.fingerprint }

// Exact returns the SHA-256 of the body.
func (p *Prepared) Exact() string { return p.exact }

// Description returns the request without its prompt as JSON, for the journal.
// Its files are the elements of Files.
func (p *Prepared) Description() string { return p.description }

// Files returns what is known of each file.
func (p *Prepared) Files() []File { return p.files }

// Warnings returns sentences on what may not work as it was meant.
func (p *Prepared) Warnings() []string { return p.warnings }

// UploadTime returns how much longer than usual a submission may take, since
// its attachments go over a slow line.
func (p *Prepared) UploadTime() time.Duration {
	return time.Duration(p.body.size()/uploadRate) * time.Second
}

// File describes an item of VideoRequest.Files. A URL or an asset ID has only
// that; of a local file and of data there are type, size and hash.
type File struct {
	Name      string `json:"name,omitempty"` // of a local file
	MediaType string `json:"media_type,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes
	SHA256    string `json:"sha256,omitempty"`
	URL       string `json:"url,omitempty"`
	AssetID   string `json:"asset_id,omitempty"`
}

// Prepare checks req against the documented rules and encodes it. Its errors
// have code invalid_argument, or file_refused for an attachment, and name the
// field, the rule and what came.
func Prepare(req VideoRequest) (*Prepared, error) { return prepare(req, Key{}) }

// Prepare is the function Prepare, and refuses a request that contains the API
// key: a user who pasted it into the prompt would send it to the video agent. A
// key of fewer than 16 bytes may be an ordinary word and is not looked for.
func (c *Client) Prepare(req VideoRequest) (*Prepared, error) {
	key, err := c.config.Key()
	if err != nil || len(key.value()) < minHidden {
		key = Key{} // whoever needs the key says what is wrong with it
	}
	return prepare(req, key)
}

func prepare(req VideoRequest, key Key) (*Prepared, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	for _, f := range req.texts() {
		if key.in(f.value) {
			return nil, invalid(f.name, "contains the API key: remove it", "it")
		}
	}
	p := &Prepared{prompt: req.Prompt, orientation: req.Orientation}
	var parts []body // of each file
	normal := req
	normal.Files = nil
	for i := range req.Files {
		f, b, err := req.file(i, key)
		if err != nil {
			return nil, err
		}
		p.files, parts = append(p.files, f), append(parts, b)
		normal.Files = append(normal.Files, f.SHA256+" "+f.URL+" "+f.AssetID)
	}
	var err error
	if p.body, err = encodeBody(req, parts); err != nil {
		return nil, fmt.Errorf("prepare a request: %w", err)
	}
	if p.fingerprint, err = normal.fingerprint(); err != nil {
		return nil, fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.New()
	_, _ = io.Copy(sum, p.body.reader()) // neither side can fail
	p.exact = hexSum(sum)
	p.description, err = encodeJSON(struct {
		VideoRequest
		Prompt string `json:"prompt,omitempty"`
		Files  []File `json:"files,omitempty"`
	}{VideoRequest: req, Files: p.files})
	return p, err
}

// fingerprint hashes r, whose files are in their normal form.
func (r VideoRequest) fingerprint() (string, error) {
	r.Attached = nil
	for _, s := range []*string{&r.Prompt, &r.AvatarID, &r.VoiceID, &r.StyleID, &r.BrandKitID} {
		*s = norm.NFC.String(strings.Join(strings.Fields(*s), " "))
	}
	if r.Mode == "" {
		r.Mode = Modes[0]
	}
	whole, err := encodeJSON(r)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(whole))), err
}

// file checks item i of r.Files, and returns its description and its part of
// the body.
func (r VideoRequest) file(i int, key Key) (File, body, error) {
	field, item := fmt.Sprintf("files[%d]", i), r.Files[i]
	leaked := invalid(field, "contains the API key: remove it", "it")
	if a := r.attachment(i); a != nil {
		if !key.IsZero() && bytes.Contains(a.Data, []byte(key.value())) {
			return File{}, nil, leaked
		}
		f := File{Name: a.Name, MediaType: a.MediaType, Size: int64(len(a.Data)), SHA256: fmt.Sprintf("%x", sha256.Sum256(a.Data))}
		return f, body{{text: `"data:` + a.MediaType + `;base64,`}, {data: a.Data}, {text: `"`}}, nil
	}
	if key.in(item) {
		return File{}, nil, leaked
	}
	quoted, err := encodeJSON(item)
	switch {
	case err != nil:
		return File{}, nil, err
	case !isData(item):
		f := File{AssetID: item}
		if strings.Contains(item, ":") {
			f = File{URL: item}
		}
		return f, body{{text: quoted}}, nil
	}
	head, encoded, _ := strings.Cut(item, ",")
	mediaType, _, _ := strings.Cut(head[len("data:"):], ";")
	sum := sha256.New()
	found := &finder{word: []byte(key.value())}
	size, err := io.Copy(io.MultiWriter(sum, found), base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded)))
	switch {
	case err != nil:
		return File{}, nil, fmt.Errorf("%s: %w", field, err)
	case found.found:
		return File{}, nil, leaked
	}
	f := File{MediaType: strings.ToLower(mediaType), Size: size, SHA256: hexSum(sum)}
	return f, body{{text: `"`}, {text: item}, {text: `"`}}, nil // a data URI has nothing to escape
}

// in reports whether s contains the key; false without a key.
func (k Key) in(s string) bool { return !k.IsZero() && strings.Contains(s, k.value()) }

// finder looks for word in what is written to it; it finds no empty word.
type finder struct {
	word, tail []byte
	found      bool
}

func (f *finder) Write(p []byte) (int, error) {
	if len(f.word) == 0 {
		return len(p), nil
	}
	seen := append(f.tail, p...)
	f.found = f.found || bytes.Contains(seen, f.word)
	f.tail = bytes.Clone(seen[max(0, len(seen)-len(f.word)+1):])
	return len(p), nil
}

// body is the JSON that is sent, in parts: what an attachment holds is encoded
// while it is sent, since it may be tens of megabytes.
type body []part

// part is text as it is sent, or data that is sent as base64.
type part struct {
	text string
	data []byte
}

// encodeBody puts the parts of the files into the JSON of req, which has <, >
// and & unescaped.
func encodeBody(req VideoRequest, files []body) (body, error) {
	req.Files = nil
	if len(files) > 0 {
		req.Files = []string{""}
	}
	whole, err := encodeJSON(req)
	if err != nil || len(files) == 0 {
		return body{{text: whole}}, err
	}
	// In a string the quotes would be escaped, so this is the field.
	before, after, _ := strings.Cut(whole, `"files":[""]`)
	b := body{{text: before + `"files":[`}}
	for i, file := range files {
		if i > 0 {
			b = append(b, part{text: ","})
		}
		b = append(b, file...)
	}
	return append(b, part{text: "]" + after}), nil
}

func encodeJSON(value any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func hexSum(sum hash.Hash) string { return fmt.Sprintf("%x", sum.Sum(nil)) }

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

// encoder reads data as base64.
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

// texts are the fields that hold free text, by name.
func (r VideoRequest) texts() []struct{ name, value string } {
	return []struct{ name, value string }{{"prompt", r.Prompt}, {"avatar_id", r.AvatarID}, {"voice_id", r.VoiceID}, {"style_id", r.StyleID}, {"brand_kit_id", r.BrandKitID}}
}

// checkTexts refuses characters that a database can't store.
func (r VideoRequest) checkTexts() error {
	for _, f := range r.texts() {
		if strings.Contains(f.value, "\x00") || !utf8.ValidString(f.value) {
			return invalid(f.name, "must be text without NUL characters", text.Quote(f.value))
		}
	}
	return nil
}

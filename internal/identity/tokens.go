// This file reads the tokens file, which has a line `name sha256:<hex>` for each
// user, and makes tokens for it.

package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
)

// ownerOfToken begins the owner of each user of the tokens file. The owner of an
// issuer's user is hexadecimal, so the two never coincide.
const ownerOfToken = "token:"

var namePattern = text.Pattern(`^[a-z0-9]([a-z0-9._@-]{0,62}[a-z0-9])?$`)

var errName = errors.New("a name must be of 1 to 64 small letters, digits and . _ @ -, with a letter or digit at both ends")

// NewToken returns a fresh token for a user, and its line for the tokens file.
func NewToken(name string) (token, line string, err error) {
	if !namePattern().MatchString(name) {
		return "", "", fmt.Errorf("%w; got %s", errName, text.Quote(name))
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	token = "pxm_" + base64.RawURLEncoding.EncodeToString(random)
	return token, fmt.Sprintf("%s sha256:%x", name, sha256.Sum256([]byte(token))), nil
}

// tokens are the users of the tokens file, which is read again when it has changed.
type tokens struct {
	path   string
	errors changeLog

	mu    sync.Mutex
	seen  os.FileInfo // of the file as it was read last; nil when that failed
	users []tokenUser
}

type tokenUser struct {
	name string
	sum  []byte
}

// find returns the name of a token's user. ok is false if nobody has the token; unless
// the file is readable, that is not known. It compares the token with those of all users,
// so that the time that it takes does not tell how close a guess was.
func (t *tokens) find(token string) (name string, ok, readable bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if changed := err != nil || t.seen == nil || !os.SameFile(info, t.seen) || info.Size() != t.seen.Size() || !info.ModTime().Equal(t.seen.ModTime()) || info.Mode() != t.seen.Mode(); changed {
		t.errors.note("not all of the tokens file can be used", t.load())
	}
	sum := sha256.Sum256([]byte(token))
	for _, u := range t.users {
		if subtle.ConstantTimeCompare(sum[:], u.sum) == 1 {
			name, ok = u.name, true
		}
	}
	return name, ok, t.seen != nil
}

// load reads the file, and replaces the users by those of its correct lines: one
// whose line was removed has no access any more. Its error lists the wrong lines.
func (t *tokens) load() error {
	t.users, t.seen = nil, nil
	info, err := os.Stat(t.path) // before it is read, so that find notices a change in between
	var content string
	if err == nil {
		content, err = disk.ReadSecret(t.path, 1<<20)
	}
	if err != nil {
		return fmt.Errorf("tokens file %s: %w", text.Quote(t.path), err)
	}
	t.seen = info
	var wrong []error
	number := 0
	for line := range strings.Lines(content) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		u, err := parseUser(fields)
		if err == nil && slices.ContainsFunc(t.users, func(other tokenUser) bool { return other.name == u.name || string(other.sum) == string(u.sum) }) {
			err = errors.New("a name or token that an earlier line has")
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("tokens file %s, line %d: %w", text.Quote(t.path), number, err))
			continue
		}
		t.users = append(t.users, u)
	}
	return errors.Join(wrong...)
}

// parseUser reads the fields of a line. Its error quotes nothing of them, since a
// token may stand there by mistake.
func parseUser(fields []string) (tokenUser, error) {
	if len(fields) != 2 {
		return tokenUser{}, errors.New("must be a name and sha256:<64 hex digits>, as pixazo-mcp token NAME prints it")
	}
	if !namePattern().MatchString(fields[0]) {
		return tokenUser{}, errName
	}
	digits, ok := strings.CutPrefix(fields[1], "sha256:")
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return tokenUser{}, errors.New("the token must be given as sha256:<64 hex digits>, as pixazo-mcp token NAME prints it")
	}
	return tokenUser{fields[0], sum}, nil
}

// This file reads the tokens file, which has a line `name sha256:<hex>` for each
// user, and makes tokens for it.

package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
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
	path string
	log  *slog.Logger

	mu    sync.Mutex
	seen  os.FileInfo                  // of the file as it was read last; nil when that failed
	users map[[sha256.Size]byte]string // names by the hash of the token
}

// find returns the name of a token's user. ok is false if nobody has the token; unless
// the file is readable, that is not known. How long it takes does not tell how close a
// guess was, since hashes are compared.
func (t *tokens) find(token string) (name string, ok, readable bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if changed := err != nil || t.seen == nil || !os.SameFile(info, t.seen) || info.Size() != t.seen.Size() || !info.ModTime().Equal(t.seen.ModTime()) || info.Mode() != t.seen.Mode(); changed {
		before := t.seen
		if err := t.load(); err != nil && (before != nil || t.seen != nil) { // that it still can't be read was logged
			t.log.Error("not all of the tokens file can be used", "error", text.Clean(err.Error(), 300))
		}
	}
	name, ok = t.users[sha256.Sum256([]byte(token))]
	return name, ok, t.seen != nil
}

// load reads the file, and replaces the users by those of its correct lines: one
// whose line was removed has no access any more. Its error lists the wrong lines.
func (t *tokens) load() error {
	t.users, t.seen = map[[sha256.Size]byte]string{}, nil
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
	names := map[string]bool{}
	for i, line := range strings.Split(content, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		name, sum, err := parseUser(fields)
		if _, taken := t.users[sum]; err == nil && (taken || names[name]) {
			err = errors.New("a name or token that an earlier line has")
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("tokens file %s, line %d: %w", text.Quote(t.path), i+1, err))
			continue
		}
		t.users[sum], names[name] = name, true
	}
	return errors.Join(wrong...)
}

// parseUser returns the name and the hash of the token in the fields of a line. Its error
// quotes nothing of them, since a token may stand there by mistake.
func parseUser(fields []string) (name string, sum [sha256.Size]byte, err error) {
	const how = "as pixazo-mcp token NAME prints it"
	if len(fields) != 2 {
		return "", sum, errors.New("must be a name and sha256:<64 hex digits>, " + how)
	}
	if !namePattern().MatchString(fields[0]) {
		return "", sum, errName
	}
	digits, ok := strings.CutPrefix(fields[1], "sha256:")
	decoded, err := hex.DecodeString(digits)
	if !ok || err != nil || len(decoded) != sha256.Size {
		return "", sum, errors.New("the token must be given as sha256:<64 hex digits>, " + how)
	}
	return fields[0], [sha256.Size]byte(decoded), nil
}

// This file receives the gateway's callbacks.

package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	webhookPath  = "/webhook/"
	maxCallback  = 64 << 10
	callbackTime = 5 * time.Second
)

// CallbackURL returns a function that returns the callback address, below origin, for
// a submission's nonce. Nobody can make one without the secret.
func CallbackURL(origin string, secret []byte) func(nonce string) string {
	return func(nonce string) string { return origin + webhookPath + nonce + "." + mac(secret, nonce) }
}

func mac(secret []byte, nonce string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(nonce))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// webhook receives a callback, which only says for which job the gateway is to be
// asked. The gateway delivers it again until the answer is a 2xx, so it is answered
// with one only once Callback has recorded it.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) error {
	nonce, given, _ := strings.Cut(r.PathValue("token"), ".")
	if nonce == "" || !hmac.Equal([]byte(given), []byte(mac(s.o.WebhookSecret, nonce))) {
		return refused(http.StatusNotFound, "not found")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(callbackTime))
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	var body struct {
		RequestID string `json:"request_id"`
	}
	if err != nil || json.Unmarshal(raw, &body) != nil || pixazo.CheckRequestID(body.RequestID) != nil {
		return refused(http.StatusBadRequest, "a callback has a request_id, and no more than 64 kB")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callbackTime)
	defer cancel()
	if err := s.o.Callback(ctx, nonce, body.RequestID); err != nil {
		s.log.Warn("a callback could not be recorded, and is asked for again", "error", text.Clean(err.Error(), 300))
		return unavailable("not recorded; please deliver it again")
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

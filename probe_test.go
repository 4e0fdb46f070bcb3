// This test holds what http --probe says of a server.

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbeAsksWhetherAServerIsReady(t *testing.T) {
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
	}))
	address := strings.TrimPrefix(srv.URL, "http://")
	try := func() error {
		return run(t.Context(), []string{"http", "--probe", "--address=" + address}, nil, nil, nil, nil, nil)
	}
	if err := try(); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := try(); err == nil || !strings.Contains(err.Error(), "HTTP status 503") {
		t.Error(err)
	}
	srv.Close()
	if err := try(); err == nil {
		t.Error("nobody is there")
	}
}

// This file counts the team server's requests to the gateway, and serves its metrics.

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"pixazo-mcp/pixazo"
)

// serveMetrics serves /metrics at --metrics-address, if that is set, until stop is
// called. If the address can't be listened on, as when another replica on the same
// machine has it, it logs that and serves no metrics.
func (a *app) serveMetrics() (stop func()) {
	address := a.settings.HTTP.MetricsAddress
	if address == "" {
		return func() {}
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		a.log.Error("--metrics-address: no metrics are served", "error", err)
		return func() {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		a.metrics.WritePrometheus(w)
		metrics.WriteProcessMetrics(w)
	})
	server := newHTTPServer(mux, a.log)
	server.WriteTimeout = 10 * time.Second
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }
}

// countingGateway is a gateway client that counts its submissions and polls by outcome.
type countingGateway struct {
	*pixazo.Client
	metrics *metrics.Set
}

// Submit implements jobs.Gateway.
func (c countingGateway) Submit(ctx context.Context, p *pixazo.Prepared, o pixazo.SubmitOptions) (pixazo.Job, error) {
	job, err := c.Client.Submit(ctx, p, o)
	c.count("submissions", err)
	return job, err
}

// Status implements jobs.Gateway.
func (c countingGateway) Status(ctx context.Context, requestID string, o pixazo.StatusOptions) (pixazo.Job, error) {
	job, err := c.Client.Status(ctx, requestID, o)
	c.count("polls", err)
	return job, err
}

func (c countingGateway) count(what string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = string(pixazo.AsError(err, "failed").Code)
	}
	c.metrics.GetOrCreateCounter(fmt.Sprintf("pixazo_gateway_%s_total{outcome=%q}", what, outcome)).Inc()
}

// This file notifies the client of news: changes of the resources to which it subscribed,
// and changes of the server's lists, as when a resource is added.
//
// Up to 2025-11-25 a client makes all its subscriptions with resources/subscribe, and is
// notified of all list changes. Since 2026-07-28 each subscriptions/listen request is a
// stream with a filter: it is acknowledged first, every message on it has the request's
// id, and nothing else is sent (specification 2026-07-28, "Subscriptions"). mcp-go can't
// do that with one session, so each stream is a session of its own for mcp-go.

package wire

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

var (
	_ server.SessionWithResourceSubscriptionsErr = (*news)(nil)
	_ server.SessionWithSubscriptionFilter       = (*news)(nil)
)

// Subscribe begins a subscription to a resource, which lasts until stop is called. The
// values in ctx, but not its end, count: they tell whose subscription it is. Subscribe
// must have updated called whenever the resource has changed, by any goroutine; updated
// does not block. The text of an error is sent to the client.
type Subscribe func(ctx context.Context, uri string, updated func()) (stop func(), err error)

// news holds the resource subscriptions of a session, or of one stream, and the
// notifications that are not sent yet.
type news struct {
	*writer
	ctx       context.Context // for subscribe
	id        string
	stream    *call // the subscriptions/listen request; nil for the session as a whole
	subscribe Subscribe

	filter        atomic.Pointer[mcp.SubscriptionFilter]
	open          atomic.Bool                  // list changes may be sent: initialize is answered, or the stream acknowledged
	notifications chan mcp.JSONRPCNotification // from mcp-go
	changed       chan struct{}                // holds an element while pending may not be empty
	flushes       chan struct{}                // of flush
	relayEnded    chan struct{}                // closed when relay has returned

	subscriptions sync.Mutex        // guards what follows
	stops         map[string]func() // by URI: ends the subscription; nil while it is being made
	pending       []string          // URIs of resources that have changed
	ended         bool              // there are no new subscriptions any more
}

func newNews(ctx context.Context, w *writer, id string, stream *call, subscribe Subscribe) *news {
	return &news{
		writer: w, ctx: context.WithoutCancel(ctx), id: id, stream: stream, subscribe: subscribe,
		stops: map[string]func(){},
	}
}

// openQueues makes the channels from which relay reads. Without them all news are dropped.
func (n *news) openQueues() {
	n.notifications = make(chan mcp.JSONRPCNotification, 100)
	n.changed, n.flushes, n.relayEnded = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// SessionID returns the id under which mcp-go knows the session.
func (n *news) SessionID() string { return n.id }

// Initialize does nothing. mcp-go also calls it for a client of 2026-07-28, which must
// get no list changes outside of its streams; see Initialized.
func (n *news) Initialize() {}

// Initialized reports whether list changes may be sent.
func (n *news) Initialized() bool { return n.open.Load() }

// NotificationChannel returns the channel for mcp-go's notifications, such as list
// changes.
func (n *news) NotificationChannel() chan<- mcp.JSONRPCNotification { return n.notifications }

// SetSubscriptionFilter keeps the filter of a stream.
func (n *news) SetSubscriptionFilter(filter mcp.SubscriptionFilter) { n.filter.Store(&filter) }

// SubscriptionFilter returns the filter, and whether it counts, which it does for streams.
func (n *news) SubscriptionFilter() (filter mcp.SubscriptionFilter, counts bool) {
	if kept := n.filter.Load(); kept != nil {
		filter = *kept
	}
	return filter, n.stream != nil
}

var errEnding = errors.New("the server is shutting down")

// SubscribeToResourceErr begins a subscription. It is not called concurrently for the same
// URI.
func (n *news) SubscribeToResourceErr(uri string) error {
	n.subscriptions.Lock()
	_, subscribed := n.stops[uri]
	ended := n.ended
	if !subscribed && !ended {
		n.stops[uri] = nil // from now on changes are sent
	}
	n.subscriptions.Unlock()
	switch {
	case ended:
		return errEnding
	case subscribed:
		return nil
	}
	stop, err := n.subscribe(n.ctx, uri, func() { n.queueUpdate(uri) })
	n.subscriptions.Lock()
	defer n.subscriptions.Unlock()
	switch {
	case err != nil:
		delete(n.stops, uri)
	case n.ended:
		stop()
		err = errEnding
	default:
		n.stops[uri] = stop
	}
	return err
}

// SubscribeToResource is never called: mcp-go prefers SubscribeToResourceErr.
func (n *news) SubscribeToResource(uri string) { _ = n.SubscribeToResourceErr(uri) }

// UnsubscribeFromResource ends a subscription. When it has returned, nothing more is sent
// about uri.
func (n *news) UnsubscribeFromResource(uri string) {
	n.subscriptions.Lock()
	stop := n.stops[uri]
	delete(n.stops, uri)
	n.subscriptions.Unlock()
	if stop != nil {
		stop()
	}
}

// SubscribedResources returns the URIs of the subscriptions.
func (n *news) SubscribedResources() []string {
	n.subscriptions.Lock()
	defer n.subscriptions.Unlock()
	return slices.Collect(maps.Keys(n.stops))
}

// IsSubscribedToResource reports whether the session is subscribed to uri.
func (n *news) IsSubscribedToResource(uri string) bool {
	n.subscriptions.Lock()
	defer n.subscriptions.Unlock()
	_, ok := n.stops[uri]
	return ok
}

// unsubscribe ends all subscriptions and prevents new ones.
func (n *news) unsubscribe() {
	n.subscriptions.Lock()
	n.ended = true
	n.subscriptions.Unlock()
	for _, uri := range n.SubscribedResources() {
		n.UnsubscribeFromResource(uri)
	}
}

// queueUpdate queues the notification that a resource has changed, unless it is queued already.
func (n *news) queueUpdate(uri string) {
	n.subscriptions.Lock()
	if !slices.Contains(n.pending, uri) {
		n.pending = append(n.pending, uri)
	}
	n.subscriptions.Unlock()
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// relay sends mcp-go's notifications and those of queueUpdate until ctx ends. On a stream it
// sends those of queueUpdate only after mcp-go's acknowledgement.
func (n *news) relay(ctx context.Context) {
	defer close(n.relayEnded)
	for {
		select {
		case notification := <-n.notifications:
			n.forward(notification, "")
		case <-n.changed:
		case <-n.flushes:
		case <-ctx.Done():
			return
		}
		for range len(n.notifications) {
			n.forward(<-n.notifications, "")
		}
		if n.stream == nil || n.open.Load() {
			n.sendUpdates()
		}
	}
}

// flush returns when all news so far are sent, so that a client hears of the changes that
// a call makes before it gets the answer.
func (n *news) flush() {
	for range 2 { // relay takes the second element after it has sent what was there at the first
		select {
		case n.flushes <- struct{}{}:
		case <-n.relayEnded:
		}
	}
}

// sendUpdates sends the notifications that queueUpdate has queued.
func (n *news) sendUpdates() {
	n.subscriptions.Lock()
	uris := n.pending
	n.pending = nil
	n.subscriptions.Unlock()
	for _, uri := range uris {
		n.forward(notification(mcp.MethodNotificationResourceUpdated, map[string]any{"uri": uri}), uri)
	}
}

func notification(method string, params map[string]any) (n mcp.JSONRPCNotification) {
	n.JSONRPC, n.Method, n.Params.AdditionalFields = mcp.JSONRPC_VERSION, method, params
	return n
}

// forward sends a notification, on a stream with the id of its request: mcp-go adds that to
// the acknowledgement only, as float64. A notification about uri, unless that is "", is
// dropped if there is no subscription to it.
func (n *news) forward(notification mcp.JSONRPCNotification, uri string) {
	if n.stream != nil {
		if notification.Method == mcp.MethodNotificationSubscriptionsAcknowledged {
			n.open.Store(true)
		}
		meta := map[string]any{}
		maps.Copy(meta, notification.Params.Meta)
		meta[mcp.MetaKeySubscriptionID] = json.RawMessage(n.stream.ID)
		notification.Params.Meta = meta
	}
	_ = n.write(notification, func() bool { return n.stream.isOpen() && (uri == "" || n.IsSubscribedToResource(uri)) })
}

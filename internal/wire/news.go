// This file tells the client of changes that it asked to hear of: of a
// resource it subscribed to, or of a list.
//
// Up to 2025-11-25 a client has one set of subscriptions, made with
// resources/subscribe, and is told of every list change. Since 2026-07-28 each
// subscriptions/listen request is a stream with a filter of its own: it is
// acknowledged first, every message on it is tagged with the request's id, and
// nothing is sent that the client did not ask for (specification 2026-07-28,
// "Subscriptions"). mcp-go gives a session neither the id nor an order, so each
// stream is a session of its own for mcp-go.

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

// Subscribe begins a subscription to a resource, until stop is called. The
// values in ctx say for whom; its end means nothing. The caller of updated says
// that the resource has changed; updated may be called from any goroutine and
// does not block. An error refuses the subscription, and the client is sent its
// text.
type Subscribe func(ctx context.Context, uri string, updated func()) (stop func(), err error)

// news is a session's resource subscriptions and its queue of notifications
// that are not sent yet, for the session as a whole or for one stream.
type news struct {
	*writer
	ctx       context.Context // for subscribe
	id        string
	stream    *call // the subscriptions/listen request; nil for the session as a whole
	subscribe Subscribe

	filter        atomic.Pointer[mcp.SubscriptionFilter]
	open          atomic.Bool // list changes may be sent: initialize is answered, or the stream acknowledged
	notifications chan mcp.JSONRPCNotification
	changed       chan struct{} // holds one element when there are pending ones
	flushes       chan struct{} // relay takes one when all before it is sent
	over          chan struct{} // closed when relay has returned

	subscriptions sync.Mutex        // guards what follows
	stops         map[string]func() // ends the subscription to a uri; nil while it is being made
	pending       []string          // uris of resources that have changed
	ended         bool              // no more subscriptions
}

func newNews(ctx context.Context, w *writer, id string, stream *call, subscribe Subscribe) *news {
	if subscribe == nil {
		subscribe = func(context.Context, string, func()) (func(), error) {
			return nil, errors.New("there is nothing to subscribe to")
		}
	}
	return &news{
		writer: w, ctx: context.WithoutCancel(ctx), id: id, stream: stream, subscribe: subscribe,
		stops: map[string]func(){},
	}
}

// hear makes the queues that relay reads. Without them news are dropped.
func (n *news) hear() {
	n.notifications = make(chan mcp.JSONRPCNotification, 100)
	n.changed, n.flushes, n.over = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// SessionID returns the id under which mcp-go knows the session.
func (n *news) SessionID() string { return n.id }

// Initialize does nothing: mcp-go calls it also with the first request of a
// client of 2026-07-28, which is to be sent nothing outside of its streams.
func (n *news) Initialize() {}

// Initialized reports whether list changes may be sent.
func (n *news) Initialized() bool { return n.open.Load() }

// NotificationChannel takes what mcp-go itself sends, such as list changes.
func (n *news) NotificationChannel() chan<- mcp.JSONRPCNotification { return n.notifications }

// SetSubscriptionFilter keeps the kinds of news that a stream asked for.
func (n *news) SetSubscriptionFilter(filter mcp.SubscriptionFilter) { n.filter.Store(&filter) }

// SubscriptionFilter returns what SetSubscriptionFilter kept, and whether that
// counts: it does on streams.
func (n *news) SubscriptionFilter() (filter mcp.SubscriptionFilter, counts bool) {
	if kept := n.filter.Load(); kept != nil {
		filter = *kept
	}
	return filter, n.stream != nil
}

var errEnding = errors.New("the server is shutting down")

// SubscribeToResourceErr begins a subscription. It is not called for one uri
// twice at a time.
func (n *news) SubscribeToResourceErr(uri string) error {
	n.subscriptions.Lock()
	_, subscribed := n.stops[uri]
	ended := n.ended
	if !subscribed && !ended {
		n.stops[uri] = nil // changes from here on are told
	}
	n.subscriptions.Unlock()
	switch {
	case ended:
		return errEnding
	case subscribed:
		return nil
	}
	stop, err := n.subscribe(n.ctx, uri, func() { n.note(uri) })
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

// UnsubscribeFromResource ends a subscription: once it has returned, nothing
// more is sent about uri.
func (n *news) UnsubscribeFromResource(uri string) {
	n.subscriptions.Lock()
	stop := n.stops[uri]
	delete(n.stops, uri)
	n.subscriptions.Unlock()
	if stop != nil {
		stop()
	}
}

// SubscribedResources returns the uris of the subscriptions.
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

// unsubscribe ends every subscription, and there will be no new ones.
func (n *news) unsubscribe() {
	n.subscriptions.Lock()
	n.ended = true
	n.subscriptions.Unlock()
	for _, uri := range n.SubscribedResources() {
		n.UnsubscribeFromResource(uri)
	}
}

// note queues the news that a resource has changed. However often it does
// before the news is sent, it is sent once.
func (n *news) note(uri string) {
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

// relay sends what mcp-go puts into the session's channel, and which resources
// have changed, until ctx ends. On a stream nothing goes before mcp-go's
// acknowledgement.
func (n *news) relay(ctx context.Context) {
	defer close(n.over)
	for {
		select {
		case notification := <-n.notifications:
			n.pass(notification, "")
		case <-n.changed:
		case <-n.flushes:
		case <-ctx.Done():
			return
		}
		for range len(n.notifications) {
			n.pass(<-n.notifications, "")
		}
		if n.stream == nil || n.open.Load() {
			n.passChanges()
		}
	}
}

// flush returns when all news so far are sent: an answer comes after the news
// of what its call has changed.
func (n *news) flush() {
	for range 2 { // relay takes the second once it has sent what was there at the first
		select {
		case n.flushes <- struct{}{}:
		case <-n.over:
		}
	}
}

// passChanges sends which resources have changed.
func (n *news) passChanges() {
	n.subscriptions.Lock()
	uris := n.pending
	n.pending = nil
	n.subscriptions.Unlock()
	for _, uri := range uris {
		updated := mcp.JSONRPCNotification{JSONRPC: mcp.JSONRPC_VERSION}
		updated.Method = mcp.MethodNotificationResourceUpdated
		updated.Params.AdditionalFields = map[string]any{"uri": uri}
		n.pass(updated, uri)
	}
}

// pass sends a notification, about uri unless it is "", tagged with the stream
// it belongs to. (mcp-go tags only the acknowledgement, and with the id as
// float64.)
func (n *news) pass(notification mcp.JSONRPCNotification, uri string) {
	if n.stream != nil {
		if notification.Method == mcp.MethodNotificationSubscriptionsAcknowledged {
			n.open.Store(true)
		}
		meta := map[string]any{}
		maps.Copy(meta, notification.Params.Meta)
		meta[mcp.MetaKeySubscriptionID] = json.RawMessage(n.stream.ID)
		notification.Params.Meta = meta
	}
	_ = n.write(notification, func() bool { // a failed write closes broken
		return (n.stream == nil || !n.stream.closed.Load()) && (uri == "" || n.IsSubscribedToResource(uri))
	})
}

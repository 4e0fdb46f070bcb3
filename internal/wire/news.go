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
// caller of updated says that the resource has changed; updated may be called
// from any goroutine and does not block. An error refuses the subscription, and
// the client is sent its text.
type Subscribe func(uri string, updated func()) (stop func(), err error)

// news is a session's resource subscriptions and its queue of notifications
// that are not sent yet, for the session as a whole or for one stream.
type news struct {
	*writer
	id            string
	stream        *call // the subscriptions/listen request; nil for the session as a whole
	initialized   atomic.Bool
	notifications chan mcp.JSONRPCNotification

	subscribe Subscribe
	open      atomic.Bool   // list changes may be sent: the client has initialized, or the stream is acknowledged
	changed   chan struct{} // holds one element when pending is not empty
	flushes   chan chan struct{}
	over      chan struct{} // closed when relay has returned

	subscriptions sync.Mutex // guards what follows
	filter        mcp.SubscriptionFilter
	stops         map[string]func() // ends the subscription to a uri; nil while it is being made
	pending       []string          // uris of resources that have changed
	ended         bool              // no more subscriptions
}

func (n *news) init(w *writer, id string, stream *call, subscribe Subscribe) {
	n.writer, n.id, n.stream, n.subscribe = w, id, stream, subscribe
	if subscribe == nil {
		n.subscribe = func(string, func()) (func(), error) { return nil, errors.New("there is nothing to subscribe to") }
	}
	n.notifications = make(chan mcp.JSONRPCNotification, 100)
	n.changed, n.flushes, n.over = make(chan struct{}, 1), make(chan chan struct{}), make(chan struct{})
	n.stops = map[string]func(){}
}

// SessionID returns the id under which mcp-go knows the session.
func (n *news) SessionID() string { return n.id }

// Initialize is called by mcp-go with the client's first request.
func (n *news) Initialize() { n.initialized.Store(true) }

// Initialized reports whether there was such a request.
func (n *news) Initialized() bool { return n.initialized.Load() }

// NotificationChannel takes what mcp-go itself sends, such as list changes.
func (n *news) NotificationChannel() chan<- mcp.JSONRPCNotification { return n.notifications }

// SetSubscriptionFilter keeps the kinds of news that a stream asked for.
func (n *news) SetSubscriptionFilter(filter mcp.SubscriptionFilter) {
	n.subscriptions.Lock()
	defer n.subscriptions.Unlock()
	n.filter = filter
}

// SubscriptionFilter is the zero filter for a stream that is not acknowledged
// yet. For the client as a whole it is one until the client has initialized: a
// client of 2026-07-28 never does, and must get nothing outside of its streams.
func (n *news) SubscriptionFilter() (mcp.SubscriptionFilter, bool) {
	open := n.open.Load()
	if n.stream == nil || !open {
		return mcp.SubscriptionFilter{}, n.stream != nil || !open
	}
	n.subscriptions.Lock()
	defer n.subscriptions.Unlock()
	return n.filter, true
}

// SubscribeToResourceErr is never called for two uris of one session at once.
func (n *news) SubscribeToResourceErr(uri string) error {
	n.subscriptions.Lock()
	_, subscribed := n.stops[uri]
	if subscribed || n.ended {
		defer n.subscriptions.Unlock()
		if n.ended {
			return errors.New("the server is shutting down")
		}
		return nil
	}
	n.stops[uri] = nil // what changes from here on is told
	n.subscriptions.Unlock()

	stop, err := n.subscribe(uri, func() { n.note(uri) })
	n.subscriptions.Lock()
	defer n.subscriptions.Unlock()
	switch {
	case err != nil:
		delete(n.stops, uri)
	case n.ended:
		stop()
		err = errors.New("the server is shutting down")
	default:
		n.stops[uri] = stop
	}
	return err
}

// SubscribeToResource is there for mcp-go's interface; SubscribeToResourceErr
// goes first.
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

// SubscribedResources are the uris of the subscriptions, sorted.
func (n *news) SubscribedResources() []string {
	n.subscriptions.Lock()
	defer n.subscriptions.Unlock()
	return slices.Sorted(maps.Keys(n.stops))
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

// note remembers that the resource has changed. However often it does before
// the client gets to read of it, that is told once.
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
		changed := n.changed
		acknowledged := n.stream == nil || n.open.Load()
		if !acknowledged {
			changed = nil
		}
		select {
		case notification := <-n.notifications:
			n.pass(notification, n.live)
		case <-changed:
			n.passChanges()
		case flushed := <-n.flushes:
			for range len(n.notifications) {
				n.pass(<-n.notifications, n.live)
			}
			if acknowledged {
				n.passChanges()
			}
			close(flushed)
		case <-ctx.Done():
			return
		}
	}
}

// flush returns when all news so far have been sent: an answer comes after the
// news that its call brought about.
func (n *news) flush() {
	flushed := make(chan struct{})
	select {
	case n.flushes <- flushed:
		<-flushed
	case <-n.over:
	}
}

func (n *news) live() bool { return n.stream == nil || !n.stream.closed.Load() }

func (n *news) passChanges() {
	n.subscriptions.Lock()
	uris := n.pending
	n.pending = nil
	n.subscriptions.Unlock()
	for _, uri := range uris {
		n.pass(mcp.JSONRPCNotification{
			JSONRPC: mcp.JSONRPC_VERSION,
			Notification: mcp.Notification{
				Method: mcp.MethodNotificationResourceUpdated,
				Params: mcp.NotificationParams{AdditionalFields: map[string]any{"uri": uri}},
			},
		}, func() bool { return n.live() && n.IsSubscribedToResource(uri) })
	}
}

// pass sends a notification, tagged with the stream it belongs to. (mcp-go tags
// only the acknowledgement, and with the id as float64.)
func (n *news) pass(notification mcp.JSONRPCNotification, wanted func() bool) {
	if n.stream != nil {
		if notification.Method == mcp.MethodNotificationSubscriptionsAcknowledged {
			n.open.Store(true)
		}
		meta := map[string]any{}
		maps.Copy(meta, notification.Params.Meta)
		meta[mcp.MetaKeySubscriptionID] = json.RawMessage(n.stream.id)
		notification.Params.Meta = meta
	}
	// A failed write ends the server by itself.
	_ = n.write(notification, wanted)
}

// This file tells the client of changes that it asked to hear of: of a
// resource it subscribed to, or of a list.
//
// Up to 2025-11-25 a client has one set of subscriptions, made with
// resources/subscribe, and hears of every list change. Since 2026-07-28 each
// subscriptions/listen request is a stream with a filter of its own: it is
// acknowledged first, everything on it is tagged with the request's id, and
// nothing that it did not ask for is sent (specification 2026-07-28,
// "Subscriptions"). mcp-go hands a session neither id nor order, so each stream
// gets a session to itself.

package stdio

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
	_ server.SessionWithResourceSubscriptionsErr = (*session)(nil)
	_ server.SessionWithSubscriptionFilter       = (*session)(nil)
)

// Subscribe begins a subscription to a resource, until stop is called. updated
// says that the resource has changed; it may be called from any goroutine and
// does not block. An error refuses the subscription; the client is told it.
type Subscribe func(uri string, updated func()) (stop func(), err error)

// news is what a session wants to hear of, and what it has not heard yet.
type news struct {
	subscribe Subscribe
	open      atomic.Bool   // list changes may be told: the client has initialized, or the stream is acknowledged
	changed   chan struct{} // holds one element when pending is not empty
	flushes   chan chan struct{}
	over      chan struct{} // closed when nothing is relayed any more

	mu      sync.Mutex
	filter  mcp.SubscriptionFilter
	stops   map[string]func() // by the uri of a subscription; nil while it is being made
	pending []string          // uris of resources that have changed
	ended   bool              // no more subscriptions
}

func (n *news) init(subscribe Subscribe) {
	if n.subscribe = subscribe; subscribe == nil {
		n.subscribe = func(string, func()) (func(), error) { return nil, errors.New("there is nothing to subscribe to") }
	}
	n.changed, n.flushes, n.over = make(chan struct{}, 1), make(chan chan struct{}), make(chan struct{})
	n.stops = map[string]func(){}
}

// SetSubscriptionFilter keeps the kinds of news that a stream asked for.
func (s *session) SetSubscriptionFilter(filter mcp.SubscriptionFilter) {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	s.news.filter = filter
}

// SubscriptionFilter is the zero filter for a stream that is not acknowledged
// yet. For the client as a whole it is one until the client has initialized: a
// client of 2026-07-28 never does, and must get nothing outside of its streams.
func (s *session) SubscriptionFilter() (mcp.SubscriptionFilter, bool) {
	open := s.news.open.Load()
	if s.stream == nil || !open {
		return mcp.SubscriptionFilter{}, s.stream != nil || !open
	}
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return s.news.filter, true
}

// SubscribeToResourceErr is never called for two uris of one session at once.
func (s *session) SubscribeToResourceErr(uri string) error {
	n := &s.news
	n.mu.Lock()
	_, subscribed := n.stops[uri]
	if subscribed || n.ended {
		defer n.mu.Unlock()
		if n.ended {
			return errors.New("the server is shutting down")
		}
		return nil
	}
	n.stops[uri] = nil // what changes from here on is told
	n.mu.Unlock()

	stop, err := n.subscribe(uri, func() { n.note(uri) })
	n.mu.Lock()
	defer n.mu.Unlock()
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
func (s *session) SubscribeToResource(uri string) { _ = s.SubscribeToResourceErr(uri) }

// UnsubscribeFromResource ends a subscription: once it has returned, nothing
// more is sent about uri.
func (s *session) UnsubscribeFromResource(uri string) {
	s.news.mu.Lock()
	stop := s.news.stops[uri]
	delete(s.news.stops, uri)
	s.news.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// SubscribedResources are the uris of the subscriptions, sorted.
func (s *session) SubscribedResources() []string {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return slices.Sorted(maps.Keys(s.news.stops))
}

// IsSubscribedToResource reports whether the session is subscribed to uri.
func (s *session) IsSubscribedToResource(uri string) bool {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	_, ok := s.news.stops[uri]
	return ok
}

// unsubscribe ends every subscription, and there will be no new ones.
func (s *session) unsubscribe() {
	s.news.mu.Lock()
	s.news.ended = true
	s.news.mu.Unlock()
	for _, uri := range s.SubscribedResources() {
		s.UnsubscribeFromResource(uri)
	}
}

// note remembers that the resource has changed. However often it does before
// the client gets to read of it, that is told once.
func (n *news) note(uri string) {
	n.mu.Lock()
	if !slices.Contains(n.pending, uri) {
		n.pending = append(n.pending, uri)
	}
	n.mu.Unlock()
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// relay sends what mcp-go puts into the session's channel, and which resources
// have changed, until ctx ends. On a stream nothing goes before mcp-go's
// acknowledgement.
func (s *session) relay(ctx context.Context) {
	defer close(s.news.over)
	for {
		changed := s.news.changed
		acknowledged := s.stream == nil || s.news.open.Load()
		if !acknowledged {
			changed = nil
		}
		select {
		case notification := <-s.notifications:
			s.pass(notification, s.live)
		case <-changed:
			s.passChanges()
		case flushed := <-s.news.flushes:
			for range len(s.notifications) {
				s.pass(<-s.notifications, s.live)
			}
			if acknowledged {
				s.passChanges()
			}
			close(flushed)
		case <-ctx.Done():
			return
		}
	}
}

// flush returns when all news so far have been sent: an answer comes after the
// news that its call brought about.
func (s *session) flush() {
	flushed := make(chan struct{})
	select {
	case s.news.flushes <- flushed:
		<-flushed
	case <-s.news.over:
	}
}

func (s *session) live() bool { return s.stream == nil || !s.stream.closed.Load() }

func (s *session) passChanges() {
	s.news.mu.Lock()
	uris := s.news.pending
	s.news.pending = nil
	s.news.mu.Unlock()
	for _, uri := range uris {
		s.pass(mcp.JSONRPCNotification{
			JSONRPC: mcp.JSONRPC_VERSION,
			Notification: mcp.Notification{
				Method: mcp.MethodNotificationResourceUpdated,
				Params: mcp.NotificationParams{AdditionalFields: map[string]any{"uri": uri}},
			},
		}, func() bool { return s.live() && s.IsSubscribedToResource(uri) })
	}
}

// pass sends a notification, tagged with the stream it belongs to. (mcp-go tags
// only the acknowledgement, and with the id as float64.)
func (s *session) pass(n mcp.JSONRPCNotification, wanted func() bool) {
	if s.stream != nil {
		if n.Method == mcp.MethodNotificationSubscriptionsAcknowledged {
			s.news.open.Store(true)
		}
		meta := map[string]any{}
		maps.Copy(meta, n.Params.Meta)
		meta[mcp.MetaKeySubscriptionID] = json.RawMessage(s.stream.id)
		n.Params.Meta = meta
	}
	// A failed write ends the server by itself.
	_ = s.write(n, wanted)
}

// This file shows the videos as resources: the newest ones as a list, each by
// its request_id, and who subscribed hears when one changes.

package resources

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// videoTemplate is the uri of one video.
const videoTemplate = jobs.VideosURI + "/{request_id}"

const (
	shownVideos    = 20               // in the list of recent videos
	listedVideos   = 50               // videos of this process that are resources of their own
	maxCompletions = 100              // MCP allows no more
	searched       = 1000             // newest videos in which a request_id is completed
	patience       = 10 * time.Second // how long a read waits for the gateway before it shows what the journal has
	jsonType       = "application/json"
)

// both are for whom the guides and videos are meant (MCP, Annotations).
var both = []mcp.Role{mcp.RoleUser, mcp.RoleAssistant}

// Videos are the resources made of the journal. Make them with Register.
type Videos struct {
	server  *server.MCPServer
	tracker *jobs.Tracker

	mu          sync.Mutex
	listed      []string // uris of the videos that are listed, oldest first
	subscribers map[*subscriber]struct{}
}

type subscriber struct {
	uri     string
	updated func()
}

// register adds the videos' resources to s, and listens to the tracker.
func register(s *server.MCPServer, tracker *jobs.Tracker) *Videos {
	v := &Videos{server: s, tracker: tracker, subscribers: map[*subscriber]struct{}{}}
	tracker.Listen(v.onChange) // for as long as the program runs
	s.AddResource(mcp.NewResource(jobs.VideosURI, "videos",
		mcp.WithResourceTitle("Recent videos"),
		mcp.WithResourceDescription("The newest 20 video requests made on this computer, as last seen: status, prompt, URLs, times, request_id. "+
			"UNCERTAIN is a submission that may have been accepted and billed."),
		mcp.WithMIMEType(jsonType),
		mcp.WithAnnotations(both, 0.5, ""),
	), v.readRecent)
	s.AddResourceTemplate(mcp.NewResourceTemplate(videoTemplate, "video",
		mcp.WithTemplateTitle("One video"),
		mcp.WithTemplateDescription("A video request by its request_id, as it stands now: the gateway is asked while the video is being made."),
		mcp.WithTemplateMIMEType(jsonType),
		mcp.WithTemplateAnnotations(both, 0.5, ""),
	), v.readOne)
	server.WithResourceCompletionProvider(v)(s)
	return v
}

// readRecent reads the journal alone.
func (v *Videos) readRecent(ctx context.Context, request mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	page, err := v.tracker.List(ctx, jobs.All, shownVideos, "")
	if err != nil {
		return nil, err
	}
	recent := struct {
		Videos []jobs.View `json:"videos"`
		Notice string      `json:"notice,omitempty"` // something to know of the journal as a whole
	}{[]jobs.View{}, page.Notice}
	for _, r := range page.Rows {
		recent.Videos = append(recent.Videos, v.tracker.View(ctx, r))
	}
	return contents(request.Params.URI, recent)
}

// readOne asks the gateway for a video that is being made, and shows what the
// journal has when the gateway can't be asked.
func (v *Videos) readOne(ctx context.Context, request mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	id, row, err := v.find(ctx, request.Params.URI)
	if err != nil && !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		return nil, refuse(ctx, err)
	}
	if row == nil || !row.Job.Done() {
		asking, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		seen, err := v.tracker.Status(asking, id)
		switch {
		case err == nil:
			row = &seen.Row
		case row == nil && pixazo.IsCode(err, pixazo.NotFound):
			return nil, refuse(ctx, unknown(request.Params.URI))
		case row == nil:
			return nil, err
		}
	}
	return contents(request.Params.URI, v.tracker.View(ctx, *row))
}

// contents returns value as the one content of the resource uri.
func contents(uri string, value any) ([]mcp.ResourceContents, error) {
	raw, err := text.JSON(value, "")
	if err != nil {
		return nil, err
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: jsonType, Text: string(raw)}}, nil
}

// find returns the video that uri names. The row is nil when the journal does
// not have it, though this process submitted it.
//
// Errors: invalid_argument for a malformed request_id, server.ErrResourceNotFound,
// and journal_unavailable; with the last the request_id is there.
func (v *Videos) find(ctx context.Context, uri string) (requestID string, row *jobs.Row, err error) {
	id, ok := strings.CutPrefix(uri, jobs.VideosURI+"/")
	if !ok {
		return "", nil, unknown(uri)
	}
	if err := pixazo.CheckRequestID(id); err != nil {
		return "", nil, err
	}
	row, err = v.tracker.Find(ctx, id)
	if row == nil && !v.isListed(uri) {
		if err == nil {
			err = unknown(uri)
		}
		return id, nil, err
	}
	return id, row, nil
}

func (v *Videos) isListed(uri string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Contains(v.listed, uri)
}

func unknown(uri string) error {
	return fmt.Errorf("%w: %s is no guide and no video recorded on this computer", server.ErrResourceNotFound, text.Quote(uri))
}

// refuse has a read answered with the JSON-RPC code that its error calls for,
// where the session can: mcp-go makes every error of a handler -32603.
func refuse(ctx context.Context, err error) error {
	session, ok := server.ClientSessionFromContext(ctx).(interface {
		SetErrorCode(context.Context, int)
	})
	if !ok {
		return err
	}
	code := mcp.INVALID_PARAMS
	if errors.Is(err, server.ErrResourceNotFound) && !mcp.IsModernProtocol(server.RequestProtocolVersion(ctx)) {
		code = mcp.RESOURCE_NOT_FOUND // INVALID_PARAMS since 2026-07-28
	}
	session.SetErrorCode(ctx, code)
	return err
}

// CompleteResourceArgument completes the request_id of the template from the
// newest videos of the journal.
func (v *Videos) CompleteResourceArgument(ctx context.Context, uri string, argument mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	if uri != videoTemplate {
		return nil, refuse(ctx, fmt.Errorf("%s is no template of this server; %s is", text.Quote(uri), videoTemplate))
	}
	completion := &mcp.Completion{Values: []string{}}
	if argument.Name != "request_id" {
		return completion, nil
	}
	page, err := v.tracker.List(ctx, jobs.All, searched, "")
	if err != nil {
		return nil, err
	}
	for _, r := range page.Rows {
		if id := r.Job.RequestID; id != "" && strings.HasPrefix(id, argument.Value) {
			completion.Values = append(completion.Values, id)
		}
	}
	if page.Next == "" {
		completion.Total = len(completion.Values)
	}
	if len(completion.Values) > maxCompletions {
		completion.Values = completion.Values[:maxCompletions]
		completion.HasMore = true
	}
	completion.HasMore = completion.HasMore || page.Next != ""
	return completion, nil
}

// Subscribe has updated called whenever the resource changes: jobs.VideosURI when a
// video is added or changes, that of a video when its status does. A video
// that is being made is polled until stop is called. updated must not block.
//
// Errors are those of a read of uri; nothing is polled then.
func (v *Videos) Subscribe(uri string, updated func()) (stop func(), err error) {
	ctx := context.Background()
	follow := func() func() { return v.tracker.Follow(ctx, "") } // nothing is polled, and others' changes are heard
	if _, fixed := v.server.ListResources()[uri]; !fixed || v.isListed(uri) {
		id, row, err := v.find(ctx, uri)
		if err != nil {
			return nil, err
		}
		if row == nil || !row.Job.Done() {
			follow = func() func() { return v.tracker.Follow(ctx, id) }
		}
	} else if uri != jobs.VideosURI { // a guide
		follow = func() func() { return func() {} }
	}
	s := &subscriber{uri, updated}
	v.mu.Lock()
	v.subscribers[s] = struct{}{}
	v.mu.Unlock()
	unfollow := follow() // after that, so that no change is missed
	return func() {
		v.mu.Lock()
		delete(v.subscribers, s)
		v.mu.Unlock()
		unfollow()
	}, nil
}

// onChange is what the tracker calls.
func (v *Videos) onChange(e jobs.Event) {
	requestID := e.Row.Job.RequestID
	uri := jobs.VideosURI + "/" + requestID
	if e.Added && requestID != "" { // an uncertain submission may have none
		v.list(e.Row, uri)
	}
	v.mu.Lock()
	var concerned []*subscriber
	for s := range v.subscribers {
		if s.uri == uri || s.uri == jobs.VideosURI {
			concerned = append(concerned, s)
		}
	}
	v.mu.Unlock()
	for _, s := range concerned {
		s.updated()
	}
}

// list makes a video a resource of its own, which mcp-go announces.
func (v *Videos) list(r jobs.Row, uri string) {
	name := r.Job.RequestID
	if r.Prompt != "" {
		// mcp-go lists by name; the time keeps equal prompts apart, in order.
		name = fmt.Sprintf("%s (%s)", text.Clean(r.Prompt, 50), jobs.FormatTime(r.SubmittedAt))
	}
	v.mu.Lock()
	var oldest []string
	v.listed = append(slices.DeleteFunc(v.listed, func(u string) bool { return u == uri }), uri)
	if n := len(v.listed) - listedVideos; n > 0 {
		oldest = slices.Clone(v.listed[:n])
		v.listed = slices.Delete(v.listed, 0, n)
	}
	v.mu.Unlock()
	v.server.AddResource(mcp.NewResource(uri, name,
		mcp.WithResourceDescription("The video request "+r.Job.RequestID+"."), mcp.WithMIMEType(jsonType)), v.readOne)
	if len(oldest) > 0 {
		v.server.DeleteResources(oldest...)
	}
}

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

// register adds the videos' resources to s, and takes the tracker's OnChange.
func register(s *server.MCPServer, tracker *jobs.Tracker) *Videos {
	v := &Videos{server: s, tracker: tracker, subscribers: map[*subscriber]struct{}{}}
	tracker.OnChange(v.onChange)
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
	records, _, notice, err := v.tracker.List(ctx, jobs.All, shownVideos, "")
	if err != nil {
		return nil, err
	}
	recent := struct {
		Videos []jobs.Video `json:"videos"`
		Notice string       `json:"notice,omitempty"` // something to know of the journal as a whole
	}{[]jobs.Video{}, notice}
	for _, r := range records {
		recent.Videos = append(recent.Videos, r.Video())
	}
	return contents(request.Params.URI, recent)
}

// readOne asks the gateway for a video that is being made, and shows what the
// journal has when the gateway can't be asked.
func (v *Videos) readOne(ctx context.Context, request mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	id, record, err := v.find(request.Params.URI)
	if err != nil && !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		return nil, refuse(ctx, err)
	}
	if record == nil || !record.Job.Done() {
		asking, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		job, err := v.tracker.Status(asking, id)
		switch {
		case err == nil:
			// The journal also knows when the video was checked.
			if newer, err := v.tracker.Find(id); err == nil && newer != nil {
				record = newer
			} else {
				record = &jobs.Record{Job: job}
			}
		case record == nil && pixazo.IsCode(err, pixazo.NotFound):
			return nil, refuse(ctx, unknown(request.Params.URI))
		case record == nil:
			return nil, err
		}
	}
	return contents(request.Params.URI, record.Video())
}

// contents returns value as the one content of the resource uri.
func contents(uri string, value any) ([]mcp.ResourceContents, error) {
	raw, err := text.JSON(value, "")
	if err != nil {
		return nil, err
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: jsonType, Text: string(raw)}}, nil
}

// find is the video that uri names. The record is nil when the journal does
// not have it, though this process submitted it.
//
// Errors: invalid_argument for a malformed request_id, server.ErrResourceNotFound,
// and journal_unavailable; with the last the request_id is there.
func (v *Videos) find(uri string) (requestID string, record *jobs.Record, err error) {
	id, ok := strings.CutPrefix(uri, jobs.VideosURI+"/")
	if !ok {
		return "", nil, unknown(uri)
	}
	if err := pixazo.CheckRequestID(id); err != nil {
		return "", nil, err
	}
	record, err = v.tracker.Find(id)
	if record == nil && !v.isListed(uri) {
		if err == nil {
			err = unknown(uri)
		}
		return id, nil, err
	}
	return id, record, nil
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
	records, next, _, err := v.tracker.List(ctx, jobs.All, searched, "")
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if id := r.Job.RequestID; id != "" && strings.HasPrefix(id, argument.Value) {
			completion.Values = append(completion.Values, id)
		}
	}
	if next == "" {
		completion.Total = len(completion.Values)
	}
	if len(completion.Values) > maxCompletions {
		completion.Values = completion.Values[:maxCompletions]
		completion.HasMore = true
	}
	completion.HasMore = completion.HasMore || next != ""
	return completion, nil
}

// Subscribe has updated called whenever the resource changes: jobs.VideosURI when a
// video is added or changes, that of a video when its status does. A video
// that is being made is polled until stop is called. updated must not block.
//
// Errors are those of a read of uri; nothing is polled then.
func (v *Videos) Subscribe(uri string, updated func()) (stop func(), err error) {
	// Guides and the list of videos are not polled, nor is a video that has
	// ended.
	follow := func() func() { return func() {} }
	if _, fixed := v.server.ListResources()[uri]; !fixed || v.isListed(uri) {
		id, record, err := v.find(uri)
		if err != nil {
			return nil, err
		}
		if record == nil || !record.Job.Done() {
			follow = func() func() { return v.tracker.Follow(id) }
		}
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
func (v *Videos) onChange(requestID string, added bool) {
	uri := jobs.VideosURI + "/" + requestID
	if added && requestID != "" { // an uncertain submission may have none
		v.list(requestID, uri)
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
func (v *Videos) list(requestID, uri string) {
	name := requestID
	if r, err := v.tracker.Find(requestID); err == nil && r != nil && r.Prompt != "" {
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
		mcp.WithResourceDescription("The video request "+requestID+"."), mcp.WithMIMEType(jsonType)), v.readOne)
	if len(oldest) > 0 {
		v.server.DeleteResources(oldest...)
	}
}

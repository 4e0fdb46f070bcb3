// This file serves the videos as resources: a list of the newest, and each by its
// request_id. Clients can subscribe to both.

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

// videoTemplate is the template of a video's URI.
const videoTemplate = jobs.VideosURI + "/{request_id}"

const (
	shownVideos    = 20               // in the list of recent videos
	listedVideos   = 50               // videos that are resources of their own
	maxCompletions = 100              // MCP allows no more
	searched       = 1000             // newest videos whose request_ids are offered as completions
	patience       = 10 * time.Second // how long a read waits for the gateway before it uses the journal
	jsonType       = "application/json"
)

// both is the audience of guides and videos (MCP, Annotations).
var both = []mcp.Role{mcp.RoleUser, mcp.RoleAssistant}

// Videos are the resources that show videos. Register makes them.
type Videos struct {
	server  *server.MCPServer
	tracker *jobs.Tracker

	mu     sync.Mutex
	listed []string // URIs of the videos that are resources of their own, oldest first
}

// register adds the list of videos and the template to s. Unless several users share the
// server, each video becomes a resource of its own once it is added or changes.
func register(s *server.MCPServer, tracker *jobs.Tracker, team bool) *Videos {
	v := &Videos{server: s, tracker: tracker}
	made := "made on this computer"
	if team {
		made = "of this user"
	} else {
		tracker.Listen(v.list)
	}
	s.AddResource(mcp.NewResource(jobs.VideosURI, "videos",
		mcp.WithResourceTitle("Recent videos"),
		mcp.WithResourceDescription("The newest 20 video requests "+made+", as last seen: status, prompt, URLs, times, request_id. "+
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

// readRecent returns the newest videos in the journal.
func (v *Videos) readRecent(ctx context.Context, request mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	page, err := v.tracker.List(ctx, jobs.All, shownVideos, "")
	if err != nil {
		return nil, v.tracker.Shown(err)
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

// readOne returns one video. It asks the gateway unless the video is done; if that fails,
// it returns what the journal has.
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
			return nil, v.tracker.Shown(err)
		}
	}
	return contents(request.Params.URI, v.tracker.View(ctx, *row))
}

// contents returns value, encoded as JSON, as the content of the resource uri.
func contents(uri string, value any) ([]mcp.ResourceContents, error) {
	raw, err := text.JSON(value, "")
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: jsonType, Text: string(raw)}}, err
}

// find returns the request_id in uri, and the row of its video in the journal.
//
// Errors: invalid_argument for a malformed request_id, server.ErrResourceNotFound, and
// journal_unavailable, with which it still returns the request_id.
func (v *Videos) find(ctx context.Context, uri string) (requestID string, row *jobs.Row, err error) {
	id, ok := strings.CutPrefix(uri, jobs.VideosURI+"/")
	if !ok {
		return "", nil, unknown(uri)
	}
	if err := pixazo.CheckRequestID(id); err != nil {
		return "", nil, err
	}
	row, err = v.tracker.Find(ctx, id)
	if row == nil && err == nil {
		err = unknown(uri)
	}
	return id, row, err
}

// unknown returns the error of a URI that is no resource of this server.
func unknown(uri string) error {
	return fmt.Errorf("%w: %s is neither a guide nor a video of the journal", server.ErrResourceNotFound, text.Quote(uri))
}

// refuse returns err. It first sets the JSON-RPC code of the answer on the session, since
// mcp-go gives all errors of handlers the code -32603.
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

// CompleteResourceArgument returns those request_ids of the newest videos in the journal
// that begin with what the user typed.
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
		return nil, v.tracker.Shown(err)
	}
	for _, r := range page.Rows {
		if id := r.Job.RequestID; id != "" && strings.HasPrefix(id, argument.Value) {
			completion.Values = append(completion.Values, id)
		}
	}
	found := len(completion.Values)
	if page.Next == "" {
		completion.Total = found
	}
	completion.Values = completion.Values[:min(found, maxCompletions)]
	completion.HasMore = found > maxCompletions || page.Next != ""
	return completion, nil
}

// Subscribe calls updated whenever the resource with this URI changes, until stop is
// called: the list of videos when a video is added or changes, a video when its status
// changes or it is saved. A video that is not done is polled meanwhile. updated must not
// block. The errors are those of reading the resource.
func (v *Videos) Subscribe(ctx context.Context, uri string, updated func()) (stop func(), err error) {
	follow := "" // polls no video, and only listens to what other processes write
	if strings.HasPrefix(uri, jobs.VideosURI+"/") {
		id, row, err := v.find(ctx, uri)
		if err != nil {
			return nil, v.tracker.Shown(err)
		}
		if !row.Job.Done() {
			follow = id
		}
	} else if _, ok := v.server.ListResources()[uri]; !ok {
		return nil, unknown(uri)
	} else if uri != jobs.VideosURI { // a guide, or the player
		return func() {}, nil
	}
	owner := jobs.Owner(ctx)
	// Listens first, so that it misses no change.
	forget := v.tracker.Listen(func(row jobs.Row) {
		if row.Owner == owner && (uri == jobs.VideosURI || uri == videoURI(row)) {
			updated()
		}
	})
	unfollow := v.tracker.Follow(ctx, follow)
	return func() {
		unfollow()
		forget()
	}, nil
}

func videoURI(r jobs.Row) string { return jobs.VideosURI + "/" + r.Job.RequestID }

// list makes a video a resource of its own, unless it is one already. mcp-go notifies
// clients of that.
func (v *Videos) list(row jobs.Row) {
	id, uri := row.Job.RequestID, videoURI(row)
	if id == "" { // an uncertain submission may have none
		return
	}
	name := id
	if row.Prompt != "" {
		// mcp-go sorts resources by name. With the time in it, videos of equal prompts can be
		// told apart and are listed in the order of their submission.
		name = fmt.Sprintf("%s (%s)", text.Clean(row.Prompt, 50), jobs.FormatTime(row.SubmittedAt))
	}
	v.mu.Lock()
	if slices.Contains(v.listed, uri) {
		v.mu.Unlock()
		return
	}
	var oldest []string
	v.listed = append(v.listed, uri)
	if n := len(v.listed) - listedVideos; n > 0 {
		oldest = slices.Clone(v.listed[:n])
		v.listed = slices.Delete(v.listed, 0, n)
	}
	v.mu.Unlock()
	v.server.AddResource(mcp.NewResource(uri, name,
		mcp.WithResourceDescription("The video request "+id+"."), mcp.WithMIMEType(jsonType)), v.readOne)
	if len(oldest) > 0 {
		v.server.DeleteResources(oldest...)
	}
}

package jobs

// The uris of what a client can read, which tools name and resources serve.
const (
	VideosURI         = "pixazo://videos" // the newest videos; "/" and a request_id behind it: that video
	GuideURI          = "pixazo://guide/" // and the topic behind it
	PromptingGuideURI = GuideURI + "prompting"
	PlayerURI         = "ui://pixazo/player" // a page that shows a video (MCP Apps)
)

package jobs

// The URIs of resources, which package tools names and package resources serves.
const (
	VideosURI         = "pixazo://videos" // the newest videos; with "/" and a request_id after it, one video
	GuideURI          = "pixazo://guide/" // + topic
	PromptingGuideURI = GuideURI + "prompting"
	PlayerURI         = "ui://pixazo/player" // a page that shows a video (MCP Apps)
)

// Package sandbox emulates the Pixazo gateway for the HeyGen Video Agent model:
// an http.Handler that takes the documented requests, answers with the
// documented bodies and hands out a short sample video. It costs nothing and
// reaches no network, except for webhooks that a caller asked for.
//
// It is written from the gateway's documents and shares no code with the
// client, so that a mistake in one is not mirrored in the other.
//
// # Paths
//
//	POST     /heygen-video-agent/v1/heygen-video-agent-request   submit
//	GET      /v2/requests/status/{request_id}                    status
//	GET HEAD /media/{request_id}/output.mp4                      the finished video
//	GET HEAD /media/{request_id}/output-2.mp4                    a second one, where a script makes two
//	GET HEAD /media/{request_id}/preview.gif, captions.srt       where a script has extras
//
// Submit and status need the header Ocp-Apim-Subscription-Key, the video does
// not; it takes Range requests and may be shown by a page of any origin. URLs in
// answers point to the origin that the request was made to. Errors of these paths
// are JSON: {"error": "what is wrong"}, unless a script words them otherwise.
//
// # No stored jobs
//
// A request_id holds all there is to know of its job: when it was made, how
// long it takes, the orientation and the script. So a job can be followed from
// another process, or after a restart, whatever the Options there. A link that
// expires holds its time in the same way. A checksum in the id makes an invented
// or altered id answer 404. A job is QUEUED for the first 15 % of its duration,
// then PROCESSING, then COMPLETED.
//
// # Scripts
//
// A word of the form sandbox:NAME in the prompt, in upper or lower case, plays
// trouble; the first one counts, and an unknown one is refused with a list of
// the names. [Scripts] has each with its meaning. A submission that is accepted
// would be billed by the gateway. The parts of a job are parts of its duration.
//
// # Webhooks
//
// X-Webhook-URL (https, or http to this computer) and X-Webhook-Mode are honoured
// as documented: one POST of the status body when the job ends or, in sync mode,
// one at each poll cycle as well. A delivery that fails or is not answered with 2xx
// is made up to five times; after three callbacks in a row that failed so, the URL
// gets no more. Redirects are not followed. Deliveries live in the process that
// took the submission and end with [Sandbox.Close].
package sandbox

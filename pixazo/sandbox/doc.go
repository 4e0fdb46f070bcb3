// Package sandbox emulates the Pixazo gateway for the HeyGen Video Agent model:
// an http.Handler that takes the documented requests, answers with the
// documented bodies and hands out a short sample video. It costs nothing and
// reaches no network, except for webhooks that a caller asked for.
//
// It is written from the gateway's documents and shares no code with the
// client, so that a mistake in one is not mirrored in the other.
//
//	POST     /heygen-video-agent/v1/heygen-video-agent-request   submit
//	GET      /v2/requests/status/{request_id}                    status
//	GET HEAD /media/{request_id}/output.mp4                      the finished video, for pages of any origin
//	GET HEAD /media/{request_id}/output-2.mp4                    a second one, where a script makes two
//	GET HEAD /media/{request_id}/preview.gif, captions.srt       where a script has extras
//
// Submit and status need the header Ocp-Apim-Subscription-Key. URLs in answers
// point to the origin that the request was made to.
//
// A request_id holds all there is to know of its job: when it was made, how
// long it takes, the orientation and the script. So a job can be followed from
// another process, or after a restart, whatever the Options there. A job is QUEUED
// for the first 15 % of its duration, then PROCESSING, then COMPLETED.
//
// A word of the form sandbox:NAME in the prompt, in upper or lower case, plays
// trouble; the first one counts, and an unknown one is refused with a list of
// the names. [Scripts] has each with its meaning.
//
// Webhooks live in the process that took the submission, and end with
// [Sandbox.Close].
package sandbox

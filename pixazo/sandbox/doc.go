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
//
// Submit and status need the header Ocp-Apim-Subscription-Key, the video does
// not; it takes Range requests and may be shown by a page of any origin. URLs in
// answers point to the origin that the request was made to. Errors are JSON:
// {"error": "what is wrong"}.
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
// the names. A submission that is accepted would be billed by the gateway. The
// parts of a job are parts of its duration.
//
//   - 400: the submission is refused with 400
//   - 401: the submission is refused with 401
//   - 402: the submission is refused with 402, out of credits
//   - 403: the submission is refused with 403
//   - 422: the submission is refused with 422
//   - 429: the first submission of this prompt is refused with 429 and Retry-After: 1, later ones succeed
//   - 429-always: every submission is refused with 429 and Retry-After: 1
//   - 500: the submission is answered with 500, not accepted
//   - 503: the submission is answered with 503, not accepted
//   - redirect: the submission is answered with 307 to another origin, not accepted
//   - drop-before: the connection is dropped without an answer, not accepted
//   - drop-after: accepted, then the connection is dropped without an answer
//   - slow: accepted, the answer comes after 3 s
//   - slow-forever: accepted, the answer never comes
//   - truncated: accepted, the JSON of the answer ends after the request_id
//   - html: accepted, the answer is an HTML page with status 200
//   - oversized: accepted, the answer is valid JSON of more than 1 MiB
//   - finished: accepted, the answer already says COMPLETED and carries the output
//   - failed: the job ends as FAILED with an error text
//   - error: the job ends as ERROR with an error text
//   - hostile: the job ends as FAILED, its error text holds control characters, markup and instructions
//   - unknown-status: the job's status is RENDERING, a word outside the documents, in its middle third
//   - url-string: the finished job's media_url is a string instead of an array
//   - status-401: status requests answer 401 in the job's middle third
//   - status-404-early: status requests answer 404 in the job's first quarter
//   - status-429: status requests answer 429 with Retry-After: 1 in the job's middle third
//   - status-500: status requests answer 500 in the job's middle third
//   - status-503: status requests answer 503 in the job's middle third
//   - status-drop: status requests find the connection dropped in the job's middle third
//   - status-slow: every status answer takes 2 s
//   - status-truncated: status answers are cut off inside the JSON in the job's middle third
//   - status-html: status answers are an HTML page with status 200 in the job's middle third
//   - status-oversized: status answers are valid JSON of more than 1 MiB in the job's middle third
//   - media-expired: the video's link answers 403 from 2 s after the status answer that named it; a later status names a fresh one
//   - media-gone: the video's link answers 404
//   - media-html: the video's link answers with an HTML page with status 200
//   - media-empty: the video's link answers with an empty body with status 200
//   - media-drop: the connection breaks after each third of the video, Range requests go on from there
//   - media-drop-norange: the connection breaks in the middle of the video, Range requests begin again
//   - media-slow: the video takes 5 s to come
//   - two-videos: the finished job has two media_urls, the second is the other orientation's video
//
// # Webhooks
//
// X-Webhook-URL (https only) and X-Webhook-Mode are honoured as documented: one
// POST of the status body when the job ends or, in sync mode, one at each poll
// cycle as well. A delivery that fails or is not answered with 2xx is made up
// to five times. Redirects are not followed. Deliveries live in the process
// that took the submission and end with [Sandbox.Close].
package sandbox

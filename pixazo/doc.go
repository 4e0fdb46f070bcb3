// Package pixazo is a client of the Pixazo gateway's HeyGen Video Agent 3.0
// API: it submits a video request once, asks for its status, and knows which
// failures may be repeated and which must not, because a video costs money.
//
// The gateway's documents are quoted as "API" in the comments: the model's
// page on Pixazo, with its request parameters, answers and webhook section.
package pixazo

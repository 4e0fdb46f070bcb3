// Package jobs keeps track of video jobs between the tools and the gateway: it
// submits once whatever becomes of the caller, polls each job once however many
// wait for it, and tells listeners of every change. What it knows is in the
// journal.
package jobs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// Gateway is what the tracker needs of the gateway; *pixazo.Client is one.
// Submit sends the request once whatever ctx says, and must not cut it off: ctx
// only says whether it may be tried again.
type Gateway interface {
	Submit(ctx context.Context, p *pixazo.Prepared, o pixazo.SubmitOptions) (pixazo.Job, error)
	Status(ctx context.Context, requestID string, o pixazo.StatusOptions) (pixazo.Job, error)
}

const (
	defaultMaxWaits = 64

	notYetVisible = 30 * time.Second       // how long after submission a 404 means nothing
	pollLimit     = 30 * time.Second       // one poll with all its tries: as long as it is claimed
	explicitEvery = time.Second            // a status that was asked for less than this ago answers a call
	explicitLimit = 2 * time.Second        // how long a call waits for a poll of somebody else that is under way
	lookAgain     = 100 * time.Millisecond // after which what another call or process does is looked at again
	typicalFor    = time.Minute            // how long the typical duration is not looked up again
	retryLimit    = time.Minute            // the longest Retry-After that is obeyed

	maxMemories = 256 // jobs
)

// Options adjusts a Tracker.
type Options struct {
	// Callbacks says that the gateway's callbacks reach Callback, here or in
	// another process. The gateway is then asked less often.
	Callbacks bool

	// CallbackURL returns where the gateway tells of the job of a submission, ""
	// for the client's setting; nil means always that.
	CallbackURL func(nonce string) string

	Account  func() string  // names the key as it is now, by hash, in the journal; nil without one
	MaxWaits int            // waits at once before Wait stops waiting; 0 means 64
	Rand     func() float64 // random numbers in [0, 1) that spread the polls; nil means math/rand
	Logger   *slog.Logger   // nil means none

	// Team says that there are several users, on other computers. Only jobs in the
	// journal are known then: the gateway is not asked for others. Nothing that users
	// are shown names this computer's disk, database or settings. SavedLink returns a
	// link to a saved video, "" if there is none; nil where no video is saved.
	Team      bool
	SavedLink func(Row, SavedFile) string
}

// Tracker submits and follows jobs, each for the owner of the ctx of a call (see
// journal.WithOwner). It is safe for concurrent use.
type Tracker struct {
	gateway Gateway
	journal *journal.Journal
	options Options
	log     *slog.Logger

	draining    context.Context // done when the program ends
	drain       context.CancelFunc
	submissions sync.WaitGroup // and looks because of callbacks
	running     sync.WaitGroup // loops, and the reader of news

	attending chan struct{} // a slot for each poll under way of a job that somebody waits for
	following chan struct{} // the same for jobs that are only followed
	heeding   chan struct{} // the same for looks because of callbacks

	waits atomic.Int64

	mu         sync.Mutex
	loops      map[jobKey]*loop
	memories   map[jobKey]memory
	listeners  map[*func(Event)]bool
	interested int // waits and followers
	news       context.CancelFunc
	told       map[int64]told   // by row
	hints      map[string]*hint // by nonce
	typical    time.Duration
	typicalAt  time.Time // when typical was looked up
}

// jobKey names a job over all owners.
type jobKey struct{ owner, id string }

// memory holds what this process knows of a job and the journal does not.
type memory struct {
	row       *journal.Row // as it was seen last, which the journal may not have taken; nil when nothing is known
	notBefore time.Time    // until when the gateway asked not to be polled
	err       error        // with which it asked for that
}

// New returns a tracker of the gateway's jobs. It closes the journal in the end.
func New(gateway Gateway, j *journal.Journal, options Options) *Tracker {
	options.MaxWaits = cmp.Or(options.MaxWaits, defaultMaxWaits)
	if options.Account == nil {
		options.Account = func() string { return "" }
	}
	if options.Rand == nil {
		options.Rand = rand.Float64
	}
	if options.CallbackURL == nil {
		options.CallbackURL = func(string) string { return "" }
	}
	t := &Tracker{
		gateway: gateway, journal: j, options: options, log: cmp.Or(options.Logger, slog.New(slog.DiscardHandler)),
		attending: make(chan struct{}, maxAttending), following: make(chan struct{}, maxFollowing), heeding: make(chan struct{}, maxHeeding),
		loops: map[jobKey]*loop{}, memories: map[jobKey]memory{}, listeners: map[*func(Event)]bool{}, told: map[int64]told{}, hints: map[string]*hint{},
	}
	t.draining, t.drain = context.WithCancel(context.Background())
	return t
}

// Drain begins the end: waits end with what they know, and a submission that was
// not accepted is not tried again. What was sent goes on.
func (t *Tracker) Drain() { t.drain() }

// Finish waits for submissions in flight until ctx ends. No Submit or Callback may
// begin any more.
func (t *Tracker) Finish(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		t.submissions.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // longer than any submission takes
		t.log.Error("gave up waiting for a submission in flight: look at the Pixazo dashboard before making the video again")
	}
}

// Close ends all polls and lets go of the journal, once Finish has returned and
// nothing calls the tracker any more. From then on nothing is written, or
// submitted.
func (t *Tracker) Close() {
	t.mu.Lock()
	for _, l := range t.loops {
		t.end(l)
	}
	if t.news != nil {
		t.news()
	}
	t.mu.Unlock()
	t.running.Wait()
	t.journal.Close()
}

// Status asks the gateway where a job stands, whatever it said of later polls,
// and takes in the answer. It returns the journal's row instead when that is less
// than a second old, or when another poll is under way and lasts. A job that the
// gateway does not show in the first 30 s after its submission is returned as it
// is known here; its status may be "". A job that the journal does not know is
// asked for unless Options.Team; Fits then says how many uncertain submissions it
// may be, and a single one becomes this job.
//
// Errors are those of pixazo.Client.Status, together with what is known of the
// job.
func (t *Tracker) Status(ctx context.Context, requestID string) (journal.Observation, error) {
	row, err := t.known(ctx, requestID)
	if err != nil {
		return journal.Observation{}, err
	}
	for begun := time.Now(); ; {
		if row != nil && row.Job.Done() && !row.PolledAt.IsZero() && time.Since(row.LastCheckedAt).Abs() < explicitEvery {
			return journal.Observation{Row: *row}, nil // for the price of a look
		}
		granted, err := t.journal.Claim(ctx, requestID, explicitEvery)
		if granted || err != nil || row == nil { // without a journal nobody else polls
			return t.poll(ctx, requestID, row, false)
		}
		if now, _ := t.Find(ctx, requestID); now != nil {
			row = now
		}
		if time.Since(row.LastCheckedAt).Abs() < explicitEvery || time.Since(begun) > explicitLimit || !journal.Sleep(ctx, lookAgain) {
			return journal.Observation{Row: *row}, nil
		}
	}
}

// known returns the row of the job that a call names, nil when perhaps only the
// gateway knows it. Errors: invalid_argument; in a team not_found, in the same
// words for a job of another owner and for one that nobody has.
func (t *Tracker) known(ctx context.Context, requestID string) (*journal.Row, error) {
	if err := pixazo.CheckRequestID(requestID); err != nil {
		return nil, err
	}
	row, err := t.Find(ctx, requestID)
	if row != nil || !t.options.Team {
		return row, nil
	}
	if err == nil {
		err = &pixazo.Error{Code: pixazo.NotFound, RequestID: requestID, Message: "the journal knows no such request"}
	}
	return nil, err
}

// poll asks the gateway for a job, whose poll the caller has claimed, and takes
// in the answer. row is what is known of the job, or nil.
func (t *Tracker) poll(ctx context.Context, requestID string, row *journal.Row, background bool) (journal.Observation, error) {
	known := journal.Row{Owner: journal.Owner(ctx), Job: pixazo.Job{RequestID: requestID}}
	if row != nil {
		known = *row
	}
	limited, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	job, err := t.gateway.Status(limited, requestID, pixazo.StatusOptions{PollingURL: known.Job.PollingURL, Background: background})
	if err == nil {
		seen, _ := t.Observe(ctx, job)
		return seen, nil
	}
	if row != nil {
		_ = t.journal.Release(context.WithoutCancel(ctx), requestID)
	}
	if limited.Err() != nil && ctx.Err() == nil {
		err = &pixazo.Error{Code: pixazo.GatewayUnreachable, RequestID: requestID, Message: "no answer in time", Err: err}
	}
	if after := min(pixazo.RetryAfter(err), retryLimit); after > 0 {
		t.remember(keyOf(known), memory{row, time.Now().Add(after), err})
	}
	if age, ok := age(known); ok && age < notYetVisible && pixazo.IsCode(err, pixazo.NotFound) {
		t.show(known, nil)
		return journal.Observation{Row: known}, nil
	}
	if e, ok := errors.AsType[*pixazo.Error](err); ok && known.Account != "" && known.Account != t.options.Account() && pixazo.IsCode(err, pixazo.NotFound, pixazo.Unauthorized) {
		other := *e
		other.Message += "; the video was submitted with another API key than the present one, and perhaps only that key's account can ask for it"
		err = &other
	}
	return journal.Observation{Row: known}, err
}

// Observe takes in what the gateway says of a job of ctx's owner, by a poll or a
// callback: it goes into the journal, to those who wait for the job, and, when
// it is a change, to listeners. The answer counts also with an error, which says
// why the journal could not take it.
func (t *Tracker) Observe(ctx context.Context, job pixazo.Job) (journal.Observation, error) {
	ctx = context.WithoutCancel(ctx) // the answer counts, whether its caller is still there or not
	seen, err := t.journal.Observe(ctx, job)
	if err != nil {
		seen = t.observeAlone(ctx, job, err)
	} else {
		t.mu.Lock()
		delete(t.memories, keyOf(seen.Row))
		t.mu.Unlock()
	}
	t.spread(seen)
	return seen, err
}

// spread gives what was observed to those who wait for the job, and a change to
// listeners.
func (t *Tracker) spread(seen journal.Observation) {
	t.show(seen.Row, nil)
	if seen.Changed || seen.Added {
		t.tell(seen.Row, seen.Added)
	}
}

// observeAlone is Observe without a journal: unwritten is why it can't be used.
func (t *Tracker) observeAlone(ctx context.Context, job pixazo.Job, unwritten error) journal.Observation {
	before, _ := t.Find(ctx, job.RequestID)
	if before == nil {
		before = &journal.Row{Owner: journal.Owner(ctx)}
	}
	row := *before
	if !before.Job.Done() || job.Done() { // else job is an older answer that came late
		row.State, row.Job, row.LastCheckedAt = journal.Accepted, job, time.Now()
	}
	t.remember(keyOf(row), memory{row: &row})
	changed := row.Job.Status != before.Job.Status
	if changed {
		t.log.Warn("a status could not be written into the journal", "request_id", job.RequestID, "status", job.Status, "error", unwritten.Error())
	}
	return journal.Observation{Row: row, Changed: changed, Added: before.State == ""}
}

// remember keeps m of a job. When it is too much, another job is forgotten.
func (t *Tracker) remember(key jobKey, m memory) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.memories[key]; !ok && len(t.memories) >= maxMemories {
		for other := range t.memories {
			delete(t.memories, other)
			break
		}
	}
	t.memories[key] = m
}

func keyOf(row journal.Row) jobKey { return jobKey{row.Owner, row.Job.RequestID} }

// Find returns the row of a job, nil when there is none. Without a journal it is
// what this process has seen.
func (t *Tracker) Find(ctx context.Context, requestID string) (*journal.Row, error) {
	row, err := t.journal.Find(ctx, requestID)
	t.mu.Lock()
	seen := t.memories[jobKey{journal.Owner(ctx), requestID}].row
	t.mu.Unlock()
	if seen != nil && (row == nil || row.LastCheckedAt.Before(seen.LastCheckedAt)) {
		own := *seen
		return &own, nil
	}
	return row, err
}

// List returns a part of the journal, newest first. It never asks the gateway.
//
// Errors: invalid_argument for a cursor that List did not make, and
// journal_unavailable.
func (t *Tracker) List(ctx context.Context, filter journal.Filter, limit int, cursor string) (journal.Page, error) {
	page, err := t.journal.List(ctx, filter, limit, cursor)
	if t.options.Team {
		page.Notice = "" // names files of the server
	}
	return page, err
}

// AddSaved writes down where files of a job are, besides those that are known.
func (t *Tracker) AddSaved(ctx context.Context, requestID string, files []journal.SavedFile) error {
	if err := t.journal.AddSaved(ctx, requestID, files); err != nil {
		return err
	}
	if row, err := t.journal.Find(ctx, requestID); err == nil && row != nil {
		t.tell(*row, false)
	}
	return nil
}

// HoldSave waits until nobody else saves videos of a job, and keeps others, over
// all processes, from it until release is called. Nobody is kept from it where
// the journal has no such job or can't be written. Its error is ctx's.
func (t *Tracker) HoldSave(ctx context.Context, requestID string) (release func(), err error) {
	row, err := t.journal.Find(ctx, requestID)
	if err != nil || row == nil || row.ID == 0 {
		return func() {}, nil
	}
	for {
		release, err := t.journal.HoldSave(ctx, row.ID, false)
		switch {
		case err != nil:
			return func() {}, nil
		case release != nil:
			return release, nil
		case !journal.Sleep(ctx, time.Second):
			return nil, ctx.Err()
		}
	}
}

// Typical returns how long videos take as a rule, 0 when fewer than three
// finished ones are known.
func (t *Tracker) Typical(ctx context.Context) time.Duration {
	t.mu.Lock()
	typical, fresh := t.typical, time.Since(t.typicalAt) < typicalFor
	if !fresh { // whoever else asks meanwhile, as when many waits end, gets what was known
		t.typicalAt = time.Now()
	}
	t.mu.Unlock()
	if fresh {
		return typical
	}
	typical, err := t.journal.Typical(ctx)
	if err != nil {
		typical = 0 // it is only an estimate, and may be there next time
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.typical = typical
	return typical
}

// age returns how long ago a job was created: by the time of its submission, or
// else the gateway's word, or else the time in its request_id.
func age(row journal.Row) (time.Duration, bool) {
	// Clocks differ a little; a time further ahead says nothing.
	known := func(t time.Time) bool { return !t.IsZero() && time.Since(t) > -notYetVisible }
	created := row.SubmittedAt
	if !known(created) {
		created = row.Job.CreatedAt
	}
	if !known(created) {
		created = pixazo.IDTime(row.Job.RequestID)
	}
	if !known(created) {
		return 0, false
	}
	return max(time.Since(created), 0), true
}

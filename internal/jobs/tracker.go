// Package jobs tracks video jobs between the tools and the gateway. It submits each
// request once, even if the caller leaves, polls each job in one loop however many
// callers wait for it, and tells listeners of every change. The state of the jobs is
// in the journal.
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

// Gateway is the part of *pixazo.Client that the tracker uses. Submit must not cut the
// request off when ctx is done: ctx only says whether it may be tried again.
type Gateway interface {
	Submit(ctx context.Context, p *pixazo.Prepared, o pixazo.SubmitOptions) (pixazo.Job, error)
	Status(ctx context.Context, requestID string, o pixazo.StatusOptions) (pixazo.Job, error)
}

const (
	defaultMaxWaits = 64

	notYetVisible  = 30 * time.Second       // a 404 this soon after the submission means nothing
	pollLimit      = 30 * time.Second       // for one poll with all its tries: the time that a claim lasts
	explicitEvery  = time.Second            // Status returns an answer of the gateway that is younger than this
	explicitLimit  = 2 * time.Second        // the longest time that Status waits for another's poll
	lookAgain      = 100 * time.Millisecond // between two looks at what another call or process does
	unwrittenLimit = time.Minute            // how long Finish waits for a journal that can't be written
	typicalFor     = time.Minute            // how long the typical duration is cached
	typicalLimit   = time.Second            // how long the journal may take to tell it, and how many videos are left
	retryLimit     = time.Minute            // the longest Retry-After that is obeyed

	maxMemories = 256 // jobs in Tracker.memories
)

// Options configure a Tracker.
type Options struct {
	// CallbackURL returns the address to which the gateway reports the job of a
	// submission. These reports are passed to Callback, in this process or another one,
	// and the gateway is polled less often. nil means that there are none.
	CallbackURL func(nonce string) string

	Account  func() string  // returns the hash of the present key; nil without one
	MaxWaits int            // above so many waits at once, Wait returns without waiting; 0 means 64
	Rand     func() float64 // random numbers in [0, 1) that spread the polls; nil means math/rand
	Logger   *slog.Logger   // nil means none

	// Team says that there are several users, on other computers. The gateway is then
	// asked only for jobs in the journal. Nothing that users are shown names this
	// computer's disk, database or settings. SavedLink returns a link to a saved video,
	// "" if there is none; it is nil where no video is saved.
	Team      bool
	SavedLink func(Row, SavedFile) string
}

// Tracker submits and polls jobs. Each call works on jobs of its ctx's owner (see
// journal.WithOwner). It is safe for concurrent use.
type Tracker struct {
	gateway Gateway
	journal *journal.Journal
	options Options
	log     *slog.Logger

	draining    context.Context // done once Drain was called
	drain       context.CancelFunc
	submissions sync.WaitGroup // and callbacks that are followed up
	running     sync.WaitGroup // loops and readNews

	attending chan struct{} // has an element for each poll under way of a job that somebody waits for
	following chan struct{} // the same for jobs that are only followed
	heeding   chan struct{} // the same for what callbacks named
	looking   chan struct{} // the same for reading the next callback: while the database is slow, others need it more

	waits atomic.Int64

	mu         sync.Mutex
	loops      map[jobKey]*loop
	memories   map[jobKey]memory
	listeners  map[*func(Row)]bool
	interested int                // number of waits and follows
	endNews    context.CancelFunc // ends readNews; nil while it does not run
	told       map[int64]told     // by row

	typical   atomic.Int64 // time.Duration
	typicalMu sync.Mutex   // held while typical is looked up
	typicalAt time.Time    // when that was begun
}

// jobKey identifies a job among those of all owners.
type jobKey struct{ owner, id string }

// memory holds what this process knows of a job besides what is in the journal.
type memory struct {
	row       *journal.Row // as it was seen last, perhaps with a status that could not be written; nil if there is none
	notBefore time.Time    // until when the gateway asked not to be polled
	err       error        // the error with which it asked for that
}

// New returns a tracker of the gateway's jobs. Close closes the journal.
func New(gateway Gateway, j *journal.Journal, options Options) *Tracker {
	options.MaxWaits = cmp.Or(options.MaxWaits, defaultMaxWaits)
	if options.Account == nil {
		options.Account = func() string { return "" }
	}
	if options.Rand == nil {
		options.Rand = rand.Float64
	}
	t := &Tracker{
		gateway: gateway, journal: j, options: options, log: cmp.Or(options.Logger, slog.New(slog.DiscardHandler)),
		attending: make(chan struct{}, maxAttending), following: make(chan struct{}, maxFollowing), heeding: make(chan struct{}, maxHeeding), looking: make(chan struct{}, 1),
		loops: map[jobKey]*loop{}, memories: map[jobKey]memory{}, listeners: map[*func(Row)]bool{}, told: map[int64]told{},
	}
	t.draining, t.drain = context.WithCancel(context.Background())
	return t
}

// Listen calls f at each change of a job of any owner, from any goroutine, until stop
// is called: when it is added to the journal, and when its status or its saved files
// change. The row of a submission whose outcome is unknown has no request_id. f must not
// block. Changes that other processes write are told only while this process waits for
// a job or follows one.
func (t *Tracker) Listen(f func(Row)) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners[&f] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.listeners, &f)
	}
}

// Drain is called when the program begins to end. Waits return with what they know,
// and a submission that was not accepted is not tried again. A request under way goes
// on.
func (t *Tracker) Drain() { t.drain() }

// UntilDrain returns a copy of ctx that also ends when Drain is called. cancel frees what
// it holds.
func (t *Tracker) UntilDrain(ctx context.Context) (until context.Context, cancel context.CancelFunc) {
	until, end := context.WithCancel(ctx)
	stop := context.AfterFunc(t.draining, end)
	return until, func() { stop(); end() }
}

// Finish waits for submissions in flight until ctx ends, and up to a minute more for a
// journal that can't be written to take their outcomes, which would be lost with the
// program. No Submit or Callback may begin any more.
func (t *Tracker) Finish(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		t.submissions.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // callers give it longer than any submission takes
		t.log.Error("gave up waiting for a submission in flight: look at the Pixazo dashboard before making the video again")
	}
	ctx, cancel := context.WithTimeout(ctx, unwrittenLimit)
	defer cancel()
	for t.journal.Unwritten() && journal.Sleep(ctx, time.Second) {
		t.journal.WriteOutcomes()
	}
}

// Close ends all polls and closes the journal. It is called once Finish has returned
// and nothing calls the tracker any more.
func (t *Tracker) Close() {
	t.mu.Lock()
	for _, l := range t.loops {
		t.end(l)
	}
	if t.endNews != nil {
		t.endNews()
	}
	t.mu.Unlock()
	t.running.Wait()
	t.journal.Close()
}

// Status asks the gateway for the state of a job, even before a Retry-After has
// passed, and records the answer. It returns the journal's row instead if that is less
// than a second old, or if it would have to wait more than 2 s for another poll of the
// job. If the gateway does not find the job in the first 30 s after its submission,
// Status returns what is known of the job here; its status may be "". Except with
// Options.Team, the gateway is also asked for a job that the journal does not know.
// Fits then says how many uncertain submissions may be this job; if it is one, that
// submission gets the job.
//
// Errors are those of pixazo.Client.Status, together with the row as it is known.
func (t *Tracker) Status(ctx context.Context, requestID string) (journal.Observation, error) {
	row, err := t.known(ctx, requestID)
	if err != nil {
		return journal.Observation{}, err
	}
	for begun := time.Now(); ; {
		if row != nil && row.Job.Done() && !row.PolledAt.IsZero() && t.journal.Now().Sub(row.LastCheckedAt).Abs() < explicitEvery {
			return journal.Observation{Row: *row}, nil // without a write to the journal
		}
		granted, err := t.journal.Claim(ctx, requestID, explicitEvery)
		if granted || err != nil || row == nil { // with an error no process can claim the poll
			return t.poll(ctx, requestID, row, false)
		}
		if now, _ := t.Find(ctx, requestID); now != nil {
			row = now
		}
		if t.journal.Now().Sub(row.LastCheckedAt).Abs() < explicitEvery || time.Since(begun) > explicitLimit || !journal.Sleep(ctx, lookAgain) {
			return journal.Observation{Row: *row}, nil
		}
	}
}

// known returns the row of the job that a call names, nil if there is none but the
// gateway may know the job. Errors: invalid_argument; with Options.Team not_found, which
// is the same for another owner's job and for one that does not exist.
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

// poll asks the gateway for a job whose poll the caller has claimed, and records the
// answer. row is what is known of the job, or nil.
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
	if limited.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
		err = &pixazo.Error{Code: pixazo.GatewayUnreachable, RequestID: requestID, Message: "no answer in time", Err: err}
	}
	t.obey(keyOf(known), row, err)
	if age, ok := t.age(known); ok && age < notYetVisible && pixazo.IsCode(err, pixazo.NotFound) {
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

// obey remembers for how long err, with which a poll failed, asks not to poll the job
// again. row is what is known of the job, or nil.
func (t *Tracker) obey(key jobKey, row *journal.Row, err error) {
	if after := min(pixazo.RetryAfter(err), retryLimit); after > 0 {
		t.remember(key, memory{row, time.Now().Add(after), err})
	}
}

// Observe records an answer of the gateway about a job of ctx's owner: it writes it
// into the journal, shows it to those who wait for the job, and tells listeners of a
// change. An error says why it could not be written; the returned observation has the
// answer all the same.
func (t *Tracker) Observe(ctx context.Context, job pixazo.Job) (journal.Observation, error) {
	ctx = context.WithoutCancel(ctx) // the answer is recorded even if the caller has left
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

// spread shows an observation to those who wait for the job, and tells listeners of a
// change.
func (t *Tracker) spread(seen journal.Observation) {
	t.show(seen.Row, nil)
	if seen.Changed {
		t.tell(seen.Row)
	}
}

// observeAlone returns the observation of job, which could not be written because of
// unwritten, and remembers it in this process.
func (t *Tracker) observeAlone(ctx context.Context, job pixazo.Job, unwritten error) journal.Observation {
	before, _ := t.Find(ctx, job.RequestID)
	if before == nil {
		before = &journal.Row{Owner: journal.Owner(ctx)}
	}
	row := *before
	hasVideo := before.Job.Status == pixazo.Completed && len(before.Job.VideoURLs) > 0
	switch { // as in the journal
	case before.Job.Done() && !job.Done(): // an older answer that came late
	case hasVideo && (job.Status != pixazo.Completed || len(job.VideoURLs) == 0):
	default:
		row.State, row.Job, row.LastCheckedAt = journal.Accepted, job, t.journal.Now()
	}
	t.remember(keyOf(row), memory{row: &row})
	changed := row.Job.Status != before.Job.Status
	if changed {
		t.log.Warn("a status could not be written into the journal", "request_id", job.RequestID, "status", job.Status, "error", unwritten.Error())
	}
	return journal.Observation{Row: row, Changed: changed}
}

// remember keeps m for a job. If there are maxMemories, it drops that of another job.
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

// Find returns the row of a job, nil when there is none. A newer status that could not
// be written into the journal is in it.
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

// List returns a page of the journal, newest first. It does not ask the gateway.
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

// Left returns how many videos the limits leave, -1 if there is no limit or the journal
// does not tell.
func (t *Tracker) Left(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, typicalLimit)
	defer cancel()
	page, err := t.journal.List(ctx, journal.All, 1, "")
	if err != nil {
		return -1
	}
	return page.Left
}

// AddSaved adds files to the saved files of a job, and tells listeners.
func (t *Tracker) AddSaved(ctx context.Context, requestID string, files []journal.SavedFile) error {
	if err := t.journal.AddSaved(ctx, requestID, files); err != nil {
		return err
	}
	if row, err := t.journal.Find(ctx, requestID); err == nil && row != nil {
		t.tell(*row)
	}
	return nil
}

// HoldSave waits until no process saves videos of a job, and then keeps others from
// saving them until release is called. If the journal has no row of the job, or can't
// be written, it returns without keeping anybody from it. Its error is ctx's.
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

// Typical returns how long videos usually take, 0 when fewer than three finished ones
// are known.
func (t *Tracker) Typical(ctx context.Context) time.Duration {
	if t.typicalMu.TryLock() { // while one caller looks it up, the others get the old value
		defer t.typicalMu.Unlock()
		if time.Since(t.typicalAt) >= typicalFor {
			t.typicalAt = time.Now()
			ctx, cancel := context.WithTimeout(ctx, typicalLimit)
			defer cancel()
			if typical, err := t.journal.Typical(ctx); err == nil {
				t.typical.Store(int64(typical))
			} // else the old one is good enough: it is only an estimate, and a call must not wait for it
		}
	}
	return time.Duration(t.typical.Load())
}

// age returns how long ago a job was created: since its submission or the time inside its
// request_id, whichever is later, or else since the gateway's created_at. ok is false if
// none of these times is known.
func (t *Tracker) age(row journal.Row) (age time.Duration, ok bool) {
	now := t.journal.Now()
	// Clocks differ a little. A time further ahead is wrong.
	known := func(at time.Time) bool { return !at.IsZero() && now.Sub(at) > -notYetVisible }
	created := row.SubmittedAt
	if made := pixazo.IDTime(row.Job.RequestID); known(made) && (made.After(created) || !known(created)) {
		created = made // the journal's clock was behind at the submission, or there was none
	}
	if !known(created) {
		created = row.Job.CreatedAt
	}
	if !known(created) {
		return 0, false
	}
	return max(now.Sub(created), 0), true
}

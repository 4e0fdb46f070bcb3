// This file is what the tests of this package share beside servers: a gateway
// and a journal made of functions and maps.

package download_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/pixazo"
)

// fakeJobs is a gateway that answers with its function, and a journal that
// processes may share.
type fakeJobs struct {
	status func(ctx context.Context, id string, poll int) (pixazo.Job, error) // poll counts from 0

	mu    sync.Mutex
	polls int
	known map[string]download.Known // nil for a journal that can't be used
}

func (j *fakeJobs) Status(ctx context.Context, id string) (pixazo.Job, error) {
	j.mu.Lock()
	n := j.polls
	j.polls++
	j.mu.Unlock()
	job, err := j.status(ctx, id, n)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil && j.known != nil {
		known := j.known[id]
		known.Job = job
		j.known[id] = known
	}
	return job, err
}

func (j *fakeJobs) Find(_ context.Context, id string) download.Known {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.known[id]
}

func (j *fakeJobs) HoldSave(context.Context, string) (func(), error) { return func() {}, nil }

func (j *fakeJobs) AddSaved(_ context.Context, id string, files []download.File) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known == nil {
		return errors.New("the journal can't be used")
	}
	known := j.known[id]
	known.Saved = append(slices.Clone(files), slices.DeleteFunc(known.Saved, func(old download.File) bool {
		return slices.ContainsFunc(files, func(f download.File) bool { return f.Path == old.Path })
	})...)
	j.known[id] = known
	return nil
}

// count is how often the gateway was asked.
func (j *fakeJobs) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.polls
}

func finished(id string, links ...string) pixazo.Job {
	return pixazo.Job{RequestID: id, Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: links, MediaType: "video/mp4"}}
}

func failing(code pixazo.Code, id string) error {
	return &pixazo.Error{Code: code, Message: "as scripted", RequestID: id}
}

// completed is a gateway all of whose jobs have these videos.
func completed(links ...string) *fakeJobs {
	return &fakeJobs{known: map[string]download.Known{}, status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
		return finished(id, links...), nil
	}}
}

// openSaver ends the saver with the test, so that a temporary directory can be
// removed.
func openSaver(t testing.TB, jobs download.Jobs, options download.Options) *download.Saver {
	t.Helper()
	saver := download.New(jobs, options)
	t.Cleanup(func() { end(saver) })
	return saver
}

func end(saver *download.Saver) {
	saver.Finish()
}

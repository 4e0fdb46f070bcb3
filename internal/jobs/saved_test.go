// This file tests that the journal keeps where videos are saved.

package jobs_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pixazo-mcp/internal/jobs"
)

// savedFile is a file of that name that a video was saved as.
func savedFile(t testing.TB, name string) jobs.SavedFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("video"), 0o600); err != nil {
		t.Fatal(err)
	}
	return jobs.SavedFile{Path: path, Bytes: 5, MediaType: "video/mp4", SHA256: "00"}
}

func TestWhatIsSavedOutlivesTheProcess(t *testing.T) {
	g := &fakeGateway{}
	options := jobs.Options{StateDir: t.TempDir()}
	tracker := openTracker(t, g, options)
	id := submit(t, tracker, prompt("A lighthouse in the fog"))
	files := []jobs.SavedFile{savedFile(t, "a.mp4"), savedFile(t, "b.mp4")}
	files[1].Video = 1
	if err := tracker.AddSaved(id, files); err != nil {
		t.Fatal(err)
	}
	end(tracker)
	tracker = openTracker(t, g, options)
	r, err := tracker.Find(id)
	if err != nil || r == nil || !slices.Equal(r.Saved, files) || r.Video().SavedPath != files[0].Path || tracker.SavedPath(id) != files[0].Path {
		t.Errorf("after a restart Find = %+v, %v; want %+v", r, err, files)
	}
	if all := list(t, tracker, jobs.All); len(all) != 1 || all[0].Video().SavedPath != files[0].Path {
		t.Errorf("after a restart the list is %+v; want the saved path in it", all)
	}
	if _, err := tracker.Status(t.Context(), id); err != nil { // writes the row anew
		t.Fatal(err)
	}
	if r, err := tracker.Find(id); err != nil || !slices.Equal(r.Saved, files) {
		t.Errorf("after a status Find = %+v, %v; want the files still there", r, err)
	}
}

func TestJournalOfTheFirstVersionOpens(t *testing.T) {
	const id = "id-of-the-video"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journal.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir)
	execute(t, db, jobs.FirstMigration)
	execute(t, db, "PRAGMA user_version = 1")
	execute(t, db, `INSERT INTO jobs (gateway, request_id, state, prompt, status, video_urls, submitted_at)
		VALUES ('', '`+id+`', 'accepted', 'from before', 'COMPLETED', 'https://media.example/v.mp4', 1767225600000)`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	options := jobs.Options{StateDir: dir}
	tracker := openTracker(t, &fakeGateway{}, options)
	if all := list(t, tracker, jobs.All); len(all) != 1 || all[0].Prompt != "from before" || len(all[0].Saved) != 0 || all[0].Job.VideoURLs[0] != "https://media.example/v.mp4" {
		t.Fatalf("the list is %+v; want the row from before", all)
	}
	file := savedFile(t, "v.mp4")
	if err := tracker.AddSaved(id, []jobs.SavedFile{file}); err != nil {
		t.Fatal(err)
	}
	if r, err := openTracker(t, &fakeGateway{}, options).Find(id); err != nil || !slices.Equal(r.Saved, []jobs.SavedFile{file}) {
		t.Errorf("Find = %+v, %v; want what was saved recorded", r, err)
	}
	submit(t, tracker, prompt("after"))
}

func TestEachPlaceOfAVideoIsRecorded(t *testing.T) {
	tracker := newTracker(t, &fakeGateway{})
	id := submit(t, tracker, prompt("a"))
	a, b, c := savedFile(t, "a.mp4"), savedFile(t, "b.mp4"), savedFile(t, "c.mp4")
	larger := a
	larger.Bytes = 6
	c.Video = 1 // of another video
	for _, file := range []jobs.SavedFile{a, b, larger, c} {
		if err := tracker.AddSaved(id, []jobs.SavedFile{file}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := tracker.Find(id)
	if want := []jobs.SavedFile{c, larger, b}; err != nil || !slices.Equal(r.Saved, want) {
		t.Errorf("the journal has %+v, %v; want %+v", r.Saved, err, want)
	}
	for _, file := range []jobs.SavedFile{larger, b} {
		if got := tracker.SavedPath(id); got != file.Path {
			t.Errorf("the first video is at %q, want %q", got, file.Path)
		}
		if err := os.Remove(file.Path); err != nil {
			t.Fatal(err)
		}
	}
	if got := tracker.SavedPath(id); got != "" {
		t.Errorf("the first video is at %q, want it gone", got)
	}
}

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
	if err := tracker.RecordSaved(id, files); err != nil {
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
	if err := tracker.RecordSaved(id, []jobs.SavedFile{file}); err != nil {
		t.Fatal(err)
	}
	if r, err := openTracker(t, &fakeGateway{}, options).Find(id); err != nil || !slices.Equal(r.Saved, []jobs.SavedFile{file}) {
		t.Errorf("Find = %+v, %v; want what was saved recorded", r, err)
	}
	submit(t, tracker, prompt("after"))
}

// This test ends replicas and their database at random moments, and then asks for
// everything.

package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pixazo-mcp/e2e/pgtest"
)

const videosPerUser = 10 // what they ask for, and what they may have in an hour

// storm is a team server whose parts are ended while users ask for videos.
type storm struct {
	*deployment
	cluster *pgtest.Cluster
	db      *sql.DB

	kills, restarts     int // of replicas, of the database
	calls, lost, failed atomic.Int32

	mu    sync.Mutex
	found map[string]time.Time   // when a request_id was first in the journal
	asked map[string][]time.Time // when a replica took it upon itself to ask for a request_id that a callback had named
	due   map[string]int64       // by request_id of such a callback: when the next one may
	owner map[string]string
	away  time.Duration // how long the database was restarting, in all
}

// PIXAZO_TEST_TEAM says how many videos are asked for.
func TestATeamKilledAtAnyMomentLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	videos, err := strconv.Atoi(os.Getenv("PIXAZO_TEST_TEAM"))
	if err != nil {
		t.Skip("takes 20 s and more; PIXAZO_TEST_TEAM is not a number of videos")
	}
	users := max(videos/videosPerUser, 2)
	late := func() { time.Sleep(time.Duration(rand.Int64N(int64(300 * time.Millisecond)))) }
	cluster := pgtest.NewCluster(t, "")
	s := &storm{cluster: cluster, deployment: deploy(t, cluster.URL, users, 2*time.Second, late, fmt.Sprint("--max-videos-per-user=", videosPerUser)), found: map[string]time.Time{}, asked: map[string][]time.Time{}, due: map[string]int64{}, owner: map[string]string{}}
	if s.db, err = sql.Open("pgx", s.cluster.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	go s.watch(t.Context())
	begun := time.Now()
	var asking sync.WaitGroup
	for user := range users {
		c := s.connect(s.proxy, user, user%2 == 1)
		asking.Go(func() { s.ask(c) })
	}
	over := make(chan struct{})
	go func() { asking.Wait(); close(over) }()
	s.rage(over)
	t.Logf("%d replicas killed, %d times the database, in %s: of %d calls %d were not answered, %d first ones without a request_id",
		s.kills, s.restarts, time.Since(begun).Round(time.Second), s.calls.Load(), s.failed.Load(), s.lost.Load())
	if s.kills < min(users, 10) {
		t.Error("too few were killed, so that nothing was tested")
	}

	for user := range users {
		asking.Go(func() { s.askTooMuch(user) })
	}
	asking.Wait()
	s.checkHealed()
	s.checkMissed()
	ids := s.checkAccepted(users)
	for user := range users {
		asking.Go(func() { s.checkUser(user, ids[user], ids[(user+1)%users]) })
	}
	asking.Wait()
	t.Logf("%s in all", time.Since(begun).Round(time.Second))
}

// watch notes when each request_id comes into the journal, and when replicas are about to
// ask for one that a callback named.
func (s *storm) watch(ctx context.Context) {
	last := time.Now()
	for ticks := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; <-ticks.C {
		rows, err := s.db.QueryContext(ctx, "SELECT request_id, owner, 0 FROM jobs WHERE request_id IS NOT NULL UNION ALL SELECT request_id, '', ask_at FROM callbacks")
		s.mu.Lock()
		if err != nil { // it is just being restarted
			s.away += time.Since(last)
		}
		last = time.Now()
		if err != nil {
			s.mu.Unlock()
			continue
		}
		for rows.Next() {
			var id, owner string
			var due int64
			switch err := rows.Scan(&id, &owner, &due); {
			case err != nil:
			case owner != "" && s.found[id].IsZero():
				s.found[id], s.owner[id] = time.Now(), owner
			case owner == "" && s.due[id] != due:
				s.due[id], s.asked[id] = due, append(s.asked[id], time.Now())
			}
		}
		s.mu.Unlock()
		_ = rows.Close()
	}
}

// ask asks for a user's videos, one after the other, and for each again as long as
// its request_id is not known.
func (s *storm) ask(c caller) {
	for n := range videosPerUser {
		prompt := fmt.Sprintf("video %d of %s.%s", n, c.user, []string{"", " sandbox:webhook-twice", "", "", " sandbox:drop-after"}[n%5])
		for try := range 4 {
			id := s.id(c, prompt)
			if id == "" {
				if try == 0 {
					s.lost.Add(1)
				}
				time.Sleep(time.Duration(rand.Int64N(int64(time.Second))))
				continue
			}
			if n%3 == 0 {
				s.call(c, "wait_for_video", map[string]any{"request_id": id, "timeout_seconds": 10})
			} else {
				time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Second))))
			}
			break
		}
	}
}

// call is caller.call, and counts. No call may find its session gone.
func (s *storm) call(c caller, tool string, args map[string]any) (r toolResult, ok bool) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	s.calls.Add(1)
	r, _, err := c.call(ctx, tool, args)
	if err != nil {
		s.failed.Add(1)
		if strings.HasPrefix(err.Error(), "404") {
			s.t.Errorf("%s: %v", c.user, err)
		}
	}
	return r, err == nil
}

// id asks for a video and returns its request_id, "" if it was not learned.
func (s *storm) id(c caller, prompt string) string {
	r, _ := s.call(c, "generate_video", generate(prompt))
	id, _ := r.Result.StructuredContent["request_id"].(string)
	return id
}

// rage ends replicas and the database until over is closed: replicas at once, most
// often in the middle of a submission, and once as an upgrade does.
func (s *storm) rage(over <-chan struct{}) {
	pause := func(most time.Duration) { time.Sleep(time.Duration(rand.Int64N(int64(most)))) }
	for n := 1; ; n++ {
		select {
		case <-over:
			return
		default:
		}
		switch {
		case n%6 == 0:
			mode := []string{"fast", "immediate"}[s.restarts%2]
			s.restarts++
			if err := s.cluster.StopIn(mode); err != nil {
				s.t.Error(err)
			}
			if err := s.cluster.Start(); err != nil {
				s.t.Error(err)
			}
		case n == 8:
			for _, p := range s.replicas {
				p.end()
				p.start()
				p.ready()
			}
		default:
			for len(s.gateway.arrived) > 0 {
				<-s.gateway.arrived
			}
			select {
			case <-s.gateway.arrived:
			case <-time.After(time.Second):
			case <-over:
				return
			}
			pause(300 * time.Millisecond)
			p := s.replicas[rand.IntN(len(s.replicas))]
			p.kill()
			p.start()
			p.ready()
			s.kills++
		}
		pause(250 * time.Millisecond)
	}
}

// askTooMuch asks for more videos, at both replicas at once, until nobody gets one.
func (s *storm) askTooMuch(user int) {
	c := caller{address: s.proxy, user: userName(user)}
	for round := range 2 * videosPerUser {
		var refused atomic.Int32
		var lanes sync.WaitGroup
		for lane := range 3 {
			lanes.Go(func() {
				if r, ok := s.call(c, "generate_video", generate(fmt.Sprintf("video %d.%d more of %s", round, lane, c.user))); ok && strings.HasPrefix(r.text(), "limit_reached: ") {
					refused.Add(1)
				}
			})
		}
		if lanes.Wait(); refused.Load() == 3 {
			return
		}
	}
	s.t.Errorf("%s never reaches the limit", c.user)
}

// checkHealed waits until all callbacks are delivered, and the request_ids that
// they brought are in the journal: 5 s later, and that after each replica that was
// killed while it asked the gateway. TestACallbackOutlivesItsReplica holds how many may be.
func (s *storm) checkHealed() {
	s.t.Helper()
	var longest, worst time.Duration // without anybody who asks; until one is healed
	if !soon(time.Minute, func() bool {
		s.gateway.mu.Lock()
		defer s.gateway.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		longest, worst = 0, 0
		for _, ids := range s.gateway.accepted {
			for _, id := range ids {
				found, last := s.found[id], s.gateway.delivered[id]
				if found.IsZero() || last.IsZero() {
					return false
				}
				worst = max(worst, found.Sub(last))
				for _, at := range append(s.asked[id], found) {
					if at.After(last) && !at.After(found) {
						longest, last = max(longest, at.Sub(last)), at
					}
				}
			}
		}
		return true
	}) {
		s.t.Error("not all callbacks were delivered, or heard")
	}
	s.t.Logf("the last lost answer was healed %s after its callback was delivered; for %s at most nobody asked", worst.Round(time.Millisecond), longest.Round(time.Millisecond))
	if longest > 5*time.Second+s.away { // nothing is written while the database is away
		s.t.Errorf("for %s nobody asked for a job that a callback had named; the database was away for %s", longest, s.away)
	}
}

// checkMissed waits until all videos are known to be finished: 30 s where a replica
// was killed while it asked for what a callback had named.
func (s *storm) checkMissed() {
	s.t.Helper()
	var missed int
	if !soon(2*time.Minute, func() bool {
		err := s.db.QueryRow("SELECT COUNT(*) FROM jobs WHERE state = 'accepted' AND ended = 0").Scan(&missed)
		return err == nil && missed == 0
	}) {
		s.t.Errorf("the ends of %d videos are not known", missed)
	}
}

// checkAccepted checks that each prompt was accepted once, that its video belongs
// to who asked for it, and that the limits were used up and no more. It returns
// the request_ids of each user.
func (s *storm) checkAccepted(users int) (ids [][]string) {
	s.t.Helper()
	ids = make([][]string, users)
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for prompt, accepted := range s.gateway.accepted {
		name := strings.Trim(strings.Fields(prompt[strings.Index(prompt, "user-"):])[0], ".")
		if len(accepted) != 1 {
			s.t.Errorf("%q was accepted %d times", prompt, len(accepted))
		}
		for _, id := range accepted {
			if s.owner[id] != "token:"+name {
				s.t.Errorf("%s of %q belongs to %q", id, prompt, s.owner[id])
			}
			n, _ := strconv.Atoi(strings.TrimPrefix(name, "user-"))
			ids[n] = append(ids[n], id)
		}
	}
	unsent := 0
	for user := range users {
		var counted int
		if err := s.db.QueryRow("SELECT COUNT(*) FROM jobs WHERE owner = $1 AND state <> 'refused'", "token:"+userName(user)).Scan(&counted); err != nil {
			s.t.Fatal(err)
		}
		if counted != videosPerUser || len(ids[user]) > videosPerUser {
			s.t.Errorf("%s has %d videos of %d accepted; the limit is %d", userName(user), counted, len(ids[user]), videosPerUser)
		}
		unsent += counted - len(ids[user])
	}
	s.t.Logf("%d videos accepted, once each; %d submissions ended before they were sent", len(s.gateway.accepted), unsent)
	return ids
}

// checkUser checks that a user sees exactly their own videos, each saved once,
// and nothing of somebody else's.
func (s *storm) checkUser(user int, own, others []string) {
	c := caller{address: s.proxy, user: userName(user), modern: user%2 == 0}
	listed, ok := s.call(c, "list_videos", map[string]any{"limit": 100})
	videos, _ := listed.Result.StructuredContent["videos"].([]any)
	if !ok || len(videos) < len(own) {
		s.t.Errorf("the list of %s has %d videos: %s", c.user, len(videos), listed.text())
	}
	left := map[string]bool{}
	for _, id := range own {
		left[id] = true
	}
	for _, v := range videos {
		video := v.(map[string]any)
		id, _ := video["request_id"].(string)
		if prompt := fmt.Sprint(video["prompt"]); !strings.Contains(prompt, "of "+c.user+".") && !strings.HasSuffix(prompt, "of "+c.user) || id != "" && !left[id] {
			s.t.Errorf("the list of %s has %v", c.user, video)
		}
		delete(left, id)
	}
	if len(left) > 0 {
		s.t.Errorf("the list of %s lacks %v", c.user, slices.Collect(maps.Keys(left)))
	}
	const unknown = "heygen-video-agent_019a0000-0000-7000-8000-000000000000"
	for _, tool := range []string{"get_status", "wait_for_video", "download_video"} {
		nobodys, _ := s.call(c, tool, map[string]any{"request_id": unknown})
		somebodys, _ := s.call(c, tool, map[string]any{"request_id": others[0]})
		if got, want := strings.ReplaceAll(somebodys.text(), others[0], "ID"), strings.ReplaceAll(nobodys.text(), unknown, "ID"); got != want || !strings.HasPrefix(got, "not_found: ") {
			s.t.Errorf("%s: %s of another user's video says %q, of nobody's %q", c.user, tool, got, want)
		}
	}
	for _, id := range own {
		if r, ok := s.call(c, "get_status", map[string]any{"request_id": id}); !ok || r.Result.StructuredContent["status"] != "COMPLETED" {
			s.t.Errorf("%s is not finished: %s", id, r.text())
		}
	}
	var names []string
	if !soon(90*time.Second, func() bool { names = s.savedOf(c.user); return len(names) == len(own) }) || slices.ContainsFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".mp4") }) {
		s.t.Errorf("%s has %d videos, saved are %q", c.user, len(own), names)
	}
}

// This file runs the tests of this package over PostgreSQL as well.

package jobs_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/journal/pgtest"
)

const onPostgreSQL = "PIXAZO_TEST_JOBS_ON_POSTGRESQL"

// TestOnPostgreSQL runs the tests once more, in a process whose journals are in
// PostgreSQL: a schema for each directory. Tests that look into the database file,
// break it, or measure it are left out.
func TestOnPostgreSQL(t *testing.T) {
	if os.Getenv(onPostgreSQL) != "" || testing.Short() {
		t.Skip("runs all the others again")
	}
	cmd := exec.Command(os.Args[0], "-test.timeout=5m", "-test.skip=^("+strings.Join([]string{
		"TestAThousandWaitsHoldUnder64MB",
		"TestOutcomeThatCanNotBeWrittenIsKnownAndWrittenLater",
		"TestStatusesAndWaitsGoOnWithoutAJournal",
		"TestTheJournalIsUsedAgainOnceItCanBe",
		"TestKeyAndAttachmentsAreNotInTheJournal",
		"TestACallbackIsRefusedWhileTheJournalIsAway",
	}, "|")+")$")
	cmd.Env = append(os.Environ(), onPostgreSQL+"=1", "PIXAZO_TEST_DATABASE_URL="+pgtest.URL(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

var schemas sync.Map // URLs by directory

// engineOf puts the journal of o into PostgreSQL where the test runs there.
func engineOf(t testing.TB, o journal.Options) journal.Options {
	t.Helper()
	if os.Getenv(onPostgreSQL) == "" || o.Dir == "" {
		return o
	}
	url, ok := schemas.Load(o.Dir)
	if !ok {
		url = pgtest.URL(t)
		schemas.Store(o.Dir, url)
	}
	o.Database = url.(string)
	o.FakeTime = strings.HasPrefix(time.Now().Format(time.DateOnly), "200") // as in a bubble of synctest
	return o
}

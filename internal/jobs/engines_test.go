// This file runs the tests of this package over PostgreSQL as well.

package jobs_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/journal"
)

const onPostgreSQL = "PIXAZO_TEST_JOBS_ON_POSTGRESQL"

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// TestOnPostgreSQL runs the tests once more, in a process whose journals are in
// PostgreSQL: a schema for each directory. Without PIXAZO_TEST_POSTGRES these are
// the tests of what processes share. Tests that look into the database file, break
// it, or measure it are left out.
func TestOnPostgreSQL(t *testing.T) {
	if os.Getenv(onPostgreSQL) != "" || testing.Short() {
		t.Skip("runs all the others again")
	}
	t.Parallel()
	left := []string{
		"TestAThousandWaitsHoldUnder64MB",
		"TestOutcomeThatCanNotBeWrittenIsKnownAndWrittenLater",
		"TestStatusesAndWaitsGoOnWithoutAJournal",
		"TestTheJournalIsUsedAgainOnceItCanBe",
		"TestKeyAndAttachmentsAreNotInTheJournal",
		"TestACallbackIsRefusedWhileTheJournalIsAway",
		"TestACallbackIsKeptUntilTheJournalHasTheAnswer",
		"TestFinishWaitsForTheJournal",
		"TestAnEndThatCanNotBeWrittenIsPolledUntilItIs",
	}
	run := "."
	if os.Getenv("PIXAZO_TEST_POSTGRES") == "" {
		run = "Process|Callback|Sweep|Limit|Uncertain"
		left = append(left, "TestACallbackIsKeptUntilTheGatewayAnswers") // of one process, for minutes of seconds
	}
	cmd := exec.Command(os.Args[0], "-test.run="+run, "-test.skip=^("+strings.Join(left, "|")+")$")
	if deadline, ok := t.Deadline(); ok {
		cmd.Args = append(cmd.Args, fmt.Sprint("-test.timeout=", time.Until(deadline)))
	}
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

// This file has the schema of the SQLite database, and upgrades older ones.

package journal

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"slices"
	"time"
)

// migrations[i] takes a journal from version i to i+1. The version is kept in PRAGMA
// user_version. Migrations only add, since programs of two versions may share a
// journal, and are never changed once released.
var migrations = []string{first, second}

var (
	//go:embed schema-1.sql
	first string
	//go:embed schema-2.sql
	second string
)

// migrate checks the whole database, since damage should be found before money depends
// on it, and brings it to the newest version.
func migrate(db *sql.DB) error {
	ctx := context.Background()
	if err := intact(db); err != nil {
		return err
	}
	switch version, err := schemaVersion(ctx, db); {
	case err != nil || version > len(migrations):
		return err
	case version == len(migrations): // without a write, so that a locked journal can be read
		return timesAgree(ctx, db)
	}
	return upgrade(ctx, db, migrations, "", schemaVersion, fmt.Sprintf("PRAGMA user_version = %d", len(migrations)))
}

// upgrade runs the migrations in all that the database has not had, in one
// transaction. begin is a statement that keeps other processes out meanwhile, and end
// is one that writes the new version. A database of a newer version than this program
// knows is used as it is.
func upgrade(ctx context.Context, db *sql.DB, all []string, begin string, versionOf func(context.Context, querier) (int, error), end string) error {
	return transaction(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, begin); err != nil {
			return err
		}
		version, err := versionOf(ctx, tx) // another process may have upgraded it
		if err != nil || version >= len(all) {
			return err
		}
		for _, statements := range slices.Concat(all[version:], []string{end}) {
			if _, err := tx.ExecContext(ctx, statements); err != nil {
				return err
			}
		}
		return nil
	})
}

// intact checks every page. Its error is errDamaged if one is damaged.
func intact(db *sql.DB) error {
	var found string
	if err := db.QueryRow("PRAGMA quick_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, found)
	}
	return nil
}

// timesAgree checks that the rows of the last day's submissions have the times that the
// index has, by which limits count them. Its error is errDamaged if one differs. intact
// does not find that: it takes a page that was overwritten with zeros for the end of a
// long row.
func timesAgree(ctx context.Context, db *sql.DB) error {
	var differ int
	err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM jobs AS counted INDEXED BY jobs_submitted LEFT JOIN jobs AS kept NOT INDEXED ON kept.row = counted.row
		WHERE counted.submitted_at > `+sqliteNow+` - $1 AND kept.submitted_at IS NOT counted.submitted_at`, (24 * time.Hour).Milliseconds()).Scan(&differ)
	if err == nil && differ > 0 {
		err = fmt.Errorf("%w: the times of %d submissions differ", errDamaged, differ)
	}
	return err
}

// schemaVersion returns the version of a database, 0 for an empty one.
func schemaVersion(ctx context.Context, q querier) (version int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return max(0, version), err
}

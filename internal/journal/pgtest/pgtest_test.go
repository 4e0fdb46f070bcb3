package pgtest

import "testing"

func TestEachTestHasASchemaOfItsOwn(t *testing.T) {
	first, second := URL(t), URL(t)
	for _, url := range []string{first, second} {
		Exec(t, url, "CREATE TABLE jobs (row BIGINT); SELECT row FROM jobs")
	}
}
